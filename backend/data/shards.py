"""Tensors by key in a few large .safetensors files, which any number of runs fill and read at once.

A shard is written beside and renamed, so it is there whole or not at all, and never changed afterwards. Every entry has
a checksum; a damaged one counts as missing. Each writer has shards of its own: nothing is locked.
"""

from __future__ import annotations

import json
import mmap
import re
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from backend.config.problems import UserError
from backend.data.shard_files import (
    LEFT_BEHIND_SECONDS,
    files_in,
    find_partials,
    remove,
    size_of,
    stamp_of,
    touch,
    written_at,
)
from backend.formats.files import replacing, save_safetensors
from backend.formats.header import Header, TensorInfo, read_header

Tensors = dict[str, Tensor]
Row = tuple[str, Tensors, Mapping[str, Any]]  # a key, its tensors, and what is noted about it
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
# How often an entry is looked for that other runs are moving about.
NUM_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Part:
    """What a tensor is: its name within its entry, dtype and shape as the file has them, and before it was packed."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    packed: tuple[str, tuple[int, ...]] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an entry is. There may be millions: what they are made of is shared among those that are alike.

    `spans` has for each part where its bytes begin and end in the file.
    """

    shard: Path
    parts: tuple[Part, ...]
    spans: tuple[int, ...]
    checksum: int

    @property
    def num_bytes(self) -> int:
        """Its bytes in the file."""
        return sum(self.spans[1::2]) - sum(self.spans[::2])


def _checksum(parts: Iterable[tuple[Part, memoryview | bytes]]) -> int:
    """Return the checksum of an entry's bytes and of what is said of them."""
    value = 0
    for part, data in parts:
        said = repr((part.name, part.dtype, part.shape, part.packed))
        value = zlib.crc32(data, zlib.crc32(said.encode(), value))
    return value


def _raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().cpu().view(-1).view(torch.uint8).numpy().tobytes()


