"""Pictures on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Draw = Callable[..., Path]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Return a function that writes a picture, and its caption when one is given, below tmp_path/pictures."""

    def write(name: str, *, size: tuple[int, int] = (64, 48), color: str = "red", caption: str | None = None) -> Path:
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, color).save(path)
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        return path

    return write


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the index, the caches and what is trusted away from the project."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ATHANOR_HOME", str(folder))
    return folder
