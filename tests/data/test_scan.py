"""The scan finds every picture with its caption, reports what is wrong, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from looking import codes, look
from PIL import Image

from backend.config.data import DataSection, DatasetConfig
from backend.data.scan import scan


def test_pictures_come_sorted_with_captions_and_sizes(draw, tmp_path: Path) -> None:
    draw("b.png", size=(30, 20), caption="b\n")
    draw("a.JPG", size=(50, 40), caption="  a, red  ")
    (tmp_path / "pictures" / "notes.md").write_text("no picture", encoding="utf-8")
    (tmp_path / "pictures" / ".hidden.png").write_bytes(b"")
    found = look(tmp_path / "pictures", num_repeats=3)
    rows = [(item.path.name, item.text, item.num_repeats, item.width, item.height) for item in found.images]
    assert rows == [("a.JPG", "a, red", 3, 50, 40), ("b.png", "b", 3, 30, 20)]
    assert found.problems == ()


def test_kohya_folders_multiply_repeats_and_name_the_default_caption(draw, tmp_path: Path) -> None:
    draw("10_my_cat/a.png")
    draw("2_dog/b.png", caption="a dog")
    draw("0_left out/c.png")
    draw("plain/d.png")
    found = look(tmp_path / "pictures", num_repeats=2)
    assert [(item.path.name, item.text, item.num_repeats) for item in found.images] == [
        ("a.png", "my_cat", 20),
        ("b.png", "a dog", 4),
    ]
    assert codes(found) == {"folders_passed_over"}
    assert found.problems[0].params["names"] == "plain"


def test_a_folder_given_directly_is_not_read_by_its_name(draw, tmp_path: Path) -> None:
    draw("10_cat/a.png")
    found = look(tmp_path / "pictures" / "10_cat")
    assert [(item.text, item.num_repeats) for item in found.images] == [("", 1)]


def test_several_folders_keep_their_own_repeats(draw, tmp_path: Path) -> None:
    draw("one/a.png", caption="a")
    draw("two/b.png", caption="b")
    data = DataSection(
        datasets=[
            DatasetConfig(path=str(tmp_path / "pictures" / "one"), num_repeats=5),
            DatasetConfig(path=str(tmp_path / "pictures" / "two"), class_tokens="x"),
        ]
    )
    found = scan(data)
    assert [(item.path.name, item.num_repeats, item.dataset) for item in found.images] == [
        ("a.png", 5, 0),
        ("b.png", 1, 1),
    ]


def test_bad_pictures_are_left_out_with_a_warning_or_refused_when_strict(draw, tmp_path: Path) -> None:
    draw("good.png", caption="x")
    (tmp_path / "pictures" / "bad.png").write_bytes(b"not a picture")
    (tmp_path / "pictures" / "empty.jpg").write_bytes(b"")
    found = look(tmp_path / "pictures")
    assert [item.path.name for item in found.images] == ["good.png"]
    (problem,) = found.problems
    assert (problem.level, problem.code, problem.params["num"]) == ("warning", "images_unreadable", 2)
    assert "bad.png" in problem.params["names"]
    assert [name.partition(" ")[0] for name in found.names_of(problem)] == ["bad.png", "empty.jpg"]
    assert look(tmp_path / "pictures", strict=True).problems[0].level == "error"


def test_missing_captions_are_counted_and_filled(draw, tmp_path: Path) -> None:
    draw("a.png")
    draw("b.png", caption="")
    found = look(tmp_path / "pictures")
    assert codes(found) == {"captions_missing"}
    assert found.problems[0].params["num"] == 2
    filled = look(tmp_path / "pictures", class_tokens="a photo of zkz")
    assert [item.text for item in filled.images] == ["a photo of zkz", ""]


@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [("utf-8", False), ("utf-8-sig", False), ("utf-16", False), ("gb18030", True)],
)
def test_captions_in_other_encodings_are_read(draw, tmp_path: Path, encoding: str, guessed: bool) -> None:
    draw("a.png").with_suffix(".txt").write_bytes("一只猫, 红色背景".encode(encoding))
    found = look(tmp_path / "pictures")
    assert found.images[0].text == "一只猫, 红色背景"
    assert codes(found) == ({"captions_guessed"} if guessed else set())


def test_bytes_of_no_encoding_are_read_as_latin_1_with_a_warning(draw, tmp_path: Path) -> None:
    draw("a.png").with_suffix(".txt").write_bytes("café".encode("latin-1"))
    found = look(tmp_path / "pictures")
    assert found.images[0].text == "café"
    assert codes(found) == {"captions_guessed"}


def test_duplicate_stems_are_named(draw, tmp_path: Path) -> None:
    draw("a.png", caption="shared")
    draw("a.jpg")
    found = look(tmp_path / "pictures")
    assert [item.text for item in found.images] == ["shared", "shared"]
    assert codes(found) == {"duplicate_stems"}
    assert found.problems[0].params["names"] == "a.jpg + a.png"


def test_animations_are_told(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    assert codes(look(tmp_path)) == {"images_animated"}


def test_folders_that_are_none(draw, tmp_path: Path) -> None:
    file = draw("a.png")
    (tmp_path / "empty").mkdir()
    assert codes(look(tmp_path / "nowhere")) == {"dataset_missing"}
    assert codes(look(file)) == {"dataset_not_folder"}
    assert codes(look(tmp_path / "empty")) == {"dataset_empty"}
    only_bad = tmp_path / "bad"
    only_bad.mkdir()
    (only_bad / "a.png").write_bytes(b"")
    assert codes(look(only_bad)) == {"dataset_empty", "images_unreadable"}
    paths = [problem.path for problem in look(file, tmp_path / "nowhere").problems]
    assert paths == ["data.datasets[0].path", "data.datasets[1].path"]


def test_nothing_in_the_folder_is_touched(draw, tmp_path: Path) -> None:
    draw("图 片/a b.png", caption="a")
    root = tmp_path / "pictures"
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")}
    look(root / "图 片")
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")} == before
