"""Our own folder picker: lists folders of the machine that the program runs on, in the page, with no system dialog."""

from __future__ import annotations

import os
import string
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

PickKind = Literal["folder", "model", "data", "code"]
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jxl"})
# The files that can be chosen beside folders.
FILE_SUFFIXES: dict[PickKind, frozenset[str]] = {
    "folder": frozenset(),
    "model": frozenset({".safetensors", ".ckpt", ".pt"}),
    "data": frozenset({".json", ".jsonl", ".csv", ".parquet", ".tar", ".toml"}),
    "code": frozenset({".py"}),
}
MAX_ENTRIES = 1000
MAX_COUNTED = 5000
MAX_COMPLETIONS = 20
# Counting pictures must not hold up a listing on a slow network drive.
COUNT_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder, or a file of the kind that is looked for.

    `num_images` is None when it was not counted; `more` says that counting stopped.
    """

    name: str
    path: str
    is_dir: bool
    num_images: int | None = None
    more: bool = False
    num_bytes: int | None = None
    is_model: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What the picker shows of one folder. `error` is a locale key when the folder cannot be shown."""

    path: str
    parent: str
    entries: tuple[Entry, ...] = ()
    num_images: int = 0
    num_hidden: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the picker may go; no roots means everywhere."""

    paths: tuple[Path, ...] = ()

    def allow(self, path: Path) -> bool:
        """Tell whether a path lies in one of the roots, links followed."""
        if not self.paths:
            return True
        real = path.resolve()
        return any(real.is_relative_to(root.resolve()) for root in self.paths)


def places(roots: Roots) -> list[Entry]:
    """Return where one can start: the home folder and the drives, or the roots when there are some."""
    if roots.paths:
        return [Entry(path.name or str(path), str(path), is_dir=True) for path in roots.paths]
    found = [Entry("~", str(Path.home()), is_dir=True)]
    return found + [Entry(str(path), str(path), is_dir=True) for path in _drives()]


def _drives() -> Iterator[Path]:
    if sys.platform == "win32":
        yield from (Path(f"{letter}:\\") for letter in string.ascii_uppercase if Path(f"{letter}:\\").exists())
        return
    yield Path("/")
    for mount in (Path("/mnt"), Path("/media"), Path("/Volumes")):
        if mount.is_dir() and os.access(mount, os.R_OK):
            yield from sorted(path for path in mount.iterdir() if path.is_dir())


def nearest_folder(text: str) -> Path:
    """Return the folder that a typed path means: itself, or the nearest one above that exists, or home."""
    if not text.strip():
        return Path.home()
    path = Path(text.strip().strip('"')).expanduser()
    for candidate in (path, *path.parents):
        if candidate.is_dir():
            return candidate.absolute()
    return Path.home()


def list_folder(path: Path, kind: PickKind, roots: Roots) -> Listing:
    """List the folders of a folder, with counts of pictures, and the files that can be chosen."""
    shown = Listing(str(path), str(path.parent) if path.parent != path and roots.allow(path.parent) else "")
    if not roots.allow(path):
        return replace(shown, error="folders.not_allowed")
    try:
        with os.scandir(path) as scan:
            items = list(scan)
    except PermissionError:
        return replace(shown, error="folders.no_permission")
    except OSError:
        return replace(shown, error="folders.unreadable")
    items.sort(key=lambda item: item.name.casefold())
    kept = [entry for item in items if (entry := _entry(item, kind))]
    deadline = time.monotonic() + COUNT_SECONDS
    entries = tuple(_counted(entry, kind, deadline) for entry in kept[:MAX_ENTRIES])
    return replace(
        shown,
        entries=entries,
        num_images=sum(_is_image(item.name) for item in items),
        num_hidden=len(kept) - len(entries),
    )


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def _entry(item: os.DirEntry[str], kind: PickKind) -> Entry | None:
    """Describe one item of a folder; None for what is not offered."""
    if item.name.startswith("."):
        return None
    try:
        if item.is_dir():
            return Entry(item.name, item.path, is_dir=True)
        if Path(item.name).suffix.lower() in FILE_SUFFIXES[kind]:
            size = item.stat().st_size
            return Entry(item.name, item.path, is_dir=False, num_bytes=size, is_model=kind == "model")
    except OSError:  # a dead link or a drive that went away: not something to choose
        return None
    return None


def _counted(entry: Entry, kind: PickKind, deadline: float) -> Entry:
    if not entry.is_dir or time.monotonic() > deadline:
        return entry
    if kind == "model":
        return replace(entry, is_model=(Path(entry.path) / "model_index.json").is_file())
    count = 0
    try:
        with os.scandir(entry.path) as scan:
            for seen, item in enumerate(scan):
                count += _is_image(item.name)
                if seen >= MAX_COUNTED:
                    return replace(entry, num_images=count, more=True)
    except OSError:  # shown without a count; opening it says why
        return entry
    return replace(entry, num_images=count)


def complete(text: str, kind: PickKind, roots: Roots) -> list[str]:
    """Return the paths that a typed beginning can go on to, folders with a separator at the end."""
    path = Path(text).expanduser() if text.strip() else Path.home()
    folder, start = (path, "") if text.endswith(("/", "\\")) else (path.parent, path.name.casefold())
    if not folder.is_dir() or not roots.allow(folder):
        return []
    try:
        with os.scandir(folder) as scan:
            found = [entry for item in scan if item.name.casefold().startswith(start) and (entry := _entry(item, kind))]
    except OSError:  # completion is a help: what cannot be listed offers nothing
        return []
    paths = [entry.path + (os.sep if entry.is_dir else "") for entry in sorted(found, key=lambda entry: entry.path)]
    return paths[:MAX_COMPLETIONS]


def answer(request: dict[str, Any], roots: Roots) -> dict[str, Any]:
    """Answer the picker's script: `{path, kind, up?}` lists a folder, `{complete, kind}` completes a typed path."""
    kind: PickKind = next((known for known in FILE_SUFFIXES if known == request.get("kind")), "folder")
    if "complete" in request:
        return {"paths": complete(str(request["complete"]), kind, roots)}
    path = nearest_folder(str(request.get("path", "")))
    if not roots.allow(path):
        path = roots.paths[0]
    listing = list_folder(path, kind, roots)
    return {
        "path": listing.path,
        "parent": listing.parent,
        "error": listing.error,
        "is_file": Path(str(request.get("path", "")).strip().strip('"')).expanduser().is_file(),
        "num_images": listing.num_images,
        "num_hidden": listing.num_hidden,
        "places": [{"name": place.name, "path": place.path} for place in places(roots)],
        "entries": [{name: getattr(entry, name) for name in Entry.__dataclass_fields__} for entry in listing.entries],
    }
