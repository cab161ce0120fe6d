"""What every tagger is: it prepares pictures in threads, and describes batches of what it prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.config.problems import Problem
from taggers.tags import TagList


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to be described: the folder that was asked for, and its name from there, with slashes."""

    folder: str
    name: str
    path: Path
    # What changes with the content of the file.
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """What a model says of a picture; each kind of model fills in its own."""

    scores: NDArray[np.float32] | None = None
    text: str = ""
    rating: float | None = None
    embedding: NDArray[np.float32] | None = None
    # White where the picture is no background: mode L, in the size of the picture.
    mask: Image.Image | None = None


class Tagger(Protocol):
    """A model that is loaded."""

    # Where it works, as events tell it, and what there is to say of that.
    device: str
    note: Problem | None
    # What the scores of `Described` mean; None of models that give none.
    tags: TagList | None
    # The only batch size that it takes; 0: any.
    fixed_batch: int
    # Whether it describes in words; else it gives masks, or scores or vectors, which go into the index.
    writes_captions: bool

    def prepare(self, image: Image.Image, picture: Picture) -> Any:
        """Turn an upright RGB picture into what `describe` takes. Called in several threads at once."""

    def describe(self, prepared: Sequence[Any]) -> list[Described]:
        """Describe a batch, in its order."""
