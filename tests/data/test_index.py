"""The index remembers by location and stamp, stands damage and company, and is never an error."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.config.data import DataSection, DatasetConfig
from backend.data.index import FILE_NAME, CaptionFile, Content, Facts, Index, Looks
from backend.data.scan import Stopped, scan

FACTS = Facts(64, 48, "RGB", False, "")
PROJECT = Path(__file__).resolve().parents[2]


def known(index: Index, location: str, stamp: str) -> Facts | None:
    return index.find(Facts, [(location, stamp)]).get(location)


def test_what_is_remembered_is_found_until_the_stamp_changes(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        index.remember([(("a", "1"), FACTS), (("a", "1"), Content("abc")), (("b", ""), FACTS)])
        index.remember([(("a", "1"), CaptionFile("一只猫", True)), (("a", "1"), Looks("f0", 2.5, ""))])
    with Index(tmp_path) as index:
        assert known(index, "a", "1") == FACTS
        assert known(index, "a", "2") is None
        assert known(index, "b", "") is None
        assert index.find(Looks, [("a", "1")]) == {"a": Looks("f0", 2.5, "")}
        assert index.find(CaptionFile, [("a", "1")]) == {"a": CaptionFile("一只猫", True)}
        index.remember([(("a", "2"), Facts(1, 2))])
        assert (known(index, "a", "1"), known(index, "a", "2")) == (None, Facts(1, 2))


def test_many_are_found_at_once(tmp_path: Path) -> None:
    keys = [(f"folder/{number}", "s") for number in range(2500)]
    with Index(tmp_path) as index:
        index.remember((key, Facts(number, 1)) for number, key in enumerate(keys))
        found = index.find(Facts, keys)
    assert [found[location].width for location, _ in keys] == list(range(2500))


def test_a_damaged_or_newer_index_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database, and long enough to be taken for one" * 40)
    with Index(tmp_path) as index:
        index.remember([(("a", "1"), FACTS)])
        assert known(index, "a", "1") == FACTS
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with Index(tmp_path) as index:
        assert known(index, "a", "1") is None
        index.remember([(("a", "1"), FACTS)])
        assert known(index, "a", "1") == FACTS
    assert list(tmp_path.glob("*.damaged"))


def test_damage_while_it_is_open_only_forgets(tmp_path: Path) -> None:
    with Index(tmp_path) as index:
        index.remember(((f"a{number}", "1"), FACTS) for number in range(5000))
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[8192:] = b"\x00" * (len(data) - 8192)
    path.write_bytes(data)
    with Index(tmp_path) as index:
        index.find(Facts, [(f"a{number}", "1") for number in range(5000)])
        index.remember([(("new", "1"), FACTS)])
        index.find(Facts, [("new", "1")])


def test_a_folder_that_cannot_be_written_to_costs_only_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Index(tmp_path / "file" / "folder") as index:
        index.remember([(("a", "1"), FACTS)])
        assert known(index, "a", "1") == FACTS


def test_threads_and_processes_share_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from backend.data.index import Facts, Index\n"
        "with Index(Path(sys.argv[1])) as index:\n"
        "    for number in range(200): index.remember([((f'{sys.argv[2]}-{number}', 's'), Facts(number, 1))])\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], cwd=PROJECT) for name in ("one", "two")
    ]
    with Index(tmp_path) as index, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: index.remember([((f"own-{number}", "s"), Facts(number, 1))]), range(200)))
        assert [process.wait(240) for process in processes] == [0, 0]
        keys = [(f"{name}-{number}", "s") for name in ("one", "two", "own") for number in range(200)]
        assert len(index.find(Facts, keys)) == 600


def spoil(path: Path) -> None:
    """Replace a file's content so that only reading it would tell: size and time stay."""
    status = path.stat()
    path.write_bytes(b"?" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_second_scan_opens_only_what_changed(draw, tmp_path: Path) -> None:
    for name in "abc":
        draw(f"{name}.png", caption=name)
    bad = tmp_path / "pictures" / "bad.png"
    bad.write_bytes(b"no picture")
    data = DataSection(datasets=[DatasetConfig(path=str(tmp_path / "pictures"))])
    first = scan(data, cache_dir=tmp_path / "cache")
    for path in (tmp_path / "pictures").iterdir():
        spoil(path)
    second = scan(data, cache_dir=tmp_path / "cache")
    assert (second.images, second.problems) == (first.images, first.problems)
    draw("b.png", size=(20, 10), caption="new")
    third = scan(data, cache_dir=tmp_path / "cache")
    assert [(item.text, item.width) for item in third.images] == [("a", 64), ("new", 20), ("c", 64)]


def test_progress_is_told_and_a_scan_can_be_stopped(draw, tmp_path: Path) -> None:
    for name in "abc":
        draw(f"{name}.png", caption=name)
    data = DataSection(datasets=[DatasetConfig(path=str(tmp_path / "pictures"))])
    told: list[int] = []
    scan(data, cache_dir=tmp_path / "cache", progress=told.append)
    assert told == [3]
    with pytest.raises(Stopped):
        scan(data, cache_dir=tmp_path / "cache", stop=lambda: True)
