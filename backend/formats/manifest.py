"""A checkpoint folder is complete or absent: written beside, hashed, flushed, renamed; checked before it is used."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backend.config.problems import UserError
from backend.formats.files import flush_folder, flush_to_disk, write_errors

MANIFEST = "manifest.json"
PARTIAL = ".partial"
# A folder that is being replaced, until the new one stands in its place.
OLD = ".old" + PARTIAL
VERSION = 1


def sha256(path: Path) -> str:
    """Return the hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


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
        version = int(manifest["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError("checkpoint_damaged", value=str(folder), file=MANIFEST) from error
    # Before the rest is read: a later version may have written it in another form.
    if version > VERSION:
        raise UserError("checkpoint_newer", value=str(folder))
    try:
        rows = {name: (int(row["num_bytes"]), str(row["sha256"])) for name, row in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("checkpoint_damaged", value=str(folder), file=MANIFEST) from error
    for name, (num_bytes, digest) in rows.items():
        if not _is_as_written(folder / name, num_bytes, digest):
            raise UserError("checkpoint_damaged", value=str(folder), file=name)


def _is_as_written(path: Path, num_bytes: int, digest: str) -> bool:
    try:
        return path.stat().st_size == num_bytes and sha256(path) == digest
    except OSError:  # gone, or on a part of the disk that cannot be read
        return False


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; on success it becomes `folder`, hashed and flushed, else nothing is left.

    Raises:
        UserError: `disk_full` or `file_unwritable`; what stood at `folder` before is untouched.
    """
    partial = folder.with_name(folder.name + PARTIAL)
    with write_errors(folder):
        for leftover in (partial, folder.with_name(folder.name + OLD)):
            _clear(leftover)
        partial.mkdir(parents=True)
        try:
            yield partial
            write_manifest(partial)
            for path in (*partial.rglob("*"), partial):
                flush = flush_folder if path.is_dir() else flush_to_disk
                flush(path)
            _take_place(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: Path, folder: Path) -> None:
    """Rename over an older folder of the name, if there is one, which goes last."""
    old = folder.with_name(folder.name + OLD)
    if folder.exists():
        folder.rename(old)
    try:
        partial.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    flush_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _clear(leftover: Path) -> None:
    """Remove what a killed writer left; an older folder whose successor never took its place goes back."""
    home = leftover.with_name(leftover.name.removesuffix(OLD))
    if leftover.name.endswith(OLD) and leftover.exists() and not home.exists():
        leftover.rename(home)
    elif leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        with suppress(OSError):  # in the way of nobody: Windows does not let go of a file that is open
            leftover.unlink()


def complete_folders(parent: Path) -> list[Path]:
    """Return the folders with a manifest by name, newest last; leftovers of a killed writer are not among them."""
    if not parent.is_dir():
        return []
    folders = [path for path in parent.iterdir() if not path.name.endswith(PARTIAL)]
    return sorted(path for path in folders if (path / MANIFEST).is_file())


def newest_complete(parent: Path) -> Path | None:
    """Return the newest folder whose manifest holds; None when there is none.

    Raises:
        UserError: `checkpoint_newer`; to go back to an older one instead would lose steps without a word.
    """
    for folder in reversed(complete_folders(parent)):
        try:
            verify_manifest(folder)
        except UserError as error:
            if error.problem.code != "checkpoint_damaged":
                raise
            continue  # the one before it may be whole
        return folder
    return None


def remove_leftovers(parent: Path) -> None:
    """Remove the folders and files that a killed writer left; nobody may be writing there."""
    if parent.is_dir():
        for path in sorted(parent.glob(f"*{PARTIAL}")):
            _clear(path)
