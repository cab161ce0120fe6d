from pathlib import Path

import pytest
from PIL import Image

from ui.uploads import new_folder, safe_name, store


def picture(path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(path, "PNG")
    return path


def test_pictures_and_captions_are_stored_and_others_refused(tmp_path) -> None:
    good = picture(tmp_path / "upload1")
    text = tmp_path / "upload2"
    text.write_text("zkz, a cat", encoding="utf-8")
    broken = tmp_path / "upload3"
    broken.write_bytes(b"no png")
    folder = new_folder(tmp_path / "uploads")
    result = store([("猫 🐱.txt", text), ("猫 🐱.PNG", good), ("run.exe", text), ("bad.png", broken)], folder)
    assert sorted(result.stored) == ["猫 🐱.png", "猫 🐱.txt"]
    assert {(refused.name, refused.reason) for refused in result.refused} == {
        ("run.exe", "quick.upload.not_a_picture"),
        ("bad.png", "quick.upload.broken"),
    }


def test_a_second_file_of_the_same_name_keeps_both_with_their_captions(tmp_path) -> None:
    folder = new_folder(tmp_path / "uploads")
    caption = tmp_path / "c"
    for words in ("first", "second"):
        caption.write_text(words, encoding="utf-8")
        store([("Cat.txt", caption), ("Cat.png", picture(tmp_path / "p"))], folder)
    assert sorted(path.name for path in folder.iterdir()) == ["Cat-2.png", "Cat-2.txt", "Cat.png", "Cat.txt"]
    assert (folder / "Cat-2.txt").read_text(encoding="utf-8") == "second"


@pytest.mark.parametrize("name", ["../../etc/x.png", "C:\\x.png", "con.png", "a\x00b.png", " .png", "x" * 400 + ".png"])
def test_names_stay_in_the_folder_on_every_system(name: str) -> None:
    safe = safe_name(name)
    assert not set(safe) & set('<>:"/\\|?*\x00') and len(safe) < 130 and safe.endswith(".png")
    assert safe.split(".")[0].lower() not in ("con", "") and not safe.startswith(".")


def test_two_sets_made_at_once_have_folders_of_their_own(tmp_path) -> None:
    assert len({new_folder(tmp_path) for _ in range(3)}) == 3
