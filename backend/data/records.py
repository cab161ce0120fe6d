"""What a scan finds: one record for each picture, in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.config.problems import Problem
from backend.data.datasets import Dataset
from backend.data.picture_edits import NO_EDIT, PictureEdit, stamped

# The ending of a picture that only masks the one beside it.
MASK_SUFFIX = "-masklabel.png"


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture.

    `name` is unique within its data set and how reports call it (a relative path, a table's key). `location` is what
    the data set's store reads: an absolute path, an s3:// address, a place in a shard, a cell of a table (see stores).
    `stamp` changes whenever the content does (size and time, or an ETag); empty where it is not known. Sizes are
    pixels as seen upright, turned and cut as `edit` says; mask and paired picture are those of the whole picture.
    `captions` are the captions as written, one line or several each; empty: `class_tokens` stand in.
    """

    dataset: int
    name: str
    location: str
    stamp: str
    width: int
    height: int
    captions: tuple[str, ...] = ()
    description: str = ""
    class_tokens: str = ""
    num_repeats: float = 1.0
    mask: str = ""
    conditioning: str = ""
    # What else the metadata says; kept only for data sets with code of the user's.
    metadata: Mapping[str, Any] | None = None
    edit: PictureEdit = NO_EDIT

    @property
    def shown_stamp(self) -> str:
        """What changes whenever the picture looks different: with its content, and with how it is turned and cut."""
        return stamped(self.stamp, self.edit)

    @property
    def path(self) -> Path:
        """The location as a file of this machine; for stores that are folders."""
        return Path(self.location)

    @property
    def text(self) -> str:
        """The first caption, or what stands in for it."""
        return self.captions[0] if self.captions else self.description or self.class_tokens


@dataclass(frozen=True, slots=True)
class Scan:
    """The data sets and their pictures, and what is wrong: errors keep a training from starting.

    `noted` has all the names behind problems that are counted, by code and path.
    """

    datasets: tuple[Dataset, ...]
    images: tuple[ImageRecord, ...]
    problems: tuple[Problem, ...]
    noted: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def names_of(self, problem: Problem) -> tuple[str, ...]:
        """Return the names of all files that a problem of this scan is about."""
        return self.noted.get((problem.code, problem.path), ())
