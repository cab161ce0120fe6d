"""What was found out about files, remembered by location and stamp: nothing is measured, hashed or read twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

if TYPE_CHECKING:
    from backend.data.records import ImageRecord

FILE_NAME = "index.sqlite"
# Raised when the tables change: an index of another version is put aside and made anew.
VERSION = 1
BUSY_SECONDS = 30.0
# SQLite takes a limited number of values in one query.
NUM_LOOKED_UP = 500


@dataclass(frozen=True, slots=True)
class Facts:
    """A picture's header: pixels as seen upright. `error` is the code of what keeps it from being read."""

    table: ClassVar[str] = "pictures"
    width: int = 0
    height: int = 0
    mode: str = ""
    is_animated: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class CaptionFile:
    """The text of a caption file, and whether its encoding had to be guessed."""

    table: ClassVar[str] = "captions"
    text: str = ""
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Looks:
    """What only decoding tells: a perceptual hash (hexadecimal), sharpness, and the code of an error."""

    table: ClassVar[str] = "looks"
    perceptual_hash: str = ""
    sharpness: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The sha256 of a file's bytes."""

    table: ClassVar[str] = "contents"
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ShardListing:
    """What is in a .tar file, as its source wrote it down (JSON)."""

    table: ClassVar[str] = "shards"
    listing: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """What an aesthetic scorer gave a picture; which one scored last counts."""

    table: ClassVar[str] = "scores"
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Embedding:
    """A picture as a vector of float16, of length 1, in the bytes of little-endian machines; `model` made it."""

    table: ClassVar[str] = "embeddings"
    model: str = ""
    vector: bytes = b""


Answer = TypeVar("Answer")
Kind = TypeVar("Kind", Facts, CaptionFile, Looks, Content, ShardListing, Score, Embedding)
Known = Facts | CaptionFile | Looks | Content | ShardListing | Score | Embedding
KINDS: tuple[type[Known], ...] = (Facts, CaptionFile, Looks, Content, ShardListing, Score, Embedding)
# A location and its stamp.
Key = tuple[str, str]


class Index:
    """The index of a cache folder. Safe to use from several threads and processes; losing it only costs time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._connection = _connect(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def find(self, kind: type[Kind], keys: Iterable[Key]) -> dict[str, Kind]:
        """Return what is known, by location; what was remembered under another stamp is not."""
        stamps = {location: stamp for location, stamp in keys if stamp}
        columns = ", ".join(field.name for field in fields(kind))
        found: dict[str, Kind] = {}
        for some in _slices(list(stamps), NUM_LOOKED_UP):
            marks = ", ".join("?" * len(some))
            query = f"SELECT location, stamp, {columns} FROM {kind.table} WHERE location IN ({marks})"
            for stored, stamp, *values in self._ask(partial(self._select, query, list(map(_stored, some)))) or ():
                location = _location(stored)
                if stamps[location] == stamp:
                    found[location] = kind(*values)
        return found

    def remember(self, rows: Iterable[tuple[Key, Known]]) -> None:
        """Keep what was found out, many at once; files without a stamp are left out."""
        by_kind: dict[type[Known], list[tuple[Any, ...]]] = {}
        for (location, stamp), value in rows:
            if stamp:
                by_kind.setdefault(type(value), []).append((_stored(location), stamp, *_values(value)))
        for kind, values in by_kind.items():
            self._ask(partial(self._write, kind.table, values))

    def everything(self, kind: type[Kind]) -> list[tuple[str, str, Kind]]:
        """Return all that is known of a kind, with location and stamp."""
        columns = ", ".join(field.name for field in fields(kind))
        rows = self._ask(
            lambda: self._connection.execute(f"SELECT location, stamp, {columns} FROM {kind.table}").fetchall()
        )
        return [(_location(stored), stamp, kind(*values)) for stored, stamp, *values in rows or ()]

    def content_hashes(self, records: Sequence[ImageRecord]) -> dict[str, str]:
        """Return the hashes that are known already, by location, in few queries."""
        found = self.find(Content, [(record.location, record.stamp) for record in records])
        return {location: content.sha256 for location, content in found.items()}

    def _select(self, query: str, values: list[str | bytes]) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    def _write(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0]))
        with self._connection:
            self._connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)

    def _ask(self, question: Callable[[], Answer]) -> Answer | None:
        """Run a query; when the file turns out damaged, start anew and know nothing."""
        with self._lock:
            try:
                return question()
            except sqlite3.OperationalError:  # locked for long, or the disk is full: then nothing is remembered
                return None
            except sqlite3.DatabaseError:
                self._connection.close()
                _put_aside(self.path)
                self._connection = _connect(self.path)
                return None


def _stored(location: str) -> str | bytes:
    """Return how a location is kept: names that are not UTF-8, as old archives leave them, as bytes."""
    try:
        location.encode()
    except UnicodeEncodeError:
        return location.encode("utf-8", "surrogatepass")
    return location


def _location(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")


def _values(value: Known) -> Iterator[Any]:
    """Yield what a row keeps; astuple would copy everything, which takes longer than to write it."""
    return (getattr(value, name) for name in value.__slots__)


def _slices(items: list[str], num: int) -> Iterator[list[str]]:
    return (items[start : start + num] for start in range(0, len(items), num))


def _connect(path: Path) -> sqlite3.Connection:
    """Open the index, a new one in place of one that is damaged or of another version, or one in memory."""
    for _ in range(2):
        try:
            return _open(path)
        except (OSError, sqlite3.OperationalError):  # a folder that cannot be written to
            break
        except sqlite3.DatabaseError:
            _put_aside(path)
    return _prepared(sqlite3.connect(":memory:", check_same_thread=False))


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A lost index is only made again.
        connection.execute("PRAGMA synchronous = OFF")
        return _prepared(connection)
    except sqlite3.Error:
        connection.close()
        raise


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    with _exclusive(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise sqlite3.DatabaseError(f"version {version}")
        for kind in KINDS:
            columns = ", ".join(field.name for field in fields(kind))
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {kind.table} "
                f"(location TEXT PRIMARY KEY, stamp TEXT NOT NULL, {columns}) WITHOUT ROWID"
            )
        connection.execute(f"PRAGMA user_version = {VERSION}")
    return connection


@contextmanager
def _exclusive(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        yield


def _put_aside(path: Path) -> None:
    """Rename the index and its companions, so that a new one can take its place."""
    mark = time.strftime("%Y%m%d-%H%M%S")
    for ending in ("", "-wal", "-shm"):
        with suppress(OSError):
            path.with_name(path.name + ending).replace(path.with_name(f"{path.name}.{mark}.damaged{ending}"))
