"""Read the header of a .safetensors file with the standard library: no torch, no weights in memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from backend.config.problems import UserError

# The limit of the reference implementation (safetensors/src/tensor.rs MAX_HEADER_SIZE).
MAXIMUM_HEADER = 100_000_000
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: its dtype as the format spells it ("F16"), its shape and where its bytes stand in the data part."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself. `data_start` is the offset of the data part in bytes."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]
    data_start: int
    num_bytes: int


def read_header(path: Path) -> Header:
    """Read and check the header.

    Raises:
        UserError: The file is missing or unreadable (`file_not_found`, `file_unreadable`), is no safetensors file
            (`not_safetensors`), or is shorter than its header says (`safetensors_truncated`).
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= MAXIMUM_HEADER:
                raise UserError("not_safetensors", value=str(path))
            if 8 + length > size:
                raise UserError("safetensors_truncated", value=str(path))
            text = file.read(length)
    except FileNotFoundError as error:
        raise UserError("file_not_found", value=str(path)) from error
    except OSError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    return parse_header(text, path=path, data_start=8 + length, num_bytes=size)


def parse_header(text: bytes, *, path: Path, data_start: int, num_bytes: int) -> Header:
    """Turn the JSON of a header into a `Header`; raises as `read_header`."""
    try:
        table = json.loads(text)
        metadata = {str(key): str(value) for key, value in (table.pop("__metadata__", None) or {}).items()}
        tensors = {name: _tensor_info(row) for name, row in table.items()}
        data_bytes = _num_data_bytes(tensors.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError("not_safetensors", value=str(path)) from error
    if data_bytes > num_bytes - data_start:
        raise UserError("safetensors_truncated", value=str(path))
    if data_bytes < num_bytes - data_start:
        raise UserError("not_safetensors", value=str(path))
    return Header(tensors, metadata, data_start, num_bytes)


def _tensor_info(row: dict[str, Any]) -> TensorInfo:
    begin, end = row["data_offsets"]
    shape = tuple(row["shape"])
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
        raise ValueError("sizes are whole numbers")
    bits = DTYPE_BITS.get(row["dtype"])
    if bits is not None and (prod(shape) * bits + 7) // 8 != end - begin:
        raise ValueError("the bytes do not fit the shape")
    return TensorInfo(str(row["dtype"]), shape, begin, end)


def _num_data_bytes(tensors: Iterable[TensorInfo]) -> int:
    """Return the length of the data part; the format allows neither holes nor overlaps in it."""
    position = 0
    for info in sorted(tensors, key=lambda info: (info.begin, info.end)):
        if info.begin != position or info.end < position:
            raise ValueError("a hole or an overlap")
        position = info.end
    return position
