import os
import sys
from pathlib import Path

import pytest

from ui.folders import Roots, answer, complete, list_folder, nearest_folder

EVERYWHERE = Roots()


def make(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_folders_are_listed_with_the_number_of_pictures_in_them(tmp_path) -> None:
    make(tmp_path / "10_zkz 猫 🐱", "a.png", "b.JPG", "a.txt", ".hidden.png")
    make(tmp_path / "empty")
    make(tmp_path, "here.webp", "notes.txt")
    listing = list_folder(tmp_path, "folder", EVERYWHERE)
    assert [(entry.name, entry.num_images) for entry in listing.entries] == [("10_zkz 猫 🐱", 2), ("empty", 0)]
    assert listing.num_images == 1 and listing.parent == str(tmp_path.parent)


def test_models_are_files_and_diffusers_folders(tmp_path) -> None:
    make(tmp_path / "sdxl", "model_index.json")
    make(tmp_path, "base.safetensors", "cat.png")
    entries = list_folder(tmp_path, "model", EVERYWHERE).entries
    assert [(entry.name, entry.is_model) for entry in entries] == [("base.safetensors", True), ("sdxl", True)]


def test_a_typed_path_that_is_not_there_opens_the_nearest_folder(tmp_path) -> None:
    assert nearest_folder(str(tmp_path / "no" / "where")) == tmp_path
    assert nearest_folder("") == Path.home()
    assert nearest_folder(f'"{tmp_path}"') == tmp_path, "Windows copies paths in quotes"


def test_completion_ignores_case(tmp_path) -> None:
    make(tmp_path / "Pictures")
    make(tmp_path / "pixels")
    found = complete(str(tmp_path / "pi"), "folder", EVERYWHERE)
    assert found == [str(tmp_path / "Pictures") + os.sep, str(tmp_path / "pixels") + os.sep]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_roots_are_not_left_even_by_a_link(tmp_path) -> None:
    inside, outside = make(tmp_path / "inside"), make(tmp_path / "outside", "secret.png")
    (inside / "link").symlink_to(outside)
    roots = Roots((inside,))
    assert list_folder(inside, "folder", roots).parent == ""
    assert list_folder(inside / "link", "folder", roots).error == "folders.not_allowed"
    assert complete(str(outside) + os.sep, "folder", roots) == []
    assert answer({"path": str(outside), "kind": "folder"}, roots)["path"] == str(inside)


def test_a_folder_that_went_away_says_so(tmp_path) -> None:
    assert list_folder(tmp_path / "gone", "folder", EVERYWHERE).error == "folders.unreadable"


def test_a_folder_without_permission_says_so(tmp_path, monkeypatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything, so the system is asked to refuse
    assert list_folder(tmp_path, "folder", EVERYWHERE).error == "folders.no_permission"
