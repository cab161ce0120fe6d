"""Texts in the user's language, read from locales/<language>.json at the project root."""

from __future__ import annotations

import json
import locale
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

LOCALES_DIR = Path(__file__).resolve().parents[2] / "locales"
DEFAULT_LANGUAGE = "en"


class _Gap:
    """A value in a text: "{num} {num:picture|pictures}" has the first word for one, the second for all else."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __format__(self, form: str) -> str:
        one, choice, others = form.partition("|")
        if not choice:
            return format(self._value, form)
        return one if str(self._value) == "1" else others


class _Gaps(dict[str, _Gap]):
    """Leaves an unknown placeholder as it stands: a text with a gap beats a crash while reporting an error."""

    def __missing__(self, key: str) -> _Gap:
        return _Gap("{" + key + "}")


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """Return every text of one language by key; empty for a language that has no file."""
    path = LOCALES_DIR / f"{language}.json"
    if not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that have a file, English first."""
    names = {path.stem for path in LOCALES_DIR.glob("*.json")}
    return (DEFAULT_LANGUAGE, *sorted(names - {DEFAULT_LANGUAGE}))


def has(key: str, language: str = DEFAULT_LANGUAGE) -> bool:
    """Tell whether a language has a text of its own for this key."""
    return key in catalogue(language)


def translate(key: str, language: str = DEFAULT_LANGUAGE, **params: Any) -> str:
    """Return the text of a key with its placeholders filled; falls back to English, then to the key itself."""
    text = catalogue(language).get(key) or catalogue(DEFAULT_LANGUAGE).get(key) or key
    return text.format_map(_Gaps({name: _Gap(value) for name, value in params.items()})) if params else text


def system_language() -> str:
    """Return the language of the operating system, as far as we speak it."""
    code = os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    code = code or locale.getlocale()[0] or ""
    return "zh-CN" if code.lower().startswith(("zh", "chinese")) else DEFAULT_LANGUAGE
