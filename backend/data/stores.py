"""What reads the pictures of a data set: files, members of shards, rows of tables."""

from __future__ import annotations

from pathlib import Path

from backend.data.datasets import Dataset
from backend.data.filesystems import FileSystem, LocalFiles
from backend.data.images import ImageInfo, probe


class Store:
    """Reads what records point at; safe to use from several threads."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.local = LocalFiles()

    def files(self, location: str) -> FileSystem:
        """Return the file system that a location is in."""
        return self.local

    def read(self, location: str) -> bytes:
        """Return the bytes of a picture.

        Raises:
            UserError: file_not_found, file_unreadable, or a code of the object store.
        """
        return self.files(location).read(location)

    def stamp(self, location: str) -> str:
        """Return what changes with the content.

        Raises:
            UserError: As `read`.
        """
        return self.files(location).stamp(location)

    def probe(self, location: str) -> ImageInfo:
        """Read a picture's header, and no more of it than is needed.

        Raises:
            UserError: As `read`, or it is no picture.
        """
        return probe(Path(location))


def open_store(dataset: Dataset) -> Store:
    """Return what reads the pictures of a data set."""
    return Store(dataset)