class ShardStore:
    """All shards of a folder as one mapping from keys to tensors."""

    def __init__(self, folder: Path, *, compress: bool = False) -> None:
        self.folder = folder
        self.compress = compress
        # Two runs may have made the same entry: the later one counts.
        self.entries: dict[str, Entry] = {}
        self._known: set[Path] = set()
        self._views: dict[Path, mmap.mmap] = {}
        self._layouts: dict[tuple[Part, ...], tuple[Part, ...]] = {}
        self._lock = threading.RLock()
        self.refresh()

    def shards(self) -> list[Path]:
        """Return the files, oldest first."""
        return sorted(path for path in files_in(self.folder) if SHARD_NAME.match(path.name))

    def refresh(self) -> None:
        """Take in the shards that appeared since the last look, and let go of those that another run removed."""
        with self._lock:
            is_moving = True
            while is_moving:  # what goes while it is looked at was joined with others, which are there by now
                listed = self.shards()
                is_moving = self._lose(self._known.difference(listed))
                for path in listed:
                    if path not in self._known:
                        self._known.add(path)
                        is_moving |= not self._take_in(path)

    def _take_in(self, path: Path) -> bool:
        """Learn what a shard has; one that is damaged is removed: it is a cache. False when it is not there."""
        try:
            header = read_header(path)
            for key, entry in self._entries_of(path, header).items():
                # In whatever order they are seen: or of two runs each would remove the one that counts for the other.
                if key not in self.entries or self.entries[key].shard.name < path.name:
                    self.entries[key] = entry
        except UserError as error:
            if error.problem.code in ("not_safetensors", "safetensors_truncated"):
                remove(path)
            elif error.problem.code == "file_unreadable":  # perhaps only now
                self._known.discard(path)
            return error.problem.code != "file_not_found"
        except (LookupError, ValueError, TypeError, AttributeError):  # what its header says makes no sense
            remove(path)
        return True

    def _entries_of(self, path: Path, header: Header) -> dict[str, Entry]:
        checksums, packed = json.loads(header.metadata[CHECKSUMS]), json.loads(header.metadata[PACKED])
        rows: dict[str, list[tuple[str, TensorInfo]]] = {key: [] for key in checksums}
        for full, info in header.tensors.items():
            key, _, name = full.partition(".")
            rows[key].append((name, info))
        entries = {}
        for key, row in rows.items():
            parts = tuple(_part(name, info, packed.get(f"{key}.{name}")) for name, info in sorted(row))
            parts = self._layouts.setdefault(parts, parts)
            places = ((info.begin, info.end) for _, info in sorted(row))
            spans = tuple(header.data_start + place for span in places for place in span)
            entries[key] = Entry(path, parts, spans, int(checksums[key]))
        return entries

    def _lose(self, paths: Collection[Path]) -> bool:
        """Forget shards and the entries that are in them; returns whether there were any."""
        for path in paths:
            self._known.discard(path)
            view = self._views.pop(path, None)
            if view is not None:
                with suppress(BufferError):  # somebody reads it just now; it goes with that
                    view.close()
        for key in [key for key, entry in self.entries.items() if entry.shard in paths] if paths else []:
            del self.entries[key]
        return bool(paths)

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def _view(self, path: Path) -> mmap.mmap:
        with self._lock:
            if path not in self._views:
                with path.open("rb") as file:
                    self._views[path] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return self._views[path]

    def get(self, key: str) -> Tensors | None:
        """Return the tensors of a key; None when there are none, or they are damaged."""
        for _ in range(NUM_LOOKS):
            entry = self.entries.get(key)
            if entry is not None:
                with suppress(OSError, ValueError):  # another run removed the shard: look again
                    return self._read(entry)
            self.refresh()
        return None

    def _read(self, entry: Entry) -> Tensors | None:
        view = memoryview(self._view(entry.shard))
        spans = zip(entry.spans[::2], entry.spans[1::2], strict=True)
        parts = [(part, view[begin:end]) for part, (begin, end) in zip(entry.parts, spans, strict=True)]
        if _checksum(parts) != entry.checksum:
            return None
        return {part.name: _tensor(part, data) for part, data in parts}

    def _by_shard(self) -> dict[Path, list[str]]:
        """Return the keys whose entries count, by shard."""
        found: dict[Path, list[str]] = {}
        for key, entry in self.entries.items():
            found.setdefault(entry.shard, []).append(key)
        return found

    def notes(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the keys with what their writers noted about them."""
        for path, keys in self._by_shard().items():
            yield from self._notes_of(path, keys).items()

    def _notes_of(self, path: Path, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return what is noted about keys in a shard: read when it is needed, which is seldom."""
        try:
            about = json.loads(read_header(path).metadata[ABOUT])
        except (UserError, LookupError, ValueError):  # removed meanwhile, or damaged: nothing is known
            about = {}
        return {key: about.get(key, {}) for key in keys}

    def verify(self) -> list[str]:
        """Read every shard that was not verified before, drop damaged entries, and return their keys."""
        verified = self._verified()
        damaged: dict[Path, list[str]] = {}
        for path, keys in self._by_shard().items():
            stamp = stamp_of(path)
            if verified.get(path.name) != stamp:
                damaged[path] = [key for key in keys if self.get(key) is None]
                verified[path.name] = stamp
        for path, lost in damaged.items():
            if lost:
                self.drop(set(lost), only=path)
        if damaged:
            self._remember(verified)
        return [key for lost in damaged.values() for key in lost]

    def doubt(self, key: str) -> None:
        """Forget that the shard of a key was verified: the next run looks at it again."""
        entry = self.entries.get(key)
        if entry is not None:
            self._remember({name: stamp for name, stamp in self._verified().items() if name != entry.shard.name})

    def touch(self, keys: Iterable[str]) -> None:
        """Note that the shards of these keys are in use: what no run touches for long can be cleaned away."""
        for path in {self.entries[key].shard for key in keys if key in self.entries}:
            touch(path)

    def _verified(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / VERIFIED).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _remember(self, verified: Mapping[str, Any]) -> None:
        there = {path.name for path in self.shards()}
        text = json.dumps({name: stamp for name, stamp in verified.items() if name in there})
        # It only saves time: a folder that is full, read-only, or in use by another run (Windows) is no error.
        with suppress(UserError), replacing(self.folder / VERIFIED) as fresh:
            fresh.write_text(text, encoding="utf-8")

    def drop(self, keys: Collection[str], *, only: Path | None = None) -> int:
        """Remove entries by writing their shards again without them; returns the bytes that became free."""
        freed, keys = 0, set(keys)
        for path, held in self._by_shard().items():
            if keys.isdisjoint(held) or only not in (None, path):
                continue
            before = size_of(path)
            fresh = self._write(self._rows({path: [key for key in held if key not in keys]}))
            self._forget([path])
            freed += before - (size_of(fresh) if fresh else 0)
        return freed

    def remove_superseded(self) -> int:
        """Remove shards whose entries all are in later ones, too; returns the bytes that became free."""
        paths = self._known.difference(self._by_shard())
        freed = sum(size_of(path) for path in paths)
        self._forget(paths)
        return freed

    def _forget(self, paths: Collection[Path]) -> None:
        """Remove shards; what was written again from them is taken in from its new place."""
        with self._lock:
            self._lose(set(paths))
            for path in paths:
                remove(path)
                # Windows keeps a file that another run has open.
                self._known.add(path)
            self.refresh()

    def _rows(self, by_shard: Mapping[Path, Iterable[str]]) -> Iterator[Row]:
        """Yield entries to be written again; those that are damaged or gone are left out."""
        for path, keys in by_shard.items():
            for key, note in self._notes_of(path, keys).items():
                found = self.get(key)
                if found is not None:
                    yield key, found, note

    def _write(self, rows: Iterable[Row]) -> Path | None:
        """Write one shard; returns its path, None when there was nothing to write."""
        tensors: Tensors = {}
        checksums: dict[str, int] = {}
        about: dict[str, Mapping[str, Any]] = {}
        packed: dict[str, Any] = {}
        for key, found, note in rows:
            parts = []
            for name, tensor in sorted(found.items()):
                before, stored = None, tensor.detach().cpu().contiguous()
                if self.compress:
                    before = (DTYPE_NAMES[tensor.dtype], tuple(tensor.shape))
                    stored = torch.frombuffer(bytearray(zlib.compress(_raw(tensor), 1)), dtype=torch.uint8)
                    packed[f"{key}.{name}"] = before
                tensors[f"{key}.{name}"] = stored
                part = Part(name, DTYPE_NAMES[stored.dtype], tuple(stored.shape), before)
                parts.append((part, _raw(stored)))
            checksums[key] = _checksum(parts)
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
        by_shard = self._by_shard()
        small = [path for path in paths if path in by_shard and 0 < size_of(path) < SMALL_BYTES]
        for group in _groups(small, by_shard):
            self._write(self._rows({path: by_shard[path] for path in group}))
            self._forget(group)


def _groups(paths: list[Path], by_shard: Mapping[Path, Sequence[str]]) -> Iterator[list[Path]]:
    """Yield at least two files of together one shard's size or number of entries."""
    group: list[Path] = []
    size = number = 0
    for path in paths:
        group.append(path)
        size, number = size + size_of(path), number + len(by_shard[path])
        if size >= SHARD_BYTES or number >= SHARD_ENTRIES:
            if len(group) > 1:
                yield group
            group, size, number = [], 0, 0
    if len(group) > 1:
        yield group


def _part(name: str, info: TensorInfo, packed: Any) -> Part:
    """Return what a tensor is; raises LookupError or ValueError where no tensor of ours can be that."""
    before = (str(packed[0]), tuple(packed[1])) if packed else None
    dtype, shape = before or (info.dtype, info.shape)
    if info.dtype not in DTYPES or dtype not in DTYPES or not all(isinstance(side, int) for side in shape):
        raise ValueError("not a tensor of ours")
    return Part(name, info.dtype, info.shape, before)


def _tensor(part: Part, data: memoryview) -> Tensor:
    """Return a tensor of its own memory: the file may go while it is in use."""
    dtype, shape = part.packed or (part.dtype, part.shape)
    content = bytearray(zlib.decompress(data) if part.packed else data)
    if not content:
        return torch.empty(shape, dtype=DTYPES[dtype])
    return torch.frombuffer(content, dtype=DTYPES[dtype]).reshape(shape)


class ShardWriter:
    """Collects entries and writes them as shards while more come; nothing older than some seconds is lost by a kill."""

    def __init__(self, store: ShardStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self.clock = clock
        self.written: list[Path] = []
        self._rows: list[Row] = []
        self._bytes = 0
        self._since = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        for path in find_partials(self.store.folder):
            remove(path)
        if error is None and self.written:
            before = time.time() - LEFT_BEHIND_SECONDS
            left = [path for path in self.store.shards() if path not in self.written and written_at(path) < before]
            self.store.join_small([*left, *self.written])
            self.store.remove_superseded()

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
