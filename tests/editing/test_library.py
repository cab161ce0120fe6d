"""A folder of pictures in memory: opened, edited, shared with others, and found again as it was left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.config.problems import UserError
from backend.editing.journal import FilesChangedOutside
from backend.editing.library import Library
from backend.editing.pictures import snapshot_path
from backend.editing.turns import Turns
from ui.background import Progress
from ui.captions_view import opening

PROJECT = Path(__file__).resolve().parents[2]
CAPTIONS = {"a.png": "1girl, cat ears", "b.jpg": "1boy", "sub/c.png": "风景, 山\n第二行", "sub/d.webp": None}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for number, (name, caption) in enumerate(CAPTIONS.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 30)).save(path)
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return root


def read(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


def touch_outside(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def test_a_folder_is_opened_with_names_sizes_and_captions(pictures: Path) -> None:
    with Library(pictures) as library:
        assert library.names == ["a.png", "b.jpg", "sub/c.png", "sub/d.webp"]
        assert library.texts == ["1girl, cat ears", "1boy", "风景, 山\n第二行", ""]
        assert library.widths.tolist() == [40, 41, 42, 43]
        assert library.has_caption.tolist() == [True, True, True, False]
        assert library.caption_name(3) == "sub/d.txt"
        assert library.tags.of(2) == ["风景", "山", "第二行"]
    with Library(pictures, recursive=False) as library:
        assert library.names == ["a.png", "b.jpg"]


def test_who_opens_a_folder_is_told_how_many_pictures_are_found_and_then_how_many_are_read(pictures: Path) -> None:
    told: list[tuple[int, int]] = []
    with Library(pictures, progress=lambda *numbers: told.append(numbers)):
        assert (4, 0) in told and told[-1] == (4, 4)
    assert opening(Progress(12, 0, 1.0), "en") == "Opening the folder: 12 pictures"
    assert opening(Progress(5, 12, 1.0), "en") == "Opening the folder: 5 of 12"
    assert opening(Progress(0, 0, 1.0), "en") == "Opening the folder…"


def test_the_second_time_nothing_is_read(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Library(pictures) as library:
        library.apply("x", {0: "edited"})
    monkeypatch.setattr("backend.editing.pictures.read_caption", lambda path: pytest.fail(f"{path} was read"))
    monkeypatch.setattr("backend.editing.pictures.measure", lambda *_: pytest.fail("measured"))
    with Library(pictures) as library:
        assert library.texts[0] == "edited"
        assert library.widths.tolist() == [40, 41, 42, 43]


@pytest.mark.parametrize("damage", [b"", b"1\nabc\nxyz", b"\x00" * 500])
def test_a_damaged_cache_only_costs_time(pictures: Path, damage: bytes) -> None:
    with Library(pictures) as library:
        cache = library.cache_dir
    path = snapshot_path(cache, pictures.resolve(), ".txt", is_recursive=True)
    assert path.exists()
    path.write_bytes(damage)
    with Library(pictures) as library:
        assert library.texts[0] == "1girl, cat ears"


def test_edits_are_written_undone_and_found_again(pictures: Path) -> None:
    with Library(pictures) as library:
        applied = library.apply("two", {0: "cat", 3: "new"}, wait=True)
        assert applied.rows == (0, 3)
        assert (read(pictures, "a.txt"), read(pictures, "sub/d.txt")) == ("cat", "new")
        assert library.tags.of(0) == ["cat"]
        assert library.changed_rows().tolist() == [True, False, False, True]
    with Library(pictures) as library:
        assert library.texts[0] == "cat"
        assert library.changed_rows().tolist() == [True, False, False, True]
        undone = library.undo(wait=True)
        assert undone is not None
        assert sorted(undone.rows) == [0, 3]
        assert not (pictures / "sub/d.txt").exists()
        assert not library.has_caption[3]
        assert not library.changed_rows().any()
        library.redo(wait=True)
        assert read(pictures, "sub/d.txt") == "new"
        assert library.undo() is not None
        assert library.undo() is None


def test_an_edit_that_changes_nothing_is_none(pictures: Path) -> None:
    with Library(pictures) as library:
        assert library.apply("x", {0: "1girl, cat ears"}).action is None
        assert library.journal.history() == []


def test_edits_one_after_the_other_need_not_wait(pictures: Path) -> None:
    with Library(pictures) as library:
        for number in range(50):
            library.apply(f"{number}", {0: f"{number}", 1: f"{number}"})
        for _ in range(10):
            library.undo()
        assert library.texts[0] == "39"
    assert read(pictures, "a.txt") == "39"


def test_pictures_that_share_a_caption_change_together(pictures: Path) -> None:
    Image.new("RGB", (8, 8)).save(pictures / "a.webp")
    with Library(pictures) as library:
        assert library.names[:2] == ["a.png", "a.webp"]
        assert sorted(library.apply("x", {1: "both"}).rows) == [0, 1]
        assert library.texts[:2] == ["both", "both"]


def test_a_change_from_outside_is_a_conflict_not_overwritten(pictures: Path) -> None:
    with Library(pictures) as library:
        touch_outside(pictures / "a.txt", "theirs")
        applied = library.apply("x", {0: "ours", 1: "fine"}, wait=True)
        assert [(each.row, each.ours, each.theirs) for each in applied.conflicts] == [(0, "ours", "theirs")]
        assert applied.rows == (1,)
        assert library.texts[0] == "theirs"
        library.apply("ours after all", {0: "ours"}, wait=True)
        assert read(pictures, "a.txt") == "ours"
        library.undo(wait=True)
        assert read(pictures, "a.txt") == "theirs"


def test_what_others_do_is_taken_over(pictures: Path) -> None:
    with Library(pictures) as library:
        touch_outside(pictures / "a.txt", "theirs, new tag")
        (pictures / "b.txt").unlink()
        reloaded = library.reload_changed()
        assert reloaded.changed == (0, 1)
        assert library.texts[:2] == ["theirs, new tag", ""]
        assert library.tags.of(0) == ["theirs", "new tag"]
        assert not library.has_caption[1]
        assert library.generation == 0
        assert library.reload_changed().changed == ()
        Image.new("RGB", (9, 9)).save(pictures / "aa.png")
        (pictures / "sub/d.webp").unlink()
        reloaded = library.reload_changed()
        assert (reloaded.added, reloaded.removed, library.generation) == (("aa.png",), ("sub/d.webp",), 1)
        assert library.names == ["a.png", "aa.png", "b.jpg", "sub/c.png"]
        assert library.widths.tolist() == [40, 9, 41, 42]


def test_our_own_writing_is_no_change_from_outside(pictures: Path) -> None:
    with Library(pictures) as library:
        library.apply("x", {0: "ours", 3: "created"})
        assert library.reload_changed().changed == ()
        library.journal.wait()
        reloaded = library.reload_changed()
        assert (reloaded.changed, reloaded.conflicts) == ((), ())
        assert library.apply("y", {0: "again"}).conflicts == ()


def test_a_caption_file_whose_name_changes_is_still_written(pictures: Path) -> None:
    (pictures / "a.txt").rename(pictures / "a.TXT")
    with Library(pictures) as library:
        assert library.caption_name(0) == "a.TXT"
        (pictures / "a.TXT").unlink()
        library.reload_changed()
        assert library.apply("x", {0: "ours"}, wait=True).conflicts == ()
        assert read(pictures, "a.txt") == "ours"


@pytest.mark.parametrize("comes", ["aa.png", ""])
def test_a_new_caption_that_is_being_written_while_others_change_the_folder_is_no_conflict(
    pictures: Path, comes: str
) -> None:
    with Library(pictures) as library:
        with Turns(library.journal.path.with_suffix(".turns")).taken():  # nobody writes meanwhile
            library.apply("x", {3: "created"})
            touch_outside(pictures / "a.txt", "theirs")
            if comes:
                Image.new("RGB", (9, 9)).save(pictures / comes)
            library.reload_changed()
        library.journal.wait()
        row = library.row("sub/d.webp")
        assert row is not None
        assert library.has_caption[row]
        assert library.apply("y", {row: "again"}, wait=True).conflicts == ()
        assert library.saving().conflicts == ()
        assert read(pictures, "sub/d.txt") == "again"


@pytest.mark.parametrize("typed", ["half \ud83d of a face", "\ufeffwith a mark", "two\r\nlines"])
def test_what_no_file_can_have_is_shown_as_the_file_has_it(pictures: Path, typed: str) -> None:
    with Library(pictures) as library:
        library.apply("x", {0: typed}, wait=True)
        assert library.texts[0] == read(pictures, "a.txt")
        library.undo(wait=True)
        assert library.saving().conflicts == ()
        assert (pictures / "a.txt").read_bytes() == b"1girl, cat ears"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf_8_are_pictures_as_well(pictures: Path) -> None:
    name = os.fsdecode(b"\x94\x4c.png")
    (pictures / "a.png").rename(pictures / name)
    for _ in range(2):
        with Library(pictures) as library:
            row = library.row(name)
            assert row is not None
            assert library.widths[row] == 40
            library.look()
            assert library.likeness().num_looked == 4
            library.apply("x", {row: "cat"}, wait=True)
    assert (pictures / name).with_suffix(".txt").read_text() == "cat"


def test_undo_over_a_change_from_outside_is_refused(pictures: Path) -> None:
    with Library(pictures) as library:
        library.apply("x", {0: "ours"}, wait=True)
        touch_outside(pictures / "a.txt", "theirs")
        with pytest.raises(FilesChangedOutside):
            library.undo()
        assert library.texts[0] == "ours"
        library.reload_changed()
        assert library.texts[0] == "theirs"
        library.undo("overwrite", wait=True)
        assert read(pictures, "a.txt") == "1girl, cat ears"


def test_a_full_disk_loses_nothing(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def full(source: str, target: str) -> None:
        if str(target).endswith(".txt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    with Library(pictures) as library:
        monkeypatch.setattr(os, "replace", full)
        library.apply("x", {0: "ours", 1: "ours too"}, wait=True)
        saving = library.saving()
        assert [(each.row, each.problem.code) for each in saving.unsaved] == [(0, "no_space"), (1, "no_space")]
        assert library.texts[0] == "ours"
        assert read(pictures, "a.txt") == "1girl, cat ears"
        assert library.reload_changed().changed == ()
        library.apply("y", {0: "better"}, wait=True)
        monkeypatch.setattr(os, "replace", real)
        library.retry("again")
        library.journal.wait()
        assert library.saving().unsaved == ()
        assert (read(pictures, "a.txt"), read(pictures, "b.txt")) == ("better", "ours too")
        library.undo(wait=True)
        assert (read(pictures, "a.txt"), read(pictures, "b.txt")) == ("1girl, cat ears", "1boy")


def test_a_change_from_outside_while_ours_is_unsaved_is_a_conflict(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library(pictures) as library:
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
            library.apply("x", {0: "ours"}, wait=True)
        touch_outside(pictures / "a.txt", "theirs")
        (conflict,) = library.reload_changed().conflicts
        assert (conflict.ours, conflict.theirs) == ("ours", "theirs")
        assert library.saving().unsaved == ()


def test_a_retry_never_writes_over_what_others_wrote_meanwhile(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Library(pictures) as library:
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
            library.apply("x", {0: "ours", 1: "ours too"}, wait=True)
        touch_outside(pictures / "a.txt", "theirs")
        library.retry("again")
        library.journal.wait()
        saving = library.saving()
        assert [(each.ours, each.theirs) for each in saving.conflicts] == [("ours", "theirs")]
        assert saving.unsaved == ()
        assert (read(pictures, "a.txt"), read(pictures, "b.txt")) == ("theirs", "ours too")


def test_a_retry_that_fails_forgets_nothing(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Library(pictures) as library:
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", full)
            library.apply("x", {0: "ours"}, wait=True)
            patched.setattr(os, "fsync", full)  # now the journal cannot be written either
            with pytest.raises(UserError):
                library.retry("again")
            assert [each.row for each in library.saving().unsaved] == [0]
            assert library.has_unsaved
        library.retry("again")
        library.journal.wait()
        assert not library.has_unsaved
    assert read(pictures, "a.txt") == "ours"


def test_what_could_not_be_saved_can_be_undone(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Library(pictures) as library:
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
            library.apply("x", {0: "ours"}, wait=True)
            assert library.saving().unsaved[0].row == 0
            undone = library.undo(wait=True)
        assert undone is not None
        assert undone.rows == (0,)
        assert library.texts[0] == "1girl, cat ears"
        assert library.saving().unsaved == ()


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users")
def test_a_file_that_may_not_be_written_is_told(pictures: Path) -> None:
    (pictures / "a.txt").chmod(0o444)
    code = f"""
