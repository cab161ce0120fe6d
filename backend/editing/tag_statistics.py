"""What the tags of a folder tell: how often each is there, which go together, and which imply others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backend.editing.patterns import Pattern
from backend.editing.tags import Mask, TagTable

TagOrder = Literal["frequent", "rare", "alphabet", "length", "shown"]
# Tags that are compared with each other for hints: the most frequent ones.
NUM_COMPARED = 3000
# Fewer captions than this prove nothing.
LEAST = 5
# Words that this share of the captions has are in nearly every one: that they go with others says nothing.
EVERYWHERE = 0.95


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag, in how many captions it is, and in how many of those that are shown."""

    tag: str
    count: int
    shown: int


@dataclass(frozen=True, slots=True)
class Together:
    """A tag beside another: in how many captions both are, as a share of those of the other and of its own."""

    tag: str
    count: int
    share: float
    share_of_own: float


@dataclass(frozen=True, slots=True)
class Implication:
    """Nearly every caption with `tag` has `implied`, too; `num_without` have not."""

    tag: str
    implied: str
    count: int
    num_without: int


def tag_counts(
    table: TagTable,
    mask: Mask | None = None,
    *,
    order: TagOrder = "frequent",
    search: str = "",
    fewer_than: int = 0,
) -> list[TagCount]:
    """Return the tags of a folder.

    Args:
        table: The tags.
        mask: The captions that are shown, bool (num_rows,); None: all.
        order: By count, the other way round, by alphabet, by length, or by count among those that are shown.
        search: Only tags with this in them; * and ? as in the filter.
        fewer_than: Only tags that are in fewer captions; 0: all.
    """
    every = table.counts()
    shown = every if mask is None else table.counts(mask)
    is_listed = every > 0
    if fewer_than:
        is_listed &= every < fewer_than
    if search.strip():
        is_there = Pattern(search.strip()).within()
        is_listed &= np.fromiter(map(is_there, table.folded), bool, len(table.words))
    numbers = np.flatnonzero(is_listed).tolist()
    found = [TagCount(table.words[number], int(every[number]), int(shown[number])) for number in numbers]
    keys = {
        "frequent": lambda each: (-each.count, each.tag),
        "rare": lambda each: (each.count, each.tag),
        "alphabet": lambda each: (each.tag.casefold(), each.tag),
        "length": lambda each: (len(each.tag), each.tag),
        "shown": lambda each: (-each.shown, -each.count, each.tag),
    }
    return sorted(found, key=keys[order])


def rarest_counts(table: TagTable) -> NDArray[np.float64]:
    """Return in how many captions the rarest tag of each is: float64 (num_rows,), NaN where there are no tags."""
    found = np.full(len(table.offsets) - 1, np.nan)
    has_tags = table.lengths > 0
    if has_tags.any():
        found[has_tags] = np.minimum.reduceat(table.counts()[table.ids], table.offsets[:-1][has_tags])
    return found


def together_with(table: TagTable, tag: str, *, num: int = 20) -> list[Together]:
    """Return the tags that stand beside one most often."""
    number = table.numbers.get(tag)
    if number is None:
        return []
    every, both = table.counts(), table.counts(table.with_any([number]))
    total = int(every[number])
    both[number] = 0
    best = np.argsort(-both, kind="stable")[:num]
    return [
        Together(table.words[each], int(both[each]), both[each] / total, both[each] / every[each])
        for each in best.tolist()
        if both[each]
    ]


def implied_by(table: TagTable, tag: str, *, least: float = 0.95) -> list[Implication]:
    """Return what nearly every caption with a tag has, too; tags that are nearly everywhere are left out."""
    number = table.numbers.get(tag)
    if number is None:
        return []
    every, both = table.counts(), table.counts(table.with_any([number]))
    total = int(every[number])
    is_implied = (both >= least * total) & (every < EVERYWHERE * (len(table.offsets) - 1)) & (both > 0)
    is_implied[number] = False
    numbers = np.flatnonzero(is_implied)
    ordered = numbers[np.argsort(-both[numbers], kind="stable")].tolist()
    return [Implication(tag, table.words[each], total, total - int(both[each])) for each in ordered]


def implications(table: TagTable, *, least: float = 0.95, least_count: int = LEAST) -> list[Implication]:
    """Return which tags imply others, among the most frequent; first those that some captions lack.

    Two that imply each other are told once, from the more frequent one.
    """
    from scipy.sparse import csr_array  # takes as long to load as the rest of the page

    every = table.counts()
    num_rows = len(table.offsets) - 1
    frequent = np.flatnonzero((every >= least_count) & (every < EVERYWHERE * num_rows))
    frequent = frequent[np.argsort(-every[frequent], kind="stable")[:NUM_COMPARED]]
    if not len(frequent):
        return []
    place = np.full(len(table.words), -1)
    place[frequent] = np.arange(len(frequent))
    columns = place[table.ids]
    used = table.is_first & (columns >= 0)
    rows, columns = table.rows[used], columns[used]
    present = csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(num_rows, len(frequent)))
    both = (present.T @ present).toarray()
    return _implied(both, every[frequent], [table.words[number] for number in frequent.tolist()], least)


def _implied(
    both: NDArray[np.float32], counts: NDArray[np.int64], words: Sequence[str], least: float
) -> list[Implication]:
    """Return the implications in counts of pairs, (num_words, num_words), of words in the order of their counts."""
    np.fill_diagonal(both, 0)
    first, second = np.nonzero(both >= least * counts[:, None])
    is_mutual = both[first, second] >= least * counts[second]
    kept = ~is_mutual | (first < second)
    pairs = zip(first[kept].tolist(), second[kept].tolist(), strict=True)
    found = [Implication(words[a], words[b], int(counts[a]), int(counts[a] - both[a, b])) for a, b in pairs]
    return sorted(found, key=lambda each: (-each.num_without, -each.count, each.tag, each.implied))
