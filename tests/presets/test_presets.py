"""Every preset that ships is valid, sparse, and free of problems that its user did not make."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.config import presets
from backend.config.checks import check
from backend.config.messages import has
from backend.config.root import parse
from backend.families.specs import get

PRESETS_DIR = Path(__file__).resolve().parents[2] / "presets"
SHARED = sorted(path for path in PRESETS_DIR.rglob("*.toml") if "demo" not in path.parts)
TO_BE_CHOSEN = {"model.base_model", "data.datasets", "sampling.prompts"}


@pytest.mark.parametrize("path", SHARED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_preset_is_valid_and_lacks_only_what_its_user_chooses(path: Path) -> None:
    data = presets.read(path)
    config, problems = parse(data)
    assert config is not None, problems
    assert config.model.family == path.parent.name
    left = [problem for problem in check(config, get(config.model.family).facts())]
    assert {problem.path for problem in left} <= TO_BE_CHOSEN, left


@pytest.mark.parametrize("path", SHARED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_preset_has_a_title_in_every_language_and_says_what_it_is_for(path: Path) -> None:
    for language in ("en", "zh-CN"):
        assert has(f"preset.{path.parent.name}.{path.stem}", language)
    assert path.read_text(encoding="utf-8").startswith("# ")
