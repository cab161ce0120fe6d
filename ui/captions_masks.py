"""The masks of the caption page: laid over a picture as it is shown, or whole, to be painted on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from backend.data.images import read_mask
from backend.data.picture_edits import PictureEdit, Size, apply_edit
from ui.captions_pictures import EDITED_SIZE, Form

# What does not count is tinted, as in the editor.
TINT = (214, 30, 60)
OPACITY = 0.6


@dataclass(frozen=True, slots=True)
class FoundMask:
    """Where a mask is, how its picture is edited, its size (width, height) before, and the mark of its addresses."""

    path: Path
    edit: PictureEdit
    size: Size
    mark: str

    @property
    def marks(self) -> tuple[str, ...]:
        return (self.mark,)

    def image(self, size: int, form: Form) -> tuple[bytes, str]:
        """Return it as a tint, or as it is; see `captions_pictures.Found`."""
        return (whole(self), "image/png") if form == "painted" else (tinted(self, size), "image/webp")


def _scaled(mask: Image.Image, shown: Size, side: int) -> Image.Image:
    scale = min(1.0, side / max(shown))
    return mask.resize((max(1, round(shown[0] * scale)), max(1, round(shown[1] * scale))), Image.Resampling.BILINEAR)


def tinted(found: FoundMask, side: int) -> bytes:
    """Return what a mask leaves out as a tint, as WebP, turned and cut as its picture is, of at most `side` pixels.

    Raises:
        UserError: The mask cannot be read.
    """
    mask = _scaled(apply_edit(read_mask(found.path), found.edit), found.edit.shown(found.size), side)
    tint = Image.new("RGB", mask.size, TINT)
    tint.putalpha(mask.point(lambda value: round((255 - value) * OPACITY)))
    return _encoded(tint, "WEBP", quality=80, method=2)


def whole(found: FoundMask) -> bytes:
    """Return a mask as it is, as grey PNG of the size in which it is painted on.

    Raises:
        UserError: The mask cannot be read.
    """
    return _encoded(_scaled(read_mask(found.path), found.size, EDITED_SIZE), "PNG")


def _encoded(image: Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
