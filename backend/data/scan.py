"""Look through the data sets of a configuration: which pictures there are, with what captions, and what is wrong."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fnmatch import translate
from itertools import islice
from pathlib import Path

from backend.config.data import DataSection
from backend.config.paths import cache_dir as usual_cache_dir
from backend.config.problems import Level, Problem, UserError
from backend.data.datasets import Dataset, resolve
from backend.data.faces import crop_needs
from backend.data.index import CaptionFile, Index
from backend.data.measure import measure, read_captions
from backend.data.picture_edits import EDIT_SUFFIX, NO_EDIT, PictureEdit, parse_edit
from backend.data.records import ImageRecord, Scan
from backend.data.sources import open_source
from backend.data.sources.base import Entry, Source, stem_of
from backend.data.sources.partners import Partners, partners
from backend.data.stores import open_store
from backend.data.user_code import open_code

__all__ = ["ImageRecord", "Scan", "Stopped", "scan"]

LISTED = 5
NUM_PER_CHUNK = 1024
NUM_THREADS = min(32, (os.cpu_count() or 1) + 4)
# Where what is noted can be mended, if not at the path of the data set.
SETTINGS = {"masks_unused": "mask"}
# What a strict data section refuses instead of leaving it out.
STRICT = frozenset(
    {
        "images_unreadable",
        "captions_unreadable",
        "edits_unusable",
        "pictures_missing",
        "metadata_lines_damaged",
        "rows_without_picture",
        "shards_cut_short",
        "shards_not_there",
    }
)


class Stopped(Exception):
    """The one who asked for a scan no longer wants it."""


class _Scanner:
    """Collects records and problems of one scan; problems of one kind are told once, with some names."""

    def __init__(self, data: DataSection, index: Index, pool: ThreadPoolExecutor) -> None:
        self.data = data
        self.index = index
        self.pool = pool
        self.records: list[ImageRecord] = []
        self.problems: list[Problem] = []
        # For each code and path the files, and what is wrong with each.
        self.noted: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)

    def run(self, advance: Callable[[int], None]) -> Scan:
        datasets, self.problems = resolve(self.data)
        for dataset in datasets:
            needed = crop_needs(dataset.rules, f"{dataset.field}.crop" if dataset.config.crop else "data.crop")
            if needed and needed not in self.problems:
                self.problems.append(needed)
            try:
                self._dataset(dataset, advance)
            except UserError as error:
                self._fail(dataset, error)
        for (code, field), files in self.noted.items():
            few = [f"{name} ({reason})" if reason else name for name, reason in files[:LISTED]]
            listed = ", ".join(few) + (" ..." if len(files) > LISTED else "")
            self.problems.append(Problem(self._level(code), code, field, {"num": len(files), "names": listed}))
        noted = {key: tuple(name for name, _ in files) for key, files in self.noted.items()}
        return Scan(tuple(datasets), tuple(self.records), tuple(self.problems), noted)

    def _fail(self, dataset: Dataset, error: UserError) -> None:
        self.problems.append(replace(error.problem, path=error.problem.path or f"{dataset.field}.path"))

    def _level(self, code: str) -> Level:
        return "error" if self.data.strict and code in STRICT else "warning"

    def _dataset(self, dataset: Dataset, advance: Callable[[int], None]) -> None:
        def note(code: str, name: str, reason: str = "") -> None:
            self.noted[code, f"{dataset.field}.{SETTINGS.get(code, 'path')}"].append((name, reason))

        store = open_store(dataset)
        source, entries = open_source(dataset, store, self.index, note)
        find_partners = partners(source)
        is_excluded = _excluder(dataset.config.exclude)
        found: list[ImageRecord] = []
        for chunk in _chunks(_told_apart(entries), NUM_PER_CHUNK):
            kept = [entry for entry in chunk if not is_excluded(entry.name)]
            found += self._records(kept, source, find_partners)
            advance(len(chunk))
        if not found:
            raise UserError("dataset_empty", value=source.root)
        try:
            self.records += _repeated_by_code(dataset, found)
        except UserError as error:
            self._fail(dataset, error)
            self.records += found

    def _records(self, entries: list[Entry], source: Source, find_partners: Partners) -> Iterator[ImageRecord]:
        """Return the records of entries, less those of pictures that cannot be read or shown as they are recorded."""
        edits = self._edits(entries, source)
        # What a table says of the size of a picture that is cut is not believed.
        unknown = [entry for entry in entries if not entry.width or entry.name in edits]
        for entry, facts in zip(unknown, measure(unknown, source.store, self.index, self.pool), strict=True):
            if isinstance(facts, UserError):
                _stop_where_the_store_refuses(facts)
                source.note("images_unreadable", entry.name, facts.problem.text())
                entry.width = 0
                continue
            entry.width, entry.height = facts.width, facts.height
            if facts.is_animated:
                source.note("images_animated", entry.name)
        readable = [entry for entry in entries if entry.width]
        files = [entry.caption_file for entry in readable if entry.caption_file is not None]
        captions = read_captions(files, source.files, self.index, self.pool)
        for entry in readable:
            edit = edits.get(entry.name, NO_EDIT)
            if edit is None or not edit.fits((entry.width, entry.height)):
                # Trained whole it would teach what was cut away.
                source.note("edits_unusable", entry.name)
                continue
            entry.width, entry.height = edit.shown((entry.width, entry.height))
            if entry.caption_file is not None:
                _take_caption(entry, captions[entry.caption_file.location], source)
            yield _record(entry, source, edit, *find_partners(entry))

    def _edits(self, entries: list[Entry], source: Source) -> dict[str, PictureEdit | None]:
        """Return how pictures are turned and cut, by their names, None where it cannot be told; most have nothing."""
        files = [entry.edit_file for entry in entries if entry.edit_file is not None]
        # A metadata file elsewhere may name pictures of this machine; those of one source are in one place.
        system = source.store.files(files[0].location) if files else source.files
        read = read_captions(files, system, self.index, self.pool)
        found: dict[str, PictureEdit | None] = {}
        for entry in entries:
            if entry.edit_file is not None:
                found[entry.name] = _edit(read[entry.edit_file.location], entry.edit_file.name)
            elif entry.edit_text:
                found[entry.name] = _edit(CaptionFile(entry.edit_text), entry.name + EDIT_SUFFIX)
        return found


def _edit(file: CaptionFile | UserError, name: str) -> PictureEdit | None:
    if isinstance(file, UserError):
        _stop_where_the_store_refuses(file)
        return None
    try:
        return parse_edit(file.text, name)
    except UserError:  # the caption page tells what is wrong with each
        return None


def _stop_where_the_store_refuses(error: UserError) -> None:
    """Raise what is wrong with a whole store: pictures that only could not be fetched are not left out."""
    if error.problem.code.startswith("s3_"):
        raise error


def _excluder(patterns: list[str]) -> Callable[[str], bool]:
    """Return what tells whether a name is left out: named exactly, or by a pattern."""
    if not patterns:
        return lambda _: False
    names = frozenset(patterns)
    # Names without signs of a pattern may be thousands: as one expression they would be tried one after the other.
    translated = [translate(pattern) for pattern in names if set(pattern) & set("*?[")]
    match = re.compile("|".join(translated) or "(?!)").match
    return lambda name: name in names or match(name) is not None


def _chunks(entries: Iterable[Entry], num: int) -> Iterator[list[Entry]]:
    iterator = iter(entries)
    while chunk := list(islice(iterator, num)):
        yield chunk


def _told_apart(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Number those of a name that was there before: a table may name a picture several times."""
    seen: set[str] = set()
    numbers: dict[str, int] = {}
    for entry in entries:
        name, number = entry.name, numbers.get(entry.name, 1)
        while entry.name in seen:
            number += 1
            entry.name = f"{name} ({number})"
        if number > 1:
            numbers[name] = number
        seen.add(entry.name)
        yield entry


