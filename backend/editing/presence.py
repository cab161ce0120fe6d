"""Who else has a folder open: a small file each, touched while it is open."""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

# Touched this often at least by the one who has it open; one that was not for so long is gone.
STALE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Visitor:
    """Another tab or program that has the folder open."""

    label: str
    pid: int
    since: float


class Presence:
    """Tells others that we are here, and us who they are."""

    def __init__(self, folder: Path, label: str = "") -> None:
        self._folder = folder
        self._path = folder / f"{uuid.uuid4().hex}.json"
        self._told = {"label": label, "pid": os.getpid(), "since": time.time()}
        self.beat()

    def beat(self) -> None:
        """Say that we are still here. Where nothing can be written, nobody is told: that is no reason to stop."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._told), encoding="utf-8")

    def others(self) -> list[Visitor]:
        """Return who else is here; files of those that are gone are removed."""
        found = []
        with suppress(OSError):
            for path in self._folder.glob("*.json"):
                if path == self._path:
                    continue
                visitor = _read(path)
                if visitor is None:
                    path.unlink(missing_ok=True)
                else:
                    found.append(visitor)
        return sorted(found, key=lambda visitor: visitor.since)

    def leave(self) -> None:
        """Say that we are gone."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _read(path: Path) -> Visitor | None:
    """Return who left a file; None when it is old, damaged, or its process has ended."""
    try:
        told = json.loads(path.read_bytes())
        visitor = Visitor(str(told["label"]), int(told["pid"]), float(told["since"]))
        age = time.time() - path.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return visitor if age < STALE_SECONDS and psutil.pid_exists(visitor.pid) else None
