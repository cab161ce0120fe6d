"""Nothing that was typed is lost: not by undo, not by a crash, not by somebody else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from editing.killing import run_and_kill

from backend.config.problems import UserError
from backend.editing.files import read_caption
from backend.editing.journal import Change, FilesChangedOutside, Journal, journal_path

PROJECT = Path(__file__).resolve().parents[2]


def texts(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.txt"))
    }


def run(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=PROJECT)


def test_actions_are_undone_and_done_again_in_turn(folder: Path) -> None:
    start = texts(folder)
    with Journal(folder) as journal:
        journal.record("first", [Change("a.txt", "1girl, cat ears", "cat"), Change("sub/c.txt", "风景, 山", "山")])
        after_first = texts(folder)
        journal.record("second", [Change("a.txt", "cat", "dog"), Change("new.txt", None, "fresh")])
        after_second = texts(folder)
        assert after_second["new.txt"] == "fresh"
        assert [action.name for action in journal.history()] == ["second", "first"]
        journal.undo()
        assert texts(folder) == after_first
        journal.undo()
        assert texts(folder) == start
        assert journal.undo() is None
        journal.redo()
        assert texts(folder) == after_first
        journal.redo()
        assert texts(folder) == after_second
        assert journal.redo() is None


def test_history_outlives_the_process(folder: Path) -> None:
    start = texts(folder)
    with Journal(folder) as journal:
        for number in range(5):
            journal.record(f"{number}", [Change("b.txt", "1boy" if not number else f"{number - 1}", f"{number}")])
        journal.undo()
    with Journal(folder) as journal:
        assert [(action.name, action.is_undone) for action in journal.history(2)] == [("4", True), ("3", False)]
        journal.redo()
        assert texts(folder)["b.txt"] == "4"
        while journal.undo():
            pass
        assert texts(folder) == start


def test_something_new_ends_what_could_be_done_again(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("one", [Change("b.txt", "1boy", "x")])
        journal.undo()
        journal.record("two", [Change("b.txt", "1boy", "y")])
        assert journal.redo() is None
        assert [action.name for action in journal.history()] == ["two"]


def test_encodings_survive_undo_and_redo(folder: Path) -> None:
    data = "风景照片\r\n狗\r\n".encode("gb18030")
    (folder / "b.txt").write_bytes(data)
    with Journal(folder) as journal:
        journal.record("x", [Change("b.txt", "风景照片\n狗", "山水风景")])
        assert (folder / "b.txt").read_bytes() == "山水风景\r\n".encode("gb18030")
        journal.undo()
        assert (folder / "b.txt").read_bytes() == data


@pytest.mark.parametrize(
    "data", ["山水风景\r\n狗\r\n".encode("gb18030"), b"a\r\nb", b"caf\xe9, b", "猫\r狗".encode("utf-16"), b"a\r\nb\nc"]
)
def test_the_same_bytes_come_back_even_when_they_could_not_be_told_meanwhile(folder: Path, data: bytes) -> None:
    path = folder / "b.txt"
    path.write_bytes(data)
    text = read_caption(path).text
    with Journal(folder) as journal:
        journal.record("x", [Change("b.txt", text, "cat")])
        journal.record("y", [Change("b.txt", "cat", "dog, cat")])
        assert path.read_bytes().decode(read_caption(path).encoding, "ignore").strip("\ufeff\r\n") == "dog, cat"
    with Journal(folder) as journal:
        journal.undo()
        journal.undo()
        assert path.read_bytes() == data
        journal.redo()
        path.write_text("猫", encoding="utf-8")  # somebody else's is theirs to choose
        journal.record("z", [Change("b.txt", "猫", "猫, 狗")])
        assert path.read_text(encoding="utf-8") == "猫, 狗"


def test_captions_that_were_empty_lines_meanwhile_end_as_they_did(folder: Path) -> None:
    path = folder / "b.txt"
    path.write_bytes(b"cat\ndog")
    with Journal(folder) as journal:
        journal.record("remove all", [Change("b.txt", "cat\ndog", "\n")])
        assert path.read_bytes() == b"\n"
    with Journal(folder) as journal:
        journal.undo()
        assert path.read_bytes() == b"cat\ndog"
        journal.record("x", [Change("b.txt", "cat\ndog", "cat\n")])
        journal.record("y", [Change("b.txt", "cat\n", "dog")])
        assert path.read_bytes() == b"dog"


def test_a_file_that_changed_outside_is_not_written(folder: Path) -> None:
    with Journal(folder) as journal:
        (folder / "b.txt").write_text("theirs", encoding="utf-8")
        action = journal.record("x", [Change("a.txt", "1girl, cat ears", "a"), Change("b.txt", "1boy", "b")])
        assert [(each.path, each.problem.code) for each in action.skipped] == [("b.txt", "caption_changed_outside")]
        assert (texts(folder)["a.txt"], texts(folder)["b.txt"]) == ("a", "theirs")
        journal.undo()
        assert (texts(folder)["a.txt"], texts(folder)["b.txt"]) == ("1girl, cat ears", "theirs")


def test_undo_over_a_change_from_outside_is_refused_unless_wanted(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("x", [Change("a.txt", "1girl, cat ears", "a"), Change("b.txt", "1boy", "b")])
        (folder / "b.txt").write_text("theirs", encoding="utf-8")
        with pytest.raises(FilesChangedOutside) as error:
            journal.undo()
        assert error.value.paths == ("b.txt",)
        assert texts(folder)["a.txt"] == "a"
        journal.undo("skip")
        assert (texts(folder)["a.txt"], texts(folder)["b.txt"]) == ("1girl, cat ears", "theirs")
        journal.redo()
        (folder / "a.txt").unlink()
        journal.undo("overwrite")
        assert texts(folder)["a.txt"] == "1girl, cat ears"


def test_what_only_could_not_be_written_is_undone_and_done_again_with_the_rest(folder: Path) -> None:
    start, place = texts(folder), folder / "sub" / "c.txt"
    changes = [Change("a.txt", "1girl, cat ears", "cat"), Change("sub/c.txt", "风景, 山", "山")]

    def forbid() -> None:
        place.unlink()
        place.symlink_to(place.name)  # a link to itself: nobody can read or write it

    with Journal(folder) as journal:
        forbid()
        action = journal.record("both", changes)
        assert [each.path for each in action.skipped] == ["sub/c.txt"]
        undone = journal.undo()
        assert undone is not None and (folder / "a.txt").read_text(encoding="utf-8") == "1girl, cat ears"
        place.unlink()
        place.write_text(start["sub/c.txt"], encoding="utf-8")
        journal.redo()
        assert texts(folder) == start | {"a.txt": "cat", "sub/c.txt": "山"}
    with Journal(folder) as journal:
        assert journal.history()[0].skipped == ()
        journal.undo()
        assert texts(folder) == start


def test_a_recording_of_many_parts_is_one_action(folder: Path) -> None:
    start = texts(folder)
    with Journal(folder) as journal:
        with journal.recording("tagging") as recording:
            recording.write([Change("a.txt", "1girl, cat ears", "a"), Change("a.txt", "a", "aa")])
            recording.write([Change("b.txt", "1boy", "b")])
            assert recording.action.num_changes == 3
        assert [action.name for action in journal.history()] == ["tagging"]
        journal.undo()
        assert texts(folder) == start


def test_files_may_be_written_behind(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("one", [Change("a.txt", "1girl, cat ears", "one")], wait=False)
        journal.record("two", [Change("a.txt", "one", "two")], wait=False)
        journal.undo(wait=False)
        journal.wait()
        assert journal.num_pending == 0
        assert texts(folder)["a.txt"] == "one"
        status = (folder / "a.txt").stat()
        assert journal.outcomes() == {"a.txt": f"{status.st_size}-{status.st_mtime_ns}"}
        assert journal.outcomes() == {}


BATCH = """
import sys
from pathlib import Path
from backend.editing.journal import Change, Journal
folder = Path(sys.argv[1])
with Journal(folder) as journal:
    journal.record("batch", [Change(f"{number}.txt", "old", "new") for number in range(2100)])
