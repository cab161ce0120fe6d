"""What goes on whether or not a page is open: the queue starts the next run, runs that do not stop are ended."""

from __future__ import annotations

import sys
import threading
import traceback

from backend.runs.layout import list_runs
from backend.runs.queue import Queue
from backend.runs.supervisor import end_overdue

TICK_SECONDS = 2.0


class Caretaker:
    """A thread of the GUI's process that looks after the runs of one folder, while it is entered (`with`)."""

    def __init__(self, queue: Queue, *, seconds: float = TICK_SECONDS) -> None:
        self.queue = queue
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caretaker", daemon=True)

    def __enter__(self) -> Caretaker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def tick(self) -> None:
        """Look once."""
        for run in list_runs(self.queue.runs_dir):
            end_overdue(run)
        self.queue.tick()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self.tick()
            except Exception:  # told, and tried again: a drive that comes back must not find the queue dead
                traceback.print_exc(file=sys.stderr)
