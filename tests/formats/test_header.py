"""Headers of .safetensors files, held against the reference implementation."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from backend.config.problems import UserError
from backend.formats.header import MAXIMUM_HEADER, read_header

GOOD = save(
    {"a": torch.arange(6, dtype=torch.float16).reshape(2, 3), "b": torch.zeros(0, 4), "c": torch.tensor(True)},
    metadata={"title": "\u732b"},
)
ONE = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}%s}'


def written(tmp_path: Path, header: str, data: bytes = b"1234") -> Path:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header.encode())) + header.encode() + data)
    return path


def code(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    return caught.value.problem.code


def test_a_header_says_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "\u6a21\u578b \U0001f525.safetensors"
    state = {"unet.w": torch.randn(3, 4).bfloat16(), "x": torch.tensor([1.5, 2.5])}
    save_file(state, path, metadata={"ss_tag": "\u732b, cat"})
    header = read_header(path)
    assert header.metadata == {"ss_tag": "\u732b, cat"}
    assert (header.tensors["unet.w"].dtype, header.tensors["unet.w"].shape) == ("BF16", (3, 4))
    assert header.num_bytes == path.stat().st_size
    info = header.tensors["x"]
    data = path.read_bytes()[header.data_start + info.begin : header.data_start + info.end]
    assert struct.unpack("<2f", data) == (1.5, 2.5)


def test_no_torch_is_needed() -> None:
    command = "import sys, backend.formats.header; sys.exit('torch' in sys.modules or 'safetensors' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", command], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0


@pytest.mark.parametrize(
    "header",
    [
        "[" * 100_000,
        "[]",
        "{",
        '{"a": 3}',
        '{"a":{"dtype":"F32","shape":["x"],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,Infinity]}}',
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}',
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"NEW","shape":[1],"data_offsets":[-4,0]}}',
        '{"a":{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}}',
        ONE % ',"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}',
        ONE % ',"__metadata__":[1]',
        ONE % ',"\ud83d"'.encode("utf-8", "replace").decode(),
    ],
)
def test_a_header_that_is_none_is_no_crash(header: str, tmp_path: Path) -> None:
    assert code(written(tmp_path, header)) == "not_safetensors"


@pytest.mark.parametrize("content", [b"", b"abc", b"PK\x03\x04" * 50, b"\x80\x02}q\x00." * 9, b"\x00" * 64])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert code(path) == "not_safetensors"


def test_a_length_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", MAXIMUM_HEADER + 1) + b"{}")
    assert code(path) == "not_safetensors"


@pytest.mark.parametrize("missing", [1, 12, len(GOOD) - 20])
def test_a_download_that_was_cut_short(missing: int, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(GOOD[:-missing])
    assert code(path) == "safetensors_truncated"


def test_bytes_behind_the_end(tmp_path: Path) -> None:
    assert code(written(tmp_path, ONE % "", b"12345")) == "not_safetensors"


def test_missing_and_unreadable(tmp_path: Path) -> None:
    assert code(tmp_path / "none.safetensors") == "file_not_found"
    assert code(tmp_path) in ("file_unreadable", "not_safetensors")


def _reference(path: Path) -> tuple | None:
    """Return what the reference implementation reads of a file; None where it refuses it."""
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError):
        return None


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=3), cut=st.integers(0, 9)
)
def test_a_changed_file_is_refused_in_words_or_read_as_the_reference_reads_it(
    changes: list[tuple[int, int]], cut: int, tmp_path: Path
) -> None:
    content = bytearray(GOOD)
    for place, value in changes:
        content[place] = value
    path = tmp_path / "x.safetensors"
    path.write_bytes(content[: len(content) - cut])
    expected = _reference(path)
    try:
        header = read_header(path)
    except UserError:
        assert expected is None
        return
    if expected is not None:
        assert ({name: info.shape for name, info in header.tensors.items()}, header.metadata) == expected


def test_metadata_that_is_no_text_is_told_as_text(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"a": 1}, "x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})
    assert read_header(written(tmp_path, header, b"1")).metadata == {"a": "1"}
