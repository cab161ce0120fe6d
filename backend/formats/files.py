"""Write weights so that a file is there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from backend.config.problems import UserError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Windows' own numbers, which safetensors reports: ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL.
FULL_IN_TEXT = frozenset({39, 112}) if os.name == "nt" else FULL


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn what the system says about a failed write into a user's error: disk full, or not writable."""
    try:
        yield
    except SafetensorError as error:  # carries the system's error as text only
        full = any(f"(os error {code})" in str(error) for code in FULL_IN_TEXT)
        raise _error(path, full=full, reason=str(error)) from error
    except OSError as error:
        raise _error(path, full=error.errno in FULL, reason=error.strerror or str(error)) from error


def _error(path: Path, *, full: bool, reason: str) -> UserError:
    return (
        UserError("disk_full", value=str(path))
        if full
        else UserError("file_unwritable", value=str(path), reason=reason)
    )


def flush_to_disk(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Wait until a folder's entries are on the disk: a rename outlives a power cut only then."""
    if os.name == "nt":  # a folder cannot be opened there, and NTFS keeps a journal of its own
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write beside `path`; on success it takes its place, on any error it is removed.

    Raises:
        UserError: `disk_full` or `file_unwritable`. What stood at `path` before is untouched.
    """
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        os.close(number)
        fresh = Path(name)
        try:
            yield fresh
            flush_to_disk(fresh)
            fresh.chmod(0o644)
            fresh.replace(path)
            flush_folder(path.parent)
        finally:
            fresh.unlink(missing_ok=True)


def prepare(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return contiguous CPU copies of their own, floating ones in `dtype`."""
    return {
        name: tensor.detach()
        .to("cpu", dtype if dtype and tensor.is_floating_point() else tensor.dtype, copy=True)
        .contiguous()
        for name, tensor in tensors.items()
    }


def save_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtype: torch.dtype | None = None
) -> None:
    """Write a .safetensors file.

    Args:
        path: Where; the folder is made.
        tensors: By name; on any device.
        metadata: Text by key.
        dtype: Of the floating tensors in the file; None keeps theirs.

    Raises:
        UserError: `disk_full` or `file_unwritable`; an older file of the name stays whole.
    """
    ready = prepare(tensors, dtype)
    with replacing(path) as fresh:
        save_file(ready, fresh, metadata=dict(metadata))
