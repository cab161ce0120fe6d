"""The shard store: what is put in comes out, whoever writes at once, whatever is killed, cut short or flipped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from backend.config.problems import UserError
from backend.data import shards
from backend.data.cleaning import find_orphans, find_unused
from backend.data.index import Content, Index
from backend.data.shards import ShardStore
from backend.formats.header import Header

ROOT = Path(__file__).resolve().parents[2]
TENSORS = {
    "latents": torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(0)),
    "mask": torch.rand(8, 8).bfloat16(),
    "corner": torch.tensor([3, -5]),
    "nothing": torch.empty(0, 3),
    "flags": torch.tensor([True, False]),
}


def fill(folder: Path, keys: list[str], *, compress: bool = False) -> ShardStore:
    store = ShardStore(folder, compress=compress)
    with store.writer() as writer:
        for key in keys:
            writer.put(key, TENSORS, {"name": f"图 {key}"})
    return store


def same(tensors: shards.Tensors | None) -> bool:
    assert tensors is not None and tensors.keys() == TENSORS.keys()
    return all(
        tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items()
    )


@pytest.mark.parametrize("compress", [False, True])
def test_what_is_put_in_comes_out(tmp_path: Path, compress: bool) -> None:
    fill(tmp_path, ["a", "b", "c"], compress=compress)
    again = ShardStore(tmp_path)
    assert "b" in again and "d" not in again and again.get("d") is None
    assert all(same(again.get(key)) for key in "abc")
    assert dict(again.notes())["b"] == {"name": "图 b"}
    assert again.verify() == []


def test_compression_makes_compressible_tensors_small(tmp_path: Path) -> None:
    for name, compress in (("plain", False), ("packed", True)):
        with ShardStore(tmp_path / name, compress=compress).writer() as writer:
            writer.put("a", {"latents": torch.zeros(64, 64)}, {})
    sizes = [ShardStore(tmp_path / name).shards()[0].stat().st_size for name in ("plain", "packed")]
    assert sizes[1] < sizes[0] / 4


def test_any_program_that_knows_safetensors_can_read_a_shard(tmp_path: Path) -> None:
    store = fill(tmp_path, ["a"])
    with safe_open(store.shards()[0], "pt") as file:
        assert torch.equal(file.get_tensor("a.latents"), TENSORS["latents"])


def test_many_small_writes_end_in_few_files(tmp_path: Path) -> None:
    store = ShardStore(tmp_path)
    with store.writer() as writer:
        for number in range(20):
            writer.put(str(number), TENSORS, {})
            writer.flush()
        assert len(store.shards()) == 20
    assert len(store.shards()) == 1
    assert all(same(ShardStore(tmp_path).get(str(number))) for number in range(20))


def test_what_a_killed_writer_left_is_joined_by_a_later_one(tmp_path: Path) -> None:
    killed = ShardStore(tmp_path).writer()
    for key in "abc":
        killed.put(key, TENSORS, {})
        killed.flush()
    for path in killed.written[:2]:
        os.utime(path, (0, 0))
    fill(tmp_path, ["d"])
    assert len(ShardStore(tmp_path).shards()) == 2, "the third may have a writer that still lives"
    assert all(same(ShardStore(tmp_path).get(key)) for key in "abcd")


def test_a_shard_is_written_when_it_is_large_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    store = ShardStore(tmp_path)
    writer = shards.ShardWriter(store, clock=lambda: now[0])
    writer.put("a", TENSORS, {})
    assert store.shards() == []
    now[0] = shards.SHARD_SECONDS + 1
    writer.put("b", TENSORS, {})
    assert len(store.shards()) == 1
    monkeypatch.setattr(shards, "SHARD_BYTES", 100)
    writer.put("c", TENSORS, {})
    assert len(store.shards()) == 2


def killed_writer(folder: Path, keys: str = "abc") -> list[Path]:
    """Write a shard for each key; returns them."""
    writer = ShardStore(folder).writer()
    for key in keys:
        writer.put(key, TENSORS, {"name": key})
        writer.flush()
    return writer.written


def test_a_shard_that_is_joined_while_it_is_looked_at_is_found_in_its_new_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, other = killed_writer(tmp_path), ShardStore(tmp_path)
    real, joined = shards.read_header, []

    def read_header(path: Path) -> Header:
        if not joined:
            joined.append(path)
            other.join_small(written)
        return real(path)

    monkeypatch.setattr(shards, "read_header", read_header)
    store = ShardStore(tmp_path)
    assert joined and all(same(store.get(key)) for key in "abc")


def test_what_another_run_joined_or_removed_is_known_after_a_look(tmp_path: Path) -> None:
    written = killed_writer(tmp_path)
    store, other = ShardStore(tmp_path), ShardStore(tmp_path)
    assert same(store.get("a"))
    other.join_small(written)
    assert all(same(store.get(key)) for key in "abc")
    for path in other.shards():
        path.unlink()
    store.refresh()
    assert not store.entries and store.get("a") is None
    store.join_small(written)
    assert store.drop({"a", "b"}) == 0


def test_a_shard_that_is_removed_while_it_is_written_again_costs_its_entries_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, store = killed_writer(tmp_path), ShardStore(tmp_path)
    real = shards.ShardStore._write

    def write(self: ShardStore, rows: shards.Iterable[shards.Row]) -> Path | None:
        written[0].unlink(missing_ok=True)
        return real(self, rows)

    monkeypatch.setattr(ShardStore, "_write", write)
    store.join_small(written)
    assert set(store.entries) == {"b", "c"} and all(same(store.get(key)) for key in "bc")
    assert len(store.shards()) == 1


def test_what_a_killed_writer_left_half_written_is_removed_later(tmp_path: Path) -> None:
    for name, age in ((".dead.partial", 1e6), (".alive.partial", 0)):
        (tmp_path / name).write_bytes(b"half a shard")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    fill(tmp_path, ["a"])
    assert [path.name for path in tmp_path.glob(".*")] == [".alive.partial"]


def test_shards_whose_entries_are_in_later_ones_can_go(tmp_path: Path) -> None:
    first, _ = killed_writer(tmp_path, "ab")
    (latest,) = killed_writer(tmp_path, "a")
    store = ShardStore(tmp_path)
    assert store.remove_superseded() > 0 and store.remove_superseded() == 0
    assert not first.exists() and latest.exists()
    assert all(same(store.get(key)) for key in "ab")


def test_two_runs_agree_on_which_of_two_shards_counts(tmp_path: Path) -> None:
    older, other = killed_writer(tmp_path, "ab")
    (newer,) = fill(tmp_path / "second", ["a", "c"]).shards()
    newer = newer.rename(tmp_path / newer.name)
    hidden = older.rename(tmp_path / "not yet")
    late = ShardStore(tmp_path)
    hidden.rename(older)
    late.refresh()
    ShardStore(tmp_path).remove_superseded()
    assert not older.exists()
    late.join_small([newer, other])
    assert all(same(ShardStore(tmp_path).get(key)) for key in "abc")


def flip_byte(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_costs_one_entry(tmp_path: Path) -> None:
    shard = fill(tmp_path, ["a", "b", "c"]).shards()[0]
    flip_byte(shard, -5)
    store = ShardStore(tmp_path)
    lost = store.verify()
    assert len(lost) == 1
    for again in (store, ShardStore(tmp_path)):
        assert set(again.entries) == {"a", "b", "c"} - set(lost)
        assert all(same(again.get(key)) for key in again.entries)
    assert ShardStore(tmp_path).verify() == []


@pytest.mark.parametrize("compress", [False, True])
def test_no_flipped_bit_of_a_header_gives_another_tensor(tmp_path: Path, compress: bool) -> None:
    path = fill(tmp_path, ["a", "b"], compress=compress).shards()[0]
    data = path.read_bytes()
    for place in range(shards.read_header(path).data_start):
        for bit in (1, 8):
            path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            store = ShardStore(tmp_path)
            for key in store.entries:
                found = store.get(key)
                assert found is None or same(found), data[place - 20 : place + 20]


def test_the_other_processes_of_a_run_know_what_the_first_one_found_damaged(tmp_path: Path) -> None:
    shard = fill(tmp_path, ["a", "b"]).shards()[0]
    flip_byte(shard, -5)
    first, second = ShardStore(tmp_path), ShardStore(tmp_path)
    (lost,) = first.verify()
    second.refresh()
    assert lost not in second and set(second.entries) == {"a", "b"} - {lost}


def test_a_doubt_about_one_shard_vouches_for_no_other(tmp_path: Path) -> None:
    killed_writer(tmp_path, "a")
    assert ShardStore(tmp_path).verify() == []
    (later,) = killed_writer(tmp_path, "b")
    flip_byte(later, -5)
    ShardStore(tmp_path).doubt("a")
    assert ShardStore(tmp_path).verify() == ["b"]


def test_a_folder_that_cannot_be_written_to_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, ["a"])
    store = ShardStore(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refuse)
    assert store.verify() == [] and same(store.get("a"))
    store.doubt("a")


def test_what_was_verified_is_looked_at_again_only_in_doubt(tmp_path: Path) -> None:
    store = fill(tmp_path, ["a", "b"])
    assert store.verify() == []
    shard = store.shards()[0]
    stat = shard.stat()
    flip_byte(shard, -5)
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store = ShardStore(tmp_path)
    assert store.verify() == []
    (damaged,) = [key for key in "ab" if store.get(key) is None]
    store.doubt(damaged)
    assert ShardStore(tmp_path).verify() == [damaged]


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 64, None])
def test_a_shard_that_is_none_is_removed(tmp_path: Path, content: bytes | None) -> None:
    shard = fill(tmp_path, ["a"]).shards()[0]
    shard.write_bytes(shard.read_bytes()[:-3] if content is None else content)
    store = ShardStore(tmp_path)
    assert not store.entries and not shard.exists()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("model.safetensors", "notes.txt", ".hidden.safetensors"):
        (tmp_path / name).write_bytes(b"mine")
    assert not ShardStore(tmp_path).entries
    assert len(list(tmp_path.iterdir())) == 3


def test_entries_survive_that_another_run_joins_their_shards(tmp_path: Path) -> None:
    first = ShardStore(tmp_path)
    with first.writer() as writer:
        for key in ("a", "b"):
            writer.put(key, TENSORS, {})
            writer.flush()
        second = ShardStore(tmp_path)
        assert len(second.shards()) == 2
    assert all(same(second.get(key)) for key in ("a", "b"))


def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, ["a"])
    store = ShardStore(tmp_path)
    writer = store.writer()
    writer.put("b", TENSORS, {})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError) as caught:
        writer.flush()
    assert caught.value.problem.code == "disk_full"
    assert set(ShardStore(tmp_path).entries) == {"a"}
    assert len(list(tmp_path.iterdir())) == 1


WRITER = """
import sys, torch
from pathlib import Path
from backend.data.shards import ShardStore
store = ShardStore(Path(sys.argv[1]))
writer = store.writer()
for number in range(100_000):
    writer.put(f"{sys.argv[2]}-{number}", {"latents": torch.full((4, 8, 8), float(number))}, {})
    if number % 10 == 9:
        writer.flush()
