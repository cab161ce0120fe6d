"""The masks of the pictures of a library: painted, taken from files, taken away; each a named action."""

from __future__ import annotations

import io
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from backend.config.problems import Problem, UserError
from backend.data.picture_edits import Size
from backend.editing.actions import Change, Skipped
from backend.editing.mask_files import read_as_mask
from backend.editing.outcomes import Applied
from backend.editing.picture_actions import GoOn, PictureActions, always
from backend.editing.pictures import NUM_THREADS

# make(name of the picture, its size): the PNG of its mask, None for none
MakeMask = Callable[[str, Size], bytes | None]


class MaskActions(PictureActions, ABC):
    """What is done to masks. They are of pictures as these are without an edit, upright."""

    def set_mask(self, name: str, row: int, png: bytes | None) -> Applied:
        """Put a mask beside a picture: white counts in training, black does not. None takes it away.

        Args:
            name: What the history calls it.
            row: The picture.
            png: A PNG of mode L, of the size of the picture as it is without an edit, upright.

        Raises:
            UserError: `mask_wrong`, or `mask_changed_outside`: somebody else has changed it since it was shown; it is
                taken over, so that the next time ours is put in its place.
        """
        with self._act_lock:
            with self._lock:
                self._ready()
                if png is not None:
                    _check_mask(png, self.full_size(row))
                path = self.mask_name(row)
                if self._stamp(path) != self.masks.get(row, ""):
                    self._look_at([path])
                    raise UserError("mask_changed_outside", value=path)
            before = self.journal.blobs.put_file(self.root / path)
            change = Change(path, before, None if png is None else self.journal.blobs.put(png), "bytes")
            return self._do(name, [change] if change.before != change.after else [])

    def remove_masks(self, name: str, rows: Sequence[int], go_on: GoOn = always) -> Applied:
        """Take away the masks of pictures; those that others have changed meanwhile stay. `go_on`: `_do_in_parts`."""
        return self._put_masks(name, [row for row in rows if row in self.masks], lambda *_: None, go_on)

    def import_masks(self, name: str, files: Mapping[int, Path], go_on: GoOn = always) -> Applied:
        """Put masks beside pictures that are made of other files, scaled to their pictures.

        What cannot be read or has another shape than its picture is in `skipped` of the answer.

        Args:
            name: What the history calls it.
            files: By row, what the mask is made of.
            go_on: As in `_do_in_parts`.
        """
        by_name = {self.names[row]: path for row, path in files.items()}
        return self._put_masks(name, list(files), lambda picture, size: read_as_mask(by_name[picture], size), go_on)

    def _put_masks(self, name: str, rows: Sequence[int], make: MakeMask, go_on: GoOn) -> Applied:
        with self._act_lock:
            with self._lock:
                self._ready()
                # Pictures of one stem share a mask.
                pictures = list({self.mask_name(row): self.names[row] for row in reversed(rows)}.values())[::-1]
            with ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="masks") as pool:

                def prepared(some: Sequence[str]) -> list[Change | Skipped]:
                    return list(pool.map(lambda picture: self._mask_change(picture, make), some))

                return self._do_in_parts(name, pictures, prepared, go_on)

    def _mask_change(self, picture: str, make: MakeMask) -> Change | Skipped:
        """Return what has to be written for the mask of a picture, or why it must not be."""
        with self._lock:
            row = self.row(picture)
            if row is None:
                return Skipped(picture, Problem("error", "picture_gone", "", {"value": picture}))
            path, size = self.mask_name(row), self.full_size(row)
            if self._stamp(path) != self.masks.get(row, ""):
                self._look_at([path])
                return Skipped(path, Problem("error", "mask_changed_outside", "", {"value": path}))
        try:
            if not all(size):
                raise UserError("image_corrupt", value=picture)
            png = make(picture, size)
            before = self.journal.blobs.put_file(self.root / path)
            return Change(path, before, None if png is None else self.journal.blobs.put(png), "bytes")
        except UserError as error:
            return Skipped(path, error.problem)


def _check_mask(png: bytes, size: tuple[int, int]) -> None:
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            image.load()
            is_right, found = image.mode == "L" and image.size == size, f"{image.width} x {image.height}, {image.mode}"
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError("mask_wrong", value=str(error), wanted=f"{size[0]} x {size[1]}, L") from error
    if not is_right:
        raise UserError("mask_wrong", value=found, wanted=f"{size[0]} x {size[1]}, L")
