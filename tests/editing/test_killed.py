"""What processes leave behind that are killed: nothing half written stays, and undo brings the same bytes back."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from backend.editing import picture_files
from backend.editing.actions import Change
from backend.editing.blobs import SETTLED_SECONDS
from backend.editing.files import write_caption
from backend.editing.journal import Journal, journal_path
from backend.editing.library import Library
from backend.editing.partials import is_alive, is_left, new_token, partial_path

PROJECT = Path(__file__).resolve().parents[2]
# `die_in`: the process ends where a function is called for the given time, as if it were killed there.
HEAD = """
import os, sys
from pathlib import Path
from backend.editing import changing, files, journal, picture_files
from backend.editing.actions import Change
from backend.editing.journal import Journal
from backend.editing.library import Library

root = Path(sys.argv[1])

def die_in(module, name, times=1, after=False):
    real, left = getattr(module, name), [times]
    def dying(*arguments, **named):
        left[0] -= 1
        if left[0] or after:
            found = real(*arguments, **named)
        if not left[0]:
            os._exit(9)
        return found
    setattr(module, name, dying)

"""


def killed(code: str, root: Path) -> None:
    """Run code that ends itself in the middle."""
    assert subprocess.run([sys.executable, "-c", HEAD + code, str(root)], cwd=PROJECT, check=False).returncode == 9


def dead_token() -> str:
    code = "from backend.editing.partials import new_token; print(new_token())"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout.strip()


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def undo_all(journal: Journal) -> None:
    while journal.undo():
        pass


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    (root / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        Image.new("RGB", (8, 6), len(name) * 40).save(root / f"{name}.png")
        (root / f"{name}.txt").write_text(f"caption {name}")
    return root


def test_half_of_a_file_is_cleared_away(root: Path) -> None:
    killed(
        """
die_in(files.os, "replace", 2)
with Journal(root) as journal:
    journal.record("x", [Change("a.txt", "caption a", "new"), Change("sub/c.txt", "caption sub/c", "new")])
""",
        root,
    )
    assert len(list((root / "sub").glob(".*.partial"))) == 1
    mine = Path(partial_path(str(root / "sub/c.txt")))
    mine.write_text("somebody is writing this")
    with Journal(root):
        assert (root / "sub/c.txt").read_text() == "new"
        assert list(root.rglob(".*.partial")) == [mine]


def test_half_of_a_picture_on_its_way_to_another_disk_is_cleared_away(root: Path) -> None:
    start = files(root)
    (root / f"{'n' * 240}.png").write_bytes(b"a name as long as one may be")
    killed(
        """
import errno
from backend.editing import moves
def other_disk(*_, **__):
    raise OSError(errno.EXDEV, "another disk")
moves.os.link = other_disk
die_in(moves.shutil, "copy2", after=True)
long = "n" * 240 + ".png"
Journal(root).record("x", [Change(long, long, "new/" + long, "move")])
""",
        root,
    )
    assert len(list((root / "new").glob(".*.partial"))) == 1
    with Journal(root) as journal:
        assert [path.name for path in (root / "new").iterdir()] == [f"{'n' * 240}.png"]
        undo_all(journal)
    (root / f"{'n' * 240}.png").unlink()
    assert files(root) == start


def test_half_a_copy_is_cleared_away(root: Path) -> None:
    start = files(root)
    killed(
        """
die_in(picture_files.os, "fsync", 5)
Library(root).save_copies("copy", [0, 1, 2])
os._exit(9)
""",
        root,
    )
    assert len(list((root / ".trash/copies").rglob("*.*"))) > 0
    with Library(root) as library:
        assert files(root) == start
        library.save_copies("copy", [0, 1])
        copied = files(root)
        library.undo()
    with Library(root) as library:
        library.redo()
        assert files(root) == copied


def test_copies_that_were_undone_stay_for_as_long_as_they_are_named(root: Path) -> None:
    killed(
        """
library = Library(root)
library.save_copies("copy", [0])
library.undo()
os._exit(9)
""",
        root,
    )
    with Library(root) as library:
        library.redo()
        assert (root / "a-edited.png").exists()
        library.keep()
        undo_all(library.journal)
    copies = files(root / ".trash/copies")
    with Library(root) as library:
        library.apply("other", {0: "new"}, wait=True)
    with Library(root):
        assert files(root / ".trash/copies") == copies


def test_how_a_caption_was_written_is_known_after_a_kill(root: Path) -> None:
    data = "山水风景\r\n狗".encode("gb18030")
    (root / "a.txt").write_bytes(data)
    killed(
        """
