"""Keeps scores and embeddings where the caption page looks for them: in the index, by location and stamp."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from backend.config import paths
from backend.config.problems import UserError
from backend.data.index import Embedding, Index, Known, Score
from backend.data.picture_edits import NO_EDIT, read_edit, stamped
from taggers.base import Described, Picture
from taggers.models import Kind

Key = tuple[str, str]


class Findings:
    """Collects what was found; `flush` remembers it."""

    def __init__(self, model: str, kind: Kind, cache_dir: Path | None = None) -> None:
        """`model` is what embeddings are called by: those of different models cannot be compared."""
        self.kind = kind
        self.model = Path(model).name
        self._folder = cache_dir or paths.cache_dir()
        self._rows: list[tuple[Key, Known]] = []

    def unknown(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Return the pictures that have no score, or no embedding of this model, yet."""
        keys = [_key(picture) for picture in pictures]
        with Index(self._folder) as index:
            if self.kind == "scorer":
                known = set(index.find(Score, keys))
            else:
                found = index.find(Embedding, keys)
                known = {location for location, each in found.items() if each.model == self.model}
        return [picture for picture in pictures if str(picture.path) not in known]

    def put(self, picture: Picture, described: Described) -> str:
        """Note what was found of a picture; returns it as a text for a preview."""
        if described.rating is not None:
            self._rows.append((_key(picture), Score(described.rating)))
            return f"{described.rating:.3f}"
        assert described.embedding is not None, "a model that writes no captions gives a score or a vector"
        vector = described.embedding.astype("<f2").tobytes()
        self._rows.append((_key(picture), Embedding(self.model, vector)))
        return " ".join(f"{value:.3f}" for value in described.embedding[:4]) + " ..."

    def flush(self) -> None:
        """Remember what was noted since the last time."""
        rows, self._rows = self._rows, []
        if rows:
            with Index(self._folder) as index:
                index.remember(rows)


def _key(picture: Picture) -> Key:
    """Return where the caption page looks: a picture that is cut in another way is another one."""
    edit = NO_EDIT
    with suppress(UserError):  # told when the picture is read
        edit = read_edit(picture.path)
    return str(picture.path), stamped(picture.stamp, edit)
