"""Which part of a picture counts: its mask, brought to the size of the latents."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from PIL import Image

from backend.data.datasets import Dataset
from backend.data.images import read_alpha, read_mask
from backend.data.picture_edits import apply_edit
from backend.data.records import ImageRecord


class Reader(Protocol):
    """What reads the bytes of a picture, or of what goes with it at `location`."""

    def read(self, record: ImageRecord, location: str = "") -> bytes: ...


def load_mask(record: ImageRecord, dataset: Dataset, reader: Reader, content: bytes) -> Image.Image | None:
    """Return the mask of a picture in its own size, turned and cut as the picture is, mode L: white counts, black does
    not; None where it has none.

    Args:
        record: The picture.
        dataset: Says where the mask is.
        reader: Reads a mask that is a file of its own.
        content: The bytes of the picture, whose transparency may be the mask.

    Raises:
        UserError: The mask is gone, unreadable or damaged.
    """
    whole: Image.Image | None = None
    if dataset.config.mask == "alpha":
        whole = read_alpha(content, name=record.name)
    elif dataset.config.mask != "none" and record.mask:
        whole = read_mask(reader.read(record, record.mask), name=record.mask)
    return None if whole is None else apply_edit(whole, record.edit)


def to_latent_size(mask: Image.Image, scale_factor: int) -> np.ndarray:
    """Return a mask as float32 (h, w) in 0..1: each value is the mean of the pixels behind one latent."""
    height, width = mask.height // scale_factor, mask.width // scale_factor
    values = np.asarray(mask, np.float32)[: height * scale_factor, : width * scale_factor] / 255
    return values.reshape(height, scale_factor, width, scale_factor).mean(axis=(1, 3))
