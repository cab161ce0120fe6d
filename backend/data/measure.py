"""Sizes and captions of entries: from the index where it knows them, else read by several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from backend.config.problems import UserError
from backend.data.filesystems import File, FileSystem
from backend.data.images import MAXIMUM_PIXELS
from backend.data.index import CaptionFile, Facts, Index
from backend.data.sources.base import Entry
from backend.data.stores import Store
from backend.data.texts import decode_caption

# Threads are handed so many files at once: a task of its own for each would cost more than its work.
NUM_PER_TASK = 32
# Errors of the content, which stays as it is while the stamp does; others may pass.
REMEMBERED = frozenset({"image_corrupt", "image_empty", "image_too_large"})

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the results of `work` in the order of the items."""
    slices = [items[start : start + NUM_PER_TASK] for start in range(0, len(items), NUM_PER_TASK)]
    return [result for some in pool.map(lambda part: [work(item) for item in part], slices) for result in some]


def measure(entries: Sequence[Entry], store: Store, index: Index, pool: ThreadPoolExecutor) -> list[Facts | UserError]:
    """Return the facts of pictures, in order, or why one cannot be read; stamps that are missing are filled in."""
    in_threads(pool, lambda entry: _fill_stamp(entry, store), [entry for entry in entries if not entry.stamp])
    found: dict[str, Facts | UserError] = dict(index.find(Facts, ((item.location, item.stamp) for item in entries)))
    new = [entry for entry in entries if entry.location not in found]
    probed = in_threads(pool, lambda entry: _facts(entry.location, store), new)
    rows = list(zip(new, probed, strict=True))
    index.remember(((entry.location, entry.stamp), facts) for entry, facts in rows if isinstance(facts, Facts))
    found.update((entry.location, facts) for entry, facts in rows)
    return [_told(found[entry.location], entry) for entry in entries]


def _fill_stamp(entry: Entry, store: Store) -> None:
    # Why there is none is told when the picture is read.
    with suppress(UserError):
        entry.stamp = store.stamp(entry.location)


def _facts(location: str, store: Store) -> Facts | UserError:
    try:
        info = store.probe(location)
    except UserError as error:
        code = error.problem.code
        return Facts(error=code) if code in REMEMBERED else error
    return Facts(info.width, info.height, info.mode, info.is_animated)


def _told(facts: Facts | UserError, entry: Entry) -> Facts | UserError:
    if isinstance(facts, Facts) and facts.error:
        return UserError(facts.error, value=entry.location, megapixels=MAXIMUM_PIXELS // 1_000_000)
    return facts


def read_captions(
    files: Sequence[File], system: FileSystem, index: Index, pool: ThreadPoolExecutor
) -> dict[str, CaptionFile | UserError]:
    """Return the texts of caption files, by location, or why one cannot be read."""
    known = index.find(CaptionFile, ((file.location, file.stamp) for file in files))
    # How an encoding is guessed gets better: what was guessed is read again.
    found: dict[str, CaptionFile | UserError] = {
        location: caption for location, caption in known.items() if not caption.guessed
    }
    new = [file for file in files if file.location not in found]
    read = in_threads(pool, lambda file: _caption(file.location, system), new)
    index.remember(
        ((file.location, file.stamp), caption)
        for file, caption in zip(new, read, strict=True)
        if isinstance(caption, CaptionFile)
    )
    found.update((file.location, caption) for file, caption in zip(new, read, strict=True))
    return found


def _caption(location: str, system: FileSystem) -> CaptionFile | UserError:
    try:
        return decode_caption(system.read(location))
    except UserError as error:
        return error
