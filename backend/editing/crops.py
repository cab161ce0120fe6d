"""Cutting many pictures to a shape: which part of each is left, and which of them are cut at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from backend.data.picture_edits import Crop, PictureEdit, Size
from backend.editing.rows import Rows

# The shape that a picture of a name and a size gets, as any size (width, height) of that shape.
Shape = Callable[[str, Size], Size]
# Where the part that is left lies: (0, 0) is the upper left corner, (1, 1) the lower right one.
Anchor = tuple[float, float]
MIDDLE: Anchor = (0.5, 0.5)


@dataclass(frozen=True)
class Crops:
    """New edits by row, and how many pictures need none, keep the cut that they have, or cannot be read."""

    edits: dict[int, PictureEdit] = field(default_factory=dict)
    num_fitting: int = 0
    num_kept: int = 0
    num_unreadable: int = 0


def cut_to(size: Size, shape: Size, anchor: Anchor = MIDDLE) -> Crop | None:
    """Return the largest part of a picture that has a shape, in whole pixels; None: all of it has.

    Args:
        size: Of the picture, as it is turned.
        shape: Any size of the wanted shape.
        anchor: Where the part lies.
    """
    across, down = size
    width, height = across, down
    if across * shape[1] > down * shape[0]:
        width = max(1, round(down * shape[0] / shape[1]))
    else:
        height = max(1, round(across * shape[1] / shape[0]))
    if (width, height) == size:
        return None
    return round((across - width) * anchor[0]), round((down - height) * anchor[1]), width, height


def crops_of(
    library: Rows, rows: Iterable[int], shape: Shape, anchor: Anchor = MIDDLE, *, replaces: bool = False
) -> Crops:
    """Work out how pictures are cut to a shape; nothing is changed.

    Args:
        library: Whose pictures.
        rows: The pictures.
        shape: The shape that each is to have.
        anchor: Where the part that is left lies.
        replaces: Cut pictures anew that are cut already, from all of the picture.
    """
    edits, num_fitting, num_kept, num_unreadable = {}, 0, 0, 0
    for row in rows:
        full, edit = library.full_size(row), library.edit(row)
        if not all(full):
            num_unreadable += 1
        elif edit.crop and not replaces:
            num_kept += 1
        else:
            size = edit.turned(full)
            crop = cut_to(size, shape(library.names[row], size), anchor)
            new = replace(edit, crop=crop, size=size if crop else None)
            if new == edit:
                num_fitting += 1
            else:
                edits[row] = new
    return Crops(edits, num_fitting, num_kept, num_unreadable)
