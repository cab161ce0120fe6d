"""What the caption page knows of tags: the folder's own, and the user's lists in `tags/` of the program's folder."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.config import paths
from backend.config.problems import Problem, UserError
from backend.editing.autocomplete import Completer
from backend.editing.tag_lists import TagList, plain, read_tag_list, read_translations
from ui.captions_desk import Desk

Data = dict[str, Any]
LIST_FILE = "list.csv"
TRANSLATIONS_FILE = "translations.csv"
REST = 20
# How Danbooru lists number kinds of tags, and what the page colours them by.
CATEGORIES = {1: "artist", 3: "copyright", 4: "character", 5: "meta"}


def folder() -> Path:
    """Return where the user puts lists of tags."""
    return paths.home() / "tags"


@dataclass
class Lists:
    """The user's lists as they are on disk; `problems` say which cannot be read."""

    stamp: tuple[float, float] = (-1, -1)
    known: TagList = field(default_factory=TagList)
    translations: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass
class Known:
    """What completes the tags of a folder, of one version of its captions; `meant`: what was asked of it so far."""

    version: str
    lists: Lists
    completer: Completer
    began: float
    seconds: float = 0.0
    meant: dict[str, str] = field(default_factory=dict)

    def is_old(self) -> bool:
        """Tell whether it may be made anew: with a long list that takes too long to be done at every edit."""
        return time.monotonic() - self.began > REST * self.seconds


def _modified(name: str) -> float:
    try:
        return (folder() / name).stat().st_mtime
    except OSError:  # no list: the folder's own tags are enough
        return 0


def _read(stamp: tuple[float, float]) -> Lists:
    lists = Lists(stamp)
    try:
        lists.known = read_tag_list(folder() / LIST_FILE) if stamp[0] else lists.known
    except UserError as error:
        lists.problems.append(error.problem)
    try:
        lists.translations = read_translations(folder() / TRANSLATIONS_FILE) if stamp[1] else {}
    except UserError as error:
        lists.problems.append(error.problem)
    return lists


class Words:
    """Knows what tags mean, and what was probably meant; made anew when captions or lists change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lists = Lists()
        self._known: dict[str, Known] = {}

    def lists(self) -> Lists:
        """Return the user's lists."""
        with self._lock:
            stamp = (_modified(LIST_FILE), _modified(TRANSLATIONS_FILE))
            if stamp != self._lists.stamp:
                self._lists = _read(stamp)
            return self._lists

    def _at(self, desk: Desk) -> Known:
        lists = self.lists()
        known = self._known.get(desk.key)
        if known is None or known.lists is not lists or (known.version != desk.version and known.is_old()):
            began = time.monotonic()
            table = desk.library.tags
            counts = dict(zip(table.words, table.counts().tolist(), strict=True))
            known = Known(desk.version, lists, Completer(counts, lists.known), began)
            known.seconds = time.monotonic() - began
            self._known[desk.key] = known
        return known

    def complete(self, desk: Desk, typed: str, num: int) -> list[Data]:
        """Return what a typed beginning may mean, the folder's own tags first."""
        completer = self._at(desk).completer
        return [
            {
                "tag": each.tag,
                "count": each.count,
                "alias": each.alias,
                "category": CATEGORIES.get(each.category or 0, ""),
                "translation": self.translation(each.tag),
            }
            for each in completer.complete(typed, num)
        ]

    def translation(self, tag: str) -> str:
        """Return what a tag is called in the user's list; empty when it is not there."""
        return self._lists.translations.get(plain(tag), "")

    def category(self, tag: str) -> str:
        """Return the kind of a tag, for its colour; empty for general ones."""
        found = self._lists.known.find(tag) if self._lists.known.tags else None
        return CATEGORIES.get(found.category, "") if found else ""

    def facts(self, desk: Desk, tag: str) -> Data:
        """Return what is to be told of a tag of a caption; nothing of most."""
        known = self._at(desk)
        if tag not in known.meant:
            known.meant[tag] = known.completer.meant(tag)
        told = {
            "hint": known.meant[tag],
            "unknown": bool(known.meant[tag]),
            "category": self.category(tag),
            "translation": self.translation(tag),
        }
        return {name: value for name, value in told.items() if value}
