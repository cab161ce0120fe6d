"""What reads the pictures of a data set: files here and far, members of shards, rows of tables."""

from __future__ import annotations

import re
import threading

from backend.config.paths import is_address
from backend.config.problems import UserError
from backend.data.datasets import Dataset
from backend.data.filesystems import FileSystem, LocalFiles
from backend.data.images import ImageInfo, probe, probe_file
from backend.data.remote import RemoteFiles
from backend.data.rows import HuggingFaceRows, ParquetRows

# A member of a shard: the shard, where its bytes begin and how many they are, its name.
MEMBER = re.compile(r"^(?P<shard>.+?\.tar)::(?P<start>\d+)\+(?P<num>\d+)::(?P<name>.+)$", re.IGNORECASE | re.DOTALL)
# A cell of a table: the file, the column, the number of the row.
CELL = re.compile(r"^(?P<table>.+?\.parquet)::(?P<column>.+)::(?P<row>\d+)$", re.IGNORECASE | re.DOTALL)
# A cell of a Hugging Face data set: its folder or id, the split, the column, the number of the row.
HUB_CELL = re.compile(r"^huggingface::(?P<path>.+)::(?P<split>.*)::(?P<column>.+)::(?P<row>\d+)$", re.DOTALL)
NUM_HEAD_BYTES = 65536
# Their headers are in front; of other kinds the whole picture is needed.
HEADED = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")


def member(shard: str, start: int, num: int, name: str) -> str:
    """Return the location of a member of a .tar file: its bytes are found without looking through the shard."""
    return f"{shard}::{start}+{num}::{name}"


def cell(table: str, column: str, row: int) -> str:
    """Return the location of a picture in a Parquet file."""
    return f"{table}::{column}::{row}"


def hub_cell(path: str, split: str, column: str, row: int) -> str:
    """Return the location of a picture in a Hugging Face data set."""
    return f"huggingface::{path}::{split}::{column}::{row}"


class Store:
    """Reads what records point at; safe to use from several threads."""

    def __init__(self, endpoint_url: str = "") -> None:
        self.endpoint_url = endpoint_url
        self.local = LocalFiles()
        self._lock = threading.Lock()
        self._remote: dict[str, RemoteFiles] = {}
        self._tables = ParquetRows(self.files)
        self._hub = HuggingFaceRows(endpoint_url)

    def files(self, location: str) -> FileSystem:
        """Return the file system that a location is in.

        Raises:
            UserError: It is an address of a kind that nothing here can open.
        """
        if not is_address(location):
            return self.local
        protocol = location.partition("://")[0].lower()
        with self._lock:
            if protocol not in self._remote:
                self._remote[protocol] = RemoteFiles(protocol, self.endpoint_url)
            return self._remote[protocol]

    def read(self, location: str) -> bytes:
        """Return the bytes of a picture.

        Raises:
            UserError: file_not_found, file_unreadable, or a code of the object store.
        """
        return self._part(location, None)

    def probe(self, location: str) -> ImageInfo:
        """Read a picture's header, and no more of it than is needed.

        Raises:
            UserError: As `read`, or it is no picture.
        """
        if "::" not in location and not is_address(location):
            return probe_file(location)
        head = self._part(location, NUM_HEAD_BYTES)
        if len(head) < NUM_HEAD_BYTES:
            return probe(head, location)
        if head.startswith(HEADED):
            try:
                return probe(head, location)
            except UserError:  # a header longer than that: a colour profile, a preview
                pass
        return probe(self.read(location), location)

    def stamp(self, location: str) -> str:
        """Return what changes with the content of a file; parts of files have their stamps from their sources.

        Raises:
            UserError: As `read`.
        """
        return self.files(location).stamp(location)

    def _part(self, location: str, limit: int | None) -> bytes:
        """Return the first `limit` bytes, or all."""
        if "::" in location:
            if match := MEMBER.match(location):
                start, num = int(match["start"]), int(match["num"])
                shard = match["shard"]
                return self.files(shard).read(shard, start, start + min(num, limit or num))
            if match := HUB_CELL.match(location):
                return self._hub.read(match["path"], match["split"], match["column"], int(match["row"]))[:limit]
            if match := CELL.match(location):
                return self._tables.read(match["table"], match["column"], int(match["row"]))[:limit]
        return self.files(location).read(location, 0, limit)


def open_store(dataset: Dataset) -> Store:
    """Return what reads the pictures of a data set."""
    return Store(dataset.config.endpoint_url)
