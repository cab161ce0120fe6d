"""Configurations as TOML: sparse overlays that are merged, compared and saved without losing the user's comments."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel
from tomlkit.items import Table

from backend.config.base import Section
from backend.config.problems import UserError

# Lists with more entries are written with one in each line.
LONG = 50


def parse(text: str, *, path: str = "") -> dict[str, Any]:
    """Read TOML text.

    Raises:
        UserError: The text is not TOML; the line and column are named.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError("toml_invalid", file=path, reason=str(error)) from error


def read(path: Path) -> dict[str, Any]:
    """Read a TOML file, with or without a byte-order mark.

    Raises:
        UserError: Missing, unreadable, not UTF-8, or not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError("file_not_found", value=str(path)) from error
    except UnicodeDecodeError as error:
        raise UserError("not_utf8", value=str(path)) from error
    except OSError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    return parse(text, path=path.name)


def parse_value(text: str) -> Any:
    """Read one value as TOML; what is not TOML is taken as plain text, so that paths need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a sparse overlay over a base. Tables merge; lists and values replace."""
    merged = dict(base)
    for key, value in overlay.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def plain(model: BaseModel) -> dict[str, Any]:
    """Return the whole configuration as plain data; TOML has no null, so empty values are left out."""
    return model.model_dump(exclude_none=True)


def diff(model: BaseModel) -> dict[str, Any]:
    """Return only what differs from the defaults, and the version."""
    sparse: dict[str, Any] = {}
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, Section):
            inner = diff(value)
            if inner:
                sparse[name] = inner
        elif isinstance(value, list):
            items = [diff(item) if isinstance(item, BaseModel) else item for item in value]
            if items:
                sparse[name] = items
        elif name == "version" or value != info.get_default(call_default_factory=True):
            sparse[name] = value
    return sparse


def to_toml(data: Mapping[str, Any]) -> str:
    """Write plain data as TOML text."""
    return tomlkit.dumps(_item(data))


def _item(value: Any) -> Any:
    """Return a value as tomlkit takes it. Long lists are read from text: made piece by piece they take minutes."""
    if isinstance(value, Mapping):
        return {key: _item(inner) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) <= LONG or any(isinstance(inner, (Mapping, list)) for inner in value):
        return [_item(inner) for inner in value]
    lines = ",\n    ".join(tomlkit.item(inner).as_string() for inner in value)
    return tomlkit.parse(f"value = [\n    {lines},\n]")["value"]


def _update(table: Any, data: Mapping[str, Any]) -> None:
    for key in [key for key in table if key not in data]:
        del table[key]
    for key, value in data.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), Table):
            _update(table[key], value)
        elif key not in table or _unwrap(table[key]) != value:
            table[key] = _item(value)


def _unwrap(item: Any) -> Any:
    return item.unwrap() if hasattr(item, "unwrap") else item


def rewrite(text: str, data: Mapping[str, Any]) -> str:
    """Return TOML text that says `data` and keeps the comments and order of `text` where they still apply."""
    document = tomlkit.parse(text)
    _update(document, data)
    return tomlkit.dumps(document)


def write_text(path: Path, text: str) -> None:
    """Write a text file so that it is there whole or not at all.

    Raises:
        UserError: The folder cannot be written, or the disk is full.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        partial = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise UserError("file_unwritable", value=str(path), reason=error.strerror or str(error)) from error


def save(path: Path, data: Mapping[str, Any]) -> None:
    """Save plain data as TOML; the comments of an existing file are kept."""
    text = to_toml(data)
    if path.is_file():
        existing = path.read_text(encoding="utf-8-sig")
        with suppress(tomlkit.exceptions.ParseError):  # a broken old file has nothing in it to keep
            text = rewrite(existing, data)
    write_text(path, text)
