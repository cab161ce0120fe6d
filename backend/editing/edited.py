"""What the pictures of a folder are with their edits: ratings, sizes as shown, and edits that cannot be used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from backend.config.problems import Problem, UserError
from backend.data.picture_edits import EDIT_SUFFIX, NO_EDIT, PictureEdit, parse_edit
from backend.editing.pictures import Pictures


class Edited:
    """The edits of the rows of a folder, made from the texts of their files.

    `edits` has only the rows that have one. `ratings`: int8 (num_rows,), 0: none. `widths` and `heights`: pixels of the
    pictures as edited, int32 (num_rows,); 0 where a picture cannot be read. `problems`: by row.
    """

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self.edits: dict[int, PictureEdit] = {}
        self.problems: dict[int, Problem] = {}
        self.ratings: NDArray[np.int8] = np.zeros(len(pictures.names), np.int8)
        self.widths, self.heights = pictures.widths.copy(), pictures.heights.copy()
        for row, (_, text) in pictures.edits.items():
            self.put(row, text)

    def put(self, row: int, text: str) -> None:
        """Take the text of a row's file; an empty one where there is none."""
        self.problems.pop(row, None)
        edit = self._usable(row, text)
        if edit == NO_EDIT:
            self.edits.pop(row, None)
        else:
            self.edits[row] = edit
        self.ratings[row] = edit.rating
        size = int(self._pictures.widths[row]), int(self._pictures.heights[row])
        self.widths[row], self.heights[row] = edit.shown(size) if all(size) else size

    def _usable(self, row: int, text: str) -> PictureEdit:
        """Return an edit as far as it holds: of another picture's, the cut does not."""
        name = self._pictures.names[row] + EDIT_SUFFIX
        try:
            edit = parse_edit(text, name)
        except UserError as error:
            self.problems[row] = error.problem
            return NO_EDIT
        size = int(self._pictures.widths[row]), int(self._pictures.heights[row])
        if all(size) and not edit.fits(size):
            self.problems[row] = Problem("error", "picture_edit_misfit", "", {"value": name})
            return replace(edit, crop=None, size=None)
        return edit
