"""Tables, CSV and Parquet, read in batches: pictures by their paths, or in the cells themselves."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, repeat
from typing import Any, NamedTuple

from backend.config.datasets import DatasetConfig
from backend.config.problems import UserError
from backend.data.filesystems import FileSystem
from backend.data.rows import open_parquet, parquet_call
from backend.data.sources.base import Entry, Source, suffix_of
from backend.data.sources.columns import ENCODED, Columns, choose, folder_of, size_of
from backend.data.sources.finder import located, name_in
from backend.data.stores import cell
from backend.data.texts import one_text, texts

TABLES = frozenset({".csv", ".tsv", ".parquet"})
NUM_PER_BATCH = 8192
ENCODINGS = ("utf-8-sig", "gb18030")
NUM_SNIFFED = 65536
DELIMITERS = ",;\t|"
# So many pictures are looked for even where their sizes are known: mostly all of them are there, or none.
NUM_LOOKED_FOR = 20
# A caption may be longer than the 128 KiB that Python's reader takes by itself.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

# The columns of some rows, each as a list.
Batch = Mapping[str, Sequence[Any]]


class _Table(NamedTuple):
    """A file of a table; `encoded` are its columns that hold pictures, `batches` reads those that are asked for."""

    path: str
    names: Sequence[str]
    encoded: frozenset[str]
    batches: Callable[[list[str]], Iterator[tuple[Batch, int]]]


def read(source: Source) -> Iterator[Entry]:
    """Yield the pictures of the rows, in their order.

    Raises:
        UserError: A file cannot be read, is no table, or has not the columns that are needed.
    """
    for path in paths(source):
        table = _parquet(source, path) if suffix_of(path) == ".parquet" else _csv(source, path)
        columns = choose(source, path, table.names, table.encoded)
        number = 0
        for batch, num_rows in table.batches(_wanted(source, table, columns)):
            yield from _entries(source, table, columns, batch, range(number, number + num_rows))
            number += num_rows


def paths(source: Source) -> list[str]:
    """Return the files of a table: one, those of a pattern, or those in a folder."""
    if "*" in source.root:
        return source.files.glob(source.root)
    if suffix_of(source.root) in TABLES:
        return [source.root]
    files = source.files.listing(source.root).files
    return [file.location for file in files if suffix_of(file.name) in TABLES]


def _wanted(source: Source, table: _Table, columns: Columns) -> list[str]:
    """Return the columns to read: never the pictures themselves, and all others for the user's code."""
    wanted = list(table.names) if source.dataset.config.code_path else columns.all()
    return [name for name in wanted if name not in table.encoded]


def _parquet(source: Source, path: str) -> _Table:
    import pyarrow as pa

    opened = open_parquet(path, source.store.files(path))
    schema = opened.schema_arrow
    encoded = frozenset(field.name for field in schema if _holds_pictures(field, source.dataset.config, pa))
    return _Table(path, schema.names, encoded, partial(_parquet_batches, path, opened))


def _holds_pictures(column: Any, config: DatasetConfig, pa: Any) -> bool:
    """Tell whether a column's cells are pictures: some programs write texts as bytes, too."""
    if pa.types.is_struct(column.type):
        return any(field.name == "bytes" for field in column.type)
    is_binary = pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
    return is_binary and (column.name.lower() in ENCODED or column.name == config.image_column)


def _parquet_batches(path: str, opened: Any, wanted: list[str]) -> Iterator[tuple[Batch, int]]:
    if not wanted:
        yield {}, opened.metadata.num_rows
        return
    batches = opened.iter_batches(batch_size=NUM_PER_BATCH, columns=wanted)

    def read_next() -> tuple[Batch, int] | None:
        batch = next(batches, None)
        return batch and ({name: batch.column(name).to_pylist() for name in wanted}, batch.num_rows)

    while (read := parquet_call(path, read_next)) is not None:
        yield read


def _csv(source: Source, path: str) -> _Table:
    data = source.store.files(path).read(path, 0, NUM_SNIFFED)
    encoding = _encoding(data)
    text = data.decode(encoding, "replace")
    delimiter = _delimiter(text)
    names = [name.strip() for name in next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])]
    files = source.store.files(path)
    return _Table(path, names, frozenset(), partial(_csv_batches, path, files, encoding, delimiter))


def _encoding(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # The cut may go through a character.
    for encoding in ENCODINGS:
        try:
            data[:-4].decode(encoding) if len(data) == NUM_SNIFFED else data.decode(encoding)
            return encoding
        except UnicodeDecodeError:
            continue
    return "latin-1"


def _delimiter(text: str) -> str:
    """Return the mark that is most frequent in the first line; names of columns have none in them."""
    first = text.partition("\n")[0]
    return max(DELIMITERS, key=first.count)


def _csv_batches(
    path: str, files: FileSystem, encoding: str, delimiter: str, wanted: list[str]
) -> Iterator[tuple[Batch, int]]:
    with io.TextIOWrapper(files.open(path), encoding=encoding, errors="replace", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter)
        try:
            names = [name.strip() for name in next(rows)]
            places = {name: names.index(name) for name in wanted}
            while batch := list(islice(rows, NUM_PER_BATCH)):
                some = [row for row in batch if row]
                yield {name: _column(some, at) for name, at in places.items()}, len(some)
        except csv.Error as error:
            raise UserError("table_damaged", value=path, reason=str(error)) from error


def _column(rows: list[list[str]], at: int) -> list[str | None]:
    """Return a column of rows, some of which may be short."""
    return [row[at] if at < len(row) else None for row in rows]


def _entries(source: Source, table: _Table, columns: Columns, batch: Batch, numbers: range) -> Iterator[Entry]:
    config, num = source.dataset.config, len(numbers)

    def column(name: str) -> Any:
        return batch[name] if name else repeat(None, num)

    captions = zip(*(batch[name] for name in columns.captions), strict=True) if columns.captions else repeat((), num)
    pictures = _pictures(source, table, columns, batch, numbers)
    rows = zip(
        pictures, captions, column(columns.description), column(columns.width), column(columns.height), strict=True
    )
    for number, ((name, location, stamp), written, description, width, height) in zip(numbers, rows, strict=True):
        if not location:
            source.note("rows_without_picture", f"{name_in(folder_of(source), table.path)}:{number + 1}")
            continue
        is_unseen = number < NUM_LOOKED_FOR and bool(columns.width) and not stamp
        if is_unseen and not source.store.files(location).kind(location):
            source.note("pictures_missing", name)
        yield Entry(
            name=name,
            location=location,
            stamp=stamp,
            width=size_of(width),
            height=size_of(height),
            captions=tuple(text for value in written for text in texts(value)),
            description=one_text(description),
            class_tokens=config.class_tokens,
            num_repeats=config.num_repeats,
            metadata={key: values[number - numbers.start] for key, values in batch.items()}
            if config.code_path
            else None,
        )


def _pictures(
    source: Source, table: _Table, columns: Columns, batch: Batch, numbers: range
) -> Iterator[tuple[str, str, str]]:
    """Yield each row's name, location and stamp; no location where it has no picture."""
    base = folder_of(source)
    if columns.image in table.encoded:
        stamp = source.store.files(table.path).stamp(table.path)
        title = name_in(base, table.path)
        for number in numbers:
            yield f"{title}/{number}", cell(table.path, columns.image, number), stamp
        return
    files = source.store.files(base)
    for value in batch[columns.image]:
        if not value:
            yield "", "", ""
            continue
        location = located(base, one_text(value), files)
        yield name_in(base, location), location, ""
