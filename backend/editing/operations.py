"""What can be done to many captions at once: each operation is a few values, and makes a function from text to text.

    edits(library, Replace("cat", "dog", mode="tag"), mask)  ->  {row: new caption}

A caption of several lines is several captions: each line is treated for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, Protocol

import numpy as np

from backend.config.problems import UserError
from backend.editing.commas import with_plain_commas
from backend.editing.expressions import substitution
from backend.editing.library import Library
from backend.editing.patterns import Pattern
from backend.editing.tags import Mask, join_tags, same, split_tags, typed_tags, with_spaces
from backend.families.tokens import TokenCounter

Edit = Callable[[str], str]
EditTags = Callable[[list[str]], list[str]]

NUM_EXAMPLES = 8
BRACKETS = re.compile(r"\\?([()\[\]])")
# (smile:1.2): brackets that are there for the weight, around words that may have brackets of their own.
WEIGHT = re.compile(r"(?<!\\)\((?P<words>(?:\\.|[^()\\\n]|\([^()\n]*\))*)(?P<weight>:\d*\.?\d+\))")
# Danbooru's numbers of kinds, in the order of a caption: characters, series, artists, general tags, the file.
CATEGORY_ORDER = {4: 0, 3: 1, 1: 2, 0: 3, 5: 5}
OF_NO_CATEGORY = 4
# What only sentences have: a full stop behind a word at the end, or before another sentence.
SENTENCES = re.compile(r"\w[\"')]?[.!?]+$|\w[.!?] +[A-Z]|[。！？]")
CAPITAL = re.compile(r"^[A-Z](?=[a-z]| )")
SENTENCE_ENDS = re.compile(r"[,.;:!?](?=\s|$)|[，。；：！？、]|\n")


@dataclass(frozen=True)
class Context:
    """What operations may need to know of the whole set.

    `counts`: in how many captions each tag is. `categories`: of tags, as Danbooru numbers them.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    categories: Mapping[str, int] = field(default_factory=dict)
    counter: TokenCounter | None = None


class Operation(Protocol):
    """Something that is done to captions."""

    def edit(self, context: Context, /) -> Edit:
        """Return the function from a caption to the new one.

        Raises:
            UserError: The values make no sense.
        """


@dataclass(frozen=True)
class Example:
    """A caption before and after."""

    row: int
    before: str
    after: str


@dataclass(frozen=True)
class Preview:
    """How many captions an operation would change, and some of them."""

    num_changes: int
    examples: tuple[Example, ...]


def edits(
    library: Library, operation: Operation, mask: Mask | None = None, context: Context | None = None
) -> dict[int, str]:
    """Return the captions that an operation changes, by row: of all rows, or those of a mask.

    Raises:
        UserError: The values of the operation make no sense.
    """
    edit = operation.edit(context or context_of(library))
    texts = library.texts
    rows = range(len(texts)) if mask is None else np.flatnonzero(mask).tolist()
    return {row: after for row in rows if (after := edit(texts[row])) != texts[row]}


def preview(
    library: Library, operation: Operation, mask: Mask | None = None, context: Context | None = None
) -> Preview:
    """Return what `edits` would change, without doing it; raises as it does."""
    changed = edits(library, operation, mask, context)
    some = list(changed.items())[:NUM_EXAMPLES]
    return Preview(len(changed), tuple(Example(row, library.texts[row], after) for row, after in some))


def context_of(
    library: Library, *, categories: Mapping[str, int] | None = None, counter: TokenCounter | None = None
) -> Context:
    """Return the context of a library as it is now."""
    tags = library.tags
    counts = dict(zip(tags.words, tags.counts().tolist(), strict=False))  # edits may add words meanwhile
    return Context(counts, categories or {}, counter)


def by_line(edit: Edit) -> Edit:
    """Return what treats each line of a caption for itself; empty lines are no captions, and stay as they are."""

    def one(line: str) -> str:
        words = line.removesuffix("\r")  # of files whose lines end in several ways
        return edit(words) + line[len(words) :] if words.strip() else line

    def edited(text: str) -> str:
        if "\n" not in text:
            return edit(text)
        return "\n".join(map(one, text.split("\n"))) if text.strip() else edit("") or text

    return edited


def by_tags(edit: EditTags) -> Edit:
    """Return what treats the tags of each line; a line whose tags stay the same is left as it is written."""

    def edited(line: str) -> str:
        tags = split_tags(line)
        new = edit(tags)
        return line if new == tags else join_tags(new)

    return by_line(edited)


def parts(tags: str) -> list[str]:
    """Return the tags that a user typed, separated by commas.

    Raises:
        UserError: `tags_missing`: there are none.
    """
    found = typed_tags(tags)
    if not found:
        raise UserError("tags_missing")
    return found


