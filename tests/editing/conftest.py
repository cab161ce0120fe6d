"""Folders of pictures with captions."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep journals and the index away from the project."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ATHANOR_HOME", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three captions, one of them in a sub-folder."""
    root = tmp_path / "pictures"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("1girl, cat ears", encoding="utf-8")
    (root / "b.txt").write_text("1boy", encoding="utf-8")
    (root / "sub" / "c.txt").write_text("风景, 山", encoding="utf-8")
    return root
