"""Scale, cut and vary a picture for one step, and whatever goes with it alike. Pillow and numpy only.

Colours are mixed as light mixes, not as their numbers do: a fine black and white pattern shrinks to the grey that it
has from afar, sRGB 188, not to 128.
"""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image, ImageEnhance

from backend.config.geometry import GeometryRules
from backend.data.buckets import Size
from backend.data.faces import face_centre

Corner = tuple[int, int]  # (top, left) in pixels of the scaled picture
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the picture

SRGB = np.arange(256) / 255
TO_LINEAR = np.where(SRGB <= 0.04045, SRGB / 12.92, ((SRGB + 0.055) / 1.055) ** 2.4).astype(np.float32)
# From 16-bit light: fine enough for every one of the 256 values, the darkest, too.
LIGHT = np.arange(65536) / 65535
TO_SRGB = np.round(255 * np.where(LIGHT <= 0.0031308, LIGHT * 12.92, 1.055 * LIGHT ** (1 / 2.4) - 0.055)).astype(
    np.uint8
)


def _filter(size: Size, box: Box, *, enlarge: Image.Resampling) -> Image.Resampling:
    """Choose as sd-scripts does: by area when both sides shrink, else another.

    Hamming is as sharp as Pillow's box, without its jagged lines at factors that are not whole.
    """
    shrinks = size[0] <= box[2] - box[0] and size[1] <= box[3] - box[1]
    return Image.Resampling.HAMMING if shrinks else enlarge


def _inner(box: Box, size: Size) -> tuple[tuple[int, int, int, int], Box]:
    """Return the whole pixels that a box touches, and the box counted from their corner."""
    left, top = math.floor(box[0]), math.floor(box[1])
    right, bottom = min(size[0], math.ceil(box[2])), min(size[1], math.ceil(box[3]))
    return (left, top, right, bottom), (box[0] - left, box[1] - top, box[2] - left, box[3] - top)


def resize(image: Image.Image, size: Size, *, box: Box | None = None) -> Image.Image:
    """Scale an RGB picture, or a part of it, in linear light."""
    box = box or (0.0, 0.0, float(image.width), float(image.height))
    touched, inner = _inner(box, image.size)
    pixels = np.asarray(image.crop(touched))
    kind = _filter(size, box, enlarge=Image.Resampling.LANCZOS)
    light = np.empty((size[1], size[0], 3), np.float32)
    for band in range(3):
        linear = Image.fromarray(TO_LINEAR[pixels[..., band]])
        light[..., band] = np.asarray(linear.resize(size, kind, box=inner))
    return Image.fromarray(TO_SRGB[(light.clip(0, 1) * 65535 + 0.5).astype(np.uint16)])


def _resize_values(image: Image.Image, size: Size, box: Box) -> Image.Image:
    """Scale a part of a mask, whose values are shares and no colours."""
    touched, inner = _inner(box, image.size)
    kind = _filter(size, box, enlarge=Image.Resampling.BILINEAR)
    return image.crop(touched).resize(size, kind, box=inner)


def find_corner(image: Image.Image, *, bucket: Size, resized: Size, rules: GeometryRules, rng: random.Random) -> Corner:
    """Return where a picture is cut, counted in the scaled picture."""
    spare_width, spare_height = resized[0] - bucket[0], resized[1] - bucket[1]
    assert spare_width >= 0 and spare_height >= 0, "the picture was not scaled to cover its bucket"
    if rules.crop == "random":
        left = rng.randint(0, spare_width)
        return rng.randint(0, spare_height), left
    if rules.crop == "corner":
        return 0, 0
    centre = face_centre(image) if rules.crop == "face" and (spare_width or spare_height) else None
    if centre is None:
        return spare_height // 2, spare_width // 2
    left, top = (round(centre[side] * resized[side] - bucket[side] / 2) for side in (0, 1))
    return min(max(0, top), spare_height), min(max(0, left), spare_width)


def _cut(image: Image.Image, *, bucket: Size, resized: Size, corner: Corner) -> Image.Image:
    """Scale and cut in one; only what is kept is scaled. The picture may have any size: its own shares are cut."""
    top, left = corner
    if image.size == resized:
        return image.crop((left, top, left + bucket[0], top + bucket[1]))
    across, down = image.width / resized[0], image.height / resized[1]
    right, bottom = min((left + bucket[0]) * across, image.width), min((top + bucket[1]) * down, image.height)
    box = (left * across, top * down, right, bottom)
    return resize(image, bucket, box=box) if image.mode == "RGB" else _resize_values(image, bucket, box)


def _mirrored(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def vary_color(image: Image.Image, rng: random.Random) -> Image.Image:
    """Change brightness, contrast, saturation by up to a tenth and hue by up to 5 degrees."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(1 + rng.uniform(-0.1, 0.1))
    hue = np.array(image.convert("HSV"))
    hue[..., 0] = hue[..., 0] + np.uint8(round(rng.uniform(-5, 5) / 360 * 256) % 256)
    return Image.fromarray(hue, "HSV").convert("RGB")


def prepare(
    image: Image.Image, *, bucket: Size, resized: Size, rules: GeometryRules, rng: random.Random, flip: bool
) -> tuple[Image.Image, Corner]:
    """Return the picture of one step, of the bucket's size, and the corner where it was cut in the scaled picture."""
    corner = find_corner(image, bucket=bucket, resized=resized, rules=rules, rng=rng)
    cut = _cut(image, bucket=bucket, resized=resized, corner=corner)
    if rules.color_augmentation:
        cut = vary_color(cut, rng)
    return (_mirrored(cut) if flip else cut), corner


def prepare_pair(image: Image.Image, *, bucket: Size, resized: Size, corner: Corner, flip: bool) -> Image.Image:
    """Scale, cut and mirror a mask (mode L) or a paired picture (RGB), whatever its size, as its picture was."""
    cut = _cut(image, bucket=bucket, resized=resized, corner=corner)
    return _mirrored(cut) if flip else cut


def to_array(image: Image.Image) -> np.ndarray:
    """Return an RGB picture as float32 (3, H, W) in -1..1."""
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1.0
