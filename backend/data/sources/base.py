"""What every kind of source yields, and how it tells what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backend.data.datasets import Dataset
from backend.data.filesystems import File, FileSystem
from backend.data.index import Index
from backend.data.stores import Store

# note(code, name, reason): counts a problem of the data set; those of one code are told once, with some names.
Note = Callable[..., None]


@dataclass(slots=True)
class Entry:
    """A picture that a source names. Sizes of 0 are not known yet; so is an empty stamp of a file.

    `caption_file` is read where it is given; else `captions` hold: empty, and `class_tokens` stand in. `edit_file` says
    how the picture is turned and cut, or `edit_text` does. `mask` is one that lies beside it, used or not.
    """

    name: str
    location: str
    stamp: str
    width: int = 0
    height: int = 0
    captions: tuple[str, ...] = ()
    description: str = ""
    class_tokens: str = ""
    num_repeats: float = 1.0
    mask: str = ""
    caption_file: File | None = None
    edit_file: File | None = None
    edit_text: str = ""
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What a source is read with; `root` is the absolute path, address or id of what the data set names."""

    dataset: Dataset
    kind: str
    root: str
    store: Store
    index: Index
    note: Note

    @property
    def files(self) -> FileSystem:
        """Return the file system of the root."""
        return self.store.files(self.root)


def stem_of(name: str) -> str:
    """Return a name without its ending, folders kept."""
    folder, slash, last = name.rpartition("/")
    stem, dot, _ = last.rpartition(".")
    return f"{folder}{slash}{stem if dot and stem else last}"


def suffix_of(name: str) -> str:
    """Return a name's ending in small letters, with its dot."""
    last = name.rpartition("/")[2]
    stem, dot, suffix = last.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""