"""


def test_two_writers_are_killed_and_every_entry_is_whole(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("one", "two")]
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        writers = {key.split("-")[0] for key in ShardStore(tmp_path).entries}
        if writers == {"one", "two"} and len(ShardStore(tmp_path).shards()) > 20:
            break
        time.sleep(0.05)
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    store = ShardStore(tmp_path)
    assert store.verify() == []
    numbers = {
        name: [int(key.split("-")[1]) for key in store.entries if key.startswith(name)] for name in ("one", "two")
    }
    for name, found in numbers.items():
        assert found and sorted(found) == list(range(len(found)))
        for number in found:
            stored = store.get(f"{name}-{number}")
            assert stored is not None and bool((stored["latents"] == number).all())


def test_entries_of_pictures_that_are_gone_or_changed_are_orphans(tmp_path: Path) -> None:
    cache, pictures = tmp_path / "cache", tmp_path / "pictures"
    pictures.mkdir()
    rows = {}
    for name in ("kept", "gone", "changed", "moved"):
        path = pictures / f"{name}.png"
        path.write_text(name)
        stat = path.stat()
        rows[name] = (str(path), f"{stat.st_size}-{stat.st_mtime_ns}")
    store = ShardStore(cache / "latents")
    with Index(cache) as index, store.writer() as writer:
        index.remember((place, Content(name)) for name, place in rows.items())
        for name, (location, _) in rows.items():
            writer.put(name, TENSORS, {"content": name, "location": location})
        writer.put("unknown", TENSORS, {"content": "unknown", "location": str(pictures / "never.png")})
        writer.put("far", TENSORS, {"content": "far", "location": "s3://bucket/far.png"})
        writer.flush()
        (pictures / "gone.png").unlink()
        (pictures / "changed.png").write_text("other content")
        moved = (pictures / "moved.png").rename(pictures / "here.png")
        stat = moved.stat()
        index.remember([((str(moved), f"{stat.st_size}-{stat.st_mtime_ns}"), Content("moved"))])
        waste = find_orphans(store, index)
        assert waste.keys == {"gone", "changed", "unknown"} and waste.num_bytes > 0
        assert store.drop(set(waste.keys)) > 0
    left = ShardStore(cache / "latents")
    assert set(left.entries) == {"kept", "moved", "far"} and all(same(left.get(key)) for key in left.entries)


def test_what_no_run_used_for_long_can_go(tmp_path: Path) -> None:
    fill(tmp_path, ["old"])
    store = ShardStore(tmp_path)
    month_ago = time.time_ns() - 31 * 86400 * 10**9
    os.utime(store.shards()[0], ns=(month_ago, month_ago))
    assert find_unused(store, days=30).keys == {"old"}
    store.touch(["old"])
    assert find_unused(store, days=30).keys == set()
