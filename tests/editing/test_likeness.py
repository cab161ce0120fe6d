"""Which pictures are unlike the others, by the vectors of a model."""

from __future__ import annotations

import numpy as np

from backend.editing.likeness import Likeness


def of(vectors: list[list[float]] | None, num: int) -> Likeness:
    embeddings = None if vectors is None else np.array(vectors, np.float16)
    return Likeness(np.full(num, np.nan, np.float32), [None] * num, [""] * num, embeddings)


def test_the_picture_that_is_unlike_the_others_is_farthest_from_them() -> None:
    found = of([[1, 0], [2, 0.1], [1, -0.1], [-0.2, 1], [0, 0]], 5).unusual()
    assert int(np.nanargmax(found)) == 3 and np.isnan(found[4])
    assert found[:3].max() < 0.1 < found[3], "length says nothing"


def test_without_embeddings_nothing_is_known() -> None:
    assert np.isnan(of(None, 3).unusual()).all()
