"""Which pictures a tagging run is about."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.config.paths import location
from backend.config.problems import UserError
from backend.data.filesystems import File, LocalFiles, tree
from backend.data.images import EXTENSIONS
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import suffix_of
from taggers.base import Picture
from taggers.config import TABLE, TaggingConfig

# Pictures of telephones, cameras and painting programs, which have to be converted first.
FOREIGN = frozenset({".heic", ".heif", ".jxl", ".jp2", ".psd", ".clip", ".kra", ".dng", ".cr2", ".nef", ".arw"})


def find(config: TaggingConfig) -> list[Picture]:
    """Return the pictures of the folders, each once, in the order of folders and names; or those that are asked for.

    Raises:
        UserError: No folder is given, one of them is missing, unreadable, or without pictures, or none of the pictures
            that are asked for is there.
    """
    folders = [folder for folder in config.folders if folder.strip()]
    if not folders:
        raise UserError("tagging_folders_empty", f"{TABLE}.folders")
    found: dict[Path, Picture] = {}
    for folder in folders:
        number = len(found)
        for picture in _in(location(folder), recursive=config.recursive):
            found.setdefault(picture.path, picture)
        if len(found) == number:
            raise _none_in(folder, recursive=config.recursive)
    if not config.pictures:
        return list(found.values())
    wanted = set(_wanted(config))
    chosen = [picture for picture in found.values() if picture.name in wanted]
    if not chosen:
        raise UserError("tagging_pictures_gone", f"{TABLE}.pictures", num=len(wanted), name=config.pictures[0])
    return chosen


def gone(config: TaggingConfig, found: Sequence[Picture]) -> list[str]:
    """Return the names that are asked for and were not found."""
    there = {picture.name for picture in found}
    return [name for name in _wanted(config) if name not in there]


def _wanted(config: TaggingConfig) -> list[str]:
    """Return the names that are asked for; on Windows people write them with backslashes."""
    return [name.replace(os.sep, "/") for name in config.pictures]


def _none_in(folder: str, *, recursive: bool) -> UserError:
    """Return why there is no picture in a folder: it may have some of kinds that cannot be read."""
    endings = {suffix_of(name) for name, _ in _files(location(folder), recursive=recursive)}
    foreign = ", ".join(sorted(endings & FOREIGN))
    if not foreign:
        return UserError("tagging_folder_empty", f"{TABLE}.folders", value=folder)
    return UserError("tagging_folder_foreign", f"{TABLE}.folders", value=folder, endings=foreign)


def _files(folder: str, *, recursive: bool) -> Iterator[tuple[str, File]]:
    files = LocalFiles()
    if files.kind(folder) != "folder":
        raise UserError("tagging_folder_missing", f"{TABLE}.folders", value=folder)
    return tree(files, folder) if recursive else ((file.name, file) for file in files.listing(folder).files)


def _in(folder: str, *, recursive: bool) -> Iterator[Picture]:
    for name, file in _files(folder, recursive=recursive):
        if suffix_of(name) in EXTENSIONS and not name.endswith(MASK_SUFFIX):
            yield Picture(folder, name, Path(file.location), file.stamp)