def _take_caption(entry: Entry, caption: CaptionFile | UserError, source: Source) -> None:
    assert entry.caption_file is not None
    if isinstance(caption, UserError):
        _stop_where_the_store_refuses(caption)
        source.note("captions_unreadable", entry.caption_file.name, caption.problem.text())
        return
    if caption.guessed:
        source.note("captions_guessed", entry.caption_file.name)
    # An empty file is an empty caption, not a missing one.
    entry.captions = (caption.text,)


def _record(entry: Entry, source: Source, edit: PictureEdit, mask: str, conditioning: str) -> ImageRecord:
    dataset = source.dataset
    captions, description = entry.captions, entry.description
    if dataset.rules.caption_source != "file":
        by_name = dataset.rules.caption_source == "filename"
        captions, description = (stem_of(entry.name).rpartition("/")[2],) if by_name else (), ""
    if not any(captions) and not description and (captions or not entry.class_tokens):
        source.note("captions_missing", entry.name)
    return ImageRecord(
        dataset=dataset.index,
        name=entry.name,
        location=entry.location,
        stamp=entry.stamp,
        width=entry.width,
        height=entry.height,
        captions=captions,
        description=description,
        class_tokens=entry.class_tokens,
        num_repeats=entry.num_repeats,
        mask=mask,
        conditioning=conditioning,
        metadata=(entry.metadata or {}) if dataset.config.code_path else None,
        edit=edit,
    )


def _repeated_by_code(dataset: Dataset, found: list[ImageRecord]) -> list[ImageRecord]:
    """Return the records with the repeats of the user's code; those that it gives none are left out.

    Raises:
        UserError: The code is not trusted or fails, or leaves nothing.
    """
    code = open_code(dataset, found)
    if code is None or "num_repeats" not in code.functions:
        return found
    repeated = [replace(record, num_repeats=code.num_repeats(record) or 0.0) for record in found]
    kept = [record for record in repeated if record.num_repeats > 0]
    if not kept:
        raise UserError("code_drops_all", f"{dataset.field}.code_path", value=str(code.path))
    return kept


def scan(
    data: DataSection,
    *,
    cache_dir: Path | None = None,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Scan:
    """Read names, headers and captions of every data set; decodes no picture and writes nothing but its index.

    `progress` is told how many pictures were looked at so far; `stop` is asked whether to give up.

    Returns:
        The records in the order of the data sets and of the file names, and the problems: errors for what keeps a
        training from starting, warnings for what is left out or looks like a mistake.

    Raises:
        Stopped: `stop` said so.
    """
    num_done = 0

    def advance(num: int) -> None:
        nonlocal num_done
        num_done += num
        if progress is not None:
            progress(num_done)
        if stop is not None and stop():
            raise Stopped

    with Index(cache_dir or usual_cache_dir()) as index, ThreadPoolExecutor(NUM_THREADS) as pool:
        return _Scanner(data, index, pool).run(advance)