@dataclass(frozen=True)
class Replace:
    """Replace a text wherever it stands, a whole tag, or what a regular expression finds.

    A tag may be replaced by several, or by nothing; one that is there already is not there twice then.
    """

    find: str
    replacement: str = ""
    mode: Literal["text", "tag", "regex"] = "text"
    ignore_case: bool = False

    def edit(self, _: Context) -> Edit:
        if not self.find or (self.mode == "tag" and not self.find.strip()):
            raise UserError("find_missing")
        if self.mode == "tag":
            return self._tag_edit()
        if self.mode == "text" and not self.ignore_case:
            return lambda text: text.replace(self.find, self.replacement)
        if self.mode == "text":
            pattern = re.compile(re.escape(self.find), re.IGNORECASE)
            return lambda text: pattern.sub(lambda _: self.replacement, text)
        return substitution(self.find, self.replacement, ignore_case=self.ignore_case)

    def _tag_edit(self) -> Edit:
        old = self.find.strip().casefold() if self.ignore_case else self.find.strip()
        new = typed_tags(self.replacement)

        def edited(tags: list[str]) -> list[str]:
            folded = [tag.casefold() for tag in tags] if self.ignore_case else tags
            if old not in folded:
                return tags
            kept = {tag for tag, each in zip(tags, folded, strict=True) if each != old}
            place = folded.index(old)
            fresh = [tag for tag in new if tag not in kept]
            rest = [tag for tag, each in zip(tags[place:], folded[place:], strict=True) if each != old]
            return tags[:place] + fresh + rest

        edit = by_tags(edited)
        # Most captions do not have it: they need not be taken apart.
        return edit if self.ignore_case else lambda text: edit(text) if old in text else text


@dataclass(frozen=True)
class AddTags:
    """Add tags that are not there yet: at the start, the end, or before the tag with a number (1 is the first)."""

    tags: str
    position: Literal["start", "end", "number"] = "end"
    number: int = 1

    def edit(self, _: Context) -> Edit:
        new = parts(self.tags)
        form = cache(same)  # the same tags come again and again

        def edited(tags: list[str]) -> list[str]:
            known = set(map(form, tags))
            fresh = [tag for tag in new if form(tag) not in known]
            place = {"start": 0, "end": len(tags), "number": max(0, self.number - 1)}[self.position]
            return tags[:place] + fresh + tags[place:]

        return by_tags(edited)


@dataclass(frozen=True)
class RemoveTags:
    """Remove tags; * and ? stand for anything and any one sign, large and small letters are the same."""

    tags: str

    def edit(self, _: Context) -> Edit:
        patterns = [Pattern.typed(tag) for tag in parts(self.tags)]
        names = frozenset(pattern.literal.casefold() for pattern in patterns if pattern.is_literal)
        wild = [pattern.whole() for pattern in patterns if not pattern.is_literal]
        known: dict[str, bool] = {}

        def is_kept(tag: str) -> bool:
            if tag not in known:
                folded = tag.casefold()
                known[tag] = folded not in names and not any(is_meant(folded) for is_meant in wild)
            return known[tag]

        return by_tags(lambda tags: [tag for tag in tags if is_kept(tag)])


@dataclass(frozen=True)
class SortTags:
    """Put tags in order, behind the first few that stay: the most frequent or the shortest in front, or characters,
    series, artists, general tags, those that no list knows, and tags about the file."""

    by: Literal["alphabet", "frequency", "length", "category"] = "alphabet"
    reverse: bool = False
    keep_first: int = 0

    def edit(self, context: Context) -> Edit:
        keys: dict[str, Callable[[str], object]] = {
            "alphabet": lambda tag: (tag.casefold(), tag),
            "frequency": lambda tag: -context.counts.get(tag, 0),
            "length": len,
            "category": lambda tag: CATEGORY_ORDER.get(context.categories.get(tag, -1), OF_NO_CATEGORY),
        }
        key = keys[self.by]

        def edited(tags: list[str]) -> list[str]:
            behind = tags[self.keep_first :]
            return tags[: self.keep_first] + sorted(behind, key=key, reverse=self.reverse)  # type: ignore[arg-type]

        return by_tags(edited)


@dataclass(frozen=True)
class MoveToFront:
    """Move tags to the front, in this order; those that are not there are not added."""

    tags: str

    def edit(self, _: Context) -> Edit:
        order = {tag.casefold(): place for place, tag in reversed(list(enumerate(parts(self.tags))))}
        # Sorting keeps the order of those that are equal: all that are not moved.
        return by_tags(lambda tags: sorted(tags, key=lambda tag: order.get(tag.casefold(), len(order))))


@dataclass(frozen=True)
class KeepFirst:
    """Keep the first tags and remove the rest."""

    number: int

    def edit(self, _: Context) -> Edit:
        if self.number < 0:
            raise UserError("number_negative", value=self.number)
        return by_tags(lambda tags: tags[: self.number])


