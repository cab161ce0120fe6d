"""Folders: recursive, kohya's layout, masks and pairs beside or elsewhere, what is left out, the user's code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from looking import codes, look, only

from backend.config.data import DataSection, DatasetConfig
from backend.data.filesystems import LocalFiles, tree
from backend.data.scan import scan


def names(found) -> list[str]:
    return [item.name for item in found.images]


def test_sub_folders_are_read_when_asked_for(draw, tmp_path: Path) -> None:
    for name in ("b.png", "deep/er/a.png", "10_cat/c.png", "deep/3_dog/d.png", ".hidden/e.png", "0_out/f.png"):
        draw(name, caption=name)
    found = look(tmp_path / "pictures", recursive=True)
    assert names(found) == ["b.png", "10_cat/c.png", "deep/3_dog/d.png", "deep/er/a.png"]
    assert [item.num_repeats for item in found.images] == [1, 10, 3, 1]
    assert found.problems == ()


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_back_up_does_not_go_round_for_ever(draw, tmp_path: Path) -> None:
    draw("sub/a.png", caption="a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pictures" / "sub" / "loop").symlink_to(tmp_path / "pictures", target_is_directory=True)
    (tmp_path / "pictures" / "other").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    draw("../elsewhere/b.png", caption="b")
    assert names(look(tmp_path / "pictures", recursive=True)) == ["other/b.png", "sub/a.png"]


def test_names_and_patterns_are_left_out(draw, tmp_path: Path) -> None:
    for name in ("a.png", "a_bad.png", "odd[1].png", "10_cat/b.png", "10_cat/c.png"):
        draw(name, caption=name)
    found = look(tmp_path / "pictures", exclude=["*_bad.png", "odd[1].png", "10_cat/b.png"])
    assert names(found) == ["a.png", "10_cat/c.png"]


def test_a_data_set_that_is_not_in_use_is_not_read(draw, tmp_path: Path) -> None:
    draw("a.png", caption="a")
    rows = [
        DatasetConfig(path=str(tmp_path / "nowhere"), enabled=False),
        DatasetConfig(path=" "),
        DatasetConfig(path=str(tmp_path / "pictures"), shuffle_caption=True, name="mine"),
    ]
    found = scan(DataSection(datasets=rows, trigger_word="zkz"))
    (dataset,) = found.datasets
    assert (dataset.index, dataset.field, dataset.title) == (0, "data.datasets[2]", "mine")
    assert (dataset.rules.shuffle_caption, dataset.rules.trigger_word) == (True, "zkz")
    assert [item.dataset for item in found.images] == [0]


def test_masks_beside_the_pictures_are_no_pictures(draw, tmp_path: Path) -> None:
    draw("a.png", caption="a")
    draw("b.jpg", caption="b")
    mask = draw("a-masklabel.png", color="white")
    assert names(look(tmp_path / "pictures")) == ["a.png", "b.jpg"]
    found = look(tmp_path / "pictures", mask="file")
    assert [item.mask for item in found.images] == [str(mask), ""]
    assert codes(found) == {"masks_missing"}
    assert found.problems[0].params["names"] == "b.jpg"
    assert {item.mask for item in look(tmp_path / "pictures", mask="alpha").images} == {""}


def test_masks_and_pairs_in_other_folders(draw, tmp_path: Path) -> None:
    for name in ("a.jpg", "10_cat/b.png", "c.png"):
        draw(name, caption=name)
    masks = [draw(f"masks/{name}") for name in ("a.png", "10_cat/b.png")]
    pairs = [draw(f"../pairs/{name}") for name in ("a.webp", "b.png", "c-masklabel.png")]
    folders = {"mask_dir": str(tmp_path / "pictures" / "masks"), "conditioning_dir": str(tmp_path / "pairs")}
    found = look(tmp_path / "pictures", mask="folder", conditioning="folder", recursive=True, **folders)
    assert names(found) == ["a.jpg", "c.png", "10_cat/b.png"]
    assert [item.mask for item in found.images] == [str(masks[0]), "", str(masks[1])]
    assert [Path(item.conditioning).name for item in found.images] == ["a.webp", "", "b.png"]
    assert {problem.code: problem.params["names"] for problem in found.problems} == {
        "masks_missing": "c.png",
        "conditioning_missing": "c.png",
    }
    assert pairs[0].exists()


def test_a_folder_of_masks_that_is_not_there_is_an_error_at_its_field(draw, tmp_path: Path) -> None:
    draw("a.png", caption="a")
    found = look(tmp_path / "pictures", mask="folder", mask_dir=str(tmp_path / "nowhere"))
    assert (only(found).code, only(found).path) == ("dataset_missing", "data.datasets[0].mask_dir")
    found = look(tmp_path / "pictures", conditioning="folder")
    assert (only(found).code, only(found).path) == ("folder_not_chosen", "data.datasets[0].conditioning_dir")


def test_captions_by_name_or_one_for_all(draw, tmp_path: Path) -> None:
    draw("5_dog/a black dog.png", caption="not this")
    found = look(tmp_path / "pictures", caption_source="filename")
    assert [(item.text, item.captions) for item in found.images] == [("a black dog", ("a black dog",))]
    found = look(tmp_path / "pictures", caption_source="fixed", class_tokens="a dog")
    assert [(item.text, item.captions) for item in found.images] == [("a dog", ())]
    assert found.problems == ()


def test_lines_of_captions_are_kept(draw, tmp_path: Path) -> None:
    draw("a.png", caption=" one \r\n\n two\n")
    assert look(tmp_path / "pictures").images[0].captions == ("one\ntwo",)


def test_another_ending_of_caption_files(draw, tmp_path: Path) -> None:
    draw("a.png", caption="not this").with_suffix(".caption").write_text("this", encoding="utf-8")
    assert look(tmp_path / "pictures", caption_extension=".caption").images[0].text == "this"


def test_the_users_code_sets_repeats_and_leaves_out(draw, tmp_path: Path) -> None:
    from backend.data import user_code

    for name in ("a.png", "b.png", "c.png"):
        draw(name, caption="tag")
    code = tmp_path / "code.py"
    code.write_text("def num_repeats(img_key, img_md, **kwargs):\n    return {'a': 3, 'b': 0}.get(img_key, 1)\n")
    found = look(tmp_path / "pictures", code_path=str(code))
    assert codes(found) == {"code_untrusted"}
    assert only(found).path == "data.datasets[0].code_path"
    user_code.trust(code)
    found = look(tmp_path / "pictures", code_path=str(code))
    assert [(item.name, item.num_repeats) for item in found.images] == [("a.png", 3), ("c.png", 1)]
    code.write_text("def num_repeats(img_key, img_md, **kwargs):\n    return 0\n")
    user_code.trust(code)
    assert codes(look(tmp_path / "pictures", code_path=str(code))) == {"code_drops_all"}


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_that_never_end_are_left_out(tmp_path: Path) -> None:
    for name in ("one/a.png", "two/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "one" / "to_two").symlink_to(tmp_path / "two", target_is_directory=True)
    (tmp_path / "two" / "to_one").symlink_to(tmp_path / "one", target_is_directory=True)
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")
    found = [name for name, _ in tree(LocalFiles(), str(tmp_path))]
    assert found == ["one/a.png", "one/to_two/b.png", "two/b.png", "two/to_one/a.png"]


def test_folders_of_systems_are_left_out(tmp_path: Path) -> None:
    for folder in ("pictures", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "#recycle"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"")
    assert [name for name, _ in tree(LocalFiles(), str(tmp_path))] == ["pictures/a.png"]
