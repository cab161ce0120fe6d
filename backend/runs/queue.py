"""The queue: run folders that wait, in an order that survives restarts, and start by themselves one after the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from backend.config.presets import read, write_text
from backend.config.problems import Problem, UserError
from backend.runs import supervisor
from backend.runs.events import EventWriter
from backend.runs.layout import RunFolder, list_runs
from backend.runs.locks import take

Starter = Callable[[RunFolder], object]


def start_run(run: RunFolder, *, resume: bool = False, python: str = sys.executable) -> int:
    """Launch a run on the devices that its own configuration names."""
    hardware = read(run.config_path).get("hardware", {})
    return supervisor.launch(
        run,
        python=python,
        resume=resume,
        num_processes=int(hardware.get("num_processes", 1)),
        gpu_ids=str(hardware.get("gpu_ids", "")),
        device=str(hardware.get("device", "auto")),
    )


class Queue:
    """The waiting runs of one runs folder. Several windows may hold a Queue on the same folder."""

    def __init__(self, runs_dir: Path, *, start: Starter = start_run) -> None:
        self.runs_dir = runs_dir
        self._start = start
        self._paused_path = runs_dir / ".queue-paused"
        self._lock_path = runs_dir / ".queue.lock"

    def runs(self) -> list[RunFolder]:
        """Return the waiting runs, next first."""
        waiting = [(self._position(run), run.id, run) for run in list_runs(self.runs_dir) if run.queued_path.exists()]
        return [run for _, _, run in sorted(waiting, key=lambda row: row[:2])]

    def _position(self, run: RunFolder) -> float:
        try:
            return float(json.loads(run.queued_path.read_text(encoding="utf-8"))["position"])
        except (OSError, ValueError, KeyError, TypeError):
            return float("inf")

    def _place(self, runs: list[RunFolder]) -> None:
        for position, run in enumerate(runs):
            write_text(run.queued_path, json.dumps({"position": position}))

    def add(self, run: RunFolder) -> None:
        """Put a run at the end.

        Raises:
            UserError: It is running.
        """
        if supervisor.status(run) in supervisor.LIVE:
            raise UserError("run_running", value=run.name)
        self._place([*(other for other in self.runs() if other != run), run])

    def remove(self, run: RunFolder) -> None:
        """Take a run out; its folder stays."""
        run.queued_path.unlink(missing_ok=True)

    def move(self, run: RunFolder, *, by: int) -> None:
        """Move a waiting run up (negative) or down."""
        order = self.runs()
        if run in order:
            index = order.index(run)
            order.insert(max(0, min(len(order) - 1, index + by)), order.pop(index))
            self._place(order)

    @property
    def paused(self) -> bool:
        """Whether the queue starts nothing for now."""
        return self._paused_path.exists()

    def pause(self, paused: bool) -> None:
        """Hold the queue, or let it go on."""
        if paused:
            self.runs_dir.mkdir(parents=True, exist_ok=True)
            self._paused_path.touch()
        else:
            self._paused_path.unlink(missing_ok=True)

    def tick(self) -> RunFolder | None:
        """Start the next run when none is running; called every second or so by every window.

        Returns:
            The run that was started.
        """
        if self.paused or not self.runs() or supervisor.reattach(self.runs_dir):
            return None
        with self._lock_path.open("a+b") as lock:
            waiting = self.runs() if take(lock) else []
            if not waiting or supervisor.reattach(self.runs_dir):
                return None
            return self._start_next(waiting[0])

    def _start_next(self, run: RunFolder) -> RunFolder:
        try:
            self._start(run)
        except UserError as error:
            self._fail(run, error.problem)
        self.remove(run)
        return run

    def _fail(self, run: RunFolder, problem: Problem) -> None:
        """Record in the run itself why it did not start, so that it does not hold up the others."""
        writer = EventWriter(run.events_path)
        error = {"code": problem.code, "params": problem.params, "path": problem.path, "traceback": ""}
        writer.emit("end", status="failed", step=0, error=error)
        writer.close()
        if not run.process_path.exists():
            write_text(run.process_path, json.dumps({"started": 0}))
