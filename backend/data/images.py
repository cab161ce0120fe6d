"""Read pictures of every kind that users have, as upright RGB."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from backend.config.problems import UserError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"})
ORIENTATION_TAG = 0x0112
TRANSPOSED = frozenset({5, 6, 7, 8})
MAXIMUM_PIXELS = 300_000_000
SIXTEEN_BIT_MODES = frozenset({"I", "I;16", "I;16B", "I;16L"})


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header tells: the size in pixels as it is seen upright, the number of frames and the mode."""

    width: int
    height: int
    num_frames: int
    mode: str


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
        raise UserError("image_too_large", value=str(path)) from error
    except UnidentifiedImageError as error:
        code = "image_empty" if path.stat().st_size == 0 else "image_corrupt"
        raise UserError(code, value=str(path)) from error
    except PermissionError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError("image_corrupt", value=str(path)) from error
    if image.width * image.height > MAXIMUM_PIXELS:
        image.close()
        raise UserError("image_too_large", value=str(path))
    return image


def probe(path: Path) -> ImageInfo:
    """Read the header only.

    Raises:
        UserError: As `_open`.
    """
    with _open(path) as image:
        try:
            turned = image.getexif().get(ORIENTATION_TAG) in TRANSPOSED
        except (OSError, SyntaxError, ValueError):  # damaged EXIF: the picture itself may be whole
            turned = False
        width, height = (image.height, image.width) if turned else image.size
        return ImageInfo(width, height, getattr(image, "n_frames", 1), image.mode)


def read_rgb(path: Path) -> Image.Image:
    """Decode a picture: first frame, upright, 8-bit RGB, transparency on white.

    Raises:
        UserError: As `_open`, or the file is truncated or damaged further in.
    """
    with _open(path) as image:
        try:
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise UserError("image_truncated", value=str(path), reason=str(error)) from error


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
