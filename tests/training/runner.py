"""Real runs of the trainer on tiny models: a folder of pictures, a configuration, a subprocess, its events."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from backend.config import presets
from backend.runs import supervisor
from backend.runs.events import EventReader
from backend.runs.layout import RunFolder, create_run

COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30), (120, 40, 160))
BASE: dict[str, Any] = {
    "data": {
        "width": 64,
        "height": 64,
        "min_bucket_resolution": 32,
        "max_bucket_resolution": 128,
        "bucket_step": 8,
    },
    "training": {"batch_size": 2, "num_epochs": 2},
    "optimizer": {"learning_rate": 1e-3},
    "sampling": {"num_inference_steps": 2, "at_start": False, "every_n_epochs": 0},
    "output": {"name": "tiny", "precision": "fp32", "save_every_n_epochs": 0, "checkpoint_every_n_steps": 2},
    "hardware": {"device": "cpu"},
}


def write_pictures(folder: Path, num_pictures: int = 5) -> Path:
    """Draw a few pictures of two shapes, with captions."""
    folder.mkdir(parents=True)
    for index in range(num_pictures):
        image = Image.new("RGB", (64 + 32 * (index % 2), 64), COLOURS[index % len(COLOURS)])
        image.paste((250, 250, 250), (8, 8, 24 + index, 30))
        image.save(folder / f"picture {index}.png")
        (folder / f"picture {index}.txt").write_text(f"a thing, number {index}, tag", encoding="utf-8")
    return folder


def make_run(tmp_path: Path, model: Path, *overlays: dict[str, Any], family: str = "sd15") -> RunFolder:
    """Make a run folder; pictures and cache are shared by the runs of one test."""
    pictures = tmp_path / "pictures"
    if not pictures.exists():
        write_pictures(pictures)
    data = presets.merge(
        BASE,
        {
            "model": {"family": family, "base_model": str(model)},
            "data": {"datasets": [{"path": str(pictures)}]},
            "cache": {"dir": str(tmp_path / "cache")},
        },
    )
    for overlay in overlays:
        data = presets.merge(data, overlay)
    return create_run(tmp_path / "runs", "tiny", presets.to_toml(data))


def start(
    run: RunFolder, *, resume: bool = False, num_processes: int = 1, wrapper: str = ""
) -> subprocess.Popen[bytes]:
    """Start the trainer; alone, or under accelerate when there are several processes."""
    command = [sys.executable, "-m", "backend.training", str(run.path)]
    if num_processes > 1:
        command = supervisor.command(run, num_processes=num_processes, device="cpu")
    if wrapper:
        command = [sys.executable, "-c", wrapper, str(run.path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(supervisor.PROJECT_DIR)}
    with run.console_path.open("ab") as console:
        return subprocess.Popen(
            [*command, *(["--resume"] if resume else [])],
            cwd=supervisor.PROJECT_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )


def train(
    run: RunFolder, *, resume: bool = False, num_processes: int = 1, wrapper: str = "", code: int = 0
) -> RunFolder:
    """Train to the end and check the exit code."""
    process = start(run, resume=resume, num_processes=num_processes, wrapper=wrapper)
    assert process.wait(300) == code, run.console_path.read_text(encoding="utf-8", errors="replace")[-3000:]
    return run


def events(run: RunFolder, kind: str = "") -> list[dict[str, Any]]:
    """Return the events of a run, or those of one kind."""
    return [event for event in EventReader(run.events_path).read() if not kind or event["kind"] == kind]


def wait_for(run: RunFolder, kind: str, *, count: int = 1, process: subprocess.Popen[bytes]) -> None:
    """Wait until there are so many events of a kind."""
    deadline = time.monotonic() + 300
    while len(events(run, kind)) < count:
        assert process.poll() is None, run.console_path.read_text(encoding="utf-8", errors="replace")[-3000:]
        assert time.monotonic() < deadline, f"no {kind}"
        time.sleep(0.01)


# Killed in the middle of a step, however fast the machine is: whoever watches from outside may be too late.
KILLED = """
import os, runpy, signal, sys
from backend.runs import events
emit = events.EventWriter.emit
def killed(self, kind, **fields):
    emit(self, kind, **fields)
    if kind == "step" and fields["step"] == {num_steps}:
        os.kill(os.getpid(), signal.SIGKILL)
events.EventWriter.emit = killed
runpy.run_module("backend.training", run_name="__main__", alter_sys=True)
"""


def kill_after(run: RunFolder, *, num_steps: int) -> None:
    """Start the trainer and kill it as the system would, after some steps."""
    process = start(run, wrapper=KILLED.replace("{num_steps}", str(num_steps)))
    process.wait(300)
    assert process.returncode == -signal.SIGKILL
