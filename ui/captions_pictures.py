"""Thumbnails of the caption page over HTTP: made when they come into sight, kept on disk, found there the next time."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from PIL import Image, ImageOps

from backend.config.problems import UserError
from backend.data.images import read_rgb
from backend.data.picture_edits import NO_EDIT, PictureEdit, apply_edit, side_before, stamped
from ui.thumbnail_cache import CACHE

SIZES = (192, 384, 768, 1536)
# Pictures are painted on and cut at this size, without loss.
EDITED_SIZE = 2048
# Larger ones are looked at one by one: they are made anew rather than kept.
LARGEST_KEPT = 768
# The address changes with the picture.
FOREVER = {"Cache-Control": "private, max-age=604800, immutable"}
# Rows were numbered anew since the address was made: it may name another picture by now.
PASSING = {"Cache-Control": "no-store"}
# As many pictures are decoded at once as there are processors, however fast one scrolls.
DECODING = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


@dataclass(frozen=True, slots=True)
class FoundPicture:
    """Where a picture is, what changes with its file, how it is edited, and the marks that addresses of it have."""

    path: Path
    stamp: str
    edit: PictureEdit
    marks: tuple[str, ...] = ()


FindPicture = Callable[[str, int], FoundPicture | None]


def _draft(path: Path, size: int) -> Image.Image | None:
    """Return a JPEG decoded at a fraction of its size, which is many times faster; None for other pictures."""
    with Image.open(path) as image:
        if image.format != "JPEG":
            return None
        image.draft("RGB", (size, size))
        return ImageOps.exif_transpose(image.convert("RGB"))


def _make(path: Path, size: int, edit: PictureEdit) -> bytes:
    try:
        image = apply_edit(_draft(path, side_before(edit, size)) or read_rgb(path), edit)
    except FileNotFoundError as error:
        raise UserError("file_not_found", value=str(path)) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError("image_corrupt", value=str(path)) from error
    image.thumbnail((size, size))
    buffer = io.BytesIO()
    # Colours that are filled and picked must be those of the picture.
    kept: dict[str, Any] = {"lossless": True, "quality": 0, "method": 0}
    image.save(buffer, "WEBP", **kept if size == EDITED_SIZE else {"quality": 80, "method": 2})
    return buffer.getvalue()


def thumbnail(path: Path, stamp: str, size: int, edit: PictureEdit = NO_EDIT) -> bytes:
    """Return a picture that fits `size` pixels as WebP, from the cache on disk where it is there.

    Args:
        path: The picture.
        stamp: Changes with the picture's file.
        size: One of `SIZES`, or `EDITED_SIZE`.
        edit: How it is turned and cut.

    Raises:
        UserError: It cannot be read.
    """
    name = hashlib.sha256(f"{path}|{stamped(stamp, edit)}|{size}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
    if (kept := CACHE.get(name)) is not None:
        return kept
    with DECODING:
        content = _make(path, size, edit)
    if size <= LARGEST_KEPT:
        CACHE.put(name, content)
    return content


def router(find: FindPicture, authorised: Callable[[Request], bool]) -> APIRouter:
    """Return the route `/captions/pictures/<key of the folder>/<row>?size=`, or `?original=1` without its edit."""
    routes = APIRouter()

    @routes.get("/captions/pictures/{key}/{row}")
    def picture(
        request: Request, key: str, row: int, size: int = SIZES[0], original: bool = False, v: str = ""
    ) -> Response:
        if not authorised(request):
            raise HTTPException(401)
        found = find(key, row)
        if found is None:
            raise HTTPException(404)
        wanted = next((known for known in SIZES if known >= size), SIZES[-1])
        try:
            wanted, edit = (EDITED_SIZE, NO_EDIT) if original else (wanted, found.edit)
            content = thumbnail(found.path, found.stamp, wanted, edit)
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        return Response(content, media_type="image/webp", headers=FOREVER if v in found.marks else PASSING)

    return routes
