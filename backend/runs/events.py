"""The event log of a run: one typed JSON line each, appended by the trainer and tailed by whoever watches.

Kinds and their fields (each also has `seq`, `t` seconds since the epoch, and `kind`):

    start       pid, create_time, versions {package: version}, device, resumed_from_step
    phase       phase: loading | caching | training | sampling | saving
    progress    phase, done, total, unit
    step        step, total, epoch, loss, loss_ema, lrs {component: rate}, grad_norm, step_seconds, memory_bytes
    sample      step, prompt_index, prompt, path, seed
    model       step, epoch, path, num_bytes
    checkpoint  step, path
    warning     code, params, path
    heartbeat   phase, done, total, idle_seconds, step
    end         status: finished | stopped | failed, step, error {code, params, path, traceback} or null
"""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from typing import Any

Event = dict[str, Any]
HEARTBEAT_SECONDS = 5.0
READ_BYTES = 4 * 1024 * 1024


def _plain(value: Any) -> Any:
    """JSON has no NaN: a number that is none becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


class EventWriter:
    """Appends events; safe to use from several threads, and again after a resume."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._seq = sum(1 for _ in path.open("rb")) if path.exists() else 0
        self._file = path.open("ab")
        if self._seq and path.read_bytes()[-1:] != b"\n":
            self._file.write(b"\n")  # a killed writer left half a line

    def emit(self, kind: str, **fields: Any) -> None:
        """Append one event and hand it to the system at once."""
        with self._lock:
            self._seq += 1
            event = {"seq": self._seq, "t": round(time.time(), 3), "kind": kind, **_plain(fields)}
            line = json.dumps(event, ensure_ascii=False, default=str) + "\n"
            self._file.write(line.encode("utf-8", "replace"))
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class EventReader:
    """Reads what was appended since the last read, up to the last whole line."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self.num_bad_lines = 0

    def read(self) -> list[Event]:
        """Return the new events; a line that is no JSON object is counted and passed over."""
        events: list[Event] = []
        while chunk := self._chunk():
            for line in chunk.splitlines():
                try:
                    event = json.loads(line)
                except ValueError:
                    event = None
                if isinstance(event, dict) and "kind" in event:
                    events.append(event)
                elif line.strip():
                    self.num_bad_lines += 1
        return events

    def _chunk(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self.offset:  # the file was replaced by a shorter one
                    self.offset = 0
                file.seek(self.offset)
                data = file.read(READ_BYTES)
                while data and b"\n" not in data and (more := file.read(READ_BYTES)):
                    data += more
        except FileNotFoundError:
            return b""
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return whole


class Heartbeat:
    """Says every few seconds which phase the trainer is in and how long ago something last moved.

    The trainer reports every move with `moved`; a watcher tells caching from hanging by it.
    """

    def __init__(self, writer: EventWriter, *, seconds: float = HEARTBEAT_SECONDS) -> None:
        self._writer = writer
        self._seconds = seconds
        self._stop = threading.Event()
        self._state: dict[str, Any] = {"phase": "loading", "done": 0, "total": 0, "step": 0}
        self._moved_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin beating."""
        self._thread.start()

    def moved(self, **state: Any) -> None:
        """Note progress: any of phase, done, total, step."""
        self._state = {**self._state, **state}
        self._moved_at = time.monotonic()

    def stop(self) -> None:
        """End beating; returns when the thread has."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._writer.emit("heartbeat", idle_seconds=round(time.monotonic() - self._moved_at, 1), **self._state)
