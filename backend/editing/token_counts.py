"""How many tokens the captions of a folder have, from the tokens of their tags: a tag of many captions is read once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backend.editing.tags import Mask, TagTable
from backend.families.tokens import TokenCounter

# The tokens of each row, or UNKNOWN or UNREAD: int32 (num_rows,).
Counts = NDArray[np.int32]

# Not counted.
UNKNOWN = -1
# Not counted, and not to be told from tags: has to be read.
UNREAD = -2
# What only weights are written with: they may reach over several tags.
MARKS = frozenset("()[]\\")
# Where tags do not come again so often, as in sentences, captions are as fast to read.
LEAST_REPEATED = 4


class Tags:
    """The tags of all captions as they are now: a table goes on changing, this does not."""

    def __init__(self, table: TagTable) -> None:
        self.words, self.ids, self.offsets = table.words, table.ids, table.offsets
        self.num_words = len(table.words)
        self.lengths = np.diff(self.offsets)
        self.has_tags = self.lengths > 0

    @property
    def repeat(self) -> bool:
        """Whether there are few tags in many captions."""
        return self.num_words * LEAST_REPEATED <= len(self.ids)

    def sums(self, values: Counts) -> Counts:
        """Return the sum over the tags of each caption, of values by tag: int32 (num_rows,)."""
        found = np.zeros(len(self.offsets) - 1, np.int32)
        if len(self.ids):
            found[self.has_tags] = np.add.reduceat(values[self.ids], self.offsets[:-1][self.has_tags])
        return found


def counted_by_tags(tags: Tags, texts: Sequence[str], counter: TokenCounter) -> Counts:
    """Return the tokens of the captions that are plain lists of tags, int32 (num_rows,); UNREAD of others.

    Args:
        tags: Of the same captions.
        texts: The captions.
        counter: Reads words one by one: `counter.is_by_word`.
    """
    is_plain = _is_plain(tags, texts)
    if counter.is_weighted:
        has_marks = np.fromiter((not MARKS.isdisjoint(word) for word in tags.words[: tags.num_words]), np.int32)
        is_plain &= tags.sums(has_marks) == 0
    used = np.flatnonzero(np.bincount(tags.ids, minlength=tags.num_words)).tolist()
    # A comma is read together with the last sign before it: not with that of the last tag, which has none behind it.
    joined = _counts(tags, used, ",", counter)
    found = tags.sums(joined)
    last = tags.ids[tags.offsets[1:][tags.has_tags] - 1]
    single = _counts(tags, np.unique(last).tolist(), "", counter)
    found[tags.has_tags] += single[last] - joined[last]
    return np.where(is_plain, found, np.int32(UNREAD))


def _is_plain(tags: Tags, texts: Sequence[str]) -> Mask:
    """Return which captions are their tags with a comma and a blank between each two, and nothing else."""
    num_signs = np.fromiter(map(len, texts), np.int32, len(texts))
    num_joins = np.fromiter((text.count(", ") for text in texts), np.int32, len(texts))
    in_tags = tags.sums(np.fromiter(map(len, tags.words[: tags.num_words]), np.int32, tags.num_words))
    is_list = (num_joins == tags.lengths - 1) & (num_signs == in_tags + 2 * num_joins)
    return np.where(tags.has_tags, is_list, num_signs == 0)


def _counts(tags: Tags, numbers: Sequence[int], behind: str, counter: TokenCounter) -> Counts:
    """Return the tokens of some tags with what stands behind them: int32 (num_words,), 0 of all others."""
    counts = np.zeros(tags.num_words, np.int32)
    counts[numbers] = counter.counts([tags.words[number] + behind for number in numbers])
    return counts
