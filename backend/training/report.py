"""What the trainer tells: events for whoever watches, TensorBoard, a heartbeat. Only the main process speaks."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import psutil

from backend.config.problems import Problem
from backend.runs.events import EventWriter, Heartbeat
from backend.runs.layout import RunFolder
from backend.runs.supervisor import versions

# Progress of a long phase is told at most so often.
PROGRESS_SECONDS = 0.5


class Reporter:
    """Writes the events of one process's run; silent in processes that are not the main one."""

    def __init__(self, run: RunFolder, *, is_main: bool) -> None:
        self.run = run
        self.is_main = is_main
        self.step_now = 0
        self._phase = ""
        self._told_at = 0.0
        self._board: Any = None
        self._writer = EventWriter(run.events_path) if is_main else None
        self._heartbeat = Heartbeat(self._writer) if self._writer else None

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event."""
        if self._writer is not None:
            self._writer.emit(kind, **fields)

    def start(self, *, device: str, resumed_from_step: int | None) -> None:
        """Say that we are here, and begin the heartbeat."""
        self.step_now = resumed_from_step or 0
        if self._heartbeat is None:
            return
        process = psutil.Process(os.getpid())
        self.emit(
            "start",
            pid=process.pid,
            create_time=process.create_time(),
            versions=versions(),
            device=device,
            resumed_from_step=resumed_from_step,
        )
        self._heartbeat.start()

    def phase(self, name: str) -> None:
        """Say that another phase begins."""
        if name != self._phase:
            self._phase, self._told_at = name, 0.0
            self.emit("phase", phase=name)
            self.moved(phase=name, done=0, total=0)

    def moved(self, **state: Any) -> None:
        """Tell the heartbeat that something moved."""
        self.step_now = state.get("step", self.step_now)
        if self._heartbeat is not None:
            self._heartbeat.moved(**state)

    def progress(self, done: int, total: int, unit: str) -> None:
        """Tell how far the phase is, twice a second at most, and at its end."""
        self.moved(done=done, total=total)
        now = time.monotonic()
        if done == total or now - self._told_at >= PROGRESS_SECONDS:
            self._told_at = now
            self.emit("progress", phase=self._phase, done=done, total=total, unit=unit)

    def warn(self, problem: Problem) -> None:
        """Tell of something that was left out or looks wrong."""
        self.emit("warning", code=problem.code, params=problem.params, path=problem.path)

    def step(self, *, step: int, total: int, **fields: Any) -> None:
        """Tell of a training step, to the events and to TensorBoard."""
        self.moved(phase="training", step=step, done=step, total=total)
        self.emit("step", step=step, total=total, **fields)
        board = self._tensorboard(step)
        if board is None:
            return
        for name in ("loss", "loss_ema", "grad_norm", "step_seconds"):
            if fields.get(name) is not None:
                board.add_scalar(f"train/{name}", fields[name], step)
        for component, rate in fields["lrs"].items():
            board.add_scalar(f"learning_rate/{component}", rate, step)

    def validation(self, *, step: int, loss: float, **fields: Any) -> None:
        """Tell of a measurement on the validation pictures, to the events and to TensorBoard."""
        self.emit("validation", step=step, loss=loss, **fields)
        board = self._tensorboard(step)
        if board is not None:
            board.add_scalar("validation/loss", loss, step)
            for title, mean in fields.get("datasets", {}).items():
                board.add_scalar(f"validation/{title}", mean, step)

    def image(self, step: int, index: int, path: Path) -> None:
        """Give a sample to TensorBoard."""
        board = self._tensorboard(step)
        if board is not None:
            import numpy as np
            from PIL import Image

            with Image.open(path) as image:
                board.add_image(f"samples/{index}", np.asarray(image), step, dataformats="HWC")

    def _tensorboard(self, step: int) -> Any:
        if self.is_main and self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.run.logs_dir), purge_step=step, flush_secs=10)
        return self._board

    def end(self, status: str, *, step: int, error: dict[str, Any] | None = None) -> None:
        """Say how it ended; nothing is told after this."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._board is not None:
            self._board.close()
        if error is not None:
            error = json.loads(json.dumps(error, default=str))
        self.emit("end", status=status, step=step, error=error)
        if self._writer is not None:
            self._writer.close()
