"""What looking at pictures tells of them: scores, hashes, embeddings; which are duplicates, which are alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backend.data.index import Content, Embedding, Index, Looks, Score
from backend.data.picture_edits import NO_EDIT, PictureEdit, stamped
from backend.data.quality import NUM_PER_CHUNK, NUM_THREADS, look_at, near_duplicates, remember, same_content
from backend.data.records import ImageRecord
from backend.data.scan import Stopped
from backend.data.stores import Store
from backend.editing.tags import Mask

# Cosines of embeddings from here on are of pictures that look alike.
ALIKE = 0.85
# Of perceptual hashes of 64 bits: in how many they may differ.
ALIKE_BITS = 14


@dataclass(frozen=True)
class Likeness:
    """What looking told of each row. `scores` are NaN, `looks` None, `contents` empty where nothing is known.

    `embeddings`: float16 (num_rows, num_values), of one model; 0 in rows that have none; None: nobody has any.
    """

    scores: NDArray[np.float32]
    looks: Sequence[Looks | None]
    contents: Sequence[str]
    embeddings: NDArray[np.float16] | None

    @property
    def num_looked(self) -> int:
        """How many pictures were looked at."""
        return sum(looks is not None for looks in self.looks)

    def duplicates(self) -> Mask:
        """Return which pictures are there twice or look the same: bool (num_rows,)."""
        every = range(len(self.looks))
        found = np.zeros(len(self.looks), bool)
        for group in [*same_content(self.contents, every), *near_duplicates(self.looks, every)]:
            found[group] = True
        return found

    def similar(self, row: int) -> Mask | None:
        """Return which pictures look like one, itself too: bool (num_rows,); None when it was not looked at."""
        if self.embeddings is not None and self.embeddings[row].any():
            cosines = self.embeddings.astype(np.float32) @ self.embeddings[row].astype(np.float32)
            return cosines >= ALIKE
        looks = self.looks[row]
        if looks is None or not looks.perceptual_hash:
            return None
        hashes = np.array([int(each.perceptual_hash or "0", 16) if each else 0 for each in self.looks], np.uint64)
        is_known = np.array([bool(each and each.perceptual_hash) for each in self.looks], bool)
        return is_known & (np.bitwise_count(hashes ^ np.uint64(int(looks.perceptual_hash, 16))) <= ALIKE_BITS)

    def unusual(self) -> NDArray[np.float32]:
        """Return how far pictures are from what the others have in common: float32 (num_rows,), NaN without embedding.

        0: as the mean of all, 2: the opposite.
        """
        found = np.full(len(self.looks), np.nan, np.float32)
        if self.embeddings is not None:
            rows = np.flatnonzero(self.embeddings.any(1))
            vectors = self.embeddings[rows].astype(np.float32)
            vectors /= np.maximum(1e-12, np.linalg.norm(vectors, axis=1, keepdims=True))
            mean = vectors.mean(0)
            found[rows] = 1 - vectors @ (mean / max(1e-12, float(np.linalg.norm(mean))))
        return found


def known_likeness(
    index: Index, root: Path, names: Sequence[str], stamps: Sequence[str], shown: Sequence[str]
) -> Likeness:
    """Return what the index knows of pictures, without reading any.

    Args:
        index: Knows it.
        root: The folder.
        names: The pictures, by their paths below it.
        stamps: What changes with their files.
        shown: What changes with how they look, too: turned and cut.
    """
    locations = [f"{root}{os.sep}{name.replace('/', os.sep)}" for name in names]
    keys, files = list(zip(locations, shown, strict=True)), list(zip(locations, stamps, strict=True))
    scores, looks, contents = index.find(Score, keys), index.find(Looks, keys), index.find(Content, files)
    return Likeness(
        np.array([scores[each].score if each in scores else np.nan for each in locations], np.float32),
        [looks.get(location) for location in locations],
        [_content(contents.get(key[0]), key, stamp) for key, stamp in zip(keys, stamps, strict=True)],
        _embeddings(index.find(Embedding, keys), locations),
    )


def _content(known: Content | None, key: tuple[str, str], stamp: str) -> str:
    """Return what copies have in common: the hash of the bytes, and how the picture is turned and cut."""
    return known.sha256 + key[1].removeprefix(stamp) if known else ""


def _embeddings(found: dict[str, Embedding], locations: Sequence[str]) -> NDArray[np.float16] | None:
    """Return the vectors of the model that made the most of them."""
    models = [each.model for each in found.values()]
    if not models:
        return None
    model = max(set(models), key=models.count)
    rows = [row for row, location in enumerate(locations) if location in found and found[location].model == model]
    vectors = np.stack([np.frombuffer(found[locations[row]].vector, "<f2") for row in rows])
    whole = np.zeros((len(locations), vectors.shape[1]), np.float16)
    whole[rows] = vectors
    return whole


def look(
    index: Index,
    root: Path,
    names: Sequence[str],
    stamps: Sequence[str],
    edits: Mapping[int, PictureEdit],
    *,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> None:
    """Decode every picture that the index does not know yet, so that duplicates and likeness can be told.

    Raises:
        Stopped: `stop` said so; what was done is kept.
    """
    shown = [stamped(stamp, edits.get(row, NO_EDIT)) for row, stamp in enumerate(stamps)]
    known = known_likeness(index, root, names, stamps, shown)
    rows = [row for row in range(len(names)) if known.looks[row] is None or not known.contents[row]]
    store = Store()
    with ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="look") as pool:
        for start in range(0, len(rows), NUM_PER_CHUNK):
            if stop is not None and stop():
                raise Stopped
            records = [_record(root, names, stamps, edits, row) for row in rows[start : start + NUM_PER_CHUNK]]
            remember(index, records, list(pool.map(lambda one: look_at(one, store), records)))
            if progress is not None:
                progress(min(len(rows), start + NUM_PER_CHUNK), len(rows))


def _record(
    root: Path, names: Sequence[str], stamps: Sequence[str], edits: Mapping[int, PictureEdit], row: int
) -> ImageRecord:
    location = f"{root}{os.sep}{names[row].replace('/', os.sep)}"
    return ImageRecord(0, names[row], location, stamps[row], 0, 0, edit=edits.get(row, NO_EDIT))
