"""Moves and files that are no text in the journal: undone, carried to their end, and nobody's file is lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from editing.killing import run_and_kill

from backend.editing import moves
from backend.editing.actions import Change
from backend.editing.journal import FilesChangedOutside, Journal, journal_path

NUM = 500


def move(source: str, target: str) -> Change:
    return Change(source, source, target, "move")


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def codes(skipped: object) -> list[tuple[str, str]]:
    return [(each.path, each.problem.code) for each in skipped]  # type: ignore[attr-defined]


def test_moves_are_undone_and_done_again(folder: Path, tmp_path: Path) -> None:
    start = files(folder)
    away = tmp_path / "other" / "deep" / "x.txt"
    with Journal(folder) as journal:
        journal.record("first", [move("a.txt", "new/sub/a.txt"), move("b.txt", str(away))])
        moved = files(folder)
        assert sorted(moved) == ["new/sub/a.txt", "sub/c.txt"]
        assert away.read_text() == "1boy"
        journal.undo()
        assert files(folder) == start
        journal.redo()
        assert files(folder) == moved
    with Journal(folder) as journal:
        journal.record("second", [move("new/sub/a.txt", "b.txt"), Change("sub/c.txt", "风景, 山", "x")])
        journal.undo()
        journal.undo()
        assert files(folder) == start


def test_bytes_are_kept_for_undo_and_redo(folder: Path) -> None:
    (folder / "m.png").write_bytes(b"\x89old")
    with Journal(folder) as journal:
        before, after = journal.blobs.put_file(folder / "m.png"), journal.blobs.put(b"\x00new")
        assert journal.blobs.put_file(folder / "none.png") is None
        journal.record("x", [Change("m.png", before, after, "bytes"), Change("n.png", None, after, "bytes")])
        assert (folder / "m.png").read_bytes() == (folder / "n.png").read_bytes() == b"\x00new"
    with Journal(folder) as journal:
        journal.undo()
        assert (folder / "m.png").read_bytes() == b"\x89old"
        assert not (folder / "n.png").exists()
        journal.redo()
        assert (folder / "n.png").read_bytes() == b"\x00new"


def test_journals_of_before_are_read(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("x", [Change("a.txt", "1girl, cat ears", "cat")])
        assert b'[["a.txt","1girl, cat ears","cat"]]\n' in journal_path(folder).read_bytes()
        assert list(journal.changes(1)) == [Change("a.txt", "1girl, cat ears", "cat", "text")]


def test_no_file_is_ever_replaced_by_a_move(folder: Path) -> None:
    with Journal(folder) as journal:
        action = journal.record("x", [move("a.txt", "b.txt"), move("gone.txt", "g.txt")])
        assert codes(action.skipped) == [("a.txt", "move_target_taken"), ("gone.txt", "move_source_gone")]
        assert (folder / "b.txt").read_text() == "1boy"
        journal.record("y", [move("a.txt", "moved.txt")])
        (folder / "a.txt").write_text("theirs")
        with pytest.raises(FilesChangedOutside):
            journal.undo()
        for how in ("skip", "overwrite"):
            journal.undo(how)  # type: ignore[arg-type]
            assert (folder / "a.txt").read_text() == "theirs"
            assert (folder / "moved.txt").read_text() == "1girl, cat ears"
            journal.redo()


def test_what_belongs_to_a_picture_stays_with_it(folder: Path) -> None:
    for name in ("p.png", "p.txt", "p.png.athanor.json", "p-masklabel.png", "p2.png"):
        (folder / name).write_text(name)
    names = ["p.png", "p.png.athanor.json", "p.txt", "p-masklabel.png", "p2.png"]
    with Journal(folder) as journal:
        journal.record("x", [move(name, f".trash/{name}") for name in names])
        (folder / "p.png").write_text("theirs")
        journal.undo("skip")
        assert sorted(files(folder / ".trash")) == sorted(names[:4])
        assert (folder / "p2.png").exists()
        assert not (folder / "p.txt").exists()
    with Journal(folder) as journal:
        (folder / ".trash2").mkdir()
        (folder / ".trash2/p2.png").write_text("in the way")
        (folder / "p2.txt").write_text("text")
        action = journal.record("y", [move("p2.png", ".trash2/p2.png"), move("p2.txt", ".trash2/p2.txt")])
        assert len(action.skipped) == 2
        assert (folder / "p2.txt").exists()


def test_bytes_that_others_changed_are_not_overwritten(folder: Path) -> None:
    (folder / "m.png").write_bytes(b"old")
    with Journal(folder) as journal:
        before, after = journal.blobs.put(b"old"), journal.blobs.put(b"new")
        (folder / "m.png").write_bytes(b"theirs")
        action = journal.record("x", [Change("m.png", before, after, "bytes")])
        assert codes(action.skipped) == [("m.png", "picture_file_changed")]
        assert (folder / "m.png").read_bytes() == b"theirs"
        (folder / "m.png").write_bytes(b"old")
        journal.record("y", [Change("m.png", before, after, "bytes")])
        (folder / "m.png").write_bytes(b"theirs")
        with pytest.raises(FilesChangedOutside):
            journal.undo()
        journal.undo("overwrite")
        assert (folder / "m.png").read_bytes() == b"old"


def test_a_content_that_is_lost_is_told(folder: Path) -> None:
    (folder / "m.png").write_bytes(b"old")
    with Journal(folder) as journal:
        before, after = journal.blobs.put(b"old"), journal.blobs.put(b"new")
        journal.record("x", [Change("m.png", before, after, "bytes")])
        assert before is not None
        (journal.blobs.folder / before).write_bytes(b"ruined")
        turned = journal.undo()
        assert turned is not None
        assert codes(turned[0].skipped) == [("m.png", "content_lost")]
        assert (folder / "m.png").read_bytes() == b"new"


def test_files_are_moved_to_another_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk")
    other = shared / f"athanor-test-{os.getpid()}"
    try:
        before = (folder / "a.txt").stat().st_mtime_ns
        with Journal(folder) as journal:
            journal.record("x", [move("a.txt", str(other / "a.txt")), move("b.txt", str(other / "b.txt"))])
            assert sorted(files(other)) == ["a.txt", "b.txt"]
            assert (other / "a.txt").stat().st_mtime_ns == before
            assert not (folder / "a.txt").exists()
            journal.undo()
            assert files(other) == {}
            assert (folder / "a.txt").read_text() == "1girl, cat ears"
    finally:
        for path in other.rglob("*"):
            path.unlink()
        other.rmdir()


def test_a_move_that_was_cut_off_between_two_disks_is_finished(folder: Path) -> None:
    (folder / "copied.txt").write_bytes((folder / "a.txt").read_bytes())
    os.link(folder / "b.txt", folder / "linked.txt")
    with Journal(folder) as journal:
        action = journal.record("x", [move("a.txt", "copied.txt"), move("b.txt", "linked.txt")])
        assert action.skipped == ()
        assert sorted(files(folder)) == ["copied.txt", "linked.txt", "sub/c.txt"]


def test_a_file_at_two_names_that_are_one_is_not_removed(folder: Path) -> None:
    (folder / "door").symlink_to(folder, target_is_directory=True)
    with Journal(folder) as journal:
        action = journal.record("x", [move("a.txt", "door/a.txt")])
        assert codes(action.skipped) == [("a.txt", "move_target_taken")]
        assert (folder / "a.txt").read_text() == "1girl, cat ears"


def test_a_link_goes_on_leading_to_its_picture(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("real")
    (folder / "link.txt").symlink_to(Path("..") / "real.txt")
    with Journal(folder) as journal:
        journal.record("x", [move("link.txt", ".trash/deep/link.txt")])
        assert (folder / ".trash/deep/link.txt").read_text() == "real"
        journal.undo()
        assert (folder / "link.txt").is_symlink()
        assert (folder / "link.txt").read_text() == "real"


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_file_systems_without_hard_links_do_too(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(moves.os, "link", refuse)
    with Journal(folder) as journal:
        action = journal.record("x", [move("a.txt", "new.txt"), move("sub/c.txt", "b.txt")])
        assert codes(action.skipped) == [("sub/c.txt", "move_target_taken")]
        assert (folder / "new.txt").read_text() == "1girl, cat ears"
        journal.undo()
        assert (folder / "a.txt").exists()


def test_a_disk_that_is_full_stops_a_batch_and_leaves_every_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start = files(folder)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(folder) as journal:
        with monkeypatch.context() as patched:
            patched.setattr(moves.os, "link", refuse)
            action = journal.record("x", [move("a.txt", "n/a.txt"), move("b.txt", "n/b.txt")])
        assert {code for _, code in codes(action.skipped)} == {"no_space"}
        assert files(folder) == start
        journal.undo()
        assert files(folder) == start


def test_another_disk_that_is_full_leaves_no_half_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = files(folder)

    def other_disk(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def full(_: object, target: Path, **__: object) -> None:
        Path(target).write_bytes(b"hal")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Journal(folder) as journal, monkeypatch.context() as patched:
        patched.setattr(moves.os, "link", other_disk)
        patched.setattr(moves.shutil, "copy2", full)
        action = journal.record("x", [move("a.txt", "n/a.txt")])
        assert codes(action.skipped) == [("a.txt", "no_space")]
    assert files(folder) == start


def test_something_in_the_way_of_a_folder_is_told(folder: Path) -> None:
    (folder / "file").write_text("x")
    with Journal(folder) as journal:
        action = journal.record("x", [move("a.txt", "file/a.txt")])
        assert codes(action.skipped) == [("a.txt", "file_unwritable")]
        assert (folder / "a.txt").exists()


def test_a_folder_that_is_gone_is_not_made_again(folder: Path, tmp_path: Path) -> None:
    with Journal(folder) as journal:
        after = journal.blobs.put(b"x")
        journal.record("away", [move("b.txt", str(tmp_path / "b.txt"))])
        folder.rename(tmp_path / "elsewhere")
        action = journal.record("x", [move("a.txt", "n/a.txt"), Change("m.png", None, after, "bytes")])
        assert {code for _, code in codes(action.skipped)} == {"caption_folder_gone"}
        assert not folder.exists()
        (tmp_path / "elsewhere").rename(folder)


def test_moves_may_be_made_behind(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("text", [Change("a.txt", "1girl, cat ears", "cat")], wait=False)
        journal.record("move", [move("a.txt", "n/a.txt")], wait=False)
        journal.undo(wait=False)
        journal.undo(wait=False)
        journal.wait()
        assert (folder / "a.txt").read_text() == "1girl, cat ears"
        assert journal.num_pending == 0


BATCH = """
import sys
from pathlib import Path
from backend.editing.actions import Change
from backend.editing.journal import Journal
folder, kind, what, num = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
with Journal(folder) as journal:
    if what == "undo":
        journal.undo()
    elif kind == "move":
        journal.record("batch", [Change(f"{n}.png", f"{n}.png", f".trash/{n}.png", "move") for n in range(num)])
    else:
        new = journal.blobs.put(b"new")
        journal.record("batch", [Change(f"{n}.png", None, new, "bytes") for n in range(num)])
"""


@pytest.mark.parametrize("kind", ["move", "bytes"])
def test_a_batch_that_is_killed_and_its_undo_are_carried_to_their_end(tmp_path: Path, kind: str) -> None:
    def is_done(number: int) -> bool:
        return (tmp_path / (f".trash/{number}.png" if kind == "move" else f"{number}.png")).exists()

    def kill(what: str, at: int) -> None:
        run_and_kill(BATCH, str(tmp_path), kind, what, str(NUM), at=at)
        assert {is_done(number) for number in range(NUM)} == {True, False}

    if kind == "move":
        for number in range(NUM):
            (tmp_path / f"{number}.png").write_text(str(number))
    start = files(tmp_path)
    kill("do", at=151)
    with Journal(tmp_path) as journal:
        assert [action.name for action in journal.recovered] == ["batch"]
        assert journal.history()[0].skipped == ()
        assert all(is_done(number) for number in range(NUM))
    kill("undo", at=151)
    with Journal(tmp_path) as journal:
        assert journal.history()[0].is_undone
        assert {name: data for name, data in files(tmp_path).items() if not name.endswith(".partial")} == start
        assert not any(is_done(number) for number in range(NUM))
        journal.redo()
        assert all(is_done(number) for number in range(NUM))
