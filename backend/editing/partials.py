"""Whose a file is that is being written: what a process left that was killed is found by its name, and removed."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress

import psutil

# A process: its number, and when it began, in seconds since 1970.
Owner = tuple[int, float]

CREATE_TIME_TOLERANCE = 1.5
TOKEN = re.compile(r"(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<began>\d+)-\d+")
PARTIAL = re.compile(r"\.[0-9a-f]{16}\.(?P<token>[0-9a-f]{8}-\d+-\d+-\d+)\.partial")
# A folder may lie on a server: numbers of processes are those of one machine.
MACHINE = hashlib.blake2b(platform.node().encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()

_numbers = itertools.count()
_owners: dict[int, Owner] = {}


def ourselves() -> Owner:
    """Return which process we are."""
    pid = os.getpid()
    if pid not in _owners:
        _owners[pid] = (pid, psutil.Process().create_time())
    return _owners[pid]


def is_alive(owner: Owner) -> bool:
    """Tell whether a process is there; a recycled number is nobody's, and one that has ended writes no more."""
    try:
        process = psutil.Process(owner[0])
        is_same = abs(process.create_time() - owner[1]) < CREATE_TIME_TOLERANCE
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def new_token() -> str:
    """Return a name that nothing else has, and that tells whose it is."""
    pid, began = ourselves()
    return f"{MACHINE}-{pid}-{began:.0f}-{next(_numbers)}"


def is_left(token: str) -> bool:
    """Tell whether something was named by a process of this machine that is gone; of others nobody can tell."""
    found = TOKEN.fullmatch(token)
    is_ours = found is not None and found["machine"] == MACHINE
    return found is not None and is_ours and not is_alive((int(found["pid"]), float(found["began"])))


def partial_path(path: str) -> str:
    """Return where a file is written before it gets its name.

    Hidden, so that no scan takes it for a caption, and short, where the name is as long as one may be.
    """
    folder, name = os.path.split(path)
    short = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return os.path.join(folder, f".{short}.{new_token()}.partial")  # noqa: PTH118


def clear_partials(folders: Iterable[str | os.PathLike[str]]) -> None:
    """Remove from folders what processes that are gone were writing; what cannot be removed only takes space."""
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                found = PARTIAL.fullmatch(entry.name)
                if found is not None and is_left(found["token"]):
                    os.unlink(entry.path)  # noqa: PTH108
