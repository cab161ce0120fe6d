"""Metadata files: JSON by name or as a list, and JSONL, in the layouts of sd-scripts and of richer tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from backend.config.datasets import DatasetConfig
from backend.config.problems import UserError
from backend.data.sources.base import Entry, Source, suffix_of
from backend.data.sources.columns import CAPTIONS, DESCRIPTIONS, IMAGES, folder_of
from backend.data.sources.finder import Finder, name_in
from backend.data.texts import one_text, texts

LINES = frozenset({".jsonl", ".ndjson"})
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
Row = Mapping[str, Any]


def read(source: Source) -> Iterator[Entry]:
    """Yield the pictures that a metadata file names, in its order; those that are not there are noted.

    Raises:
        UserError: The file cannot be read or is not what its ending says, or a column that was asked for is nowhere.
    """
    config = source.dataset.config
    base = folder_of(source)
    finder = Finder(base, source.store.files(base))
    rows = _lines(source) if suffix_of(source.root) in LINES else _whole(source)
    asked = _Asked(config)
    for key, row in rows:
        asked.look(row)
        name = _first(row, [config.image_column] if config.image_column else IMAGES) or key
        file = finder.find(name) if name else None
        if file is None:
            source.note("pictures_missing", name or key)
            continue
        captions, description = captions_of(row, config, source.dataset.rules.caption_separator)
        yield Entry(
            name=name_in(base, file.location),
            location=file.location,
            stamp=file.stamp,
            captions=captions,
            description=description,
            class_tokens=config.class_tokens,
            num_repeats=config.num_repeats,
            metadata=dict(row) if config.code_path else None,
        )
    asked.check(source)


class _Asked:
    """Counts whether columns that the user named are anywhere: rows may leave some out, but not all of them."""

    def __init__(self, config: DatasetConfig) -> None:
        named = {
            "image_column": [config.image_column],
            "caption_columns": config.caption_columns,
            "description_column": [config.description_column],
        }
        self.left = {column: field for field, columns in named.items() for column in columns if column}
        self.found: dict[str, None] = {}

    def look(self, row: Row) -> None:
        if self.left:
            self.found.update(dict.fromkeys(row))
            self.left = {column: field for column, field in self.left.items() if column not in row}

    def check(self, source: Source) -> None:
        for column, field in self.left.items():
            path = f"{source.dataset.field}.{field}"
            raise UserError("column_missing", path, value=column, file=source.root, found=", ".join(self.found))


def _whole(source: Source) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a JSON file with their keys: of an object by name, or of a list."""
    text = _decoded(source.files.read(source.root), source.root)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError("metadata_damaged", value=source.root, reason=str(error)) from error
    if isinstance(content, dict):
        return ((str(key), _row(value)) for key, value in content.items())
    if isinstance(content, list):
        return ((str(number), _row(value)) for number, value in enumerate(content, 1))
    raise UserError("metadata_shape", value=source.root)


def _lines(source: Source) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a JSONL file with their line numbers; lines that are none are noted."""
    with source.files.open(source.root) as file:
        for number, line in enumerate(file, 1):
            plain = line.removeprefix(UTF8_MARK).strip() if number == 1 else line.strip()
            if not plain:
                continue
            try:
                row = json.loads(plain)
            except ValueError:  # UnicodeDecodeError is one, too
                row = None
            if isinstance(row, dict):
                yield "", row
            else:
                source.note("metadata_lines_damaged", f"{name_in(folder_of(source), source.root)}:{number}")


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-16" if data.startswith(UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("not_utf8", value=name) from error


def _row(value: Any) -> Row:
    """Return a value as a row; a plain text or a list of texts is the caption."""
    return value if isinstance(value, dict) else {"caption": value}


def _first(row: Row, names: list[str] | tuple[str, ...]) -> str:
    return next((text for name in names if (text := one_text(row.get(name)))), "")


def captions_of(row: Row, config: DatasetConfig, separator: str) -> tuple[tuple[str, ...], str]:
    """Return a row's captions and its description; tags beside a caption are joined to it, as in sd-scripts."""
    description = _first(row, [config.description_column] if config.description_column else DESCRIPTIONS)
    if config.caption_columns:
        return tuple(text for column in config.caption_columns for text in texts(row.get(column))), description
    named = next((name for name in CAPTIONS if name != "tags" and row.get(name)), "")
    captions, tags = texts(row.get(named)), one_text(row.get("tags"))
    if captions and tags:
        return tuple(f"{caption}{separator} {tags}" for caption in captions), description
    return captions or ((tags,) if tags else ()), description
