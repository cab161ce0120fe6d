"""Folders are listed while others work in them."""

from __future__ import annotations

import threading
from pathlib import Path

from backend.data.filesystems import LocalFiles


def test_files_that_go_while_a_folder_is_listed_are_left_out(tmp_path: Path) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    here.mkdir()
    away.mkdir()
    names = [f"{number:03}.png" for number in range(300)]
    for name in names:
        (here / name).write_text("x")
    is_over = threading.Event()

    def move_about() -> None:
        while not is_over.is_set():
            for source, target in ((here, away), (away, here)):
                for name in names:
                    (source / name).rename(target / name)

    moving = threading.Thread(target=move_about)
    moving.start()
    try:
        for _ in range(150):
            found = [file.name for file in LocalFiles().listing(str(here)).files]
            assert found == sorted(set(found))
    finally:
        is_over.set()
        moving.join()
    assert [file.name for file in LocalFiles().listing(str(here)).files] == names
