"""The masks of the caption page over HTTP: laid over a picture as it is shown, or whole, to be painted on."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from PIL import Image

from backend.config.problems import UserError
from backend.data.images import read_mask
from backend.data.picture_edits import PictureEdit, Size, apply_edit
from ui.captions_pictures import EDITED_SIZE, FOREVER, PASSING, SIZES

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


FindMask = Callable[[str, int], FoundMask | None]


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


def router(find: FindMask, authorised: Callable[[Request], bool]) -> APIRouter:
    """Return the route `/captions/masks/<key of the folder>/<row>?size=`, or `?original=1` for the mask as it is."""
    routes = APIRouter()

    @routes.get("/captions/masks/{key}/{row}")
    def mask(
        request: Request, key: str, row: int, size: int = SIZES[0], original: bool = False, v: str = ""
    ) -> Response:
        if not authorised(request):
            raise HTTPException(401)
        found = find(key, row)
        if found is None:
            raise HTTPException(404)
        try:
            content = (
                whole(found) if original else tinted(found, next((each for each in SIZES if each >= size), SIZES[-1]))
            )
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        headers = FOREVER if v == found.mark else PASSING
        return Response(content, media_type="image/png" if original else "image/webp", headers=headers)

    return routes
