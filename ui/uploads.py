"""Pictures and captions that are dropped into the page: kept in folders of the app's own, under names that are safe."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from PIL import Image

from backend.config.problems import UserError
from ui.folders import IMAGE_SUFFIXES

CAPTION_SUFFIXES = frozenset({".txt", ".caption"})
# What Windows refuses in a name, control characters, and what would lead out of the folder.
UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]+')
RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)$", re.IGNORECASE)
MAX_NAME = 120


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not taken, and the locale key that says why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Upload:
    """Where the files went. `stored` are the new names; `refused` what was left out."""

    folder: Path
    stored: tuple[str, ...]
    refused: tuple[Refused, ...]


def safe_name(name: str) -> str:
    """Return a file name that every system takes and that stays in its folder; letters of any language are kept."""
    path = Path(UNSAFE.sub("_", unicodedata.normalize("NFC", name)))
    stem = path.stem.strip(". ")[:MAX_NAME] or "picture"
    return (f"_{stem}" if RESERVED.match(stem) else stem) + path.suffix.lower()


def new_folder(uploads_dir: Path) -> Path:
    """Make a folder for one set of uploads; two made at once never share one.

    Raises:
        UserError: The app's folder cannot be written to.
    """
    stem = f"{datetime.now():%Y%m%d-%H%M%S}"
    try:
        uploads_dir.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = uploads_dir / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise UserError("file_unwritable", value=str(uploads_dir), reason=error.strerror or str(error)) from error
    raise UserError("file_unwritable", value=str(uploads_dir), reason=stem)


def store(files: Iterable[tuple[str, Path]], folder: Path) -> Upload:
    """Copy uploaded pictures and captions into a folder. What is there is never overwritten: a second cat.png becomes
    cat-2.png, and the captions that came with it follow.

    Args:
        files: (name in the browser, where the upload lies now).
        folder: An existing folder of the app's own.

    Raises:
        UserError: No space is left, or the folder cannot be written to.
    """
    stored: list[str] = []
    refused: list[Refused] = []
    stems: dict[str, str] = {}  # how a stem of this upload is called in the folder
    taken = {path.stem.casefold() for path in folder.iterdir()}
    for name, path in sorted(files, key=lambda item: Path(item[0]).suffix.lower() in CAPTION_SUFFIXES):
        reason = _refusal(path, Path(name).suffix.lower())
        if reason:
            refused.append(Refused(name, reason))
            continue
        clean = Path(safe_name(name))
        is_caption = clean.suffix in CAPTION_SUFFIXES
        stem = stems.get(clean.stem) if is_caption else None
        if stem is None:
            stem = _free(clean.stem, taken)
            stems[clean.stem] = stem
            taken.add(stem.casefold())
        target = folder / f"{stem}{clean.suffix}"
        try:
            shutil.copyfile(path, target)
        except OSError as error:
            raise UserError("file_unwritable", value=str(target), reason=error.strerror or str(error)) from error
        stored.append(target.name)
    return Upload(folder, tuple(stored), tuple(refused))


def _free(stem: str, taken: set[str]) -> str:
    """Return the stem, with a number behind it when a file is called so already (case does not count on Windows)."""
    number = 1
    name = stem
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    return name


def _refusal(path: Path, suffix: str) -> str:
    """Return why a file is not taken, as a locale key; empty when it is."""
    if suffix in CAPTION_SUFFIXES:
        return ""
    if suffix not in IMAGE_SUFFIXES:
        return "quick.upload.not_a_picture"
    try:
        with Image.open(path) as image:
            image.verify()
    except Exception:  # noqa: BLE001  Pillow's readers raise many kinds for a broken file; all of them mean this
        return "quick.upload.broken"
    return ""
