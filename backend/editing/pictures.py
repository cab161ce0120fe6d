"""What is in a folder of pictures: names, sizes and captions, by row; kept in the cache so that it opens fast again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.config.problems import Problem, UserError
from backend.data.filesystems import File, LocalFiles
from backend.data.images import EXTENSIONS
from backend.data.index import Index
from backend.data.measure import in_threads, measure
from backend.data.picture_edits import EDIT_SUFFIX
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import Entry
from backend.data.stores import Store
from backend.editing.files import read_caption, write_bytes
from backend.editing.tags import TagTable
from backend.editing.token_counts import Counts

VERSION = 5
# The time of a folder that changed less than so many seconds ago proves nothing: it may be the same after a change.
SETTLED_SECONDS = 3.0
NUM_THREADS = min(16, (os.cpu_count() or 1) + 2)
NUM_PER_CHUNK = 2000
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Listed:
    """The pictures of a folder and their caption files, in the order of names, folder by folder.

    `names` are paths below the folder with /. `captions` are those of the caption files, also of such as are not there
    yet: their stamp is empty. `edits` and `masks` are the stamps of these files, by row. `problems` are sub-folders
    that cannot be read. `folders`: times of the folders, by their paths with / at the end, as `folder_time`; 0 where
    that is so new that it proves nothing.
    """

    names: list[str]
    stamps: list[str]
    captions: list[str]
    caption_stamps: list[str]
    edits: dict[int, str] = field(default_factory=dict)
    masks: dict[int, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    folders: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Pictures:
    """What is known of each row. `widths` and `heights` are those of the files, in pixels as seen upright; 0 where a
    picture cannot be read. `edits`: stamp and text of the files of edits; `masks`: stamps; both of the rows with one.
    `folders`: as in `Listed`.
    """

    names: list[str] = field(default_factory=list)
    stamps: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    caption_stamps: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    widths: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    heights: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    edits: dict[int, tuple[str, str]] = field(default_factory=dict)
    masks: dict[int, str] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)


def list_folder(root: str, caption_extension: str, *, is_recursive: bool, progress: Progress | None = None) -> Listed:
    """Look which pictures and caption files there are; reads none. `progress` is told how many there are so far, and 0.

    Raises:
        UserError: The folder itself cannot be read.
    """
    pictures: list[tuple[str, str]] = []
    captions: dict[str, tuple[str, str]] = {}
    edits: dict[str, str] = {}
    masks: dict[str, str] = {}
    problems: list[Problem] = []
    times: dict[str, int] = {}
    ending = caption_extension.lower()
    for prefix, files in _folders(root, "", problems, times, is_recursive):
        for name, _, stamp in files:
            lowered = name.lower()
            if lowered.endswith(EDIT_SUFFIX):
                edits[prefix + name[: -len(EDIT_SUFFIX)]] = stamp
            elif lowered.endswith(ending):
                captions[prefix + name[: -len(ending)]] = (prefix + name, stamp)
            elif lowered.endswith(MASK_SUFFIX):
                masks[prefix + name[: -len(MASK_SUFFIX)]] = stamp
            elif lowered[(dot := lowered.rfind(".")) :] in EXTENSIONS and dot > 0:
                pictures.append((prefix + name, stamp))
        if progress is not None:
            progress(len(pictures), 0)
    stems = [name[: name.rfind(".")] for name, _ in pictures]
    partners = [captions.get(stem) or (stem + caption_extension, "") for stem in stems]
    return Listed(
        [name for name, _ in pictures],
        [stamp for _, stamp in pictures],
        [name for name, _ in partners],
        [stamp for _, stamp in partners],
        {row: edits[name] for row, (name, _) in enumerate(pictures) if name in edits} if edits else {},
        {row: masks[stem] for row, stem in enumerate(stems) if stem in masks} if masks else {},
        tuple(problems),
        times,
    )


def folder_time(path: str) -> int:
    """Return when files came to or went from a folder last, in ns; 0: nobody knows."""
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 (often)
    except OSError:  # listing it says why
        return 0


def _settled(when: int) -> int:
    """Return the time of a folder if it proves that nothing has changed since; else 0."""
    return when if time.time_ns() - when > SETTLED_SECONDS * 1e9 else 0


def _folders(
    root: str, prefix: str, problems: list[Problem], times: dict[str, int], is_recursive: bool
) -> Iterator[tuple[str, tuple[File, ...]]]:
    system = LocalFiles()
    # Before it is listed: what comes meanwhile is found the next time.
    times[prefix] = _settled(folder_time(f"{root}{os.sep}{prefix}"))
    try:
        listing = system.listing(system.join(root, prefix.rstrip("/")) if prefix else root)
    except UserError as error:
        if not prefix:
            raise
        problems.append(error.problem)
        times[prefix] = 0
        return
    yield prefix, listing.files
    for name in listing.folders if is_recursive else ():
        yield from _folders(root, f"{prefix}{name}/", problems, times, is_recursive)


def load(
    root: str, listed: Listed, known: Pictures, index: Index, progress: Progress | None = None
) -> tuple[Pictures, dict[str, Problem]]:
    """Return what is known of the pictures, read anew only where a stamp has changed.

    Args:
        root: The folder.
        listed: What is there now.
        known: What was found out before.
        index: Of sizes; shared with the scan of a training.
        progress: Is told how many rows are done, and of how many.

    Returns:
        The rows, and by name what is wrong with pictures and captions that cannot be read.
    """
    before = {name: row for row, name in enumerate(known.names)}
    origin = [before.get(name, -1) for name in listed.names]
    found = Pictures(
        listed.names,
        listed.stamps,
        listed.captions,
        listed.caption_stamps,
        [known.texts[row] if row >= 0 else "" for row in origin],
        *_known_sizes(listed, known, origin),
        _known_edits(listed, known, origin),
        listed.masks,
        listed.folders,
    )
    new_edits = [row for row in listed.edits if row not in found.edits]
    new_texts = [row for row, old in enumerate(origin) if old < 0 or _has_new_caption(listed, row, known, old)]
    new_sizes = np.flatnonzero(found.widths == 0).tolist()
    problems: dict[str, Problem] = {}
    tell = _teller(progress, len(origin), len(new_texts) + len(new_sizes))
    with ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="pictures") as pool:
        for row, text in zip(new_edits, in_threads(pool, lambda row: _edit(root, listed, row), new_edits), strict=True):
            found.edits[row] = (listed.edits[row], text if isinstance(text, str) else "")
            if isinstance(text, Problem):
                problems[listed.names[row] + EDIT_SUFFIX] = text
        for rows in _slices(new_texts):
            for row, text in zip(rows, in_threads(pool, lambda row: _text(root, listed, row), rows), strict=True):
                found.texts[row] = text if isinstance(text, str) else ""
                if isinstance(text, Problem):
                    problems[listed.captions[row]] = text
            tell(len(rows))
        for rows in _slices(new_sizes):
            problems.update(_measure(root, found, rows, index, pool))
            tell(len(rows))
    return found, problems


def _known_sizes(listed: Listed, known: Pictures, origin: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return widths and heights of pictures that are the same as before; 0 of others."""
    is_same = np.array(
        [row >= 0 and known.stamps[row] == stamp for row, stamp in zip(origin, listed.stamps, strict=True)], bool
    )
    rows = np.array(origin, np.int64)[is_same]
    widths, heights = np.zeros((2, len(origin)), np.int32)
    widths[is_same], heights[is_same] = known.widths[rows], known.heights[rows]
    return widths, heights


