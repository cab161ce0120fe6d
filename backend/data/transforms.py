"""Scale, crop and vary a picture for one step. Pillow and numpy only."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageEnhance

from backend.config.data import DataSection
from backend.data.buckets import Size

Corner = tuple[int, int]  # (top, left) in pixels of the scaled picture


def resize(image: Image.Image, size: Size) -> Image.Image:
    """Scale: by area when both sides shrink, else Lanczos (sd-scripts' default)."""
    if image.size == size:
        return image
    shrinks = size[0] <= image.width and size[1] <= image.height
    return image.resize(size, Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS)


def crop(image: Image.Image, size: Size, *, rng: random.Random | None = None) -> tuple[Image.Image, Corner]:
    """Cut a size out of a picture that covers it: the centre, or anywhere when a generator is given."""
    spare_width, spare_height = image.width - size[0], image.height - size[1]
    assert spare_width >= 0 and spare_height >= 0, "the picture was not scaled to cover its bucket"
    left = rng.randint(0, spare_width) if rng else spare_width // 2
    top = rng.randint(0, spare_height) if rng else spare_height // 2
    return image.crop((left, top, left + size[0], top + size[1])), (top, left)


def vary_color(image: Image.Image, rng: random.Random) -> Image.Image:
    """Change brightness, contrast, saturation by up to a tenth and hue by up to 5 degrees."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(1 + rng.uniform(-0.1, 0.1))
    hue = np.array(image.convert("HSV"))
    hue[..., 0] = hue[..., 0] + np.uint8(round(rng.uniform(-5, 5) / 360 * 256) % 256)
    return Image.fromarray(hue, "HSV").convert("RGB")


def prepare(
    image: Image.Image, *, bucket: Size, resized: Size, data: DataSection, rng: random.Random, flip: bool
) -> tuple[Image.Image, Corner]:
    """Return the picture of one step and the corner where it was cut, counted in the scaled picture."""
    scaled = resize(image, resized)
    cut, corner = crop(scaled, bucket, rng=rng if data.random_crop else None)
    if data.color_augmentation:
        cut = vary_color(cut, rng)
    return (cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else cut), corner


def to_array(image: Image.Image) -> np.ndarray:
    """Return an RGB picture as float32 (3, H, W) in -1..1."""
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1.0
