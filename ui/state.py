"""The draft: the one configuration that Quick and Expert both show, on disk as typed, so that nothing is ever lost."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.config import presets
from backend.config.paths import home
from backend.config.problems import ConfigError, UserError
from backend.config.root import CURRENT_VERSION, migrate

Data = dict[str, Any]


class Draft:
    """A sparse configuration: what was set, valid or not. `revision` grows with every change."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "draft.toml"
        self._lock = threading.RLock()
        self._data: Data = {"version": CURRENT_VERSION}
        self._text = ""
        self.revision = 1
        if self.path.is_file():
            self._load()

    def _load(self) -> None:
        try:
            self._text, self._data = _current(self.path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, UserError):
            aside = self.path.with_suffix(".damaged.toml")
            self.path.replace(aside)
            self._text = ""

    @property
    def data(self) -> Data:
        """A copy of what was set."""
        with self._lock:
            return copy.deepcopy(self._data)

    @property
    def text(self) -> str:
        """The draft as TOML; comments of a file that was opened are kept."""
        with self._lock:
            return self._text or presets.to_toml(self._data)

    def replace(self, data: Mapping[str, Any]) -> None:
        """Set the whole draft; the comments of the text stay where their keys do."""
        with self._lock:
            fresh = _migrated({"version": CURRENT_VERSION, **copy.deepcopy(dict(data))})
            self._write(presets.rewrite(self.text, fresh), fresh)

    def replace_text(self, text: str) -> None:
        """Set the draft from TOML as typed.

        Raises:
            UserError: It is not TOML; the draft stays.
        """
        text, data = _current(text, name=self.path.name)
        with self._lock:
            self._write(text, data)

    def set(self, path: str, value: Any) -> None:
        """Set one parameter; None takes it out, so that its default holds."""
        with self._lock:
            data = copy.deepcopy(self._data)
            *sections, name = path.split(".")
            table = data
            for section in sections:
                if not isinstance(table.get(section), dict):
                    table[section] = {}  # missing, or typed as something else in the TOML
                table = table[section]
            if value is None:
                table.pop(name, None)
            else:
                table[name] = value
            self.replace({key: item for key, item in data.items() if item != {}})

    def _write(self, text: str, data: Data) -> None:
        if text == self._text and data == self._data:
            return
        presets.write_text(self.path, text)
        self._text, self._data = text, data
        self.revision += 1


def _migrated(data: Data) -> Data:
    """Bring a configuration to the current version; one whose version is none, or newer, stays for the check."""
    try:
        return migrate(data)
    except ConfigError:
        return data


def _current(text: str, *, name: str = "") -> tuple[str, Data]:
    """Return TOML text and what it says, of the current version; the comments stay.

    Raises:
        UserError: It is not TOML.
    """
    data = presets.parse(text, path=name)
    current = _migrated(data)
    if "version" not in data or current == data:
        return text, data
    return presets.rewrite(text, current), current