def _known_edits(listed: Listed, known: Pictures, origin: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Return the edits whose files are the same as before."""
    return {
        row: known.edits[origin[row]] for row, stamp in listed.edits.items() if _stamp_of(known, origin[row]) == stamp
    }


def _stamp_of(known: Pictures, row: int) -> str:
    return known.edits[row][0] if row in known.edits else ""


def _has_new_caption(listed: Listed, row: int, known: Pictures, old: int) -> bool:
    return listed.caption_stamps[row] != known.caption_stamps[old] or listed.captions[row] != known.captions[old]


def _measure(
    root: str, found: Pictures, rows: Sequence[int], index: Index, pool: ThreadPoolExecutor
) -> dict[str, Problem]:
    """Fill in the sizes of rows; return what is wrong with those that cannot be read, by name."""
    problems = {}
    entries = [Entry(found.names[row], f"{root}{os.sep}{found.names[row]}", found.stamps[row]) for row in rows]
    for row, facts in zip(rows, measure(entries, Store(), index, pool), strict=True):
        if isinstance(facts, UserError):
            problems[found.names[row]] = facts.problem
        else:
            found.widths[row], found.heights[row] = facts.width, facts.height
    return problems


def _text(root: str, listed: Listed, row: int) -> str | Problem:
    if not listed.caption_stamps[row]:
        return ""
    try:
        return read_caption(f"{root}{os.sep}{listed.captions[row]}").text
    except UserError as error:
        return error.problem


def _edit(root: str, listed: Listed, row: int) -> str | Problem:
    try:
        return read_caption(f"{root}{os.sep}{listed.names[row]}{EDIT_SUFFIX}").text
    except UserError as error:
        return error.problem


def _teller(progress: Progress | None, total: int, num_new: int) -> Callable[[int], None]:
    """Return what tells the progress in rows, when the work is of two kinds."""
    num_done = 0

    def tell(num: int) -> None:
        nonlocal num_done
        num_done += num
        if progress is not None:
            progress(total * num_done // max(1, num_new), total)

    return tell


def _slices(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    return (rows[start : start + NUM_PER_CHUNK] for start in range(0, len(rows), NUM_PER_CHUNK))


def snapshot_path(cache: Path, root: Path, caption_extension: str, *, is_recursive: bool) -> Path:
    """Return where the cache keeps what is known of a folder."""
    key = json.dumps([os.path.normcase(root), caption_extension, is_recursive])
    return cache / "captions" / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.rows"


def keep(path: Path, pictures: Pictures, tags: TagTable, tokens: Mapping[str, Counts]) -> None:
    """Write what is known to the cache; `tokens`: the counts of the rows, by the name of what counted.

    Raises:
        UserError: `no_space` or `file_unwritable`.
    """
    buffer = io.BytesIO()
    columns = [getattr(pictures, one.name) for one in fields(pictures)]
    for values in (*columns, tags.words, tags.ids, tags.lengths, tags.is_first):
        if isinstance(values, dict):
            np.save(buffer, np.frombuffer(json.dumps(list(values.items())).encode(), np.uint8))
        elif isinstance(values, list):
            np.save(buffer, np.fromiter(map(len, values), np.int64, len(values)))
            np.save(buffer, np.frombuffer("".join(values).encode("utf-8", "surrogatepass"), np.uint8))
        else:
            np.save(buffer, values)
    np.save(buffer, np.frombuffer(json.dumps(list(tokens)).encode(), np.uint8))
    for counts in tokens.values():
        np.save(buffer, counts)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = buffer.getbuffer()
    write_bytes(path, b"%d\n%s\n" % (VERSION, hashlib.blake2b(content).hexdigest().encode()) + content)


def recall(path: Path) -> tuple[Pictures, TagTable, dict[str, Counts]]:
    """Return what the cache knows of a folder; nothing when that is damaged or of another version."""
    nothing: tuple[Pictures, TagTable, dict[str, Counts]] = Pictures(), TagTable.of_texts([]), {}
    try:
        data = path.read_bytes()
        version, digest, content = data.split(b"\n", 2)
    except (OSError, ValueError):
        return nothing
    if version != b"%d" % VERSION or digest != hashlib.blake2b(content).hexdigest().encode():
        return nothing
    buffer = io.BytesIO(content)
    names, stamps, captions, caption_stamps, texts = (_column(buffer) for _ in range(5))
    widths, heights, edits, masks = np.load(buffer), np.load(buffer), _items(buffer), _items(buffer)
    known_edits = {row: (stamp, text) for row, (stamp, text) in edits.items()}
    columns = names, stamps, captions, caption_stamps, texts, widths, heights, known_edits, masks
    pictures = Pictures(*columns, _items(buffer))
    tags = TagTable(_column(buffer), np.load(buffer), np.load(buffer), np.load(buffer))
    return pictures, tags, {name: np.load(buffer) for name in json.loads(np.load(buffer).tobytes())}


def _items(buffer: io.BytesIO) -> dict[Any, Any]:
    return dict(json.loads(np.load(buffer).tobytes()))


def _column(buffer: io.BytesIO) -> list[str]:
    lengths = np.load(buffer)
    text = np.load(buffer).tobytes().decode("utf-8", "surrogatepass")
    ends = np.cumsum(lengths)
    return [text[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
