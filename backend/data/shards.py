"""Tensors by key in a few large .safetensors files, which any number of runs fill and read at once.

A shard is written beside and renamed, so it is there whole or not at all, and never changed afterwards. Every entry has
a checksum; a damaged one counts as missing. Each writer has shards of its own: nothing is locked.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from backend.config.problems import UserError
from backend.formats.files import replacing, save_safetensors
from backend.formats.header import Header, TensorInfo, read_header

Tensors = dict[str, Tensor]
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
ABOUT, CHECKSUMS, PACKED = "about", "checksums", "packed"
SHARD_NAME = re.compile(r"^\d{20}-[0-9a-f]{8}\.safetensors$")
VERIFIED = "verified.json"
# A shard is written when it is this large, has so many entries, or so much work would be lost by a kill.
SHARD_BYTES, SHARD_ENTRIES, SHARD_SECONDS = 256 * 1024**2, 20_000, 15.0
# Shards of a writer that are smaller are joined when it is done.
SMALL_BYTES = 64 * 1024**2
# Small shards of others are joined, too, when they are so old that their writer was killed.
LEFT_BEHIND_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an entry is: its shard, its tensors there, its checksum, and what the writer noted about it."""

    shard: Path
    tensors: tuple[tuple[str, TensorInfo], ...]
    checksum: int
    about: Mapping[str, Any]


@dataclass(slots=True)
class _Shard:
    header: Header
    view: mmap.mmap
    packed: Mapping[str, Any] = field(default_factory=dict)

    def bytes_of(self, info: TensorInfo) -> memoryview:
        start = self.header.data_start
        return memoryview(self.view)[start + info.begin : start + info.end]


def _checksum(parts: Iterable[memoryview | bytes]) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return value


def _raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy().tobytes()


class ShardStore:
    """All shards of a folder as one mapping from keys to tensors."""

    def __init__(self, folder: Path, *, compress: bool = False) -> None:
        self.folder = folder
        self.compress = compress
        self.entries: dict[str, Entry] = {}
        # The keys of each shard that was taken in; two runs may have made the same entry, and the later one counts.
        self._held: dict[Path, set[str]] = {}
        self._open: dict[Path, _Shard] = {}
        self._lock = threading.RLock()
        self.refresh()

    def shards(self) -> list[Path]:
        """Return the files, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if SHARD_NAME.match(path.name))

    def refresh(self) -> None:
        """Take in the shards that appeared since the last look; one that cannot be read is removed: it is a cache."""
        with self._lock:
            for path in self.shards():
                if path not in self._held:
                    self._held[path] = set()
                    self._take_in(path)

    def _take_in(self, path: Path) -> None:
        try:
            header = read_header(path)
            checksums = json.loads(header.metadata[CHECKSUMS])
            about = json.loads(header.metadata[ABOUT])
        except UserError as error:
            if error.problem.code in ("not_safetensors", "safetensors_truncated"):
                _remove(path)
            return None
        except (KeyError, ValueError):
            return _remove(path)
        rows: dict[str, list[tuple[str, TensorInfo]]] = {}
        for full, info in header.tensors.items():
            key, _, name = full.partition(".")
            rows.setdefault(key, []).append((name, info))
        for key, checksum in checksums.items():
            self.entries[key] = Entry(path, tuple(sorted(rows[key])), checksum, about.get(key, {}))
        self._held[path] = set(checksums)
        return None

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def _shard(self, path: Path) -> _Shard:
        with self._lock:
            if path not in self._open:
                header = read_header(path)
                with path.open("rb") as file:
                    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._open[path] = _Shard(header, view, json.loads(header.metadata.get(PACKED, "{}")))
            return self._open[path]

    def get(self, key: str) -> Tensors | None:
        """Return the tensors of a key; None when there are none, or they are damaged."""
        for _ in range(2):
            entry = self.entries.get(key)
            if entry is None:
                return None
            try:
                return self._read(entry, key)
            except UserError:  # another run joined or removed the shard: look again
                self.entries.pop(key, None)
                self.refresh()
        return None

    def _read(self, entry: Entry, key: str) -> Tensors | None:
        shard = self._shard(entry.shard)
        parts = [(name, info, shard.bytes_of(info)) for name, info in entry.tensors]
        if _checksum(part for _, _, part in parts) != entry.checksum:
            return None
        return {name: _tensor(info, part, shard.packed.get(f"{key}.{name}")) for name, info, part in parts}

    def verify(self) -> list[str]:
        """Read every shard that was not verified before, drop damaged entries, and return their keys."""
        remembered = self._verified()
        damaged: dict[Path, list[str]] = {}
        by_shard: dict[Path, list[str]] = {}
        for key, entry in self.entries.items():
            by_shard.setdefault(entry.shard, []).append(key)
        for path, keys in by_shard.items():
            if remembered.get(path.name) != _stamp(path):
                bad = [key for key in keys if self.get(key) is None]
                if bad:
                    damaged[path] = bad
        for path, keys in damaged.items():
            self.drop(set(keys), only=path)
        self._remember()
        return [key for keys in damaged.values() for key in keys]

    def doubt(self, key: str) -> None:
        """Forget that the shard of a key was verified: the next run looks at it again."""
        entry = self.entries.get(key)
        if entry is not None:
            self._remember(without=entry.shard.name)

    def touch(self, keys: Iterable[str]) -> None:
        """Note that the shards of these keys are in use: what no run touches for long can be cleaned away."""
        for path in {self.entries[key].shard for key in keys if key in self.entries}:
            _touch(path)

    def _verified(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / VERIFIED).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _remember(self, without: str = "") -> None:
        table = {path.name: _stamp(path) for path in self.shards() if path.name != without}
        if table != self._verified():
            with replacing(self.folder / VERIFIED) as fresh:
                fresh.write_text(json.dumps(table), encoding="utf-8")

    def drop(self, keys: set[str], *, only: Path | None = None) -> int:
        """Remove entries by writing their shards again without them; returns the bytes that became free."""
        freed = 0
        for path, held in list(self._held.items()):
            if not held & keys or (only is not None and path != only) or not path.exists():
                continue
            before = path.stat().st_size
            kept = [key for key in held - keys if self.entries[key].shard == path]
            fresh = self._write([(key, self.get(key), self.entries[key].about) for key in kept])
            for key in held:
                if key in self.entries and self.entries[key].shard == path:
                    del self.entries[key]
            self._forget(path)
            freed += before - (fresh.stat().st_size if fresh else 0)
        self.refresh()
        return freed

    def _forget(self, path: Path) -> None:
        shard = self._open.pop(path, None)
        if shard is not None:
            with suppress(BufferError):  # a tensor somewhere still looks into it; it goes with the process
                shard.view.close()
        _remove(path)

    def _write(self, rows: Iterable[tuple[str, Tensors | None, Mapping[str, Any]]]) -> Path | None:
        """Write one shard; returns its path, None when there was nothing to write."""
        tensors: Tensors = {}
        checksums: dict[str, int] = {}
        about: dict[str, Mapping[str, Any]] = {}
        packed: dict[str, Any] = {}
        for key, found, note in rows:
            if found is None:
                continue
            for name, tensor in found.items():
                stored = tensor.detach().cpu().contiguous()
                if self.compress:
                    packed[f"{key}.{name}"] = [DTYPE_NAMES[tensor.dtype], list(tensor.shape)]
                    stored = torch.frombuffer(bytearray(zlib.compress(_raw(tensor), 1)), dtype=torch.uint8)
                tensors[f"{key}.{name}"] = stored
            checksums[key] = _checksum(_raw(tensors[f"{key}.{name}"]) for name in sorted(found))
            about[key] = dict(note)
        if not tensors:
            return None
        path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.safetensors"
        texts = {CHECKSUMS: json.dumps(checksums), ABOUT: json.dumps(about), PACKED: json.dumps(packed)}
        save_safetensors(path, tensors, texts)
        return path

    def writer(self) -> ShardWriter:
        """Return a writer; use it in a `with`."""
        return ShardWriter(self)

    def join_small(self, paths: Iterable[Path]) -> None:
        """Write small shards again as large ones, and remove the small ones."""
        small = [path for path in paths if path.exists() and path.stat().st_size < SMALL_BYTES]
        for group in _groups(small):
            keys = [key for key, entry in self.entries.items() if entry.shard in group]
            self._write([(key, self.get(key), self.entries[key].about) for key in keys])
            self.refresh()
            for path in group:
                self._forget(path)


def _groups(paths: list[Path]) -> Iterator[set[Path]]:
    """Yield sets of at least two files of together one shard's size."""
    group: set[Path] = set()
    size = 0
    for path in paths:
        group.add(path)
        size += path.stat().st_size
        if size >= SHARD_BYTES:
            yield group
            group, size = set(), 0
    if len(group) > 1:
        yield group


