"""What the caption page knows of tags: the folder's own, and the user's lists, chosen or in `tags/` of our folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.config import paths
from backend.config.problems import Problem, UserError
from backend.editing.autocomplete import Completer
from backend.editing.tag_lists import TagList, plain, read_tag_list, read_translations
from ui.captions_desk import Desk
from ui.settings import Settings

Data = dict[str, Any]
LIST_FILE = "list.csv"
TRANSLATIONS_FILE = "translations.csv"
# Common tags, and what they are called in other languages, for those who have no list of their own.
BUNDLED_DIR = paths.PROJECT_DIR / "presets" / "tags"
REST = 20
# How Danbooru lists number kinds of tags, and what the page colours them by.
CATEGORIES = {1: "artist", 3: "copyright", 4: "character", 5: "meta"}


def folder() -> Path:
    """Return where the user puts lists of tags."""
    return paths.home() / "tags"


def chosen_places(settings: Settings) -> tuple[Path, Path]:
    """Return the user's list of tags and the one of translations; they may not be there."""
    names = ((settings.tag_list, LIST_FILE), (settings.tag_translations, TRANSLATIONS_FILE))
    tags, translations = (paths.resolve(chosen) if chosen else folder() / name for chosen, name in names)
    return tags, translations


@dataclass
class Lists:
    """The user's lists as they are on disk; `problems` say which cannot be read."""

    stamp: tuple[Any, ...] = ()
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


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # no list: the folder's own tags are enough; one that was chosen is missed when it is read
        return 0 if path.parent == folder() else -1


def bundled(language: str) -> tuple[TagList, dict[str, str]]:
    """Return the common tags that come with the program, and what they are called in a language."""
    translations = BUNDLED_DIR / f"common_tags.{language}.csv"
    words = read_translations(translations) if translations.is_file() else {}
    return read_tag_list(BUNDLED_DIR / "common_tags.csv"), words


def _read(tags: Path, translations: Path, stamp: tuple[Any, ...], language: str) -> Lists:
    lists = Lists(stamp)
    lists.known, lists.translations = bundled(language)
    try:
        lists.known = read_tag_list(tags) if _modified(tags) else lists.known
    except UserError as error:
        lists.problems.append(error.problem)
    try:
        lists.translations |= read_translations(translations) if _modified(translations) else {}
    except UserError as error:
        lists.problems.append(error.problem)
    return lists


class Words:
    """Knows what tags mean, and what was probably meant; made anew when captions or lists change."""

    def __init__(self, places: Callable[[], tuple[Path, Path]], language: str) -> None:
        """`places` returns where the lists of tags and of translations are now; `language` is that of the page."""
        self._places = places
        self._language = language
        self._lock = threading.Lock()
        self._lists = Lists()
        self._known: dict[str, Known] = {}

    def lists(self) -> Lists:
        """Return the user's lists."""
        with self._lock:
            places = self._places()
            stamp = (*places, *map(_modified, places))
            if stamp != self._lists.stamp:
                self._lists = _read(*places, stamp, self._language)
            return self._lists

    def _at(self, desk: Desk) -> Known:
        lists = self.lists()
        known = self._known.get(desk.key)
        if known is None or known.lists is not lists or (known.version != desk.version and known.is_old()):
            began = time.monotonic()
            table = desk.library.tags
            counts = dict(zip(table.words, table.counts().tolist(), strict=False))  # edits may add words meanwhile
            known = Known(desk.version, lists, Completer(counts, lists.known, lists.translations), began)
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

    def categories(self, tags: Iterable[str]) -> dict[str, int]:
        """Return the kinds of tags, as Danbooru numbers them, of those that the lists know."""
        return self.lists().known.categories(tags)

    def meant(self, desk: Desk, tag: str) -> str:
        """Return the tag that a misspelt one was probably to be; empty: nobody knows, or it is right."""
        known = self._at(desk)
        if tag not in known.meant:
            known.meant[tag] = known.completer.meant(tag)
        return known.meant[tag]

    def facts(self, desk: Desk, tag: str) -> Data:
        """Return what is to be told of a tag of a caption; nothing of most."""
        meant = self.meant(desk, tag)
        told = {
            "hint": meant,
            "unknown": bool(meant),
            "category": self.category(tag),
            "translation": self.translation(tag),
        }
        return {name: value for name, value in told.items() if value}
