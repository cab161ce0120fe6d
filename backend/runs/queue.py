"""The queue: run folders that wait, in an order that survives restarts, and start by themselves one after the other."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.config.presets import read, write_text
from backend.config.problems import Problem, UserError
from backend.config.root import load
from backend.runs import supervisor
from backend.runs.events import EventWriter
from backend.runs.layout import RunFolder, list_runs
from backend.runs.locks import take
from backend.runs.processes import processes
from backend.runs.works import work_of

Starter = Callable[[RunFolder], object]
LOCK_SECONDS = 5.0
# The place of a run whose marker cannot be read: behind all others.
UNKNOWN = 10**9


def start_run(run: RunFolder, *, resume: bool = False, python: str = sys.executable) -> int:
    """Launch a run on the devices that its own configuration names."""
    data = read(run.config_path)
    work = work_of(data)
    if not work.is_distributed:
        cards = str(data[work.name].get("gpu_ids", ""))
        return supervisor.launch(
            run, python=python, resume=resume, gpu_ids=cards, trainer=work.module, is_distributed=False
        )
    hardware = load(run.config_path).hardware
    return supervisor.launch(
        run,
        python=python,
        resume=resume,
        num_processes=hardware.num_processes,
        gpu_ids=hardware.gpu_ids,
        device=hardware.device,
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

    def _position(self, run: RunFolder) -> int:
        try:
            return int(json.loads(run.queued_path.read_text(encoding="utf-8"))["position"])
        except (OSError, ValueError, KeyError, TypeError):
            return UNKNOWN

    def _place(self, run: RunFolder, position: int) -> None:
        write_text(run.queued_path, json.dumps({"position": position}))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the order, so that nobody starts a run while we move it.

        Raises:
            UserError: The runs folder cannot be written to, or somebody keeps the order for long.
        """
        deadline = time.monotonic() + LOCK_SECONDS
        try:
            lock = self._lock_path.open("a+b")
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError("runs_dir_unwritable", value=str(self.runs_dir), reason=reason) from error
        with lock:
            while not take(lock):
                if time.monotonic() > deadline:
                    raise UserError("queue_busy")
                time.sleep(0.05)
            yield

    def add(self, run: RunFolder) -> None:
        """Put a run at the end.

        Raises:
            UserError: It is running.
        """
        with self._locked():
            if supervisor.status(run) in supervisor.LIVE:
                raise UserError("run_running", value=run.name)
            last = max((self._position(other) for other in self.runs()), default=-1)
            self._place(run, int(last) + 1 if last < UNKNOWN else UNKNOWN)

    def remove(self, run: RunFolder) -> None:
        """Take a run out; its folder stays."""
        run.queued_path.unlink(missing_ok=True)

    def move(self, run: RunFolder, *, by: int) -> None:
        """Move a waiting run up (negative) or down."""
        with self._locked():
            order = self.runs()
            if run not in order:
                return
            index = order.index(run)
            order.insert(max(0, min(len(order) - 1, index + by)), order.pop(index))
            for position, waiting in enumerate(order):
                self._place(waiting, position)

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

    def _is_busy(self) -> bool:
        """Tell whether a run is being worked on, or has ended and its process still holds the card's memory."""
        return any(processes(run) for run in list_runs(self.runs_dir))

    def tick(self) -> RunFolder | None:
        """Start the next run when none is running; called every second or so by every window.

        Returns:
            The run that was started, or could not be and says why.
        """
        if self.paused or not self.runs() or self._is_busy():
            return None
        with self._lock_path.open("a+b") as lock:
            waiting = self.runs() if take(lock) else []
            if not waiting or self._is_busy():
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
        """Record in the run itself why it did not start; it does not hold up the others."""
        writer = EventWriter(run.events_path)
        error = {"code": problem.code, "params": problem.params, "path": problem.path, "traceback": ""}
        writer.emit("end", status="failed", step=0, error=error)
        writer.close()
        if not run.process_path.exists():
            write_text(run.process_path, json.dumps({"started": 0}))