die_in(files.os, "replace", after=True)
Journal(root).record("x", [Change("a.txt", "山水风景\\n狗", "cat"), Change("b.txt", "caption b", "dog")])
""",
        root,
    )
    assert (root / "a.txt").read_bytes() == b"cat"
    with Journal(root) as journal:
        assert (root / "b.txt").read_text() == "dog"
        journal.undo()
        assert (root / "a.txt").read_bytes() == data


def test_what_another_process_was_killed_at_is_taken_back_by_one_that_was_there_before(root: Path) -> None:
    start = files(root)
    with Journal(root) as journal, Library(root) as library:
        journal.record("mine", [Change("c.txt", None, "mine")])
        mine = files(root)
        killed(
            """
die_in(files.os, "replace", after=True)
Journal(root).record("x", [Change("a.txt", "caption a", "cat"), Change("b.txt", "caption b", "dog")])
""",
            root,
        )
        assert ((root / "a.txt").read_text(), (root / "b.txt").read_text()) == ("cat", "caption b")
        undone = library.undo()
        library.journal.wait()
        assert undone is not None and undone.action is not None and undone.action.name == "x"
        assert files(root) == mine
        library.reload_changed()
        assert [library.texts[row] for row in range(2)] == ["caption a", "caption b"]
        journal.undo()
        assert files(root) == start


def test_what_was_left_undone_is_done_in_the_order_in_which_it_was_begun(root: Path) -> None:
    start = files(root)
    killed(
        """
journal = Journal(root)
journal.record("one", [Change("a.txt", "caption a", "one")])
journal.record("two", [Change("a.txt", "one", "two"), Change("b.txt", "caption b", "two")])
journal._later = lambda work: None
journal.undo(wait=False)
journal.undo(wait=False)
os._exit(9)
""",
        root,
    )
    assert (root / "a.txt").read_text() == "two"
    with Journal(root) as journal:
        assert [action.is_undone for action in journal.history()] == [True, True]
        assert all(not action.skipped for action in journal.history())
        assert files(root) == start
        journal.redo()
        journal.redo()
        assert (root / "a.txt").read_text() == "two"


def test_a_change_that_others_went_on_from_was_made(root: Path) -> None:
    start = files(root)
    killed(
        """
journal = Journal(root)
journal._end = lambda *_: os._exit(9)
moves = [Change(f"a{end}", f"a{end}", f"sub/a{end}", "move") for end in (".png", ".txt")]
journal.record("x", [Change("b.txt", "caption b", "theirs"), *moves])
""",
        root,
    )
    killed(
        """
journal = __import__("backend.editing.journal").editing.journal
journal.is_alive = lambda _: True  # it was killed only later
moves = [Change(f"sub/a{end}", f"sub/a{end}", f".trash/a{end}", "move") for end in (".png", ".txt")]
with Journal(root) as opened:
    opened.record("y", [Change("b.txt", "theirs", "ours"), *moves])
os._exit(9)
""",
        root,
    )
    with Journal(root) as journal:
        assert [action.name for action in journal.recovered] == ["x"]
        assert journal.recovered[0].skipped == ()
        undo_all(journal)
        assert files(root) == start


def test_who_has_ended_but_was_not_buried_is_gone() -> None:
    code = "from backend.editing.partials import new_token, ourselves; print(new_token(), *ourselves(), flush=True)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    token, pid, began = process.stdout.readline().split()
    process.stdout.read()
    until = time.monotonic() + 120
    while not is_left(token) and time.monotonic() < until:
        time.sleep(0.01)
    assert is_left(token)
    assert not is_alive((int(pid), float(began)))
    process.wait()
    assert not is_left(new_token())
    assert not is_left("holiday")


def test_what_another_machine_is_writing_is_left_alone() -> None:
    token = dead_token()
    elsewhere = f"{'0' * 8}-{token.partition('-')[2]}"
    assert is_left(token) and not is_left(elsewhere)


def test_two_writers_of_one_process_do_not_meet(root: Path) -> None:
    path = root / "a.txt"
    texts = {"short", "long " * 2000}
    seen: set[str] = set()

    def write(text: str) -> None:
        for _ in range(300):
            write_caption(path, text)
            seen.add(path.read_text())

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= texts
    assert not list(root.glob(".*"))


WRITER = """
import sys
from pathlib import Path
from backend.editing.journal import Change, Journal
folder, me = Path(sys.argv[1]), sys.argv[2]
with Journal(folder) as journal:
    for number in range(100):
        text = (folder / "a.txt").read_text()
        journal.record(me, [Change("a.txt", text, f"{text}, {me}{number}")])
