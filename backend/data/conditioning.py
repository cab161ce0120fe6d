"""The picture that goes with each, for models that take one: read from a folder, or made from the picture itself."""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image

from backend.data.buckets import Size
from backend.data.datasets import Dataset
from backend.data.edges import canny
from backend.data.images import read_rgb
from backend.data.masks import Reader
from backend.data.picture_edits import apply_edit
from backend.data.records import ImageRecord
from backend.data.transforms import resize

# No pair is made larger than this along a side; JPEG ends at 65535.
LONGEST_SIDE = 16384
HIDDEN = (127, 127, 127)
# Random masks: how many rectangles, and each one's sides as shares of the picture's.
RECTANGLES = (1, 4)
RECTANGLE_SHARE = (0.15, 0.6)
LOW_FACTORS = (2, 8)
JPEG_QUALITIES = (5, 40)


def load_pair(
    record: ImageRecord,
    dataset: Dataset,
    reader: Reader,
    image: Image.Image,
    rng: random.Random,
    *,
    size: Size | None = None,
) -> Image.Image | None:
    """Return the RGB picture that goes with a picture, uncut; None where its folder has none.

    Args:
        record: The picture.
        dataset: Says where the pair comes from.
        reader: Reads a pair that is a file of its own.
        image: The picture itself, turned and cut as is recorded of it; a pair from a folder is that of the whole one.
        rng: Decides what is drawn; the same generator gives the same pair.
        size: What the picture is scaled to for training. What is made from it is made at this size.

    Raises:
        UserError: The pair is gone, unreadable or damaged.
    """
    kind = dataset.config.conditioning
    if kind == "folder":
        found = record.conditioning
        return apply_edit(read_rgb(reader.read(record, found), name=found), record.edit) if found else None
    source = _at(image, size or image.size)
    match kind:
        case "canny":
            return edges(source)
        case "random_mask":
            return hide_parts(source, rng)
        case "low_resolution":
            return lower_resolution(source, rng)
        case "jpeg":
            return compress(source, rng)
        case "grayscale":
            return source.convert("L").convert("RGB")
    return None


def _at(image: Image.Image, size: Size) -> Image.Image:
    """Return the picture at a size; strips that are very long are kept smaller."""
    factor = min(1.0, LONGEST_SIDE / max(size))
    wanted = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    return image if wanted == image.size else resize(image, wanted)


def edges(image: Image.Image) -> Image.Image:
    """Return the edges, white on black."""
    found = canny(np.asarray(image.convert("L")))
    return Image.fromarray(found.astype(np.uint8) * 255).convert("RGB")


def hide_parts(image: Image.Image, rng: random.Random) -> Image.Image:
    """Return the picture with some rectangles in grey, to be filled in."""
    hidden = image.copy()
    for _ in range(rng.randint(*RECTANGLES)):
        width, height = (max(1, round(side * rng.uniform(*RECTANGLE_SHARE))) for side in image.size)
        left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        hidden.paste(HIDDEN, (left, top, left + width, top + height))
    return hidden


def lower_resolution(image: Image.Image, rng: random.Random) -> Image.Image:
    """Return the picture scaled down by a factor and up again."""
    factor = rng.uniform(*LOW_FACTORS)
    small = (max(1, round(image.width / factor)), max(1, round(image.height / factor)))
    return resize(image, small).resize(image.size, Image.Resampling.BICUBIC)


def compress(image: Image.Image, rng: random.Random) -> Image.Image:
    """Return the picture with the traces of strong JPEG compression."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=rng.randint(*JPEG_QUALITIES))
    with Image.open(stream) as compressed:
        return compressed.convert("RGB")
