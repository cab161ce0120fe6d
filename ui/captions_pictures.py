"""The pictures of the caption page over HTTP, and their masks: thumbnails are made once, and kept on disk."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from PIL import Image, ImageOps

from backend.config.problems import UserError
from backend.data.images import read_rgb
from backend.data.picture_edits import NO_EDIT, PictureEdit, apply_edit, side_before, stamped
from ui.thumbnail_cache import CACHE

SIZES = (192, 384, 768, 1536)
# Pictures are painted on at this size, without loss.
EDITED_SIZE = 4096
# Larger ones are looked at one by one: they are made anew rather than kept.
LARGEST_KEPT = 768
# The address changes with the picture.
FOREVER = {"Cache-Control": "private, max-age=604800, immutable"}
# Rows were numbered anew since the address was made: it may name another picture by now.
PASSING = {"Cache-Control": "no-store"}
# As many pictures are decoded at once as there are processors, however fast one scrolls.
DECODING = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


# As it is shown; turned, but not cut; as its file has it; or so as large as it is painted on.
Form = Literal["shown", "whole", "original", "painted"]


class Found(Protocol):
    """What is shown of a row; `marks` are those that addresses of it have."""

    @property
    def marks(self) -> tuple[str, ...]: ...

    def image(self, size: int, form: Form) -> tuple[bytes, str]:
        """Return the image in a form, and its media type; `size` is one of `SIZES`.

        Raises:
            UserError: It cannot be read.
        """
        ...


Find = Callable[[str, int], Found | None]


@dataclass(frozen=True, slots=True)
class FoundPicture:
    """Where a picture is, what changes with its file, how it is edited, and the marks that addresses of it have."""

    path: Path
    stamp: str
    edit: PictureEdit
    marks: tuple[str, ...] = ()

    def image(self, size: int, form: Form) -> tuple[bytes, str]:
        """Return it as WebP; see `Found`."""
        edits = {"shown": self.edit, "whole": PictureEdit(self.edit.rotate)}
        wanted, edit = EDITED_SIZE if form == "painted" else size, edits.get(form, NO_EDIT)
        return thumbnail(self.path, self.stamp, wanted, edit), "image/webp"


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


def router(kinds: Mapping[str, Find], authorised: Callable[[Request], bool]) -> APIRouter:
    """Return the route `/captions/<kind>/<key of the folder>/<row>?size=&form=`; see `Found.image`."""
    routes = APIRouter()

    @routes.get("/captions/{kind}/{key}/{row}")
    def image(
        request: Request, kind: str, key: str, row: int, size: int = SIZES[0], form: Form = "shown", v: str = ""
    ) -> Response:
        if not authorised(request):
            raise HTTPException(401)
        found = kinds[kind](key, row) if kind in kinds else None
        if found is None:
            raise HTTPException(404)
        wanted = next((known for known in SIZES if known >= size), SIZES[-1])
        try:
            content, media_type = found.image(wanted, form)
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        return Response(content, media_type=media_type, headers=FOREVER if v in found.marks else PASSING)

    return routes
