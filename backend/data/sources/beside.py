"""What lies beside pictures that a file names: their masks, and how they are turned and cut."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from backend.config.paths import is_address
from backend.config.problems import UserError
from backend.data.filesystems import File
from backend.data.picture_edits import EDIT_SUFFIX
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import Entry, Source, stem_of

ENDINGS = (MASK_SUFFIX, EDIT_SUFFIX)


def with_company(source: Source, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield the entries with the masks and edits that lie beside their pictures.

    Folders of this machine are listed once each. In an object store, where every question takes a while, only masks
    that the data set uses are asked for: edits are made here, and found there by data sets that are folders.
    """
    folders: dict[str, frozenset[str]] = {}
    for entry in entries:
        if is_address(entry.location):
            if source.dataset.config.mask == "file":
                entry.mask = _asked_for(source, entry.location)
        elif "::" not in entry.location:
            folder, name = os.path.split(entry.location)
            if folder not in folders:
                folders[folder] = _names(folder)
            _accompany(source, entry, name, folders[folder])
        yield entry


def _names(folder: str) -> frozenset[str]:
    """Return the names of masks and edits in a folder; none where it cannot be read, which its pictures tell."""
    with suppress(OSError), os.scandir(folder) as found:
        return frozenset(each.name for each in found if each.name.endswith(ENDINGS))
    return frozenset()


def _accompany(source: Source, entry: Entry, name: str, names: frozenset[str]) -> None:
    if f"{stem_of(name)}{MASK_SUFFIX}" in names:
        entry.mask = f"{stem_of(entry.location)}{MASK_SUFFIX}"
    if name + EDIT_SUFFIX in names:
        path = entry.location + EDIT_SUFFIX
        with suppress(UserError):  # it went away just now
            entry.edit_file = File(name + EDIT_SUFFIX, path, source.store.local.stamp(path))


def _asked_for(source: Source, location: str) -> str:
    path = f"{stem_of(location)}{MASK_SUFFIX}"
    return path if "::" not in path and source.store.files(path).kind(path) else ""
