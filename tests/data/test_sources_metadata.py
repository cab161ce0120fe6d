"""Metadata files: sd-scripts' layout and the richer one, JSON and JSONL, with marks in front and cut short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from looking import codes, look, only, told

RICH = {
    "image_path": "pictures/a.png",
    "caption": "1girl, solo",
    "description": "A girl stands alone.",
    "artist": "somebody",
    "characters": "alice, bob",
    "styles": "flat",
    "quality": "amazing",
    "aesthetic_score": 6.5,
    "safe_rating": 0.9,
}


def write(path: Path, content: object, encoding: str = "utf-8") -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_layout_of_sd_scripts(draw, tmp_path: Path, encoding: str) -> None:
    pictures = [draw(name) for name in ("a.png", "deep/b.jpg", "c.webp")]
    content = {
        str(pictures[0]): {"caption": "一个女孩", "tags": "1girl, solo", "image_size": [9, 9]},
        "b": {"tags": "dog"},
        "c.webp": {"caption": "a cat"},
    }
    found = look(write(tmp_path / "meta.json", content, encoding), image_dir=str(tmp_path / "pictures"))
    assert told(found) == [
        ("a.png", ("一个女孩, 1girl, solo",), ""),
        ("deep/b.jpg", ("dog",), ""),
        ("c.webp", ("a cat",), ""),
    ]
    assert [item.location for item in found.images] == [str(path) for path in pictures]
    assert {(item.width, item.height) for item in found.images} == {(64, 48)}
    assert found.problems == ()


def test_the_rich_layout_keeps_both_captions_and_what_code_may_ask_for(draw, tmp_path: Path) -> None:
    from backend.data import user_code

    draw("a.png")
    path = write(tmp_path / "meta.json", {"one": RICH})
    assert told(look(path)) == [("pictures/a.png", ("1girl, solo",), "A girl stands alone.")]
    assert look(path).images[0].metadata is None
    code = tmp_path / "code.py"
    code.write_text(
        "def num_repeats(img_key, img_md, **kwargs):\n"
        "    return kwargs['counter']['characters']['alice'] + int(img_md['aesthetic_score'])\n"
    )
    user_code.trust(code)
    (record,) = look(path, code_path=str(code)).images
    assert record.num_repeats == 7
    assert record.metadata == RICH


def test_names_or_one_text_take_the_place_of_what_the_file_says(draw, tmp_path: Path) -> None:
    draw("a.png")
    path = write(tmp_path / "meta.json", {"one": RICH})
    assert told(look(path, caption_source="filename")) == [("pictures/a.png", ("a",), "")]
    assert [item.text for item in look(path, caption_source="fixed", class_tokens="x").images] == ["x"]


def test_lists_and_plain_captions(draw, tmp_path: Path) -> None:
    draw("a.png")
    draw("b.png")
    folder = {"image_dir": str(tmp_path / "pictures")}
    rows = [{"file_name": "a.png", "text": ["one", "two"]}, {"image": "b.png", "tags": ["x", "y"]}]
    found = look(write(tmp_path / "list.json", rows), **folder)
    assert told(found) == [("a.png", ("one", "two"), ""), ("b.png", ("x, y",), "")]
    found = look(write(tmp_path / "plain.json", {"a.png": "one", "b.png": ["x", "y"]}), **folder)
    assert told(found) == [("a.png", ("one",), ""), ("b.png", ("x", "y"), "")]


def test_chosen_columns(draw, tmp_path: Path) -> None:
    draw("a.png")
    rows = [{"id": "pictures/a.png", "short": "s", "long": "l", "caption": "not this", "nl": "words"}]
    path = write(tmp_path / "meta.json", rows)
    columns = {"image_column": "id", "caption_columns": ["short", "long"], "description_column": "nl"}
    assert told(look(path, **columns)) == [("pictures/a.png", ("s", "l"), "words")]
    missing = look(path, **{**columns, "caption_columns": ["nowhere"]})
    problem = next(item for item in missing.problems if item.code == "column_missing")
    assert problem.path == "data.datasets[0].caption_columns"
    assert "nowhere" in problem.text()
    assert "short" in problem.text()


def test_json_lines_with_a_mark_in_front_and_cut_short(draw, tmp_path: Path) -> None:
    for name in "abc":
        draw(f"{name}.png")
    lines = [json.dumps({"image_path": f"pictures/{name}.png", "caption": f"一 {name}"}) for name in "abc"]
    path = tmp_path / "meta.jsonl"
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
    assert told(look(path)) == [(f"pictures/{name}.png", (f"一 {name}",), "") for name in "abc"]
    path.write_bytes(path.read_bytes()[:-20])
    found = look(path)
    assert [item.name for item in found.images] == ["pictures/a.png", "pictures/b.png"]
    problem = only(found)
    assert (problem.level, problem.code, problem.params["names"]) == (
        "warning",
        "metadata_lines_damaged",
        "meta.jsonl:3",
    )
    assert only(look(path, strict=True)).level == "error"


def test_json_that_is_cut_short_names_the_place(draw, tmp_path: Path) -> None:
    draw("a.png")
    path = write(tmp_path / "meta.json", {"pictures/a.png": {"caption": "a"}})
    path.write_bytes(path.read_bytes()[:-6])
    problem = only(look(path))
    assert (problem.level, problem.code) == ("error", "metadata_damaged")
    assert "line 1" in problem.text()
    path.write_text("3", encoding="utf-8")
    assert codes(look(path)) == {"metadata_shape"}
    path.write_bytes('{"a.png": "红色背景"}'.encode("gb18030"))
    assert codes(look(path)) == {"not_utf8"}
    assert codes(look(tmp_path / "none.json")) == {"dataset_missing"}


def test_pictures_that_are_not_there_are_counted(draw, tmp_path: Path) -> None:
    draw("a.png")
    rows = {"pictures/a.png": {"caption": "a"}, "pictures/gone.png": {"caption": "b"}, "stem": {"caption": "c"}}
    found = look(write(tmp_path / "meta.json", rows))
    assert [item.name for item in found.images] == ["pictures/a.png"]
    assert (only(found).code, only(found).params["names"]) == ("pictures_missing", "pictures/gone.png, stem")


def test_a_moved_data_set_is_found_by_the_names_of_its_files(draw, tmp_path: Path) -> None:
    picture = draw("a.png")
    rows = {r"D:\old\place\a.png": {"caption": "a"}, "/old/place/b.jpg": {"caption": "b"}}
    draw("b.jpg")
    found = look(write(tmp_path / "meta.json", rows), image_dir=str(picture.parent))
    assert told(found) == [("a.png", ("a",), ""), ("b.jpg", ("b",), "")]


def test_masks_beside_pictures_of_a_metadata_file(draw, tmp_path: Path) -> None:
    draw("a.png")
    draw("b.png")
    mask = draw("a-masklabel.png")
    rows = {"pictures/a.png": "a", "pictures/b.png": "b"}
    found = look(write(tmp_path / "meta.json", rows), mask="file")
    assert [item.mask for item in found.images] == [str(mask), ""]
    assert codes(found) == {"masks_missing"}


def test_the_same_picture_twice_has_two_names(draw, tmp_path: Path) -> None:
    draw("a.png")
    rows = [{"image": "pictures/a.png", "caption": "one"}, {"image": "pictures/a.png", "caption": "two"}]
    found = look(write(tmp_path / "meta.json", rows))
    assert told(found) == [("pictures/a.png", ("one",), ""), ("pictures/a.png (2)", ("two",), "")]
