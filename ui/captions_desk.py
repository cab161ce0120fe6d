"""STUB until backend.editing.library stands."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from backend.editing.files import find_caption
from backend.editing.journal import Change, Journal

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


@dataclass
class Desk:
    root: Path
    key: str
    names: list[str] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    version: int = 1
    lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.journal = Journal(self.root)
        for path in sorted(self.root.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                self.names.append(path.relative_to(self.root).as_posix())
                found = find_caption(path.with_suffix(".txt"))
                self.texts.append(found.text if found else None)
                with Image.open(path) as image:
                    self.sizes.append(image.size)
