"""Where files are: this machine or an object store, behind the same few verbs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from backend.config.problems import UserError

# Folders that systems make in those of users; in some of them are small copies of the pictures.
OF_SYSTEMS = frozenset({"system volume information", "$recycle.bin", "lost+found", "@eadir", "#recycle", "__macosx"})


class File(NamedTuple):
    """A file of a folder: its name, what reads it, and what changes with its content."""

    name: str
    location: str
    stamp: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder, by name; hidden entries are left out. `folders` are names."""

    files: tuple[File, ...]
    folders: tuple[str, ...]


class FileSystem(Protocol):
    """Reads files; every method raises UserError file_not_found, file_unreadable or a code of the object store."""

    def join(self, folder: str, name: str) -> str:
        """Return the location of `name` (with / between its parts) in a folder."""

    def kind(self, location: str) -> str:
        """Return "file", "folder" or "" for what is not there."""

    def listing(self, folder: str) -> Listing:
        """Return a folder's entries."""

    def stamp(self, location: str) -> str:
        """Return what changes with the content of a file."""

    def read(self, location: str, start: int = 0, end: int | None = None) -> bytes:
        """Return a file's bytes, or those from `start` to before `end`."""

    def open(self, location: str) -> BinaryIO:
        """Open a file for reading from any place."""

    def glob(self, pattern: str) -> list[str]:
        """Return the locations that match a pattern with * and ?, sorted."""


def unreadable(location: str, error: OSError) -> UserError:
    """Return the problem of a file that the system does not give out."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return UserError("file_not_found", value=location)
    return UserError("file_unreadable", value=location, reason=error.strerror or str(error))


class LocalFiles:
    """The files of this machine."""

    def join(self, folder: str, name: str) -> str:
        name = name.replace("/", os.sep) if os.sep != "/" else name
        return f"{folder.rstrip(os.sep)}{os.sep}{name}"

    def kind(self, location: str) -> str:
        path = Path(location)
        try:
            return "folder" if path.is_dir() else "file" if path.exists() else ""
        except OSError as error:
            raise unreadable(location, error) from error

    def listing(self, folder: str) -> Listing:
        try:
            with os.scandir(folder) as entries:
                return _listing(entries)
        except OSError as error:
            raise unreadable(folder, error) from error

    def stamp(self, location: str) -> str:
        try:
            return _stamp(os.stat(location))  # noqa: PTH116 (a million times)
        except (OSError, ValueError) as error:
            raise unreadable(location, _as_os_error(error)) from error

    def read(self, location: str, start: int = 0, end: int | None = None) -> bytes:
        try:
            with open(location, "rb") as file:  # noqa: PTH123 (a million times)
                file.seek(start)
                return file.read() if end is None else file.read(end - start)
        except (OSError, ValueError) as error:
            raise unreadable(location, _as_os_error(error)) from error

    def open(self, location: str) -> BinaryIO:
        try:
            return Path(location).open("rb")
        except (OSError, ValueError) as error:
            raise unreadable(location, _as_os_error(error)) from error

    def glob(self, pattern: str) -> list[str]:
        parts = Path(pattern).parts
        # Folders before the first pattern are meant as they are, whatever signs are in their names.
        first = next((place for place, part in enumerate(parts) if "*" in part or "?" in part), len(parts) - 1)
        return sorted(str(found) for found in Path(*parts[:first]).glob(str(Path(*parts[first:]))))


def _as_os_error(error: OSError | ValueError) -> OSError:
    """A name with a null character is none: Python says so with a ValueError."""
    return error if isinstance(error, OSError) else FileNotFoundError(str(error))


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _listing(entries: Iterator[os.DirEntry[str]]) -> Listing:
    files, folders = [], []
    for entry in entries:
        name = entry.name
        if name.startswith("."):
            continue
        try:
            if entry.is_dir():
                if not (_is_link(entry) and _leads_back(entry.path)):
                    folders.append(name)
            elif entry.is_file():
                files.append(File(name, entry.path, _stamp(entry.stat())))
        except FileNotFoundError:  # gone since the folder was opened
            continue
        except OSError:
            if not entry.is_symlink():
                raise
            continue  # it leads to itself, or to where we may not look
    files.sort(key=itemgetter(0))
    return Listing(tuple(files), tuple(sorted(folders)))


def _is_link(entry: os.DirEntry[str]) -> bool:
    # Windows has two kinds; older Pythons do not know the second.
    return entry.is_symlink() or bool(getattr(entry, "is_junction", bool)())


def _leads_back(path: str) -> bool:
    """Tell whether a link to a folder leads to one that it was reached through, which would never end."""
    target = Path(path).resolve()
    return any(parent.resolve().is_relative_to(target) for parent in Path(path).parents)


def tree(files: FileSystem, folder: str, prefix: str = "") -> Iterator[tuple[str, File]]:
    """Yield all files in and below a folder, each with its name from there."""
    listing = files.listing(folder)
    for file in listing.files:
        yield prefix + file.name, file
    for name in listing.folders:
        if name.casefold() not in OF_SYSTEMS:
            yield from tree(files, files.join(folder, name), f"{prefix}{name}/")
