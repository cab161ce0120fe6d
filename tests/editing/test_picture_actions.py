"""Pictures are turned, cut, rated, masked, copied and moved; each can be undone, and no file is lost or replaced."""

from __future__ import annotations

import errno
import io
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from editing.killing import run_and_kill
from PIL import Image, ImageCms

from backend.config.problems import UserError
from backend.data.picture_edits import EDIT_SUFFIX, NO_EDIT, PictureEdit, edit_text
from backend.editing import changing, moves
from backend.editing.filter import parse
from backend.editing.journal import FilesChangedOutside
from backend.editing.library import Library, Reloaded, Renumbered
from backend.editing.matching import evaluate
from backend.editing.outcomes import Applied

PROJECT = Path(__file__).resolve().parents[2]
# Name: width, height, caption. Two share a caption.
PICTURES: dict[str, tuple[int, int, str | None]] = {
    "a.png": (60, 40, "1girl"),
    "b.jpg": (50, 30, "1boy"),
    "b.png": (20, 20, "1boy"),
    "sub/c.png": (30, 30, None),
    "sub/d.webp": (40, 20, "风景"),
}
CROP = PictureEdit(90, (5, 10, 20, 30), (40, 60), 3)


def gradient(width: int, height: int) -> Image.Image:
    values = np.arange(width * height * 3, dtype=np.uint32).reshape(height, width, 3)
    return Image.fromarray((values % 251).astype(np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for name, (width, height, caption) in PICTURES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        gradient(width, height).save(root / name)
        if caption is not None:
            (root / name).with_suffix(".txt").write_text(caption, encoding="utf-8")
    return root


@pytest.fixture
def library(root: Path) -> Iterator[Library]:
    with Library(root) as opened:
        yield opened


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def seen(library: Library) -> object:
    """Return all that a library knows of its pictures."""
    return (
        list(zip(library.names, library.texts, library.widths.tolist(), library.heights.tolist(), strict=True)),
        dict(library.edits),
        library.ratings.tolist(),
        library.has_mask.tolist(),
        library.has_caption.tolist(),
        [library.tags.of(row) for row in range(len(library))],
        sorted(library.problems),
    )


def as_opened_anew(library: Library) -> bool:
    """Tell whether a library knows what it would know if it were opened now, and sees no change from outside."""
    with Library(library.root) as other:
        is_same = seen(other) == seen(library)
    found = library.reload_changed()
    return is_same and not (found.changed or found.redrawn or found.added or found.removed)


def png(width: int, height: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), 255).save(buffer, "PNG")
    return buffer.getvalue()


def row_of(library: Library, name: str) -> int:
    row = library.row(name)
    assert row is not None
    return row


def codes(applied: Applied) -> list[tuple[str, str]]:
    return [(each.path, each.problem.code) for each in applied.skipped]


def touch(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def test_edits_are_recorded_beside_the_pictures(library: Library, root: Path) -> None:
    start = files(root)
    applied = library.edit_pictures("cut", {0: CROP, 3: NO_EDIT})
    assert applied.rows == (0,)
    assert (root / f"a.png{EDIT_SUFFIX}").read_text() == (edit_text(CROP) or "").rstrip("\n")
    assert (library.widths[0], library.heights[0], library.full_size(0)) == (20, 30, (60, 40))
    assert as_opened_anew(library)
    library.rotate("turn", [0, 1], 90)
    assert (library.edit(0).rotate, library.edit(1).rotate) == (180, 90)
    assert (library.widths[:2].tolist(), library.heights[:2].tolist()) == ([30, 30], [20, 50])
    library.rate("rate", [0, 4], 5)
    assert library.ratings.tolist() == [5, 0, 0, 0, 5]
    assert as_opened_anew(library)
    for _ in range(3):
        library.undo()
    assert files(root) == start
    assert library.edits == {}
    for _ in range(3):
        library.redo()
    assert library.ratings.tolist() == [5, 0, 0, 0, 5]
    library.rate("none", [4], 0)
    assert not (root / f"sub/d.webp{EDIT_SUFFIX}").exists()
    assert as_opened_anew(library)


def test_edits_are_found_again_without_reading_them(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.edit_pictures("cut", {0: CROP})
    library.set_mask("mask", 3, png(30, 30))
    known = seen(library)
    library.keep()
    monkeypatch.setattr("backend.editing.pictures.read_caption", lambda path: pytest.fail(f"{path} was read"))
    with Library(library.root) as other:
        assert seen(other) == known


def test_an_edit_that_changes_nothing_is_none(library: Library) -> None:
    assert library.rate("x", [0], 0).action is None
    library.rate("x", [0], 2)
    assert library.rate("x", [0], 2) == Applied(None)
    assert len(library.journal.history()) == 1


def test_cuts_that_do_not_fit_are_refused(library: Library, root: Path) -> None:
    start = files(root)
    for edit in (PictureEdit(0, (0, 0, 10, 10), (40, 60)), PictureEdit(0, (50, 0, 20, 10), (60, 40))):
        with pytest.raises(UserError) as error:
            library.edit_pictures("x", {3: NO_EDIT, 0: edit})
        assert error.value.problem.code == "crop_misfit"
    assert files(root) == start


def test_edits_that_cannot_be_used_are_told(library: Library, root: Path) -> None:
    texts = {"a.png": "{", "b.jpg": '{"version": 99}', "b.png": edit_text(CROP)}
    for name, text in texts.items():
        (root / f"{name}{EDIT_SUFFIX}").write_text(text or "")
    assert library.reload_changed().redrawn == (0, 1, 2)
    problems = {name: problem.code for name, problem in library.problems.items()}
    assert problems == {
        f"a.png{EDIT_SUFFIX}": "picture_edit_damaged",
        f"b.jpg{EDIT_SUFFIX}": "picture_edit_too_new",
        f"b.png{EDIT_SUFFIX}": "picture_edit_misfit",
    }
    assert library.edits == {2: PictureEdit(90, rating=3)}
    applied = library.rate("x", [0, 1, 2], 1)
    assert codes(applied) == [(f"b.jpg{EDIT_SUFFIX}", "picture_edit_too_new")]
    assert applied.rows == (0, 2)
    assert list(library.problems) == [f"b.jpg{EDIT_SUFFIX}"]
    library.undo()
    assert (root / f"a.png{EDIT_SUFFIX}").read_text() == "{"
    assert len(library.problems) == 3


def test_an_edit_that_others_changed_is_shown_and_not_overwritten(library: Library, root: Path) -> None:
    library.rate("x", [0], 2)
    touch(root / f"a.png{EDIT_SUFFIX}", b'{"version": 1, "rating": 5}')
    applied = library.rate("y", [0, 1], 1)
    assert codes(applied) == [(f"a.png{EDIT_SUFFIX}", "picture_file_changed")]
    assert library.ratings.tolist() == [5, 1, 0, 0, 0]
    library.rate("again", [0], 1)
    assert library.ratings[0] == 1
    (root / f"a.png{EDIT_SUFFIX}").unlink()
    with pytest.raises(FilesChangedOutside):
        library.undo()
    undone = library.undo("overwrite")
    assert undone is not None
    assert undone.rows == (0,)
    assert library.ratings[0] == 5


def test_what_others_edit_is_taken_over(library: Library, root: Path) -> None:
    (root / f"a.png{EDIT_SUFFIX}").write_text(edit_text(CROP) or "")
    (root / "sub/d-masklabel.png").write_bytes(png(40, 20))
    assert library.reload_changed().redrawn == (0, 4)
    assert (library.edit(0), library.has_mask.tolist()) == (CROP, [False] * 4 + [True])
    version = library.version
    assert library.reload_changed().redrawn == ()
    assert library.version == version
    (root / f"a.png{EDIT_SUFFIX}").unlink()
    (root / "sub/d-masklabel.png").unlink()
    Image.new("RGB", (9, 9)).save(root / "a.png")
    assert library.reload_changed().redrawn == (0, 4)
    assert library.version > version
    assert (library.edits, library.has_mask.any(), library.widths[0]) == ({}, False, 9)


def test_masks_are_written_changed_and_taken_away(library: Library, root: Path) -> None:
    path = root / "sub/c-masklabel.png"
    assert library.set_mask("mask", 3, png(30, 30)).rows == (3,)
    assert Image.open(path).size == (30, 30)
    assert library.names == list(PICTURES)
    stamp = library.masks[3]
    other = io.BytesIO()
    Image.new("L", (30, 30), 7).save(other, "PNG")
    library.set_mask("other", 3, other.getvalue())
    assert library.masks[3] != stamp
    assert library.set_mask("same", 3, other.getvalue()).action is None
    library.set_mask("none", 3, None)
    assert not path.exists()
    assert not library.has_mask.any()
    for expected in (other.getvalue(), png(30, 30), None):
        library.undo()
        assert (path.read_bytes() if path.exists() else None) == expected
        assert library.has_mask[3] == (expected is not None)
    assert as_opened_anew(library)


@pytest.mark.parametrize("data", [b"", b"no picture", png(30, 31), png(30, 30, "RGB"), png(30, 30)[:-30]])
def test_masks_that_fit_not_are_refused(library: Library, root: Path, data: bytes) -> None:
    with pytest.raises(UserError) as error:
        library.set_mask("mask", 3, data)
    assert error.value.problem.code == "mask_wrong"
    assert not (root / "sub/c-masklabel.png").exists()


def test_a_mask_is_of_the_picture_without_its_edit(library: Library) -> None:
    library.edit_pictures("cut", {0: CROP})
    library.set_mask("mask", 0, png(60, 40))
    assert library.has_mask[0]


def test_a_mask_that_others_changed_is_not_overwritten(library: Library, root: Path) -> None:
    path = root / "sub/c-masklabel.png"
    library.set_mask("mask", 3, png(30, 30))
    touch(path, b"theirs")
    with pytest.raises(UserError) as error:
        library.set_mask("mask", 3, None)
    assert error.value.problem.code == "mask_changed_outside"
    assert path.read_bytes() == b"theirs"
    library.set_mask("mask", 3, None)
    assert not path.exists()
    library.undo()
    assert path.read_bytes() == b"theirs"


def test_copies_are_as_the_pictures_are_edited(library: Library, root: Path) -> None:
    start = files(root)
    library.edit_pictures("cut", {0: CROP})
    mask = Image.fromarray(np.asarray(gradient(60, 40).convert("L")))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    library.set_mask("mask", 0, buffer.getvalue())
    applied = library.save_copies("copy", [0, 3, 4])
    assert sorted(applied.came) == ["a-edited.png", "sub/c-edited.png", "sub/d-edited.png"]
    assert {library.names[row] for row in applied.rows} == set(applied.came)
    upright = gradient(60, 40).transpose(Image.Transpose.ROTATE_270).crop((5, 10, 25, 40))
    np.testing.assert_array_equal(np.asarray(Image.open(root / "a-edited.png")), np.asarray(upright))
    cut = mask.transpose(Image.Transpose.ROTATE_270).crop((5, 10, 25, 40))
    np.testing.assert_array_equal(np.asarray(Image.open(root / "a-edited-masklabel.png")), np.asarray(cut))
    assert library.texts[row_of(library, "a-edited.png")] == "1girl"
    assert not (root / "sub/c-edited.txt").exists()
    assert library.edit(row_of(library, "a-edited.png")) == NO_EDIT
    assert as_opened_anew(library)
    library.save_copies("again", [row_of(library, "a.png")])
    assert (root / "a-edited-2.png").exists()
    assert (root / "a-edited-2.txt").read_text() == "1girl"
    for _ in range(4):
        library.undo()
    assert {name: data for name, data in files(root).items() if not name.startswith(".trash/")} == start
    assert as_opened_anew(library)


def test_jpegs_stay_jpegs_upright_with_their_colours(library: Library, root: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    gradient(50, 30).save(root / "b.jpg", quality=95, exif=exif, icc_profile=profile)
    library.reload_changed()
    assert (library.widths[1], library.heights[1]) == (30, 50)
    library.edit_pictures("cut", {1: PictureEdit(0, (0, 0, 30, 20), (30, 50))})
    library.save_copies("copy", [1])
    copy = Image.open(root / "b-edited.jpg")
    assert (copy.format, copy.size, copy.info["icc_profile"]) == ("JPEG", (30, 20), profile)
    assert (copy.getexif().get(0x0112), copy.getexif().get(0x010E)) == (None, "words")
    upright = np.asarray(gradient(50, 30).transpose(Image.Transpose.ROTATE_270).crop((0, 0, 30, 20)), np.int32)
    assert np.abs(np.asarray(copy, np.int32) - upright).mean() < 20


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "P", "1", "I;16", "CMYK"])
def test_copies_keep_transparency_and_depth(library: Library, root: Path, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray((np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4))
    else:
        image = Image.new("RGBA", (4, 3), (10, 200, 30, 100)).convert("RGB" if mode == "CMYK" else "RGBA")
        image = image.convert(mode)
    image.save(root / "x.tif")
    library.reload_changed()
    row = row_of(library, "x.tif")
    library.rotate("turn", [row], 180)
    library.save_copies("copy", [row])
    copy = Image.open(root / "x-edited.png")
    assert copy.mode == ("RGB" if mode == "CMYK" else mode)
    if mode != "CMYK":
        turned = np.asarray(
            Image.open(root / "x.tif").transpose(Image.Transpose.ROTATE_180).convert("RGBA" if mode == "P" else mode)
        )
        np.testing.assert_array_equal(np.asarray(copy.convert("RGBA") if mode == "P" else copy), turned)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_pictures_are_copied_whatever_is_wrong_with_their_name_or_exif(library: Library, root: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(root / "b.jpg", "PNG")
    exif = Image.Exif()
    exif[0x010E] = "words"
    gradient(8, 8).save(root / "x.jpg", exif=exif.tobytes().replace(b"words", b"wor"))
    library.reload_changed()
    applied = library.save_copies("copy", [row_of(library, "b.jpg"), row_of(library, "x.jpg")])
    assert (applied.skipped, sorted(applied.came)) == ((), ["b-edited.jpg", "x-edited.jpg"])
    assert Image.open(root / "b-edited.jpg").getpixel((0, 0)) == (255, 255, 255)


def test_names_in_large_letters_are_known(library: Library, root: Path) -> None:
    gradient(8, 8).save(root / "BIG.PNG")
    (root / "BIG.TXT").write_text("large")
    library.reload_changed()
    row = row_of(library, "BIG.PNG")
    assert library.set_mask("mask", row, png(8, 8)).rows == (row,)
    library.set_mask("none", row, None)
    library.undo()
    library.rate("rate", [row], 2)
    library.trash("trash", [row])
    names = {"BIG.PNG", "BIG.PNG.athanor.json", "BIG.TXT", "BIG-masklabel.png"}
    assert set(files(root / ".trash")) == names
    library.undo()
    assert (library.texts[row], library.has_mask[row], library.ratings[row]) == ("large", True, 2)
    assert as_opened_anew(library)


def test_a_picture_that_cannot_be_copied_is_told_and_the_others_are(library: Library, root: Path) -> None:
    data = (root / "a.png").read_bytes()
    (root / "a.png").write_bytes(data[: len(data) // 2])
    applied = library.save_copies("copy", [0, 1])
    assert [code for _, code in codes(applied)] == ["image_truncated"]
    assert applied.came == ("b-edited.jpg",)
    assert [name for name in files(root) if "a-edited" in name] == []
    (root / "b.jpg").unlink()
    assert library.save_copies("none", [row_of(library, "b.jpg")]).action is None
    assert [action.name for action in library.journal.history()] == ["copy"]


def test_trash_takes_what_belongs_to_a_picture_and_undo_brings_it_back(library: Library, root: Path) -> None:
    library.edit_pictures("cut", {0: CROP})
    library.set_mask("mask", 0, png(60, 40))
    (root / "a.caption").write_text("long")
    start, known = files(root), seen(library)
    generation = library.generation
    applied = library.trash("trash", [0, 3])
    assert (sorted(applied.went), applied.rows, library.generation) == (["a.png", "sub/c.png"], (), generation + 1)
    trashed = {"a.png", "a.png.athanor.json", "a.txt", "a.caption", "a-masklabel.png", "sub/c.png"}
    assert set(files(root / ".trash")) == trashed
    assert library.names == ["b.jpg", "b.png", "sub/d.webp"]
    assert as_opened_anew(library)
    library.apply("meanwhile", {2: "edited"})
    library.undo()
    undone = library.undo()
    assert undone is not None
    assert sorted(undone.came) == ["a.png", "sub/c.png"]
    assert {library.names[row] for row in undone.rows} == {"a.png", "sub/c.png"}
    assert (files(root), seen(library)) == (start, known)
    assert as_opened_anew(library)
    redone = library.redo()
    assert redone is not None
    assert sorted(redone.went) == ["a.png", "sub/c.png"]
    assert as_opened_anew(library)


def test_what_is_in_the_trash_is_never_replaced(library: Library, root: Path) -> None:
    library.trash("one", [0])
    gradient(8, 8).save(root / "a.png")
    library.reload_changed()
    library.trash("two", [row_of(library, "a.png")])
    assert set(files(root / ".trash")) == {"a.png", "a.txt", "a-2.png"}
    library.undo()
    with pytest.raises(FilesChangedOutside) as error:
        library.undo()
    assert error.value.paths == ("a.png", "a.txt")
    undone = library.undo("overwrite")
    assert undone is not None
    assert {code for _, code in codes(undone)} == {"move_target_taken"}
    assert Image.open(root / "a.png").size == (8, 8)
    assert as_opened_anew(library)


def test_a_shared_caption_stays_with_the_picture_that_stays(library: Library, root: Path) -> None:
    (root / "b.txt").write_bytes("山水风景".encode("gb18030"))
    library.reload_changed()
    library.set_mask("mask", 1, png(50, 30))
    start = files(root)
    library.trash("trash", [1])
    assert set(files(root / ".trash")) == {"b.jpg", "b.txt", "b-masklabel.png"}
    assert (root / ".trash/b.txt").read_bytes() == (root / "b.txt").read_bytes() == "山水风景".encode("gb18030")
    assert library.texts[row_of(library, "b.png")] == "山水风景"
    assert library.has_mask[row_of(library, "b.png")]
    library.undo()
    assert files(root) == start
    library.trash("both", [1, 2])
    assert set(files(root / ".trash")) == {"b.jpg", "b.png", "b.txt", "b-masklabel.png"}
    assert not (root / "b.txt").exists()
    library.undo()
    assert files(root) == start
    assert as_opened_anew(library)


def test_pictures_are_moved_to_another_folder(library: Library, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "new" / "other"
    start = files(root)
    library.rate("rate", [4], 4)
    library.move_to("move", [0, 4], other)
    assert set(files(other)) == {"a.png", "a.txt", "d.webp", "d.webp.athanor.json", "d.txt"}
    assert library.names == ["b.jpg", "b.png", "sub/c.png"]
    gradient(9, 9).save(root / "a.png")
    library.reload_changed()
    library.move_to("again", [row_of(library, "a.png")], other)
    assert "a-2.png" in files(other)
    with Library(other) as there:
        assert there.names == ["a-2.png", "a.png", "d.webp"]
        assert there.ratings.tolist() == [0, 0, 4]
    for _ in range(3):
        library.undo()
        (root / "a.png").unlink() if (root / "a-2.png").exists() else None
        if (root / "a.png").exists() and Image.open(root / "a.png").size == (9, 9):
            (root / "a.png").unlink()
    assert files(root) == start
    assert files(other) == {}


def test_a_name_is_free_only_when_no_picture_has_its_stem(library: Library, root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    gradient(4, 4).save(other / "a.jpg")
    (other / "d.txt").write_text("left over")
    library.move_to("move", [0, 4], other)
    assert set(files(other)) == {"a.jpg", "a-2.png", "a-2.txt", "d.txt", "d-2.webp", "d-2.txt"}


def test_pictures_of_one_name_from_two_folders_get_numbers(library: Library, root: Path, tmp_path: Path) -> None:
    gradient(7, 7).save(root / "sub/a.png")
    library.reload_changed()
    library.move_to("move", [row_of(library, "a.png"), row_of(library, "sub/a.png")], tmp_path / "other")
    assert set(files(tmp_path / "other")) == {"a.png", "a.txt", "a-2.png"}


def test_pictures_move_within_the_folder(library: Library, root: Path) -> None:
    start = files(root)
    applied = library.move_to("move", [0, 3], root / "sub")
    assert (applied.came, applied.went) == (("sub/a.png",), ("a.png",))
    assert library.names == ["b.jpg", "b.png", "sub/a.png", "sub/c.png", "sub/d.webp"]
    assert library.texts[2] == "1girl"
    assert as_opened_anew(library)
    library.undo()
    assert files(root) == start
    assert library.names == list(PICTURES)
    assert library.move_to("nowhere", [3], root / "sub").action is None
    (root.parent / "door").symlink_to(root / "sub", target_is_directory=True)
    assert library.move_to("nowhere", [3], root.parent / "door").action is None


def test_a_place_that_is_no_folder_is_told(library: Library, root: Path, tmp_path: Path) -> None:
    for place, code in ((root / "a.png", "caption_folder_is_file"), (root / "a.png" / "x", "file_unwritable")):
        with pytest.raises(UserError) as error:
            library.move_to("x", [0], place)
        assert error.value.problem.code == code
    root.rename(tmp_path / "away")
    for act in (lambda: library.trash("x", [0]), lambda: library.rate("x", [0], 1), lambda: library.undo()):
        with pytest.raises(UserError) as error:
            act()
        assert error.value.problem.code == "caption_folder_gone"
    (tmp_path / "away").rename(root)
    assert library.names == list(PICTURES)


def test_a_picture_that_is_gone_is_told_and_the_others_move(library: Library, root: Path) -> None:
    (root / "a.png").unlink()
    applied = library.trash("x", [0, 3])
    assert codes(applied) == [("a", "move_source_gone")]
    assert set(files(root / ".trash")) == {"sub/c.png"}
    assert (root / "a.txt").exists()


def test_a_disk_that_is_full_leaves_all_as_it_was(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, known = files(root), seen(library)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(moves.os, "link", full)
        assert {code for _, code in codes(library.trash("x", [0]))} == {"no_space"}
        assert {code for _, code in codes(library.save_copies("x", [0]))} == {"no_space"}
    real = os.replace
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda a, b: full() if str(b).endswith(".json") else real(a, b))
        assert codes(library.rate("x", [0], 3)) == [(f"a.png{EDIT_SUFFIX}", "no_space")]
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(UserError) as error:
            library.set_mask("x", 0, png(60, 40))
        assert error.value.problem.code == "no_space"
    assert {name: data for name, data in files(root).items() if not name.startswith(".trash/")} == start
    assert seen(library) == known
    library.rate("again", [0], 3)
    assert library.ratings[0] == 3


def test_what_may_not_be_moved_is_told(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs a second user")
    code = f"""
import os
import random
from pathlib import Path
from backend.editing.library import Library, Reloaded, Renumbered
root = Path({str(root)!r})
for folder in [root, root / "sub", *root.parents]: folder.chmod(folder.stat().st_mode | 0o055)
os.umask(0)
os.environ["ATHANOR_HOME"] = str(root.parent / "home")
for name in ("home", "other"): (root.parent / name).mkdir()
library = Library(root)
os.seteuid(65534)
applied = library.move_to("x", [0], root.parent / "other")
print([each.problem.code for each in applied.skipped], library.names[0])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert "file_unwritable" in done.stdout and "a.png" in done.stdout, done.stderr


def test_a_caption_that_is_only_in_memory_keeps_its_picture_here(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        library.apply("x", {0: "typed", 3: "new"}, wait=True)
    applied = library.trash("trash", [0, 3, 4])
    assert codes(applied) == [("a.txt", "no_space"), ("sub/c.txt", "no_space")]
    assert applied.went == ("sub/d.webp",)
    library.retry("again")
    assert len(library.trash("trash", [0, 3]).went) == 2
    assert (root / ".trash/a.txt").read_text() == "typed"
    assert (root / ".trash/sub/c.txt").read_text() == "new"


def test_captions_that_are_being_written_go_along(library: Library, root: Path) -> None:
    for number in range(20):
        library.apply("x", {3: f"caption {number}"})
        library.trash("trash", [3])
        assert (root / ".trash/sub/c.txt").read_text() == f"caption {number}"
        library.undo()
        library.undo()
        library.redo()
        library.redo()
        assert (root / ".trash/sub/c.txt").read_text() == f"caption {number}"
        library.undo()
        library.undo()
    assert library.texts[3] == ""


def test_filters_know_edits(library: Library) -> None:
    def found(text: str) -> list[int]:
        return np.flatnonzero(evaluate(parse(text), library)).tolist()

    library.edit_pictures("cut", {0: CROP, 1: PictureEdit(180), 2: PictureEdit(0, (0, 0, 5, 5), (20, 20))})
    library.rate("rate", [3, 4], 5)
    library.set_mask("mask", 3, png(30, 30))
    assert found("rated") == [0, 3, 4]
    assert found("rating: > 3") == [3, 4]
    assert found("rating: 0") == [1, 2]
    assert (found("cropped"), found("rotated"), found("masked")) == ([0, 2], [0, 1], [3])
    assert found("rated not masked") == [0, 4]
    assert found("width: 20 height: 30") == [0]


def test_a_look_from_before_an_action_does_not_undo_it(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, acted = threading.Event(), threading.Event()
    real = library._list

    def slow() -> object:
        found = real()
        listed.set()
        acted.wait(10)
        return found

    monkeypatch.setattr(library, "_list", slow)
    looking = threading.Thread(target=library.reload_changed)
    looking.start()
    listed.wait(10)
    library.trash("x", [0])
    generation = library.generation
    acted.set()
    looking.join()
    assert "a.png" not in library.names
    assert library.generation == generation


TRASHING = """
import sys
from pathlib import Path
from backend.editing.library import Library, Reloaded, Renumbered
with Library(Path(sys.argv[1])) as library:
    library.trash("trash", range(len(library)))
"""


def test_a_trash_that_is_killed_is_carried_to_its_end(tmp_path: Path) -> None:
    root, num = tmp_path / "set", 500
    root.mkdir()
    data = png(4, 4, "RGB")
    for number in range(num):
        (root / f"{number:04}.png").write_bytes(data)
        (root / f"{number:04}.txt").write_text(f"caption {number}")
    run_and_kill(TRASHING, str(root), at=201)
    assert 0 < len(list(root.glob("*.png"))) < num
    with Library(root) as library:
        assert library.names == []
        library.undo()
        assert library.texts == [f"caption {number}" for number in range(num)]
        assert library.widths.tolist() == [4] * num


def test_nothing_is_done_to_rows_of_another_time(library: Library, root: Path, tmp_path: Path) -> None:
    generation = library.generation
    with library.at(generation):
        library.rate("rate", [0], 1)
        library.trash("trash", [0])
        start = files(root)
        for act in (
            lambda: library.apply("x", {0: "ours"}),
            lambda: library.rate("x", [0], 5),
            lambda: library.trash("x", [0]),
            lambda: library.move_to("x", [4], tmp_path / "other"),
            lambda: library.save_copies("x", [0]),
            lambda: library.set_mask("x", 0, None),
            library.undo,
        ):
            with pytest.raises(Renumbered):
                act()
    with pytest.raises(Renumbered), library.at(generation):
        pytest.fail("it has other rows")
    assert files(root) == start
    library.undo()


def test_captions_are_edited_while_other_pictures_move(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving, go_on = threading.Event(), threading.Event()
    real = moves.move_file

    def slow(source: Path, target: Path) -> None:
        moving.set()
        assert go_on.wait(20)
        real(source, target)

    monkeypatch.setattr(changing, "move_file", slow)
    trashing = threading.Thread(target=library.trash, args=("trash", [0]))
    trashing.start()
    assert moving.wait(20)
    assert library.apply("other", {4: "edited"}).rows == (4,)
    assert library.texts[4] == "edited"
    assert library.saving().num_pending > 0
    assert library.reload_changed() == Reloaded()
    told: list[object] = []

    def edit_the_same() -> None:
        try:
            with library.at(0):
                library.apply("same", {0: "typed"})
        except Renumbered:
            told.append("renumbered")

    editing = threading.Thread(target=edit_the_same)
    editing.start()
    time.sleep(0.05)
    go_on.set()
    trashing.join(20)
    editing.join(20)
    assert told == ["renumbered"]
    assert (root / ".trash/a.txt").read_text() == "1girl"
    library.journal.wait()
    assert (root / "sub/d.txt").read_text() == "edited"
    assert as_opened_anew(library)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_done_the_library_knows_the_folder_and_undo_brings_it_back(root: Path, seed: int) -> None:
    chance = random.Random(seed)
    # In captions with several encodings and line ends, each byte has to come back.
    (root / "a.txt").write_bytes("山水风景\r\n狗\r\n".encode("gb18030"))
    start = files(root)

    with Library(root) as library:

        def some() -> list[int]:
            return chance.sample(range(len(library)), min(len(library), chance.randint(1, 3)))

        def mask() -> object:
            row = chance.choice(some())
            data = chance.choice([None, png(*library.full_size(row))])
            return library.set_mask("mask", row, data)

        def cut() -> object:
            return library.edit_pictures(
                "cut", {row: PictureEdit(0, (0, 0, 1, 1), library.full_size(row), 2) for row in some()}
            )

        acts = [
            lambda: library.rate("rate", some(), chance.randint(0, 5)),
            lambda: library.rotate("turn", some(), chance.choice([90, 180, 270])),
            cut,
            mask,
            lambda: library.save_copies("copy", some()),
            lambda: library.trash("trash", some()),
            lambda: library.move_to("move", some(), root / chance.choice(["", "sub", "new/deep"])),
            lambda: library.move_to("away", some(), root.parent / "other"),
            lambda: library.apply("edit", {row: f"山水风景 {chance.random()}" for row in some()}),
            library.undo,
            library.undo,
            library.redo,
        ]
        for _ in range(15):
            if len(library):
                chance.choice(acts)()
            else:
                library.undo()
            library.journal.wait()
            assert as_opened_anew(library)
        done = files(root)
        num = 0
        while library.undo():
            num += 1
        library.journal.wait()
        assert {name: data for name, data in files(root).items() if not name.startswith(".trash/")} == start
        assert as_opened_anew(library)
        for _ in range(num):
            library.redo()
        library.journal.wait()
        assert files(root) == done
        assert as_opened_anew(library)
