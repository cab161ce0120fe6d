"""Many pictures at once: cut to a shape, masks taken from a folder or taken away; told how far it is, and given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.config.problems import UserError
from backend.data.picture_edits import PictureEdit, Size
from backend.editing import picture_actions
from backend.editing.crops import crops_of, cut_to
from backend.editing.library import Library
from backend.editing.mask_files import matched, read_as_mask


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for name, size in {"a.png": (60, 40), "b.png": (40, 60), "c.png": (50, 50), "sub/a.png": (90, 30)}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (200, 30, 30)).save(root / name)
    return root


@pytest.fixture
def library(root: Path) -> Iterator[Library]:
    with Library(root) as opened:
        yield opened


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_actions, "NUM_PER_PART", 2)


def shape(size: Size) -> Callable[[str, Size], Size]:
    return lambda _name, _size: size


@pytest.mark.parametrize(
    ("size", "wanted", "anchor", "crop"),
    [
        ((60, 40), (1, 1), (0.5, 0.5), (10, 0, 40, 40)),
        ((60, 40), (512, 512), (1, 0), (20, 0, 40, 40)),
        ((40, 60), (3, 2), (0.5, 1), (0, 33, 40, 27)),
        ((40, 60), (2, 3), (0, 0), None),
        ((1000, 1), (1, 100), (0.5, 0.5), (500, 0, 1, 1)),
        ((641, 384), (640, 384), (0, 0), (0, 0, 640, 384)),
    ],
)
def test_the_largest_part_of_a_shape_is_left(
    size: Size, wanted: Size, anchor: tuple[float, float], crop: tuple[int, ...] | None
) -> None:
    assert cut_to(size, wanted, anchor) == crop


def test_pictures_are_cut_as_they_are_turned_and_cut_ones_are_kept_or_cut_anew(library: Library) -> None:
    library.edit_pictures("", {0: PictureEdit(90, (0, 0, 10, 20), (40, 60), 4), 1: PictureEdit(90)})
    kept = crops_of(library, range(4), shape((1, 1)))
    assert (kept.num_kept, kept.num_fitting, kept.num_unreadable) == (1, 1, 0)
    assert kept.edits == {1: PictureEdit(90, (10, 0, 40, 40), (60, 40)), 3: PictureEdit(0, (30, 0, 30, 30), (90, 30))}
    anew = crops_of(library, range(4), shape((1, 1)), (0, 0), replaces=True)
    assert anew.num_kept == 0 and anew.edits[0] == PictureEdit(90, (0, 0, 40, 40), (40, 60), 4)
    whole = crops_of(library, [0], lambda _, size: size, replaces=True)
    assert whole.edits == {0: PictureEdit(90, None, None, 4)}, "of the shape already"


@pytest.mark.usefixtures("small_parts")
def test_an_action_in_parts_tells_how_far_it_is_and_is_undone_as_one(library: Library, root: Path) -> None:
    told: list[tuple[int, int]] = []
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    edits = crops_of(library, range(4), shape((2, 1))).edits
    applied = library.edit_pictures("cut", edits, lambda done, total: not told.append((done, total)))
    assert told == [(0, 4), (2, 4)] and applied.rows == (0, 1, 2, 3)
    assert applied.action and applied.action.num_changes == 4
    assert library.widths.tolist() == [60, 40, 50, 60]
    library.undo()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    library.redo()
    with Library(root) as other:
        assert other.edits == library.edits == edits


@pytest.mark.usefixtures("small_parts")
def test_what_is_given_up_leaves_what_was_done_by_then(library: Library) -> None:
    edits = crops_of(library, range(4), shape((2, 1))).edits
    applied = library.edit_pictures("cut", edits, lambda done, _: done < 2)
    assert applied.rows == (0, 1) and set(library.edits) == {0, 1}
    library.undo()
    assert not library.edits
    assert library.edit_pictures("none", edits, lambda *_: False).action is None
    assert [action.name for action in library.journal.history()] == ["cut"], "can still be done again"


@pytest.mark.usefixtures("small_parts")
def test_captions_are_edited_while_many_pictures_are_cut(library: Library, root: Path) -> None:
    edits = crops_of(library, range(4), shape((2, 1))).edits

    def go_on(done: int, _: int) -> bool:
        library.apply("caption", {done: f"text {done}"}, wait=True)
        return True

    library.edit_pictures("cut", edits, go_on)
    assert (root / "c.txt").read_text() == "text 2" and len(library.edits) == 4
    assert not library.reload_changed().changed


def test_copies_are_all_there_or_none(library: Library, root: Path) -> None:
    edits = crops_of(library, range(4), shape((1, 1))).edits
    assert library.save_copies("copies", list(edits), edits, lambda done, _: done < 2).action is None
    assert not list(root.rglob("*-edited.png")) and not list((root / ".trash").rglob("*.png"))
    assert len(library.save_copies("copies", list(edits), edits).came) == 3


def save(path: Path, size: Size, value: int = 255) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def test_masks_are_found_by_the_names_that_other_programs_give_them(tmp_path: Path) -> None:
    pictures = ["cat.png", "dog.jpg", "sub/cat.png", "iron mask.png", "owl.webp", "fox.png", "hen.png", "ape.png"]
    masks = tmp_path / "masks"
    names = (
        "cat-masklabel.png", "cat.png", "DOG_mask.PNG", "sub/cat.mask.png", "iron mask.png", "owl.webp.png",
        "deep/fox-mask.png", ".hidden/hen.png", "eel.png", "ape.txt",
    )  # fmt: skip
    for name in names:
        save(masks / name, (8, 8)) if not name.endswith("txt") else (masks / name).write_text("")
    found = matched(masks, pictures)
    assert {name: path.relative_to(masks).as_posix() for name, path in found.masks.items()} == {
        "cat.png": "cat-masklabel.png",
        "dog.jpg": "DOG_mask.PNG",
        "sub/cat.png": "sub/cat.mask.png",
        "iron mask.png": "iron mask.png",
        "owl.webp": "owl.webp.png",
        "fox.png": "deep/fox-mask.png",
    }
    assert found.strays == ("cat.png", "eel.png")
    beside = matched(masks, ["cat.png", "eel.png"], lambda path: path.name in ("cat.png", "eel.png"))
    assert beside.masks == {"cat.png": masks / "cat-masklabel.png"}, "a picture is no mask of itself"
    with pytest.raises(UserError, match="nowhere"):
        matched(tmp_path / "nowhere", pictures)


def test_a_mask_is_what_is_opaque_or_else_what_is_light(tmp_path: Path) -> None:
    light = Image.new("RGB", (6, 4), (255, 255, 255))
    light.paste((0, 0, 0), (0, 0, 3, 4))
    light.save(tmp_path / "light.png")
    clear = light.convert("RGBA")
    clear.putalpha(Image.new("L", (6, 4), 40))
    clear.save(tmp_path / "clear.png")

    def pixels(name: str, size: Size) -> list[list[int]]:
        (tmp_path / "read.png").write_bytes(read_as_mask(tmp_path / name, size))
        with Image.open(tmp_path / "read.png") as image:
            assert image.mode == "L" and image.size == size
            return np.asarray(image).tolist()

    assert pixels("light.png", (6, 4)) == [[0, 0, 0, 255, 255, 255]] * 4
    assert set(map(tuple, pixels("clear.png", (12, 8)))) == {(40,) * 12}
    with pytest.raises(UserError, match="6 × 4 px, the picture 4 × 6 px"):
        read_as_mask(tmp_path / "light.png", (4, 6))


@pytest.mark.usefixtures("small_parts")
def test_masks_are_taken_from_files_and_taken_away_as_one_action(library: Library, root: Path, tmp_path: Path) -> None:
    files = {
        0: save(tmp_path / "a.png", (30, 20), 10),
        1: save(tmp_path / "b.png", (60, 40), 20),
        2: tmp_path / "gone.png",
        3: save(tmp_path / "d.png", (90, 30), 30),
    }
    save(root / "sub" / "a-masklabel.png", (90, 30), 99)
    library.reload_changed()
    applied = library.import_masks("import", files)
    assert [(each.path, each.problem.code) for each in applied.skipped] == [
        ("b-masklabel.png", "mask_misfit"),
        ("c-masklabel.png", "file_not_found"),
    ]
    assert applied.rows == (0, 3) and library.has_mask.tolist() == [True, False, False, True]
    with Image.open(root / "a-masklabel.png") as mask:
        assert mask.size == (60, 40) and mask.getpixel((0, 0)) == 10
    save(root / "a-masklabel.png", (60, 40), 77)
    removed = library.remove_masks("remove", range(4))
    assert [each.problem.code for each in removed.skipped] == ["mask_changed_outside"]
    assert library.has_mask.tolist() == [True, False, False, False]
    library.remove_masks("again", range(4))
    assert not library.has_mask.any() and not list(root.rglob("*-masklabel.png"))
    for _ in range(3):
        library.undo("overwrite")
    assert library.has_mask.tolist() == [False, False, False, True]
    with Image.open(root / "sub" / "a-masklabel.png") as mask:
        assert mask.getpixel((0, 0)) == 99, "what was there before"
    with Library(root) as other:
        assert other.masks == library.masks
