"""The control folder: what the outside asks of a running trainer, as files: signals mean something else on Windows."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

Request = Literal["stop", "save", "sample"]
REQUESTS: tuple[Request, ...] = get_args(Request)


class Control:
    """The trainer's side: look for requests at every step and every cached batch (some microseconds)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def poll(self) -> set[Request]:
        """Return what is asked for. "save" and "sample" are taken away; "stop" stays until `clear`."""
        asked = {name for name in REQUESTS if (self.folder / name).exists()}
        for name in asked - {"stop"}:
            (self.folder / name).unlink(missing_ok=True)
        return asked

    def stopping(self) -> bool:
        """Tell whether a stop is asked for, and leave the other requests for later."""
        return (self.folder / "stop").exists()

    def clear(self) -> None:
        """Take away every request: what was asked of an earlier process does not hold for this one."""
        for name in REQUESTS:
            (self.folder / name).unlink(missing_ok=True)


def ask(folder: Path, request: Request) -> None:
    """Ask a running trainer for something."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / request).touch()
