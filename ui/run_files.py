"""Files of runs over HTTP: sample pictures, small versions of them, and finished weights. Nothing else is served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, Response

from backend.config.problems import UserError
from ui import samples

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
WEIGHTS = frozenset({".safetensors"})
# A sample is written once under a name of its own.
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


def safe_path(runs_dir: Path, run: str, folder: str, file: str, suffixes: frozenset[str]) -> Path | None:
    """Return the file `runs_dir/run/folder/file`, or None when the path leads out of there or is of another kind."""
    base = (runs_dir / run / folder).resolve()
    path = (base / file).resolve()
    inside = base.is_relative_to(runs_dir.resolve()) and base != runs_dir.resolve() and path.is_relative_to(base)
    return path if inside and path.suffix.lower() in suffixes and path.is_file() else None


def router(runs_dir: Callable[[], Path], authorised: Callable[[Request], bool]) -> APIRouter:
    """Return the routes `/runs/<run>/samples/<file>` and `/runs/<run>/models/<file>`."""
    routes = APIRouter()

    def find(request: Request, run: str, folder: str, file: str, suffixes: frozenset[str]) -> Path:
        if not authorised(request):
            raise HTTPException(401)
        path = safe_path(runs_dir(), run, folder, file, suffixes)
        if path is None:
            raise HTTPException(404)
        return path

    @routes.get("/runs/{run}/samples/{file:path}")
    def sample(request: Request, run: str, file: str, size: int = 0) -> Response:
        path = find(request, run, "samples", file, PICTURES)
        if not size:
            return FileResponse(path, headers=FOREVER)
        try:
            content = samples.thumbnail(path, size=min(max(size, 32), 1024))
        except UserError as error:
            raise HTTPException(404, str(error)) from error
        return Response(content, media_type="image/webp", headers=FOREVER)

    @routes.get("/runs/{run}/models/{file:path}")
    def model(request: Request, run: str, file: str) -> Response:
        path = find(request, run, "models", file, WEIGHTS)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    return routes
