"""The machine that trainings run on, asked for at most every few seconds: asking the driver takes a moment."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from backend.config.messages import translate
from backend.runs import gpu
from ui import wording

KEEP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Machine:
    """The largest card, or the processor when there is none. `total_bytes` is the memory that a training has."""

    name: str
    total_bytes: int
    has_gpu: bool

    def text(self, language: str) -> str:
        """Return the machine in words."""
        if not self.has_gpu:
            return translate("quick.memory.cpu", language)
        return translate("quick.memory.gpu", language, name=self.name, total=wording.num_bytes(self.total_bytes))


_lock = threading.Lock()
_found: tuple[float, Machine] | None = None


def find() -> Machine:
    """Return the machine as it was seen in the last seconds."""
    global _found
    with _lock:
        if _found is None or time.monotonic() - _found[0] > KEEP_SECONDS:
            _found = (time.monotonic(), _look())
        return _found[1]


def _look() -> Machine:
    cards = gpu.gpus()
    if cards:
        largest = max(cards, key=lambda card: card.total_bytes)
        return Machine(largest.name, largest.total_bytes, has_gpu=True)
    system = gpu.system()
    return Machine(system.processor, system.total_bytes, has_gpu=False)
