"""Files brought to another place: never over another file, and there whole or not at all."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from contextlib import suppress
from pathlib import Path

from backend.editing.files import insist
from backend.editing.partials import partial_path

# A file system that knows no hard links, or does not let us make one of somebody else's file.
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})


def move_file(source: Path, target: Path) -> None:
    """Bring a file to another place, of another disk, too. A link goes on leading to where it did.

    Raises:
        FileExistsError: There is a file already.
        OSError: It cannot be done; then the file is where it was.
    """
    if source.is_symlink() and not source.readlink().is_absolute():
        target.symlink_to(os.path.realpath(source))  # noqa: PTH118
        _remove_first(source, target)
        return
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_over(source, target)


def is_left_behind(source: Path, target: Path) -> bool:
    """Tell whether a move was cut off when the file was at both places: both are the same then, and two."""
    if _place(source) == _place(target):
        return False
    if source.is_symlink() or target.is_symlink():
        return source.is_symlink() and target.is_symlink() and source.samefile(target)
    if source.samefile(target):  # a hard link each; a name in other letters is no second one
        return source.stat().st_nlink > 1
    return source.stat().st_size == target.stat().st_size > 0 and filecmp.cmp(source, target, shallow=False)


def _place(path: Path) -> str:
    """Return where a file is, whatever links lead to its folder."""
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118


def _rename(source: Path, target: Path) -> None:
    if os.name == "nt":  # where this never replaces a file
        insist(lambda: source.rename(target))
        return
    try:
        # A second name fails where the place is taken; renaming would replace what is there.
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        source.rename(target)
        return
    _remove_first(source, target)


def _copy_over(source: Path, target: Path) -> None:
    partial = Path(partial_path(str(target)))
    try:
        shutil.copy2(source, partial, follow_symlinks=False)
        if not partial.is_symlink():
            with partial.open("r+b") as file:
                os.fsync(file.fileno())
        _rename(partial, target)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
    _remove_first(source, target)


def _remove_first(source: Path, target: Path) -> None:
    """Remove a file at its old place, now that it is at the new one as well."""
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise
