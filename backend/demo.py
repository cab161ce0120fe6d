"""The embedded demo: its preset, and what it leaves: the samples before and after, side by side, and the LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from backend.config.paths import PROJECT_DIR
from backend.runs.events import EventReader
from backend.runs.layout import RunFolder
from backend.runs.view import RunView, fold

PRESET = PROJECT_DIR / "presets" / "demo" / "demo.toml"
TILE, GAP, TEXT_HEIGHT = 256, 12, 26
PAPER, INK = (250, 248, 244), (40, 40, 40)


@dataclass(frozen=True, slots=True)
class Results:
    """Where things are; None when there is no such thing."""

    comparison: Path | None
    model: Path | None


def results(run: RunFolder) -> Results:
    """Paint the comparison of a run that ended, and return where things are."""
    view = fold(RunView(), EventReader(run.events_path).read())
    model = Path(view.models[-1]["path"]) if view.models else None
    pairs = before_and_after(view.samples)
    if not pairs:
        return Results(None, model)
    path = run.samples_dir.parent / "before-after.png"
    comparison(pairs).save(path)
    return Results(path, model)


def before_and_after(samples: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the first and the last sample of each prompt, where there are two."""
    by_prompt: dict[int, list[dict[str, Any]]] = {}
    for sample in sorted(samples, key=lambda sample: sample["step"]):
        by_prompt.setdefault(sample["prompt_index"], []).append(sample)
    return [(rows[0], rows[-1]) for _, rows in sorted(by_prompt.items()) if len(rows) > 1]


def comparison(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> Image.Image:
    """Return one picture: a row for each prompt, before at the left, after at the right."""
    row_height = TEXT_HEIGHT + TILE + GAP
    sheet = Image.new("RGB", (2 * TILE + 3 * GAP, GAP + row_height * len(pairs)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, pair in enumerate(pairs):
        top = GAP + row * row_height
        draw.text((GAP, top), pair[0]["prompt"], fill=INK, font=font)
        for column, sample in enumerate(pair):
            with Image.open(sample["path"]) as image:
                tile = image.convert("RGB").resize((TILE, TILE), Image.Resampling.NEAREST)
            sheet.paste(tile, (GAP + column * (TILE + GAP), top + TEXT_HEIGHT))
    return sheet
