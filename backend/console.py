"""Follow a run on the console: phases, progress, files, and at the end what became of it."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import TextIO

from backend.config.messages import translate
from backend.config.problems import Problem, render
from backend.runs import control, supervisor
from backend.runs.diagnosis import diagnose
from backend.runs.events import Event, EventReader
from backend.runs.layout import RunFolder
from backend.runs.processes import processes
from backend.runs.view import COUNTED_PHASES, RunView, fold
from backend.runs.works import work_of_run

POLL_SECONDS = 0.3
# How often a line of progress is written where lines cannot be written over: to a file or a pipe.
LINE_SECONDS = 10.0
WIDTH = 100


def clock(seconds: float) -> str:
    """Return a length of time as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


class Console:
    """Turns events into lines; the progress line is written over on a terminal."""

    def __init__(self, language: str, stream: TextIO) -> None:
        self.language = language
        self.stream = stream
        self.view = RunView()
        self._is_terminal = stream.isatty()
        self._line_at = 0.0
        self._open_line = False

    def say(self, text: str) -> None:
        """Write a line that stays."""
        if self._open_line:
            self.stream.write("\r" + " " * WIDTH + "\r")
            self._open_line = False
        self.stream.write(text + "\n")
        self.stream.flush()

    def text(self, key: str, **params: object) -> str:
        """Return one of our texts."""
        return translate(f"cli.{key}", self.language, **params)

    def show(self, events: list[Event]) -> None:
        """Write what is worth a line, then the progress."""
        for event in events:
            before = self.view.phase
            fold(self.view, [event])
            if line := self._line(event, before):
                self.say(line)
        if events:
            self._progress()

    def _line(self, event: Event, phase_before: str) -> str:
        match event["kind"]:
            case "phase" if event["phase"] != phase_before and event["phase"] != "training":
                return self.text(f"phase.{event['phase']}")
            case "warning":
                problem = Problem("warning", event["code"], str(event.get("path") or ""), event.get("params") or {})
                return f"{self.text('warning')} {render(problem, self.language)}"
            case "model" | "checkpoint":
                return self.text(event["kind"], path=event["path"], step=event["step"])
        return ""

    def _progress(self) -> None:
        text = self._progress_text()
        if not text:
            return
        if self._is_terminal:
            self.stream.write("\r" + text[:WIDTH].ljust(WIDTH))
            self._open_line = True
        elif time.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = time.monotonic()
            self.stream.write(text + "\n")
        self.stream.flush()

    def _progress_text(self) -> str:
        view = self.view
        eta = view.eta_seconds
        left = "-" if eta is None else clock(eta)
        if view.phase == "training" and view.total:
            loss = view.loss_ema if view.loss_ema is not None else view.loss
            shown = "-" if loss is None else f"{loss:.4f}"
            speed = view.step_seconds or 0.0
            return self.text("step", step=view.step, total=view.total, loss=shown, seconds=f"{speed:.2f}", left=left)
        if view.phase == "tagging" and eta is not None and view.step_seconds:
            rate = f"{1 / view.step_seconds:.1f}"
            return self.text("tagging.progress", done=view.done, total=view.phase_total, speed=rate, left=left)
        if view.phase_total:
            # The time that a few samples take is not estimated.
            known = view.phase in ("caching", *COUNTED_PHASES) and eta is not None
            return self.text("progress" if known else "count", done=view.done, total=view.phase_total, left=left)
        return ""


def follow(run: RunFolder, language: str, *, offset: int = 0, stream: TextIO | None = None) -> bool:
    """Show a run until it ends; Ctrl+C asks it to stop and save, a second one leaves it alone.

    Args:
        run: The run, launched.
        language: The language of the lines.
        offset: Where in the events to begin: after those of an earlier process of the run.
        stream: Where to write; standard output.

    Returns:
        Whether it finished, or stopped because it was asked to.
    """
    console = Console(language, stream or sys.stdout)
    reader = EventReader(run.events_path, offset)
    asked = False
    while True:
        try:
            # Not its status: the end of an earlier process of the run may be seconds old.
            alive = bool(processes(run))
            console.show(reader.read())
            if not alive:
                return _end(run, console)
            supervisor.end_overdue(run)
            time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            if asked:
                console.say(console.text("left_alone"))
                raise
            asked = True
            console.say(console.text("stopping"))
            control.ask(run.control_dir, "stop")


def _end(run: RunFolder, console: Console) -> bool:
    status = supervisor.status(run)
    view = console.view
    if work_of_run(run).is_distributed:
        console.say(console.text(f"end.{status}", step=view.step, path=run.path))
    else:
        told = {"written": view.done, "skipped": 0, "failed": 0} | view.tagged
        console.say(console.text(f"tagging.end.{status}", path=run.path, **told))
    diagnosis = diagnose(run, console.view)
    if diagnosis is None:
        return True
    lines = [diagnosis.text(part, console.language) for part in ("what", "why", "do")]
    if diagnosis.problem is not None:
        lines = [render(diagnosis.problem, console.language)]
    lines += [f"  --set {remedy.path}={remedy.value}" for remedy in diagnosis.remedies]
    lines += [f"  | {line}" for line in diagnosis.evidence]
    for line in lines:
        console.say(line)
    return False
