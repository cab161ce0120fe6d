"""Shards: pictures and captions of one name, read by their places in the .tar; cut short, gone, compressed."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from looking import codes, look, only, picture, shard, told

from backend.data.images import read_rgb
from backend.data.sources.webdataset import expand
from backend.data.stores import open_store


def test_members_of_one_name_belong_together(tmp_path: Path) -> None:
    facts = {"caption": "a dog", "description": "A dog runs.", "artist": "x"}
    path = shard(
        tmp_path / "set.tar",
        {
            "000.jpg": picture(),
            "000.txt": "一只猫\n第二行".encode(),
            "in/001.png": picture("blue", "PNG"),
            "in/001.json": json.dumps(facts).encode(),
            "002.webp": picture("white", "WEBP"),
            "002.cls": b"7",
            "003.npy": b"something else",
            "004.original.jpg": picture(),
        },
    )
    found = look(path, class_tokens="thing")
    assert told(found) == [
        ("set.tar/000.jpg", ("一只猫\n第二行",), ""),
        ("set.tar/in/001.png", ("a dog",), "A dog runs."),
        ("set.tar/002.webp", (), ""),
        ("set.tar/004.original.jpg", (), ""),
    ]
    assert {(item.width, item.height) for item in found.images} == {(40, 30)}
    assert found.problems == ()
    store = open_store(found.datasets[0])
    assert read_rgb(store.read(found.images[1].location)).getpixel((3, 3)) == (0, 0, 255)


def test_patterns_name_several_shards(tmp_path: Path) -> None:
    for number in range(3):
        shard(tmp_path / f"set-{number:03}.tar", {f"{number}.jpg": picture(), f"{number}.txt": b"x"})
    assert len(look(tmp_path / "set-{000..002}.tar").images) == 3
    assert len(look(tmp_path / "set-*.tar", source="webdataset").images) == 3
    assert len(look(tmp_path, source="webdataset").images) == 3
    found = look(tmp_path / "set-{001..004}.tar")
    assert [item.name for item in found.images] == ["set-001.tar/1.jpg", "set-002.tar/2.jpg"]
    assert (only(found).code, only(found).params["names"]) == ("shards_not_there", "set-003.tar, set-004.tar")
    shard(tmp_path / "odd [1] {x}" / "a.tar", {"a.jpg": picture()})
    assert len(look(tmp_path / "odd [1] {x}" / "a.tar").images) == 1
    shard(tmp_path / "odd [1]" / "a.tar", {"a.jpg": picture()})
    assert len(look(tmp_path / "odd [1]" / "*.tar").images) == 1
    (tmp_path / "empty").mkdir()
    assert codes(look(tmp_path / "empty", source="webdataset")) == {"shards_missing"}


def test_braces_count_and_list() -> None:
    assert expand("a{08..11}.tar") == ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]
    assert expand("{a,b}/{1..2}.tar") == ["a/1.tar", "a/2.tar", "b/1.tar", "b/2.tar"]


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.75])
def test_a_shard_cut_short_gives_what_is_whole_in_it(tmp_path: Path, part: float) -> None:
    members = {f"{number:03}.jpg": picture(size=(400, 300)) for number in range(20)}
    path = shard(tmp_path / "set.tar", members)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    found = look(path, class_tokens="x")
    assert 0 < len(found.images) < 20
    problem = only(found)
    assert (problem.level, problem.code, problem.params["names"]) == ("warning", "shards_cut_short", "set.tar")
    store = open_store(found.datasets[0])
    assert all(store.read(item.location) == members[item.name[8:]] for item in found.images)


def test_a_shard_without_its_end_is_told(tmp_path: Path) -> None:
    path = shard(tmp_path / "set.tar", {"a.jpg": picture(), "b.jpg": picture()})
    with tarfile.open(path) as file:
        end = file.getmembers()[1].offset
    path.write_bytes(path.read_bytes()[:end])
    found = look(path, class_tokens="x")
    assert [item.name for item in found.images] == ["set.tar/a.jpg"]
    assert codes(found) == {"shards_cut_short"}


def test_files_that_are_no_shards(tmp_path: Path) -> None:
    (tmp_path / "text.tar").write_bytes(b"this is no archive" * 100)
    assert codes(look(tmp_path / "text.tar")) == {"shard_damaged"}
    shard(tmp_path / "packed.tar", {"a.jpg": picture()}, "w:gz")
    assert codes(look(tmp_path / "packed.tar")) == {"shard_damaged"}
    assert codes(look(tmp_path / "gone.tar")) == {"dataset_missing"}


def test_a_shard_is_looked_through_once(tmp_path: Path) -> None:
    path = shard(tmp_path / "set.tar", {"a.jpg": picture(), "a.txt": b"a", "b.jpg": picture(), "b.cls": b"dog"})
    first = look(path)
    assert [item.text for item in first.images] == ["a", "dog"]
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look(path).images == first.images
    shard(path, {"c.jpg": picture(), "c.json": b"{"})
    found = look(path)
    assert [item.name for item in found.images] == ["set.tar/c.jpg"]
    assert codes(found) == {"metadata_lines_damaged", "captions_missing"}


def test_masks_in_shards(tmp_path: Path) -> None:
    members = {"a.jpg": picture(), "a-masklabel.png": picture("white", "PNG"), "b.jpg": picture()}
    found = look(shard(tmp_path / "set.tar", members), mask="file", class_tokens="x")
    assert [item.name for item in found.images] == ["set.tar/a.jpg", "set.tar/b.jpg"]
    assert open_store(found.datasets[0]).read(found.images[0].mask) == members["a-masklabel.png"]
    assert codes(found) == {"masks_missing"}


def test_a_picture_with_a_long_header_is_measured(tmp_path: Path) -> None:
    data = picture(size=(500, 400))
    remark = b"\xff\xfe" + (60_000).to_bytes(2, "big") + b"x" * 59_998
    path = shard(tmp_path / "set.tar", {"a.jpg": data[:2] + remark * 3 + data[2:]})
    found = look(path, class_tokens="x")
    assert [(item.width, item.height) for item in found.images] == [(500, 400)]
