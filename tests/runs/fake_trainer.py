"""A trainer that behaves as the name of its run says: `python -m fake_trainer RUN [--resume]`; see `BEHAVIOURS`.

It speaks through the real event writer and listens to the real control folder, and needs no torch.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil

from backend.runs.control import Control
from backend.runs.events import EventWriter
from backend.runs.layout import RunFolder

STEP_SECONDS = 0.02
# A file in the run's folder: as long as it is there, the trainer says nothing.
HELD = "held"


def finish(events: EventWriter, control: Control) -> None:
    """Train five steps."""
    train(events, control, num_steps=5)


def long(events: EventWriter, control: Control) -> None:
    """Train until it is asked to stop."""
    train(events, control, num_steps=100_000)


def deaf(events: EventWriter, control: Control) -> None:
    """Ignore every request, and the polite signal too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    events.emit("phase", phase="caching")
    time.sleep(300)


def lingers(events: EventWriter, control: Control) -> None:
    """Say that it is over, and hang at exit."""
    events.emit("end", status="finished", step=1, error=None)
    events.close()
    time.sleep(300)


def killed(events: EventWriter, control: Control) -> None:
    """Die as the system ends what takes too much memory."""
    events.emit("phase", phase="training")
    os.kill(os.getpid(), signal.SIGKILL)


def segfault(events: EventWriter, control: Control) -> None:
    """Crash in compiled code."""
    events.emit("phase", phase="training")
    os.kill(os.getpid(), signal.SIGSEGV)


def out_of_memory(events: EventWriter, control: Control) -> None:
    """Fail as a trainer without a word of its own."""
    raise MemoryError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1099511627776 bytes.")


def disk_full(events: EventWriter, control: Control) -> None:
    """Really fill a device."""
    with Path("/dev/full").open("wb") as file:
        file.write(b"x" * 2**20)


BEHAVIOURS = {each.__name__: each for each in (finish, long, deaf, lingers, killed, segfault, out_of_memory, disk_full)}


def train(events: EventWriter, control: Control, *, num_steps: int) -> None:
    """Say a step every now and then, and do as asked."""
    events.emit("phase", phase="training")
    for step in range(1, num_steps + 1):
        asked = control.poll()
        if "save" in asked:
            events.emit("checkpoint", step=step, path="checkpoints/step")
        if "stop" in asked:
            events.emit("end", status="stopped", step=step, error=None)
            return
        events.emit("step", step=step, total=num_steps, loss=1.0, loss_ema=1.0, lrs={}, step_seconds=STEP_SECONDS)
        time.sleep(STEP_SECONDS)
    events.emit("end", status="finished", step=num_steps, error=None)


def main() -> None:
    """Announce ourselves and behave."""
    run = RunFolder(Path(sys.argv[1]))
    events, control = EventWriter(run.events_path), Control(run.control_dir)
    print("fake trainer", sys.argv[2:], flush=True)
    resumed = 3 if "--resume" in sys.argv else None
    while (run.path / HELD).exists():
        time.sleep(STEP_SECONDS)
    created = psutil.Process().create_time()
    events.emit("start", pid=os.getpid(), create_time=created, versions={}, device="cpu", resumed_from_step=resumed)
    BEHAVIOURS[run.name.split("-")[0]](events, control)


if __name__ == "__main__":
    main()
