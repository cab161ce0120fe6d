"""Tags of a filter that no caption has, and how the captions spell what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from backend.editing.filter import And, Node, Not, Or, Term
from backend.editing.patterns import Pattern
from backend.editing.tags import TagTable


@dataclass(frozen=True, slots=True)
class OtherSpelling:
    """A term that finds nothing, and a tag that `count` captions have in its place."""

    term: Term
    tag: str
    count: int

    def in_place(self, text: str) -> str:
        """Return the text of the filter with the tag in place of the term."""
        start, length = self.term.position
        return text[:start] + str(Term("tag", Pattern.of(self.tag))) + text[start + length :]


def other_spellings(node: Node, table: TagTable, meant: Callable[[str], str]) -> list[OtherSpelling]:
    """Return what may have been meant by the tags of a filter that no caption has.

    Args:
        node: The filter.
        table: The tags of the captions.
        meant: Returns the tag that a misspelt one was to be, or an empty text.
    """

    def best(words: Iterator[str]) -> tuple[int, str]:
        numbers = {number for word in words for number in table.find(word)}
        counts = ((int(np.count_nonzero(table.with_any([number]))), table.words[number]) for number in numbers)
        return max(counts, default=(0, ""))

    found = []
    for term in _tag_terms(node):
        typed = term.pattern.literal
        if (numbers := table.find(typed)) and table.with_any(numbers).any():
            continue
        count, tag = best(_forms(typed))
        if not count:
            count, tag = best(iter((meant(typed),)))
        if count:
            found.append(OtherSpelling(term, tag, count))
    return found


def _tag_terms(node: Node) -> Iterator[Term]:
    match node:
        case Not(inner):
            yield from _tag_terms(inner)
        case And(nodes) | Or(nodes):
            for each in nodes:
                yield from _tag_terms(each)
        case Term("tag", pattern) if pattern.is_literal:
            yield node


def _forms(tag: str) -> Iterator[str]:
    """Yield a tag with blanks and underscores, and with brackets plain and behind backslashes."""
    plain = tag.replace("\\", "")
    for form in (plain, plain.replace("(", "\\(").replace(")", "\\)")):
        yield from (form, form.replace("_", " "), form.replace(" ", "_"))
