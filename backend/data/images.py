"""Read pictures of every kind that users have, as upright RGB."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError, features

from backend.config.problems import UserError
from backend.data.headers import NUM_BYTES, read_header

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
TRANSPARENT_MODES = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})
# What Pillow raises on damaged files, by format and place of the damage; RuntimeError on those of AVIF.
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    RuntimeError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the header tells: the size in pixels as it is seen upright, the mode, and whether it is animated."""

    width: int
    height: int
    mode: str
    is_animated: bool


def _open(data: Path | bytes, name: str) -> Image.Image:
    """Open a picture without decoding it.

    Raises:
        UserError: Missing, empty, no picture, or too large to be decoded safely.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data) if isinstance(data, bytes) else data)
    except FileNotFoundError as error:
        raise UserError("file_not_found", value=name) from error
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        raise UserError("image_corrupt" if _num_bytes(data) else "image_empty", value=name) from error
    except PermissionError as error:
        raise UserError("file_unreadable", value=name, reason=error.strerror or str(error)) from error
    except DAMAGE as error:
        raise UserError("image_corrupt", value=name) from error
    if image.width * image.height > MAXIMUM_PIXELS:
        image.close()
        raise _too_large(name)
    return image


def _num_bytes(data: Path | bytes) -> int:
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def _too_large(name: str) -> UserError:
    return UserError("image_too_large", value=name, megapixels=MAXIMUM_PIXELS // 1_000_000)


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


def _called(data: Path | bytes, name: str) -> str:
    return name or ("" if isinstance(data, bytes) else str(data))


def probe_file(path: str) -> ImageInfo:
    """Read the header of a file of this machine; as `probe`, and faster where the first bytes tell all."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (a hundred thousand times)
            header = read_header(file.read(NUM_BYTES))
    except (OSError, ValueError):
        return probe(Path(path))  # which says what is wrong
    if header is None or header.width * header.height > MAXIMUM_PIXELS:
        return probe(Path(path))
    return ImageInfo(header.width, header.height, header.mode, False)


def probe(data: Path | bytes, name: str = "") -> ImageInfo:
    """Read the header only, of a file or of bytes that are called `name` when something is wrong.

    Raises:
        UserError: As `_open`.
    """
    with _open(data, _called(data, name)) as image:
        width, height = image.size
        if _orientation(image) in SWAPS_SIDES:
            width, height = height, width
        return ImageInfo(width, height, image.mode, _is_animated(image))


def read_rgb(data: Path | bytes, name: str = "") -> Image.Image:
    """Decode a picture: first frame, upright, 8-bit sRGB, transparency on white.

    Raises:
        UserError: As `_open`, or the file is truncated or damaged further in.
    """
    image, orientation = _decoded(data, _called(data, name))
    return _upright(to_rgb(in_srgb(image)), orientation)


def read_upright(data: Path | bytes, name: str = "") -> Image.Image:
    """Decode a picture: first frame, upright, in its own mode and colours.

    Raises:
        UserError: As `read_rgb`.
    """
    return _upright(*_decoded(data, _called(data, name)))


def read_mask(data: Path | bytes, name: str = "") -> Image.Image:
    """Decode a mask: upright, 8-bit grey, whatever its transparency.

    Raises:
        UserError: As `read_rgb`.
    """
    image, orientation = _decoded(data, _called(data, name))
    grey = _to_8_bit(image) if image.mode in SIXTEEN_BIT_MODES else image
    return _upright(grey.convert("L"), orientation)


def read_reduced(data: Path | bytes, name: str = "", *, side: int) -> Image.Image:
    """Decode a picture as upright 8-bit grey of at most `side` pixels: for looking through many.

    Raises:
        UserError: As `read_rgb`.
    """
    called = _called(data, name)
    with _open(data, called) as image:
        orientation = _orientation(image)
        # JPEGs come out smaller from the start, and without their colours.
        image.draft("L", (side, side))
        try:
            image.load()
        except DAMAGE as error:
            raise UserError("image_truncated", value=called, reason=str(error)) from error
    is_plain = image.mode in ("1", "L", "RGB", "CMYK", "YCbCr")
    grey = image.convert("L") if is_plain else to_rgb(image).convert("L")
    grey.thumbnail((side, side), Image.Resampling.BOX)
    return _upright(grey, orientation)


def read_alpha(data: Path | bytes, name: str = "") -> Image.Image | None:
    """Decode a picture's transparency: upright, 8-bit, 255 is opaque; nothing when it has none.

    Raises:
        UserError: As `read_rgb`.
    """
    image, orientation = _decoded(data, _called(data, name))
    return _upright(image.convert("RGBA").getchannel("A"), orientation) if _is_transparent(image) else None


def _decoded(data: Path | bytes, name: str) -> tuple[Image.Image, int]:
    """Return the first frame as stored, and the orientation that it has to be turned by."""
    with _open(data, name) as image:
        orientation = _orientation(image)
        try:
            image.load()
        except DAMAGE as error:
            raise UserError("image_truncated", value=name, reason=str(error)) from error
        return image, orientation


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in TRANSPARENT_MODES or "transparency" in image.info


def _to_8_bit(image: Image.Image) -> Image.Image:
    grey = np.asarray(image).astype(np.float64)
    return Image.fromarray(np.clip(grey / 257.0 + 0.5, 0, 255).astype(np.uint8))


def in_srgb(image: Image.Image) -> Image.Image:
    """Convert the colours of a picture with a profile to sRGB; one that is damaged or does not fit is ignored."""
    embedded = image.info.get("icc_profile")
    if not embedded or image.mode in SIXTEEN_BIT_MODES:
        return image
    colors, alpha = _apart(image)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return image
        converted = ImageCms.profileToProfile(colors, profile, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    assert converted is not None  # nothing is returned only when it is done in place
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _apart(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return a picture's colours, which a profile speaks of, and its transparency."""
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    if _is_transparent(image):
        rgba = image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    return image.convert("RGB") if image.mode == "P" else image, None


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB; 16-bit greys keep their range, transparency is laid on white."""
    if image.mode in SIXTEEN_BIT_MODES:
        image = _to_8_bit(image)
    if _is_transparent(image):
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
