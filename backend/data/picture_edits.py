"""How a picture is turned and cut before anything else is done with it, and its rating: a small file beside it.

`cat.png.athanor.json` says what holds for `cat.png`; the picture itself stays as it is:

    {"version": 1, "rotate": 90, "crop": [40, 0, 512, 512], "size": [768, 512], "rating": 4}

The picture, upright as its EXIF says, is first turned clockwise by `rotate` degrees, then `crop` is cut out of it:
left, top, width and height in pixels of the turned picture, whose `size` is (width, height).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image

from backend.config.problems import UserError
from backend.data.images import read_rgb

# The ending of a picture's edits, behind its whole name: cat.png and cat.jpg have their own.
EDIT_SUFFIX = ".athanor.json"
VERSION = 1
MAXIMUM_RATING = 5
Rotation = Literal[0, 90, 180, 270]
ROTATIONS: tuple[Rotation, ...] = get_args(Rotation)
TURNS = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
Size = tuple[int, int]  # (width, height) in pixels
Crop = tuple[int, int, int, int]  # left, top, width, height in pixels of the turned picture


@dataclass(frozen=True, slots=True)
class PictureEdit:
    """What is recorded of one picture. `size` is that of the turned picture when it was cut; `rating` 0: none yet."""

    rotate: Rotation = 0
    crop: Crop | None = None
    size: Size | None = None
    rating: int = 0

    @property
    def changes_pixels(self) -> bool:
        """Whether the picture looks different with it."""
        return bool(self.rotate or self.crop)

    @property
    def mark(self) -> str:
        """A text that is another for every way a picture looks; empty where it is as it was. Ratings do not count."""
        return f"{self.rotate}:{self.crop or ''}" if self.changes_pixels else ""

    def turned(self, size: Size) -> Size:
        """Return the size (width, height) of a picture once it is turned."""
        return (size[1], size[0]) if self.rotate in (90, 270) else size

    def shown(self, size: Size) -> Size:
        """Return the size (width, height) of an upright picture once it is turned and cut."""
        return (self.crop[2], self.crop[3]) if self.crop else self.turned(size)

    def fits(self, size: Size) -> bool:
        """Tell whether the cut was made for an upright picture of this size."""
        return self.crop is None or self.size == self.turned(size)


NO_EDIT = PictureEdit()


def parse_edit(text: str, name: str) -> PictureEdit:
    """Read what is recorded of a picture; an empty text is no edit.

    Args:
        text: The content of its file.
        name: What the file is called when something is wrong.

    Raises:
        UserError: `picture_edit_damaged`, or `picture_edit_too_new` where a later version wrote it.
    """
    if not text.strip():
        return NO_EDIT
    try:
        data = json.loads(text)
        is_newer = data.get("version", VERSION) > VERSION
        edit = NO_EDIT if is_newer else _checked(data)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError("picture_edit_damaged", value=name) from error
    if is_newer:
        raise UserError("picture_edit_too_new", value=name)
    return edit


def _checked(data: dict[str, Any]) -> PictureEdit:
    rotate, rating = data.get("rotate", 0), data.get("rating", 0)
    if rotate not in ROTATIONS or rating not in range(MAXIMUM_RATING + 1):
        raise ValueError
    if data.get("crop") is None:
        return PictureEdit(rotate=rotate, rating=rating)
    left, top, width, height = crop = _whole(data["crop"], 4)
    across, down = size = _whole(data["size"], 2)
    if not (0 <= left < left + width <= across and 0 <= top < top + height <= down):
        raise ValueError
    return PictureEdit(rotate, (crop[0], crop[1], crop[2], crop[3]), (size[0], size[1]), rating)


def _whole(values: Any, num: int) -> list[int]:
    if len(values) != num or not all(type(value) is int for value in values):
        raise ValueError
    return list(values)


def read_edit(picture: Path) -> PictureEdit:
    """Read what is recorded of a picture on this machine; most have nothing.

    Raises:
        UserError: As `parse_edit`, or `file_unreadable`.
    """
    path = picture.with_name(picture.name + EDIT_SUFFIX)
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return NO_EDIT
    except OSError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    return parse_edit(text, path.name)


def read_edited(picture: Path, name: str = "") -> Image.Image:
    """Decode a picture of this machine as it is trained: upright RGB, turned and cut.

    Raises:
        UserError: As `read_rgb` and `read_edit`, or `picture_edit_misfit`.
    """
    edit, image = read_edit(picture), read_rgb(picture, name)
    if not edit.fits(image.size):
        raise UserError("picture_edit_misfit", value=picture.name + EDIT_SUFFIX)
    return apply_edit(image, edit)


def edit_text(edit: PictureEdit) -> str | None:
    """Return the content of the file of an edit; None: there is nothing to record, and no file."""
    if edit == NO_EDIT:
        return None
    told: dict[str, object] = {"version": VERSION}
    if edit.rotate:
        told["rotate"] = edit.rotate
    if edit.crop:
        told |= {"crop": edit.crop, "size": edit.size}
    if edit.rating:
        told["rating"] = edit.rating
    return json.dumps(told) + "\n"


def turned_on(edit: PictureEdit, degrees: int) -> PictureEdit:
    """Return an edit whose picture is turned clockwise by more degrees, a multiple of 90; the cut turns with it."""
    for _ in range(degrees // 90 % 4):
        edit = _quarter(edit)
    return edit


def _quarter(edit: PictureEdit) -> PictureEdit:
    rotate = ROTATIONS[(ROTATIONS.index(edit.rotate) + 1) % 4]
    if edit.crop is None:
        return replace(edit, rotate=rotate)
    assert edit.size is not None, "a cut knows what it was cut from"
    (left, top, width, height), (across, down) = edit.crop, edit.size
    return replace(edit, rotate=rotate, crop=(down - top - height, left, height, width), size=(down, across))


def stamped(stamp: str, edit: PictureEdit) -> str:
    """Return what changes with a picture's file and with how it is turned and cut; empty where nothing is known."""
    return f"{stamp}|{edit.mark}" if stamp and edit.changes_pixels else stamp


def side_before(edit: PictureEdit, side: int) -> int:
    """Return how large, along its longer side, a whole picture has to be for what is cut out of it to have `side`."""
    if edit.crop is None or edit.size is None:
        return side
    return math.ceil(side * max(edit.size) / max(edit.crop[2:]))


def apply_edit(image: Image.Image, edit: PictureEdit) -> Image.Image:
    """Turn and cut an upright picture, or its mask, which may have another size: then the same share is cut."""
    if edit.rotate:
        image = image.transpose(TURNS[edit.rotate])
    if edit.crop is None:
        return image
    assert edit.size is not None, "a cut knows what it was cut from"
    across, down = image.width / edit.size[0], image.height / edit.size[1]
    left, top, width, height = edit.crop
    start = min(round(left * across), image.width - 1), min(round(top * down), image.height - 1)
    # Of a small mask a pixel at least is left.
    end = max(round((left + width) * across), start[0] + 1), max(round((top + height) * down), start[1] + 1)
    return image.crop((*start, *end))