@dataclass(frozen=True)
class RemoveDuplicates:
    """Remove tags that are there before; by default also when only large letters or underscores differ."""

    ignore_case: bool = True

    def edit(self, _: Context) -> Edit:
        if not self.ignore_case:
            return by_tags(lambda tags: list(dict.fromkeys(tags)))

        form = cache(same)

        def edited(tags: list[str]) -> list[str]:
            first: dict[str, str] = {}
            for tag in tags:
                first.setdefault(form(tag), tag)
            return list(first.values())

        return by_tags(edited)


@dataclass(frozen=True)
class Tidy:
    """Write every caption alike: no empty tags, lines or blanks too many, a comma and a blank between tags."""

    def edit(self, _: Context) -> Edit:
        def edited(text: str) -> str:
            lines = (join_tags(" ".join(tag.split()) for tag in split_tags(line)) for line in text.split("\n"))
            return "\n".join(line for line in lines if line)

        return edited


@dataclass(frozen=True)
class Commas:
    """Write a comma and a blank where tags are separated as on Chinese keyboards; sentences stay as they are."""

    def edit(self, _: Context) -> Edit:
        return by_line(with_plain_commas)


@dataclass(frozen=True)
class Truncate:
    """Remove tags from the end until at most so many tokens are left; words, where the first tag alone is too long."""

    num_tokens: int

    def edit(self, context: Context) -> Edit:
        counter = context.counter
        if counter is None:
            raise UserError("filter_tokens_unknown")
        if self.num_tokens < 0:
            raise UserError("number_negative", value=self.num_tokens)

        def edited(line: str) -> str:
            if counter.count(line) <= self.num_tokens:
                return line
            tags = split_tags(line)
            num = _most(len(tags), lambda num: counter.count(join_tags(tags[:num])) <= self.num_tokens)
            if num or not tags:
                return join_tags(tags[:num])
            words = tags[0].split(" ")
            return " ".join(
                words[: _most(len(words), lambda num: counter.count(" ".join(words[:num])) <= self.num_tokens)]
            )

        return by_line(edited)


def _most(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest number up to `most` that fits, 0 at least; larger ones never fit when a smaller does not."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


@dataclass(frozen=True)
class Underscores:
    """Write tags with spaces or with underscores between their words; faces such as ^_^ stay."""

    to: Literal["spaces", "underscores"] = "spaces"

    def edit(self, _: Context) -> Edit:
        if self.to == "underscores":
            return by_tags(lambda tags: [tag.replace(" ", "_") for tag in tags])
        return by_tags(lambda tags: list(map(with_spaces, tags)))


@dataclass(frozen=True)
class Brackets:
    r"""Write brackets as \( and \), which weights in captions leave alone, or plainly; (smile:1.2) is a weight."""

    to: Literal["escaped", "plain"] = "escaped"

    def edit(self, _: Context) -> Edit:
        return _with_escapes if self.to == "escaped" else lambda text: BRACKETS.sub(r"\1", text)


def _with_escapes(text: str) -> str:
    parts, end = [], 0
    for found in WEIGHT.finditer(text):
        between, words = (BRACKETS.sub(r"\\\1", each) for each in (text[end : found.start()], found["words"]))
        parts += [between, "(", words, found["weight"]]
        end = found.end()
    return "".join((*parts, BRACKETS.sub(r"\\\1", text[end:])))


@dataclass(frozen=True)
class NaturalText:
    """Make a sentence of tags, or tags of sentences: what stands between commas and full stops.

    Captions that are sentences already are left alone where sentences are wanted.
    """

    to: Literal["text", "tags"] = "text"

    def edit(self, _: Context) -> Edit:
        return by_line(_sentence if self.to == "text" else _tags_of)


def _sentence(line: str) -> str:
    tags = list(map(_spoken, split_tags(line)))
    if not tags or SENTENCES.search(line.strip()):
        return line
    text = f"{', '.join(tags[:-1])} and {tags[-1].removeprefix('and ')}" if len(tags) > 1 else tags[0]
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "。")) else ".")


def _spoken(tag: str) -> str:
    """Return a tag without what nobody says: underscores, escapes and weights."""
    if "(" in tag or "[" in tag:
        found = WEIGHT.fullmatch(tag)
        tag = BRACKETS.sub(r"\1", found["words"] if found else tag)
    return with_spaces(tag)


def _tags_of(line: str) -> str:
    found = (piece.strip().removeprefix("and ").removeprefix("or ") for piece in SENTENCE_ENDS.split(line))
    return join_tags(CAPITAL.sub(lambda first: first[0].lower(), piece) for piece in found if piece)


# By the name that pages and commands use.
OPERATIONS: dict[str, type[Operation]] = {
    "replace": Replace,
    "add": AddTags,
    "remove": RemoveTags,
    "sort": SortTags,
    "front": MoveToFront,
    "first": KeepFirst,
    "duplicates": RemoveDuplicates,
    "tidy": Tidy,
    "commas": Commas,
    "truncate": Truncate,
    "underscores": Underscores,
    "brackets": Brackets,
    "natural": NaturalText,
}
