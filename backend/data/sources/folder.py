"""Folders of pictures with caption files beside them; sub-folders such as 10_cat repeat theirs ten times."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from backend.config.paths import location
from backend.data.filesystems import File, Listing
from backend.data.images import EXTENSIONS
from backend.data.picture_edits import EDIT_SUFFIX
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import Entry, Source, stem_of, suffix_of

KOHYA_FOLDER = re.compile(r"^(\d+)_(.*)$")


@dataclass(frozen=True, slots=True)
class _Folder:
    location: str
    # What its files' names begin with: empty, or the folders below the root with a slash each.
    prefix: str
    num_repeats: float
    class_tokens: str


def read(source: Source) -> Iterator[Entry]:
    """Yield the pictures of a folder, in the order of names, folder by folder.

    Raises:
        UserError: A folder cannot be read.
    """
    config = source.dataset.config
    top = _Folder(source.root, "", config.num_repeats, config.class_tokens)
    yield from _walk(source, top, _set_aside(source))


def _set_aside(source: Source) -> set[str]:
    """Return the folders of masks and pairs, which may lie among the pictures."""
    config = source.dataset.config
    return {location(folder).rstrip("/\\") for folder in (config.mask_dir, config.conditioning_dir) if folder.strip()}


def _walk(source: Source, folder: _Folder, aside: set[str]) -> Iterator[Entry]:
    listing = source.files.listing(folder.location)
    yield from _entries(source, folder, listing)
    for name in listing.folders:
        path = source.files.join(folder.location, name)
        if path in aside:
            continue
        below = _below(source, folder, name, path)
        if below is not None:
            yield from _walk(source, below, aside)


def _below(source: Source, folder: _Folder, name: str, path: str) -> _Folder | None:
    """Return a sub-folder that is read, or nothing; those with pictures that are passed over are noted."""
    config = source.dataset.config
    at_top = not folder.prefix
    # In a data set file of sd-scripts a folder is one folder, whatever those in it are called.
    match = None if config.source == "sd_scripts" else KOHYA_FOLDER.match(name)
    inside = replace(folder, location=path, prefix=f"{folder.prefix}{name}/")
    if match and (at_top or config.recursive):
        tokens = config.class_tokens or match[2].strip()
        num_repeats = config.num_repeats * int(match[1])
        return replace(inside, num_repeats=num_repeats, class_tokens=tokens) if int(match[1]) else None
    if config.recursive:
        return inside
    if at_top and any(_is_picture(file.name) for file in source.files.listing(path).files):
        source.note("folders_passed_over", name)
    return None


def _is_picture(name: str) -> bool:
    return suffix_of(name) in EXTENSIONS and not name.endswith(MASK_SUFFIX)


def _entries(source: Source, folder: _Folder, listing: Listing) -> Iterator[Entry]:
    rules = source.dataset.rules
    captions = _ending_in(listing, rules.caption_extension) if rules.caption_source == "file" else {}
    masks = _ending_in(listing, MASK_SUFFIX)
    edits = _ending_in(listing, EDIT_SUFFIX)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for file in listing.files:
        if not _is_picture(file.name):
            continue
        stem = stem_of(file.name)
        by_stem[stem].append(file.name)
        mask = masks.get(stem)
        yield Entry(
            name=folder.prefix + file.name,
            location=file.location,
            stamp=file.stamp,
            class_tokens=folder.class_tokens,
            num_repeats=folder.num_repeats,
            mask=mask.location if mask else "",
            caption_file=captions.get(stem),
            edit_file=edits.get(file.name),
        )
    _note_shared(source, folder, {stem: names for stem, names in by_stem.items() if stem in captions})


def _ending_in(listing: Listing, ending: str) -> dict[str, File]:
    """Return the files with an ending, in small or large letters, by what stands before it."""
    ending = ending.lower()
    return {file.name[: -len(ending)]: file for file in listing.files if file.name.lower().endswith(ending)}


def _note_shared(source: Source, folder: _Folder, by_stem: dict[str, list[str]]) -> None:
    for names in by_stem.values():
        if len(names) > 1:
            source.note("duplicate_stems", " + ".join(folder.prefix + name for name in names))