"""


def test_a_batch_that_is_killed_is_carried_to_its_end(tmp_path: Path) -> None:
    for number in range(2100):
        (tmp_path / f"{number}.txt").write_text("old", encoding="utf-8")
    run_and_kill(BATCH, str(tmp_path), at=200)
    assert sorted(texts(tmp_path).values()) == ["new"] * 199 + ["old"] * 1901
    with Journal(tmp_path) as journal:
        assert [action.name for action in journal.recovered] == ["batch"]
        assert set(texts(tmp_path).values()) == {"new"}
        (action,) = journal.history()
        assert action.is_finished
        journal.undo()
        assert set(texts(tmp_path).values()) == {"old"}
    assert len(list(tmp_path.iterdir())) - 2100 <= 1  # at most the hidden half of one file


UNDO = """
import sys
from pathlib import Path
from backend.editing.journal import Journal
with Journal(Path(sys.argv[1])) as journal:
    journal.undo()
"""


def test_an_undo_that_is_killed_is_carried_to_its_end(tmp_path: Path) -> None:
    names = [f"{number}.txt" for number in range(400)]
    for name in names:
        (tmp_path / name).write_text("old", encoding="utf-8")
    with Journal(tmp_path) as journal:
        journal.record("batch", [Change(name, "old", "new") for name in names])
    run_and_kill(UNDO, str(tmp_path), at=200)
    assert set(texts(tmp_path).values()) == {"old", "new"}
    with Journal(tmp_path) as journal:
        assert set(texts(tmp_path).values()) == {"old"}
        assert journal.history()[0].is_undone
        journal.redo()
        assert set(texts(tmp_path).values()) == {"new"}


def test_a_torn_last_line_is_none(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("one", [Change("a.txt", "1girl, cat ears", "one")])
        journal.record("two", [Change("a.txt", "one", "two")])
    path = journal_path(folder)
    whole = path.read_bytes()
    for cut in range(len(whole) - 1, whole.index(b'{"kind":"begin","action":2') - 1, -3):
        path.write_bytes(whole[:cut])
        (folder / "a.txt").write_text("two", encoding="utf-8")
        with Journal(folder) as journal:
            names = [action.name for action in journal.history()]
            assert names in (["two", "one"], ["one"])
            if names == ["one"]:  # the change was never written down, so it is somebody else's
                with pytest.raises(FilesChangedOutside):
                    journal.undo()
            journal.record("three", [Change("a.txt", "two", "three")])
        with Journal(folder) as journal:
            assert [action.name for action in journal.history()] == ["three", *names]


def test_a_damaged_line_in_the_middle_costs_only_itself(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("one", [Change("a.txt", "1girl, cat ears", "one")])
        journal.record("two", [Change("b.txt", "1boy", "two")])
    path = journal_path(folder)
    path.write_bytes(path.read_bytes().replace(b'{"kind":"begin","action":1', b'{"kind"###begin","action":1'))
    with Journal(folder) as journal:
        assert [action.name for action in journal.history()] == ["two"]
        journal.undo()
        assert texts(folder)["b.txt"] == "1boy"


WRITER = """
import sys
from pathlib import Path
from backend.editing.journal import Change, Journal
folder, me = Path(sys.argv[1]), sys.argv[2]
with Journal(folder) as journal:
    for number in range(60):
        before = f"{number - 1}" if number else None
        journal.record(f"{me} {number}", [Change(f"{me}.txt", before, f"{number}")])
