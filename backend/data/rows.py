"""Pictures that are cells of tables: of Parquet files, and of Hugging Face data sets."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.config.paths import is_address
from backend.config.problems import UserError
from backend.data.filesystems import FileSystem

# Row groups are read whole; the last few are kept, as neighbours are often read next.
NUM_GROUPS_KEPT = 4


def picture_bytes(value: Any, location: str) -> bytes:
    """Return the bytes of a cell: bytes, or Hugging Face's pair of bytes and path.

    Raises:
        UserError: The cell holds no picture.
    """
    if isinstance(value, dict):
        if value.get("bytes") is None and value.get("path"):
            return _file(str(value["path"]))
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    raise UserError("cell_empty", value=location)


def _file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError("file_unreadable", value=path, reason=error.strerror or str(error)) from error


class ParquetRows:
    """Reads cells of Parquet files by the number of their row."""

    def __init__(self, files: Callable[[str], FileSystem]) -> None:
        self.files = files
        self._lock = threading.Lock()
        self._tables: dict[str, tuple[Any, list[int]]] = {}
        self._groups: OrderedDict[tuple[str, str, int], Any] = OrderedDict()

    def read(self, table: str, column: str, row: int) -> bytes:
        """Return the picture in a cell.

        Raises:
            UserError: The file or the cell cannot be read.
        """
        with self._lock:
            _, starts = self._open(table)
            group = bisect_right(starts, row) - 1
            cells = self._group(table, column, group)
        value = parquet_call(table, lambda: cells[row - starts[group]].as_py())
        return picture_bytes(value, f"{table}, {column}, {row}")

    def _open(self, table: str) -> tuple[Any, list[int]]:
        """Return a Parquet file and the number of the first row of each of its groups."""
        if table not in self._tables:
            opened = open_parquet(table, self.files(table))
            starts = [0]
            for group in range(opened.metadata.num_row_groups - 1):
                starts.append(starts[-1] + opened.metadata.row_group(group).num_rows)
            self._tables[table] = opened, starts
        return self._tables[table]

    def _group(self, table: str, column: str, group: int) -> Any:
        key = (table, column, group)
        if key not in self._groups:
            opened, _ = self._open(table)
            self._groups[key] = parquet_call(table, lambda: opened.read_row_group(group, [column]).column(0))
            if len(self._groups) > NUM_GROUPS_KEPT:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


def open_parquet(table: str, files: FileSystem) -> Any:
    """Open a Parquet file.

    Raises:
        UserError: The file is gone, damaged or none.
    """
    from pyarrow.parquet import ParquetFile  # takes a moment to load: only when there is a table

    return parquet_call(table, lambda: ParquetFile(files.open(table)))


def parquet_call(table: str, call: Callable[[], Any]) -> Any:
    """Return what a call of pyarrow returns.

    Raises:
        UserError: The file is damaged.
    """
    from pyarrow import ArrowException

    try:
        return call()
    except (ArrowException, OSError, UnicodeDecodeError, IndexError) as error:
        raise UserError("table_damaged", value=table, reason=next(iter(str(error).splitlines()), "")) from error


class HuggingFaceRows:
    """Reads cells of Hugging Face data sets."""

    def __init__(self, endpoint_url: str = "") -> None:
        self.endpoint_url = endpoint_url
        self._lock = threading.Lock()
        self._opened: dict[tuple[str, str, str], Any] = {}

    def read(self, path: str, split: str, column: str, row: int) -> bytes:
        """Return the picture in a cell.

        Raises:
            UserError: The data set or the cell cannot be read.
        """
        key = (path, split, column)
        with self._lock:
            if key not in self._opened:
                self._opened[key] = open_hub(path, split, self.endpoint_url).select_columns([column])
            opened = self._opened[key]
        return picture_bytes(opened[row][column], f"{path}, {row}")


def open_hub(path: str, split: str, endpoint_url: str = "") -> Any:
    """Open a data set of the `datasets` library, a folder of save_to_disk or an id of the hub; pictures stay encoded.

    Raises:
        UserError: The library is not installed, the data set is not there, or it has no such split.
    """
    try:
        import datasets
    except ImportError as error:
        raise UserError("package_missing", value=path, package="datasets", extra="huggingface") from error
    try:
        if is_address(path):
            opened = datasets.load_from_disk(path, storage_options={"endpoint_url": endpoint_url or None})
        else:
            opened = datasets.load_from_disk(path) if Path(path).is_dir() else datasets.load_dataset(path)
    except Exception as error:  # the library raises what it finds: of the network, of files, of scripts
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError("hub_data_unreadable", value=path, reason=reason) from error
    if isinstance(opened, dict):
        if split not in opened:
            raise UserError("split_missing", value=split, found=", ".join(opened))
        opened = opened[split]
    for name, feature in opened.features.items():
        if isinstance(feature, datasets.Image):
            opened = opened.cast_column(name, datasets.Image(decode=False))
    return opened
