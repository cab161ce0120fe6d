"""What a tag that is being typed may become, and what a tag that nobody knows may have meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from backend.editing.tag_lists import KnownTag, TagList, plain
from backend.editing.tags import with_spaces

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 -'"
# Shorter words are too near to each other; longer ones are sentences.
MISSPELT = range(4, 41)
# Own tags that are in this many captions are meant as they are.
USUAL_COUNT = 5
# A word that is this many times as common as another is what the other may have meant.
MUCH_MORE = 10
PLAIN_BRACKET = re.compile(r"(?<!\\)[()]")
UNDERSCORE = re.compile(r"\w_\w")
Matcher = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tag to choose. `count`: captions of the set that have it; `alias`: what was found, when not the tag itself."""

    tag: str
    count: int
    category: int | None = None
    known_count: int = 0
    alias: str = ""


class Completer:
    """Knows the tags of a set and those of a list; the set's own come first. Made anew when the set has changed."""

    def __init__(
        self, counts: Mapping[str, int], known: TagList | None = None, translations: Mapping[str, str] | None = None
    ) -> None:
        """Args:
        counts: Captions by tag, of the set.
        known: The user's list.
        translations: What tags are called in another language, by their plain names: they are found by that, too.
        """
        self.known = known or TagList()
        self._translations = translations or {}
        self._own = sorted(
            ((plain(tag), tag, count) for tag, count in counts.items() if count), key=lambda each: -each[2]
        )
        only_translated = (KnownTag(name) for name in self._translations if name not in self.known.by_name)
        listed = (*self.known.tags, *only_translated)
        self._listed = [(tag, plain(tag.name), tuple(map(plain, tag.aliases))) for tag in listed]
        self._own_counts = {name: count for name, _, count in reversed(self._own)}
        self._names = frozenset((*self._own_counts, *self.known.by_name))
        written = [tag for _, tag, _ in self._own[:500]]
        # What is taken from the list is written as the set writes.
        self._has_underscores = sum(bool(UNDERSCORE.search(tag)) for tag in written) > sum(
            " " in tag for tag in written
        )
        self._has_escapes = any("\\(" in tag for tag in written)

    def complete(self, typed: str, num: int = 10) -> list[Suggestion]:
        """Return tags that begin with what was typed, then those of which a word does, then those that have it."""
        text = plain(typed)
        if not text:
            return [self._shown(tag, count) for _, tag, count in self._own[:num]]
        found: dict[str, Suggestion] = {}
        for is_meant in (_starts(text), _has_word(text), lambda name: text in name):
            for suggestion in self._among(is_meant, is_foreign=not text.isascii()):
                found.setdefault(plain(suggestion.tag), suggestion)
                if len(found) == num:
                    return list(found.values())
        return list(found.values())

    def meant(self, tag: str) -> str:
        """Return what a tag was probably to be: the most common one that differs in one letter, not in a number; empty:
        it is right."""
        name = plain(tag)
        own = self._own_counts.get(name, 0)
        if self.known.find(tag) is not None or own >= USUAL_COUNT or len(name) not in MISSPELT:
            return ""
        there = _one_letter_off(name) & self._names
        near = {other: self._common(other) for other in there if _digits(other) == _digits(name)}
        best = max(near, key=lambda other: near[other], default="")
        return self._written(best) if best and near[best] >= MUCH_MORE * max(1, own) else ""

    def _common(self, name: str) -> int:
        """Return how common a tag is: in the list, or in the set."""
        found = self.known.by_name.get(name)
        return max(self._own_counts.get(name, 0), found.count if found and plain(found.name) == name else 0)

    def _written(self, name: str) -> str:
        own = next((tag for each, tag, _ in self._own if each == name), "")
        return own or self._as_here(self.known.by_name[name].name)

    def _as_here(self, name: str) -> str:
        text = name if self._has_underscores else with_spaces(name)
        return PLAIN_BRACKET.sub(r"\\\g<0>", text) if self._has_escapes else text

    def _among(self, is_meant: Matcher, *, is_foreign: bool) -> Iterator[Suggestion]:
        word = self._translations.get
        for name, tag, count in self._own:
            if is_meant(name) or (is_foreign and is_meant(word(name, ""))):
                yield self._shown(tag, count)
        for known, name, aliases in self._listed:
            if is_meant(name) or (is_foreign and is_meant(word(name, ""))):
                yield self._of(known, "")
            elif alias := next((alias for alias in aliases if is_meant(alias)), ""):
                yield self._of(known, alias)

    def _shown(self, tag: str, count: int) -> Suggestion:
        known = self.known.find(tag)
        return Suggestion(tag, count, known.category if known else None, known.count if known else 0)

    def _of(self, known: KnownTag, alias: str) -> Suggestion:
        count = self._own_counts.get(plain(known.name), 0)
        return Suggestion(self._as_here(known.name), count, known.category, known.count, alias)


def _digits(word: str) -> list[str]:
    return [sign for sign in word if sign.isdigit()]


def _starts(text: str) -> Matcher:
    return lambda name: name.startswith(text)


def _has_word(text: str) -> Matcher:
    return re.compile(rf"\b{re.escape(text)}").search


def _one_letter_off(word: str) -> set[str]:
    """Return what becomes of a word when a letter is left out, added, another one, or two change places."""
    parts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    left_out = {first + second[1:] for first, second in parts if second}
    swapped = {first + second[1] + second[0] + second[2:] for first, second in parts if len(second) > 1}
    changed = {first + letter + second[1:] for first, second in parts if second for letter in LETTERS}
    added = {first + letter + second for first, second in parts for letter in LETTERS}
    return (left_out | swapped | changed | added) - {word}