import os, sys
from pathlib import Path
from backend.editing.files import write_caption
from backend.config.problems import UserError
if os.geteuid() == 0:
    os.chmod({str(pictures)!r}, 0o777)
    for folder in Path({str(pictures)!r}).parents: folder.chmod(folder.stat().st_mode | 0o005)
    os.seteuid(65534)
try:
    write_caption({str(pictures / "a.txt")!r}, "x")
except UserError as error:
    print(error.problem.code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.strip() == "file_unwritable", done.stderr
    assert read(pictures, "a.txt") == "1girl, cat ears"


def test_a_folder_that_is_gone_is_told_and_nothing_is_lost(pictures: Path) -> None:
    with Library(pictures) as library:
        pictures.rename(pictures.with_name("away"))
        with pytest.raises(UserError) as error:
            library.apply("x", {0: "ours"})
        assert error.value.problem.code == "caption_folder_gone"
        with pytest.raises(UserError) as error:
            library.reload_changed()
        assert error.value.problem.code == "caption_folder_gone"
        assert library.texts[0] == "1girl, cat ears"
        pictures.with_name("away").rename(pictures)
        assert library.apply("x", {0: "ours"}, wait=True).rows == (0,)
    with pytest.raises(UserError) as error:
        Library(pictures / "none")
    assert error.value.problem.code == "caption_folder_missing"


OTHER = """
import sys
from pathlib import Path
from backend.editing.library import Library
library = Library(Path(sys.argv[1]), label="other")
print(len(library.visitors()), flush=True)
sys.stdin.readline()
library.apply("theirs", {1: "theirs"}, wait=True)
print("done", flush=True)
sys.stdin.readline()
library.close()
"""


def test_two_processes_are_told_of_each_other(pictures: Path) -> None:
    with Library(pictures) as library:
        other = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(pictures)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline().strip() == "1"
        assert [visitor.label for visitor in library.visitors()] == ["other"]
        library.apply("ours", {0: "ours"}, wait=True)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline().strip() == "done"
        assert library.apply("late", {1: "late"}).conflicts[0].theirs == "theirs"
        assert [action.name for action in library.journal.history()] == ["theirs", "ours"]
        other.stdin.write("\n")
        other.stdin.flush()
        other.wait()
        assert library.visitors() == []


def test_a_picture_that_cannot_be_read_stays_in_its_row(pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    with Library(pictures) as library:
        row = library.row("bad.png")
        assert row is not None
        assert library.widths[row] == 0
        assert library.problems["bad.png"].code == "image_corrupt"


def test_tag_table_is_the_same_after_edits_as_when_made_anew(pictures: Path) -> None:
    with Library(pictures) as library:
        library.apply("x", {1: "cat, dog, cat", 3: "a,, b ,"})
        counts = dict(zip(library.tags.words, library.tags.counts().tolist(), strict=True))
        assert (counts["cat"], counts["dog"], counts["1boy"], counts["a"]) == (1, 1, 0, 1)
        assert library.tags.lengths.tolist() == [2, 3, 3, 2]
        assert np.flatnonzero(library.tags.with_any(library.tags.find("CAT"))).tolist() == [1]
