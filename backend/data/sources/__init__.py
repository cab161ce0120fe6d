"""The kinds of sources: each reads a data set's pictures, without opening one, as entries in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, cast

from backend.config.datasets import DatasetConfig
from backend.config.paths import is_address, local_or_hub, location
from backend.config.problems import UserError
from backend.data.datasets import Dataset
from backend.data.index import Index
from backend.data.sources import folder, huggingface, metadata, table, webdataset
from backend.data.sources.base import Entry, Note, Source, suffix_of
from backend.data.sources.beside import with_company
from backend.data.stores import Store

Kind = Literal["folder", "metadata", "table", "webdataset", "huggingface"]
READERS: dict[str, Callable[[Source], Iterator[Entry]]] = {
    "folder": folder.read,
    "metadata": metadata.read,
    "table": table.read,
    "webdataset": webdataset.read,
    "huggingface": huggingface.read,
}
BY_ENDING: dict[str, Kind] = {
    ".json": "metadata",
    ".jsonl": "metadata",
    ".ndjson": "metadata",
    ".csv": "table",
    ".tsv": "table",
    ".parquet": "table",
    ".tar": "webdataset",
}
# Kinds that name pictures, and do not look what is beside them.
NAMED = ("metadata", "table")
# What `datasets` writes into the folder of a saved data set.
SAVED = ("dataset_info.json", "dataset_dict.json")


def kind_of(config: DatasetConfig) -> Kind:
    """Return the kind of a data set's source: as it says, else by the ending or what is in the folder."""
    if config.source not in ("auto", "sd_scripts"):
        return cast(Kind, config.source)
    path = location(config.path)
    by_ending = BY_ENDING.get(suffix_of(path.replace("\\", "/")))
    if by_ending and not (not is_address(path) and Path(path).is_dir()):
        return by_ending
    if not is_address(path) and any((Path(path) / name).is_file() for name in SAVED):
        return "huggingface"
    return "folder"


def open_source(dataset: Dataset, store: Store, index: Index, note: Note) -> tuple[Source, Iterator[Entry]]:
    """Return a data set's source and what it yields.

    Raises:
        UserError: It is not there, not of its kind, or its store refuses. Reading may raise as well.
    """
    kind, path = kind_of(dataset.config), dataset.config.path
    root = local_or_hub(path) if kind == "huggingface" and not is_address(path) else location(path)
    source = Source(dataset, kind, root, store, index, note)
    if kind != "huggingface" and not any(mark in root for mark in "*?{"):
        _check(source, kind)
    entries = READERS[kind](source)
    return source, with_company(source, entries) if kind in NAMED else entries


def _check(source: Source, kind: Kind) -> None:
    found = source.files.kind(source.root)
    if not found:
        raise UserError("dataset_missing", value=source.root)
    if kind == "folder" and found == "file":
        raise UserError("dataset_not_folder", value=source.root)
    if kind == "metadata" and found == "folder":
        raise UserError("dataset_not_file", value=source.root)
