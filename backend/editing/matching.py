"""Which rows of a library a filter finds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from backend.editing.filter import And, Compare, Everything, FilterError, Flag, Node, Not, Or, Term
from backend.editing.library import Library
from backend.editing.patterns import Pattern
from backend.editing.tag_statistics import rarest_counts
from backend.editing.tags import Mask
from backend.families.tokens import TokenCounter

OPERATORS: dict[str, Callable[[NDArray, float], Mask]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
# A ratio that was written 16:9 is meant as near as pixels allow.
ASPECT_TOLERANCE = 0.005


def evaluate(node: Node, library: Library, counter: TokenCounter | None = None) -> Mask:
    """Return which rows a filter finds: bool (num_rows,).

    Args:
        node: What `filter.parse` returns.
        library: The folder.
        counter: What `tokens:` counts with; without one it cannot be asked for.

    Raises:
        FilterError: `filter_picture_unknown`, `filter_not_looked` (of `similar:`, `dup` and `score:`, before anything
            has looked at the pictures) or `filter_tokens_unknown`, at the place of the term.
    """
    match node:
        case Everything():
            return np.ones(len(library), bool)
        case Not(inner):
            return ~evaluate(inner, library, counter)
        case And(nodes):
            return reduce(operator.iand, (evaluate(each, library, counter).copy() for each in nodes))
        case Or(nodes):
            return reduce(operator.ior, (evaluate(each, library, counter).copy() for each in nodes))
        case Compare():
            return _compared(node, library, counter)
        case Flag():
            return _flagged(node, library)
        case Term():
            return _found(node, library)


def _compared(node: Compare, library: Library, counter: TokenCounter | None) -> Mask:
    values = _numbers(node, library, counter)
    known = np.isfinite(values) if values.dtype.kind == "f" else np.ones(len(library), bool)
    if node.key == "aspect" and node.operator in ("=", "!="):
        near = np.abs(values - node.number) <= ASPECT_TOLERANCE * node.number
        return known & (near if node.operator == "=" else ~near)
    return known & OPERATORS[node.operator](values, node.number)


def _numbers(node: Compare, library: Library, counter: TokenCounter | None) -> NDArray:
    """Return what a term compares, by row; NaN where it is not known."""
    match node.key:
        case "tags":
            return library.tags.lengths
        case "chars":
            return np.fromiter(map(len, library.texts), np.int64, len(library))
        case "lines":
            return np.array([text.count("\n") + 1 if text.strip() else 0 for text in library.texts], np.int64)
        case "rating":
            return library.ratings
        case "rarest":
            return rarest_counts(library.tags)
        case "tokens":
            if counter is None:
                raise FilterError(*node.position, "filter_tokens_unknown")
            return library.token_counts(counter)
        case "score":
            scores = library.likeness().scores
            if np.isnan(scores).all():
                raise FilterError(*node.position, "filter_not_scored")
            return scores
    return _sizes(node.key, library)


def _sizes(key: str, library: Library) -> NDArray[np.float64]:
    widths, heights = library.widths.astype(np.float64), library.heights.astype(np.float64)
    # Of pictures that cannot be read nothing is known.
    widths[widths == 0] = heights[heights == 0] = np.nan
    return {"width": widths, "height": heights, "size": np.minimum(widths, heights), "aspect": widths / heights}[key]


def _flagged(node: Flag, library: Library) -> Mask:
    match node.key:
        case "untagged":
            return np.array([not text or text.isspace() for text in library.texts], bool)
        case "changed":
            return library.changed_rows()
        case "rated":
            return library.ratings > 0
        case "masked":
            return library.has_mask
        case "cropped":
            return library.edited_rows(lambda edit: edit.crop is not None)
        case "rotated":
            return library.edited_rows(lambda edit: edit.rotate != 0)
    likeness = library.likeness()
    if not likeness.num_looked:
        raise FilterError(*node.position, "filter_not_looked")
    return library.duplicates()


def _found(node: Term, library: Library) -> Mask:
    match node.key:
        case "tag":
            return _with_tag(node.pattern, library)
        case "similar":
            return _similar(node, library)
        case "caption":
            return _with(node.pattern.within(), library.folded_texts())
        case "path":
            return _with(_named(node.pattern), library.folded_names())
        case "name":
            is_named = _named(node.pattern)
            return _with(lambda name: is_named(name.rpartition("/")[2]), library.folded_names())
    is_there = node.pattern.within()
    return _with(is_there, library.folded_texts()) | _with(is_there, library.folded_names())


def _with(is_there: Callable[[str], bool], texts: list[str]) -> Mask:
    return np.fromiter(map(is_there, texts), bool, len(texts))


def _named(pattern: Pattern) -> Callable[[str], bool]:
    """Names are meant whole when there are signs of a pattern, as in file managers."""
    return pattern.within() if pattern.is_literal else pattern.whole()


def _with_tag(pattern: Pattern, library: Library) -> Mask:
    tags = library.tags
    if pattern.is_literal:
        return tags.with_any(tags.find(pattern.literal))
    is_meant = pattern.whole()
    return tags.with_any([number for number, word in enumerate(tags.folded) if is_meant(word)])


def _similar(node: Term, library: Library) -> Mask:
    row = _row(node.pattern.literal, library)
    if row is None:
        raise FilterError(*node.position, "filter_picture_unknown", value=node.pattern.literal)
    found = library.likeness().similar(row)
    if found is None:
        raise FilterError(*node.position, "filter_not_looked")
    return found


def _row(name: str, library: Library) -> int | None:
    """Return the row of a picture that is named by its path below the folder, or its name, in any letters."""
    row = library.row(name)
    if row is not None:
        return row
    folded = PurePath(name).as_posix().casefold()
    names = library.folded_names()
    return next(
        (row for row, each in enumerate(names) if each == folded),
        next((row for row, each in enumerate(names) if each.endswith(f"/{folded}")), None),
    )
