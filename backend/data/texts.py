"""Captions as files and tables hold them, as text."""

from __future__ import annotations

from typing import Any

from backend.data.encodings import guess
from backend.data.index import CaptionFile

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def decode_caption(data: bytes) -> CaptionFile:
    """Return a caption file's text, one line or several without empty ones, and whether its encoding was guessed."""
    if data.startswith(UTF16_MARKS):
        return CaptionFile(without_empty_lines(data.decode("utf-16", "replace")), False)
    try:
        return CaptionFile(without_empty_lines(data.decode("utf-8-sig")), False)
    except UnicodeDecodeError:
        return CaptionFile(without_empty_lines(guess(data)[1]), True)


def one_text(value: Any) -> str:
    """Return a value of a table as a caption: lists are tags, empty lines are left out."""
    if value is None or value != value:  # a NaN of a table
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(text for item in value if (text := one_text(item)))
    text = decode_caption(value).text if isinstance(value, bytes) else str(value)
    return text.strip() if "\n" not in text else without_empty_lines(text)


def texts(value: Any) -> tuple[str, ...]:
    """Return a value as captions: a list holds several."""
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(text for item in values if (text := one_text(item)))


def without_empty_lines(text: str) -> str:
    """Return a text's lines without blanks around them."""
    return "\n".join(line.strip() for line in text.replace("\x00", "").splitlines() if line.strip())
