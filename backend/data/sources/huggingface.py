"""Data sets of Hugging Face: a folder of save_to_disk or an id of the hub. Needs the package `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backend.data.rows import open_hub
from backend.data.sources.base import Entry, Source
from backend.data.sources.columns import Columns, choose, size_of
from backend.data.stores import hub_cell
from backend.data.texts import one_text, texts

NUM_PER_BATCH = 1024


def read(source: Source) -> Iterator[Entry]:
    """Yield the pictures of a split, in the order of its rows.

    Raises:
        UserError: The library or the data set is missing, or it has not the columns that are needed.
    """
    config = source.dataset.config
    split = config.split
    opened = open_hub(source.root, split, config.endpoint_url)
    pictures = frozenset(name for name, feature in opened.features.items() if type(feature).__name__ == "Image")
    columns = choose(source, source.root, list(opened.features), pictures)
    written = list(opened.features) if config.code_path else columns.all()
    rows = opened.select_columns([name for name in written if name not in pictures])
    stamp = str(opened._fingerprint)
    for start in range(0, len(opened), NUM_PER_BATCH):
        # Without a column there are no rows to read, only their number.
        batch: dict[str, list[Any]] = rows[start : start + NUM_PER_BATCH] if rows.column_names else {}
        for offset in range(min(NUM_PER_BATCH, len(opened) - start)):
            row = {name: values[offset] for name, values in batch.items()}
            yield _entry(source, columns, row, start + offset, stamp)


def _entry(source: Source, columns: Columns, row: dict[str, Any], number: int, stamp: str) -> Entry:
    config = source.dataset.config
    return Entry(
        name=f"{config.split}/{number}",
        location=hub_cell(source.root, config.split, columns.image, number),
        stamp=stamp,
        width=size_of(row[columns.width]) if columns.width else 0,
        height=size_of(row[columns.height]) if columns.height else 0,
        captions=tuple(text for name in columns.captions for text in texts(row[name])),
        description=one_text(row[columns.description]) if columns.description else "",
        class_tokens=config.class_tokens,
        num_repeats=config.num_repeats,
        metadata=row if config.code_path else None,
    )
