"""What a tagging run tells: events, with a heartbeat, as trainings do."""

from __future__ import annotations

import os
import time
from typing import Any

import psutil

from backend.config.problems import Problem
from backend.runs.events import EventWriter, Heartbeat
from backend.runs.layout import RunFolder
from backend.runs.supervisor import versions

# Progress is told at most so often.
PROGRESS_SECONDS = 0.5


class Teller:
    """Writes the events of one run."""

    def __init__(self, run: RunFolder) -> None:
        self._writer = EventWriter(run.events_path)
        self._heartbeat = Heartbeat(self._writer)
        self._phase = ""
        self._told_at = 0.0
        self.done = 0

    def start(self) -> None:
        """Say that we are here, and begin the heartbeat."""
        process = psutil.Process(os.getpid())
        self._writer.emit(
            "start",
            pid=process.pid,
            create_time=process.create_time(),
            versions=versions(),
            device="",
            resumed_from_step=None,
        )
        self._heartbeat.start()

    def phase(self, name: str) -> None:
        """Say that another phase begins."""
        if name != self._phase:
            self._phase, self._told_at, self.done = name, 0.0, 0
            self._writer.emit("phase", phase=name)
            self._heartbeat.moved(phase=name, done=0, total=0)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell how far the phase is, twice a second at most, and at its end."""
        self.done = done
        self._heartbeat.moved(done=done, total=total)
        now = time.monotonic()
        if done == total or now - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            self._writer.emit("progress", phase=self._phase, done=done, total=total, unit=unit)

    def warn(self, problem: Problem) -> None:
        """Tell of something that was left out or looks wrong."""
        self._writer.emit("warning", code=problem.code, params=problem.params, path=problem.path)

    def tagged(self, **counts: Any) -> None:
        """Tell what came of it: numbers of pictures that were written, skipped and failed, and the device."""
        self._writer.emit("tagged", **counts)

    def end(self, status: str, *, error: dict[str, Any] | None = None) -> None:
        """Say how it ended; nothing is told after this."""
        self._heartbeat.stop()
        self._writer.emit("end", status=status, step=self.done, error=error)
        self._writer.close()
