"""Small versions of the pictures of data sets, wherever they are stored, over HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from PIL import Image, ImageOps

from backend.config.problems import UserError
from backend.data.images import read_rgb
from backend.data.picture_edits import PictureEdit, apply_edit, side_before
from backend.data.records import ImageRecord, Scan
from backend.data.stores import Store, open_store

SIZES = (112, 320, 768)
NUM_KEPT = 1500
# The address has the number of the scan in it: what it names never changes.
FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}


def _small_jpeg(path: Path, size: int) -> Image.Image | None:
    """Return a JPEG decoded at a fraction of its size, which is many times faster; None for other pictures."""
    with Image.open(path) as image:
        if image.format != "JPEG":
            return None
        image.draft("RGB", (size, size))
        return ImageOps.exif_transpose(image.convert("RGB"))


def _decoded(location: str, store: Store, size: int, edit: PictureEdit) -> Image.Image:
    path = Path(location)
    if path.is_file():
        return apply_edit(_small_jpeg(path, side_before(edit, size)) or read_rgb(path), edit)
    return apply_edit(read_rgb(store.read(location), location), edit)


class Thumbnails:
    """Makes them, and keeps the latest; a store of a data set is opened once."""

    def __init__(self) -> None:
        self._make = lru_cache(maxsize=NUM_KEPT)(self._encoded)
        self._stores: dict[str, Store] = {}

    def get(self, found: Scan, record: ImageRecord, size: int) -> bytes:
        """Return a picture, as it is trained, scaled to fit `size` pixels as WebP.

        Raises:
            UserError: It cannot be read.
        """
        dataset = found.datasets[record.dataset]
        key = dataset.config.endpoint_url
        if key not in self._stores:
            self._stores[key] = open_store(dataset)
        return self._make(record.location, record.stamp, record.edit, size, key)

    def _encoded(self, location: str, _stamp: str, edit: PictureEdit, size: int, key: str) -> bytes:
        try:
            image = _decoded(location, self._stores[key], size, edit)
        except UserError:
            raise
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UserError("image_corrupt", value=location) from error
        image.thumbnail((size, size))
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=80)
        return buffer.getvalue()


def router(
    scan_of: Callable[[int], Scan | None], thumbnails: Thumbnails, authorised: Callable[[Request], bool]
) -> APIRouter:
    """Return the route `/pictures/<number of the scan>/<index of the picture>`."""
    routes = APIRouter()

    @routes.get("/pictures/{scan}/{index}")
    def picture(request: Request, scan: int, index: int, size: int = SIZES[0]) -> Response:
        if not authorised(request):
            raise HTTPException(401)
        found = scan_of(scan)
        if found is None or not 0 <= index < len(found.images):
            raise HTTPException(404)
        try:
            content = thumbnails.get(found, found.images[index], min(SIZES, key=lambda known: abs(known - size)))
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        return Response(content, media_type="image/webp", headers=FOREVER)

    return routes
