"""Masks that lie in a folder: which picture each is of, by its name, and their pixels."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from backend.config.problems import UserError
from backend.data.filesystems import unreadable
from backend.data.images import DAMAGE, EXTENSIONS, read_mask, read_upright
from backend.data.picture_edits import Size
from backend.data.sources.base import stem_of

# OneTrainer's cat-masklabel.png, and what other programs write; kohya, diffusion-pipe and ai-toolkit want the picture's
# own name, in another folder.
MARKED = re.compile(r"^(?P<stem>.+?)[-_. ](?:masklabel|mask|matte|alpha)$", re.IGNORECASE)
# Scaled where the shapes differ by no more than rounding makes.
SHAPE_TOLERANCE = 0.02
OPAQUE = 250
ORIENTATION_TAG = 0x0112
# The orientations that swap width and height.
TURNING = (5, 6, 7, 8)


@dataclass(frozen=True)
class Matched:
    """Masks of a folder, by the names of the pictures that they are of, and the files that are of none."""

    masks: dict[str, Path]
    strays: tuple[str, ...] = ()


def matched(folder: Path, pictures: Iterable[str], is_picture: Callable[[Path], bool] = lambda _: False) -> Matched:
    """Find the masks of pictures in a folder and those below it, by their names.

    A mask is called as its picture, or with `-masklabel`, `-mask`, `_mask` or `.mask` behind that. One that lies in the
    same sub-folder as its picture goes before others of its name.

    Args:
        folder: Where the masks are.
        pictures: By their paths below their own folder, with /.
        is_picture: Tells which files are pictures of that folder: those are masks only if they are marked as such.

    Raises:
        UserError: `file_not_found` or `file_unreadable`: the folder.
    """
    by_path: dict[str, Path] = {}
    by_name: dict[str, Path] = {}
    files = [path for path in _files(folder) if _is_marked(path) or not is_picture(path)]
    # Marked ones last: they go before plain ones, which may be copies of the pictures.
    for path in sorted(files, key=lambda each: (_is_marked(each), str(each))):
        for key in _keys(path.relative_to(folder).as_posix()):
            by_path[key] = path
            by_name[key.rpartition("/")[2]] = path
    found = {}
    for name in pictures:
        stem = stem_of(name).casefold()
        for keys, key in ((by_path, stem), (by_path, name.casefold()), (by_name, stem.rpartition("/")[2])):
            if key in keys:
                found[name] = keys[key]
                break
    used = set(found.values())
    return Matched(found, tuple(path.relative_to(folder).as_posix() for path in files if path not in used))


def read_as_mask(path: Path, size: Size) -> bytes:
    """Return a file as the mask of a picture of a size (width, height): grey PNG. What is opaque counts, else what is
    light.

    Raises:
        UserError: `mask_misfit`: it has another shape; or it cannot be read.
    """
    grey = _grey(path)
    if not _is_alike(grey.size, size):
        wanted = f"{size[0]} × {size[1]}"
        raise UserError("mask_misfit", value=str(path), found=f"{grey.width} × {grey.height}", wanted=wanted)
    buffer = io.BytesIO()
    (grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)).save(buffer, "PNG")
    return buffer.getvalue()


def fits(path: Path, size: Size) -> bool:
    """Tell from the head of a file whether it has the shape of a picture; it does where the head cannot be read."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            is_turned = image.getexif().get(ORIENTATION_TAG, 1) in TURNING
    except DAMAGE:
        return True
    return _is_alike((height, width) if is_turned else (width, height), size)


def _is_alike(found: Size, size: Size) -> bool:
    return all(size) and abs(found[0] / found[1] / (size[0] / size[1]) - 1) <= SHAPE_TOLERANCE


def _grey(path: Path) -> Image.Image:
    image = read_upright(path)
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        if np.asarray(alpha).min(initial=255) < OPAQUE:
            return alpha
    return read_mask(path)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the pictures of a folder and of those below it; hidden folders are left out."""

    def fail(error: OSError) -> None:
        raise unreadable(str(folder), error) from error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if Path(name).suffix.lower() in EXTENSIONS)


def _is_marked(path: Path) -> bool:
    return MARKED.match(path.stem) is not None


def _keys(name: str) -> set[str]:
    """Return what a mask may be the mask of: its path without the ending, with and without what marks it as a mask."""
    folder, slash, last = stem_of(name).rpartition("/")
    found = MARKED.match(last)
    return {f"{folder}{slash}{each}".casefold() for each in (last, found["stem"] if found else last)}
