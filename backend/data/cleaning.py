"""What the caches hold that nobody needs any more: entries of pictures that are gone or changed, or unused for long."""

from __future__ import annotations

import re
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from backend.data.index import Content, Index
from backend.data.shard_files import find_partials, last_use
from backend.data.shards import ShardStore

DAY_SECONDS = 24 * 3600
# Version 1 kept a small file for each entry, in folders by the first two digits of their keys.
OLD_FOLDER = re.compile(r"^[0-9a-f]{2}$")
MEMBER = "::"  # shard.tar::member


@dataclass(frozen=True, slots=True)
class Waste:
    """The keys of entries to remove, or paths, and their size in bytes."""

    keys: frozenset[str]
    num_bytes: int


def find_orphans(store: ShardStore, index: Index) -> Waste:
    """Return the entries of pictures whose content is at no place that is known any more.

    A picture that was moved or renamed keeps its entries once it was scanned at its new place.
    """
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for location, stamp, content in index.everything(Content):
        places[content.sha256].append((location, stamp))
    alive: dict[str, bool] = {}
    orphans = set()
    for key, note in store.notes():
        digest = str(note.get("content", ""))
        if digest not in alive:
            known = places.get(digest) or [(str(note.get("location", "")), "")]
            alive[digest] = any(_is_there(location, stamp) for location, stamp in known)
        if not alive[digest]:
            orphans.add(key)
    return _waste(store, orphans)


def find_unused(store: ShardStore, *, days: float, now: float | None = None) -> Waste:
    """Return the entries of shards that no run has used for so many days."""
    before = (time.time() if now is None else now) - days * DAY_SECONDS
    used_at = {path: last_use(path) for path in store.shards()}
    return _waste(store, {key for key, entry in store.entries.items() if used_at.get(entry.shard, before) < before})


def find_leftovers(folder: Path) -> Waste:
    """Return what no version of ours reads any more, as paths: what killed writers left, and caches of version 1."""
    found = [path for path in folder.iterdir() if OLD_FOLDER.match(path.name)] if folder.is_dir() else []
    found += find_partials(folder)
    files = [file for path in found for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]
    return Waste(frozenset(map(str, found)), sum(file.stat().st_size for file in files))


def remove_leftovers(waste: Waste) -> int:
    """Remove them; returns the bytes that became free."""
    for path in map(Path, waste.keys):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return waste.num_bytes


def _is_there(location: str, stamp: str) -> bool:
    """Tell whether a picture is still there, unchanged as far as its stamp tells. What is not a file here, stays."""
    path = Path(location.split(MEMBER, 1)[0])
    if not path.is_absolute():
        return True
    try:
        stat = path.stat()
    except OSError:
        return False
    return MEMBER in location or not stamp or stamp == f"{stat.st_size}-{stat.st_mtime_ns}"


def _waste(store: ShardStore, keys: set[str]) -> Waste:
    return Waste(frozenset(keys), sum(store.entries[key].num_bytes for key in keys))
