"""Fixtures of the taggers' tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_taggers
from PIL import Image


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep journals, models and runs of a test in a folder of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("ATHANOR_HOME", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a tiny tagger in the layout of WD."""
    return tiny_taggers.wd(tmp_path / "tiny-wd")


@pytest.fixture
def make_pictures(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a folder of plain pictures, by their names and greys."""

    def make(**greys: int) -> Path:
        folder = tmp_path / "pictures"
        for name, grey in (greys or {"a": 10, "b": 100, "c": 200}).items():
            path = folder / f"{name.replace('__', '/')}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 12), (grey, grey, grey)).save(path)
        return folder

    return make
