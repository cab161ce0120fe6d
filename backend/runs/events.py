"""The event log of a run: one typed JSON line each, appended by the trainer and tailed by whoever watches.

Kinds and their fields (each also has `seq`, `t` seconds since the epoch, and `kind`):

    start       pid, create_time, versions {package: version}, device, resumed_from_step
    phase       phase: loading | caching | training | sampling | saving; of taggings: downloading | loading | tagging
    progress    phase, done, total, unit
    step        step, total, epoch, loss, loss_ema, lrs {component: rate}, grad_norm, step_seconds, memory_bytes
    sample      step, prompt_index, prompt, path, seed
    model       step, epoch, path, num_bytes
    checkpoint  step, path
    tagged      written, skipped, failed, device
    warning     code, params, path
    heartbeat   phase, done, total, idle_seconds, step
    end         status: finished | stopped | failed, step, error {code, params, path, traceback} or null
"""

from __future__ import annotations

import json
import math
import threading
import time
from contextlib import suppress
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


def count_lines(path: Path) -> tuple[int, bool]:
    """Return how many lines a log has, the last one counted even if it is a half, and whether it is whole."""
    count, last = 0, b"\n"
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                count, last = count + 1, line
    return count, last.endswith(b"\n")


class EventWriter:
    """Appends events; safe to use from several threads, and again after a resume."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._seq, whole = count_lines(path)
        self._file = path.open("ab")
        if not whole:
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


def parse_line(line: bytes) -> Event | None:
    """Return the event of a line; None when it is none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(event, dict) and isinstance(event.get("kind"), str)
    return event if whole and isinstance(event.get("seq"), int) and isinstance(event.get("t"), int | float) else None


class EventReader:
    """Reads what was appended since the last read, up to the last whole line.

    With `kinds`, lines of other kinds are passed over unparsed, which makes a long log quick to look through.
    """

    def __init__(self, path: Path, offset: int = 0, *, kinds: frozenset[str] = frozenset()) -> None:
        self.path = path
        self.offset = offset
        self.num_bad_lines = 0
        self._kinds = kinds
        self._marks = [f'"{kind}"'.encode() for kind in kinds]

    def read(self) -> list[Event]:
        """Return the new events; a line that is no event is counted and passed over."""
        events: list[Event] = []
        while chunk := self._chunk():
            for line in chunk.splitlines():
                if not line.strip() or (self._marks and not any(mark in line for mark in self._marks)):
                    continue
                event = parse_line(line)
                if event is None:
                    self.num_bad_lines += 1
                elif not self._kinds or event["kind"] in self._kinds:
                    events.append(event)
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
            idle_seconds = round(time.monotonic() - self._moved_at, 1)
            with suppress(OSError):  # a full disk: the trainer itself reports it, and the next beat tries again
                self._writer.emit("heartbeat", idle_seconds=idle_seconds, **self._state)
