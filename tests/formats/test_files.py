"""Weights are written whole or not at all, also when the disk is full or the writer is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from backend.config.messages import languages
from backend.config.problems import UserError
from backend.formats.files import prepare, replacing, save_safetensors

ROOT = Path(__file__).parents[2]
BIG = {"w": torch.ones(1 << 18)}


def failure(path: Path, tensors: dict[str, torch.Tensor]) -> UserError:
    with pytest.raises(UserError) as caught:
        save_safetensors(path, tensors, {})
    return caught.value


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let the system refuse, with a real error, to write a file beyond this size."""
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root on Linux; the limit on file sizes is tested everywhere else")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_tensors_and_metadata_come_back(tmp_path: Path) -> None:
    path = tmp_path / "\u70bc\u4e39 out" / "\u732b \U0001f525 'x'.safetensors"
    state = {"half": torch.randn(2, 3), "count": torch.tensor([3, 4])}
    save_safetensors(path, state, {"title": "\u732b"}, torch.float16)
    back = load_file(path)
    assert torch.equal(back["half"], state["half"].half())
    assert torch.equal(back["count"], state["count"])
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"title": "\u732b"}
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_views_shared_and_trained_tensors_are_written_as_their_own(tmp_path: Path) -> None:
    base = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4))
    state = {"a": base, "tied": base, "turned": base.T, "part": base[1:, ::2], "wide": torch.ones(1).expand(5)}
    save_safetensors(tmp_path / "x.safetensors", state, {})
    back = load_file(tmp_path / "x.safetensors")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in state.items())


def test_what_is_prepared_does_not_follow_the_training() -> None:
    weight = torch.zeros(3)
    ready = prepare({"w": weight}, None)
    weight += 1
    assert ready["w"].tolist() == [0, 0, 0]


def test_a_full_disk_keeps_the_file_before_and_leaves_nothing(small_disk: Path) -> None:
    path = small_disk / "model.safetensors"
    save_safetensors(path, {"w": torch.arange(8)}, {})
    error = failure(path, BIG)
    assert error.problem.code == "disk_full"
    assert error.problem.params["value"] == str(path)
    assert load_file(path)["w"].tolist() == list(range(8))
    assert [item.name for item in small_disk.iterdir()] == [path.name]
    save_safetensors(path, {"w": torch.ones(8)}, {})
    assert load_file(path)["w"].tolist() == [1] * 8


def test_a_file_that_the_system_lets_grow_no_further(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_safetensors(path, {"w": torch.arange(8)}, {})
    with largest_file(100_000):
        assert failure(path, BIG).problem.code == "disk_full"
    assert load_file(path)["w"].tolist() == list(range(8))
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["there/model.safetensors", "folder", "x" * 300])
def test_places_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file where a folder should be", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    error = failure(tmp_path / name, {"w": torch.ones(1)})
    assert error.problem.code == "file_unwritable"
    assert all(error.problem.text(language).count(name) for language in languages())
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert failure(tmp_path / "x.safetensors", {"w": torch.ones(1)}).problem.code == "file_unwritable"
    finally:
        tmp_path.chmod(0o700)


def test_an_error_while_writing_keeps_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), replacing(path) as fresh:
        fresh.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"before"
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_killed_writer_leaves_the_file_before_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"before")
    program = (
        "import os, signal, sys; from pathlib import Path; from backend.formats.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as fresh:\n    fresh.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=False)
    assert done.returncode != 0
    assert path.read_bytes() == b"before"
