"""A checkpoint folder is complete or absent: written beside, hashed, flushed, renamed; checked before it is used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.config.problems import UserError
from backend.formats.files import flush_to_disk, write_errors

MANIFEST = "manifest.json"
PARTIAL = ".partial"
VERSION = 1


def sha256(path: Path) -> str:
    """Return the hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def write_manifest(folder: Path) -> None:
    """Write the list of all files with sizes and hashes."""
    rows = {
        path.relative_to(folder).as_posix(): {"num_bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in _files(folder)
    }
    text = json.dumps({"version": VERSION, "files": rows}, indent=1)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def verify_manifest(folder: Path) -> None:
    """Check that every file is there and is what was written.

    Raises:
        UserError: `checkpoint_damaged` names the first file that is missing or changed; `checkpoint_newer` when a
            later version wrote it.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version, rows = int(manifest["version"]), dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("checkpoint_damaged", value=str(folder), file=MANIFEST) from error
    if version > VERSION:
        raise UserError("checkpoint_newer", value=str(folder))
    for name, row in rows.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != row["num_bytes"] or sha256(path) != row["sha256"]:
            raise UserError("checkpoint_damaged", value=str(folder), file=name)


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; on success it becomes `folder`, hashed and flushed, else nothing is left.

    Raises:
        UserError: `disk_full` or `file_unwritable`; what stood at `folder` before is untouched.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    with write_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            write_manifest(partial)
            for path in partial.rglob("*"):
                if path.is_file():
                    flush_to_disk(path)
            _take_place(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: Path, folder: Path) -> None:
    """Rename over an older folder of the name, if there is one, which goes last."""
    old = folder.with_name(folder.name + ".old" + PARTIAL)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    if os.name != "nt":
        handle = os.open(folder.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    shutil.rmtree(old, ignore_errors=True)


def complete_folders(parent: Path) -> list[Path]:
    """Return the folders with a manifest by name, newest last; leftovers of a killed writer are not among them."""
    if not parent.is_dir():
        return []
    folders = [path for path in parent.iterdir() if not path.name.endswith(PARTIAL)]
    return sorted(path for path in folders if (path / MANIFEST).is_file())


def newest_complete(parent: Path) -> Path | None:
    """Return the newest folder whose manifest holds; None when there is none."""
    for folder in reversed(complete_folders(parent)):
        try:
            verify_manifest(folder)
        except UserError:
            continue  # damaged: the one before it may be whole
        return folder
    return None


def remove_leftovers(parent: Path) -> None:
    """Remove what a killed writer left."""
    if parent.is_dir():
        for path in parent.glob(f"*{PARTIAL}"):
            shutil.rmtree(path, ignore_errors=True)