"""


@pytest.mark.parametrize("is_finished", [True, False])
def test_data_that_the_power_took_costs_only_itself(folder: Path, is_finished: bool) -> None:
    with Journal(folder) as journal:
        journal.record("one", [Change("b.txt", "1boy", "one")])
        journal.record("two", [Change("a.txt", "1girl, cat ears", "two")])
    path = journal_path(folder)
    *lines, data, end = path.read_bytes().splitlines(keepends=True)
    lines.append(bytes(len(data)))
    if is_finished:
        lines.append(end)
    else:  # by a process that is gone
        lines[-3] = lines[-3].replace(b'"owner":[', b'"owner":[99999')
    path.write_bytes(b"".join(lines))
    with Journal(folder) as journal:
        assert [action.name for action in journal.history()] == ["two", "one"]
        while journal.undo():
            pass
    assert (folder / "b.txt").read_text() == "1boy"


def test_ten_thousand_actions_are_read_quickly(folder: Path) -> None:
    with Journal(folder) as journal:
        journal.record("one", [Change("a.txt", "1girl, cat ears", "one")])
    path = journal_path(folder)
    _, *lines = path.read_bytes().splitlines(keepends=True)
    with path.open("ab") as file:
        for number in range(2, 10_001):
            file.writelines(each.replace(b'"action":1,', b'"action":%d,' % number) for each in lines)
    began = time.process_time()
    with Journal(folder) as journal:
        assert time.process_time() - began < 1.5
        assert len(journal.history(20_000)) == 10_000


def test_a_disk_that_is_gone_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def gone(path: object, *arguments: object, **options: object) -> os.stat_result:
        if str(path) == str(folder):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return real(path, *arguments, **options)  # type: ignore[call-overload, no-any-return]

    with Journal(folder) as journal:
        monkeypatch.setattr(os, "stat", gone)
        (folder / "a.txt").unlink()
        action = journal.record("x", [Change("a.txt", "1girl, cat ears", "a")])
        monkeypatch.undo()
        assert [each.problem.code for each in action.skipped] == ["caption_folder_gone"]
        assert journal.num_pending == 0


def test_two_processes_share_a_journal(folder: Path) -> None:
    with Journal(folder) as journal:
        processes = [run(WRITER, str(folder), me) for me in ("x", "y")]
        assert [process.wait() for process in processes] == [0, 0]
        names = [action.name for action in journal.history(1000)]
        assert sorted(names) == sorted(f"{me} {number}" for me in "xy" for number in range(60))
        assert len({action.id for action in journal.history(1000)}) == 120
        while journal.undo():
            pass
        assert sorted(texts(folder)) == ["a.txt", "b.txt", "sub/c.txt"]


def test_a_living_process_is_left_to_finish_its_own(folder: Path) -> None:
    with Journal(folder) as mine, mine.recording("long") as recording:
        recording.write([Change("a.txt", "1girl, cat ears", "a")])
        with Journal(folder) as other:
            assert other.recovered == ()
            assert other.undo() is None
            other.record("short", [Change("b.txt", "1boy", "b")])
        recording.write([Change("sub/c.txt", "风景, 山", "c")])
    assert texts(folder) == {"a.txt": "a", "b.txt": "b", "sub/c.txt": "c"}


def test_a_folder_that_is_gone_is_told_once_for_all(folder: Path) -> None:
    with Journal(folder) as journal:
        folder.rename(folder.with_name("away"))
        action = journal.record("x", [Change("a.txt", "1girl, cat ears", "a"), Change("b.txt", "1boy", "b")])
        assert {each.problem.code for each in action.skipped} == {"caption_folder_gone"}
        folder.with_name("away").rename(folder)
    assert texts(folder)["a.txt"] == "1girl, cat ears"


def test_a_journal_that_cannot_be_written_stops_the_change(folder: Path, own_home: Path) -> None:
    (own_home / "journals").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError) as error:
        Journal(folder)
    assert error.value.problem.code == "file_unwritable"


def test_captions_that_had_to_become_utf_8_are_told_once(folder: Path) -> None:
    (folder / "j.txt").write_bytes("長い髪, 笑顔".encode("cp932"))
    with Journal(folder) as journal:
        journal.record("kept", [Change("j.txt", "長い髪, 笑顔", "長い髪, 青い空")])
        assert (folder / "j.txt").read_bytes() == "長い髪, 青い空".encode("cp932") and journal.converted() == {}
        journal.record("other", [Change("j.txt", "長い髪, 青い空", "長い髪, caf\xe9 한국")])
        assert (folder / "j.txt").read_text(encoding="utf-8") == "長い髪, caf\xe9 한국"
        assert journal.converted() == {"j.txt": "cp932"} and journal.converted() == {}
        journal.undo()
        assert (folder / "j.txt").read_bytes() == "長い髪, 青い空".encode("cp932") and journal.converted() == {}


def test_lines_of_several_kinds_of_ends_keep_their_own(folder: Path) -> None:
    data = b"a\r\nb\nc\r\n"
    (folder / "m.txt").write_bytes(data)
    with Journal(folder) as journal:
        journal.record("edit", [Change("m.txt", "a\r\nb\nc\r\n", "a\nb, more\nnew\nc")])
        assert (folder / "m.txt").read_bytes() == b"a\r\nb, more\nnew\r\nc\r\n"
        journal.record("shorten", [Change("m.txt", "a\nb, more\nnew\nc", "b, more")])
        assert (folder / "m.txt").read_bytes() == b"b, more\n"
        journal.undo()
        journal.undo()
        assert (folder / "m.txt").read_bytes() == data
        journal.redo()
        assert (folder / "m.txt").read_bytes() == b"a\r\nb, more\nnew\r\nc\r\n"


def test_many_changes_are_written_down_quickly(tmp_path: Path) -> None:
    caption = ", ".join(f"tag_number_{number}" for number in range(30))
    changes = [Change(f"{number % 10}/{number:07}.txt", caption, caption + ", more") for number in range(100_000)]
    with Journal(tmp_path) as journal:
        start = time.process_time()
        with journal.recording("x") as recording:
            journal._write_down(recording._record, changes)
        written = time.process_time() - start
    assert written < 3
    start = time.process_time()
    with Journal(tmp_path) as journal:
        assert journal.history()[0].num_changes == 100_000
    assert time.process_time() - start < written / 2, "what was changed is not read to tell of it"
