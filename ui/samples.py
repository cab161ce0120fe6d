"""The sample wall: a grid of the pictures that a run painted, columns are steps and rows are prompts."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from backend.config.problems import UserError

MAX_COLUMNS = 24
THUMBNAIL_SIZE = 256


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of the wall."""

    step: int
    prompt_index: int
    prompt: str
    path: str
    seed: int | None


@dataclass(frozen=True, slots=True)
class Wall:
    """What is shown: `rows[i][j]` is the picture of prompt i at `steps[j]`, or None where there is none."""

    steps: tuple[int, ...]
    prompts: tuple[str, ...]
    rows: tuple[tuple[Cell | None, ...], ...]
    all_steps: tuple[int, ...]
    first_column: int
    all_rows: tuple[tuple[Cell, ...], ...]

    def index(self, base: str) -> str:
        """Return every picture as JSON for the viewer: a list of `{prompt, files: {step: [address, seed]}}`."""
        rows = [
            {"prompt": prompt, "files": {cell.step: [f"{base}/{quote(cell.path)}", cell.seed] for cell in row}}
            for prompt, row in zip(self.prompts, self.all_rows, strict=True)
        ]
        return json.dumps(rows, ensure_ascii=False)


def wall(cells: Sequence[Cell], *, end: int | None = None) -> Wall:
    """Arrange pictures as a grid of at most `MAX_COLUMNS` steps, so that a long run does not fill the page.

    Args:
        cells: Every picture, in any order; a later one replaces an earlier one of the same step and prompt.
        end: The number of steps up to the right edge; None shows the newest.
    """
    by_place = {(cell.prompt_index, cell.step): cell for cell in cells}
    all_steps = tuple(sorted({cell.step for cell in cells}))
    last = len(all_steps) if end is None else min(max(end, MAX_COLUMNS), len(all_steps))
    first = max(0, last - MAX_COLUMNS)
    steps = all_steps[first:last]
    prompts = {cell.prompt_index: cell.prompt for cell in cells}
    indexes = sorted(prompts)
    rows = tuple(tuple(by_place.get((index, step)) for step in steps) for index in indexes)
    all_rows = tuple(
        tuple(by_place[index, step] for step in all_steps if (index, step) in by_place) for index in indexes
    )
    return Wall(steps, tuple(prompts[index] for index in indexes), rows, all_steps, first, all_rows)


@lru_cache(maxsize=600)
def _thumbnail(path: str, size: int, _modified_ns: int) -> bytes:
    with Image.open(path) as image:
        image.draft("RGB", (size, size))
        small = image.convert("RGB")
    small.thumbnail((size, size))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def thumbnail(path: Path, *, size: int = THUMBNAIL_SIZE) -> bytes:
    """Return a picture scaled to fit `size` pixels as WebP; kept in memory until the file changes.

    Raises:
        UserError: The file is missing or not a picture.
    """
    try:
        return _thumbnail(str(path), size, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise UserError("file_not_found", value=str(path)) from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError("file_unreadable", value=str(path), reason=str(error)) from error
