"""Tags that are separated as on Chinese and Japanese keyboards: for training, such a caption is one tag."""

from __future__ import annotations

import re

from backend.editing.tags import join_tags

# Of full width, and the one of enumerations.
COMMAS = "，、"
SEPARATOR = re.compile(rf"[{COMMAS},]")
# What ends sentences, or parts what is longer than a tag.
SENTENCE = re.compile(r"[。！？；]|[.!?](?=\s|$)")
# A word, or a sign of a script that has no blanks between words.
UNIT = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
# Parts that have more of these, or more on average, are not tags.
LONGEST, LONGEST_MEAN = 12, 6


def with_plain_commas(line: str) -> str:
    """Return a line whose tags are separated by a comma and a blank; one that is sentences stays as it is."""
    if not any(mark in line for mark in COMMAS) or SENTENCE.search(line):
        return line
    tags = [tag for piece in SEPARATOR.split(line) if (tag := piece.strip())]
    sizes = [len(UNIT.findall(tag)) for tag in tags]
    is_list = len(tags) > 1 and max(sizes) <= LONGEST and sum(sizes) <= LONGEST_MEAN * len(tags)
    return join_tags(tags) if is_list else line