def _tensor(info: TensorInfo, data: memoryview, packed: Any) -> Tensor:
    """Return a tensor of its own memory: the file may go while it is in use."""
    name, shape = packed or (info.dtype, info.shape)
    content = bytearray(zlib.decompress(data) if packed else data)
    if not content:
        return torch.empty(shape, dtype=DTYPES[name])
    return torch.frombuffer(content, dtype=DTYPES[name]).reshape(shape)


def _touch(path: Path) -> None:
    """Note that a shard was used now: in its time of access, so that its own time stays."""
    with suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _stamp(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except FileNotFoundError:  # another run joined it with others
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _remove(path: Path) -> None:
    with suppress(OSError):  # Windows keeps a file that another run has open; a later cleaning removes it
        path.unlink(missing_ok=True)


class ShardWriter:
    """Collects entries and writes them as shards while more come; nothing older than some seconds is lost by a kill."""

    def __init__(self, store: ShardStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.clock = clock
        self.written: list[Path] = []
        self._rows: list[tuple[str, Tensors, Mapping[str, Any]]] = []
        self._bytes = 0
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        if error is None and self.written:
            before = time.time() - LEFT_BEHIND_SECONDS
            left = [path for path in self.store.shards() if path not in self.written and _written_at(path) < before]
            self.store.join_small([*left, *self.written])

    def put(self, key: str, tensors: Tensors, about: Mapping[str, Any]) -> None:
        """Add an entry.

        Raises:
            UserError: `disk_full` or `file_unwritable`; what was written before is whole.
        """
        if not self._rows:
            self._since = self.clock()
        self._rows.append((key, tensors, about))
        self._bytes += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        full = self._bytes >= SHARD_BYTES or len(self._rows) >= SHARD_ENTRIES
        if full or self.clock() - self._since >= SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was collected."""
        rows, self._rows, self._bytes = self._rows, [], 0
        path = self.store._write(rows)
        if path is not None:
            self.written.append(path)
            self.store.refresh()
