"""Where the face is: needs the package opencv-python-headless, which is installed only by those who want it."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backend.config.geometry import GeometryRules
from backend.config.problems import Problem, UserError

# The next one has no cascades any more. Quoted, because it is shown as a part of a command.
NEEDED = {"value": "face", "package": '"opencv-python-headless<5"', "extra": "faces"}
CASCADE = "haarcascade_frontalface_alt2.xml"
# Faces are looked for in the picture scaled to this longer side, and must be at least this share of the shorter one.
LOOKED_AT = 640
SMALLEST_SHARE = 0.06
# A cascade is not safe to be shared by threads.
_local = threading.local()


def _folder() -> Path | None:
    """Return the folder of the cascades; None where the package is missing or has none."""
    found = importlib.util.find_spec("cv2")
    folder = Path(found.origin).parent / "data" if found and found.origin else None
    return folder if folder and (folder / CASCADE).is_file() else None


def crop_needs(rules: GeometryRules, path: str = "data.crop") -> Problem | None:
    """Return the problem of a crop that needs a package which is not there. `path`: where the crop was set."""
    if rules.crop != "face" or _folder():
        return None
    return Problem("error", "package_missing", path, dict(NEEDED))


def _cascade() -> Any:
    if not hasattr(_local, "cascade"):
        folder = _folder()
        if folder is None:
            raise UserError("package_missing", "data.crop", **NEEDED)
        import cv2

        _local.cascade = cv2.CascadeClassifier(str(folder / CASCADE))
    return _local.cascade


def face_centre(image: Image.Image) -> tuple[float, float] | None:
    """Return the centre of the largest face as shares of width and height, or None where no face is seen.

    Raises:
        UserError: The package is missing.
    """
    cascade = _cascade()
    grey = image.convert("L")
    grey.thumbnail((LOOKED_AT, LOOKED_AT))
    smallest = max(24, round(min(grey.size) * SMALLEST_SHARE))
    faces = cascade.detectMultiScale(np.asarray(grey), 1.1, 5, minSize=(smallest, smallest))
    if not len(faces):
        return None
    left, top, width, height = max(faces.tolist(), key=lambda face: face[2] * face[3])
    return (left + width / 2) / grey.width, (top + height / 2) / grey.height
