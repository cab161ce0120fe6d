"""Read pictures of every kind that users have, as upright RGB."""

from __future__ import annotations

import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from backend.config.problems import UserError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}) | (
    {".avif"} if features.check("avif") else set()
)
ORIENTATION_TAG = 0x0112
# EXIF orientation: what makes the picture upright. TIFF needs none: Pillow turns it while decoding.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPS_SIDES = frozenset({5, 6, 7, 8})
ANIMATED_FORMATS = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
# Where Pillow itself refuses, as a bomb.
MAXIMUM_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)
SIXTEEN_BIT_MODES = frozenset({"I", "I;16", "I;16B", "I;16L"})
# What Pillow raises on damaged files, by format and place of the damage.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header tells: the size in pixels as it is seen upright, the mode, and whether it is animated."""

    width: int
    height: int
    mode: str
    is_animated: bool


def _open(path: Path) -> Image.Image:
    """Open a picture without decoding it.

    Raises:
        UserError: Missing, empty, no picture, or too large to be decoded safely.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
    except FileNotFoundError as error:
        raise UserError("file_not_found", value=str(path)) from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        code = "image_empty" if path.stat().st_size == 0 else "image_corrupt"
        raise UserError(code, value=str(path)) from error
    except PermissionError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    except DAMAGE as error:
        raise UserError("image_corrupt", value=str(path)) from error
    if image.width * image.height > MAXIMUM_PIXELS:
        image.close()
        raise _too_large(path)
    return image


def _too_large(path: Path) -> UserError:
    return UserError("image_too_large", value=str(path), megapixels=MAXIMUM_PIXELS // 1_000_000)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a picture that is not decoded yet; 1 when it has none or it is damaged."""
    if image.format == "TIFF":
        return 1
    try:
        # The base class's: PNG's own decodes the whole picture to look for EXIF behind it.
        return int(Image.Image.getexif(image).get(ORIENTATION_TAG, 1))
    except DAMAGE:
        return 1


def _is_animated(image: Image.Image) -> bool:
    try:
        return image.format in ANIMATED_FORMATS and bool(getattr(image, "is_animated", False))
    except DAMAGE:  # the first frame may be whole: decoding will tell
        return False


def probe(path: Path) -> ImageInfo:
    """Read the header only.

    Raises:
        UserError: As `_open`.
    """
    with _open(path) as image:
        width, height = image.size
        if _orientation(image) in SWAPS_SIDES:
            width, height = height, width
        return ImageInfo(width, height, image.mode, _is_animated(image))


def read_rgb(path: Path) -> Image.Image:
    """Decode a picture: first frame, upright, 8-bit RGB, transparency on white.

    Raises:
        UserError: As `_open`, or the file is truncated or damaged further in.
    """
    with _open(path) as image:
        orientation = _orientation(image)
        try:
            image.load()
            rgb = to_rgb(image)
        except DAMAGE as error:
            raise UserError("image_truncated", value=str(path), reason=str(error)) from error
        return rgb.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else rgb


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB; 16-bit greys keep their range, transparency is laid on white."""
    if image.mode in SIXTEEN_BIT_MODES:
        grey = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.clip(grey / 257.0 + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