"""


def test_of_two_processes_none_writes_over_what_the_other_has_just_written(root: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(root), me], cwd=PROJECT) for me in "xy"]
    assert [process.wait() for process in processes] == [0, 0]
    with Journal(root) as journal:
        made = [action for action in journal.history(1000) if not action.skipped]
        assert (root / "a.txt").read_text().count(",") == len(made)
        undo_all(journal)
    assert (root / "a.txt").read_text() == "caption a"


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 6), value).save(buffer, "PNG")
    return buffer.getvalue()


def contents(root: Path) -> list[Path]:
    return sorted(journal_path(root).with_suffix(".blobs").iterdir())


def age(paths: list[Path]) -> None:
    for path in paths:
        os.utime(path, (time.time() - 2 * SETTLED_SECONDS,) * 2)


def test_contents_that_no_change_needs_are_pruned_when_the_folder_opens(root: Path) -> None:
    with Library(root) as library:
        library.set_mask("stands", 0, png(1))
        library.set_mask("undone", 0, png(2))
        library.undo()
        library.set_mask("in its place", 1, png(3))
        library.set_mask("can be done again", 1, png(4))
        library.undo()
        library.journal.blobs.put(b"put just now, and not in the journal yet")
        library.journal.blobs.put(b"put long ago")
        assert len(contents(root)) == 6
    age(contents(root))
    with Journal(root) as other:
        other.blobs.put(b"put just now, and not in the journal yet")  # again
    left = contents(root)[0].parent / f".{'0' * 16}.{dead_token()}.partial"
    left.write_bytes(b"half")
    with Library(root) as library:
        kept = {path.read_bytes() for path in contents(root)}
        assert {png(1), png(3), png(4), b"put just now, and not in the journal yet"} <= kept
        assert not {png(2), b"put long ago", b"half"} & kept
        library.redo()
        assert (root / "b-masklabel.png").read_bytes() == png(4)
        while library.undo():
            pass
        assert not list(root.glob("*-masklabel.png"))


def test_contents_of_an_undo_that_is_still_under_way_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "m.png").write_bytes(b"one")
    with Journal(root) as journal:
        one, two = journal.blobs.put_file(root / "m.png"), journal.blobs.put(b"two")
        journal.record("x", [Change("m.png", one, two, "bytes")])
        jobs: list[Callable[[], None]] = []
        monkeypatch.setattr(journal, "_later", jobs.append)
        journal.undo(wait=False)
        journal._begin("from here on it cannot be done again")
        age(contents(root))
        with Library(root):
            assert len(contents(root)) == 2
        for job in jobs:
            job()
        assert (root / "m.png").read_bytes() == b"one"
    with Library(root):
        assert contents(root) == []


def test_nothing_is_pruned_by_a_journal_that_is_damaged(root: Path) -> None:
    with Library(root) as library:
        library.set_mask("x", 0, png(1))
    path = journal_path(root)
    path.write_bytes(path.read_bytes().replace(b'[["a-masklabel.png"', b'[["a-masklabel.png\xff'))
    age(contents(root))
    before = contents(root)
    with Library(root):
        assert contents(root) == before


def test_other_things_are_done_while_copies_are_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, go_on = threading.Event(), threading.Event()
    real: Callable[..., None] = picture_files.write_copy

    def slow(*arguments: object) -> None:
        writing.set()
        assert go_on.wait(20)
        real(*arguments)

    monkeypatch.setattr(picture_files, "write_copy", slow)
    with Library(root) as library:
        copying = threading.Thread(target=library.save_copies, args=("copy", [0, 1]))
        copying.start()
        assert writing.wait(20)
        library.rate("rate", [0], 5)
        library.trash("trash", [2])
        library.undo()
        library.trash("trash", [0])
        assert library.names == ["b.png", "sub/c.png"]
        go_on.set()
        copying.join(20)
        # What is gone meanwhile is not copied; the copy of the other has come.
        assert library.names == ["b-edited.png", "b.png", "sub/c.png"]
        while library.undo():
            pass
        assert library.names == ["a.png", "b.png", "sub/c.png"]
