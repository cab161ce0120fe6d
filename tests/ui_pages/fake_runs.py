"""Run folders as a trainer would leave them, written through the real event writer."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from PIL import Image

from backend.config import presets
from backend.config.root import TrainConfig
from backend.runs.events import EventWriter
from backend.runs.layout import RunFolder, create_run


def config(name: str, **sections: dict) -> str:
    """Return the TOML of a valid configuration."""
    data = {"output": {"name": name}, **sections}
    return presets.to_toml(presets.plain(TrainConfig.model_validate(data)))


def make_run(
    runs_dir: Path,
    name: str,
    *,
    num_steps: int = 20,
    total: int = 100,
    end: str | None = None,
    error: dict | None = None,
    prompts: Sequence[str] = ("a cat", "a dog"),
    sample_every: int = 10,
    alive: bool = False,
    console: str = "first line\nlast line\n",
) -> RunFolder:
    """Make a run: alive (its process is this one), ended with an event, or crashed when neither."""
    run = create_run(runs_dir, name, config(name))
    writer = EventWriter(run.events_path)
    created = psutil.Process().create_time()
    pid = os.getpid() if alive else 2**22 + 1
    writer.emit("start", pid=pid, create_time=created, versions={}, device="cpu", resumed_from_step=None)
    for phase in ("loading", "caching", "training"):
        writer.emit("phase", phase=phase)
    for step in range(1, num_steps + 1):
        write_step(writer, step, total=total)
        if sample_every and step % sample_every == 0:
            for index, prompt in enumerate(prompts):
                write_sample(writer, run, step, index, prompt)
    if end:
        writer.emit("end", status=end, step=num_steps, error=error)
    writer.close()
    run.console_path.write_text(console, encoding="utf-8")
    record = {"pid": pid, "create_time": created, "started": time.time() - 60}
    run.process_path.write_text(json.dumps(record), encoding="utf-8")
    return run


def write_step(writer: EventWriter, step: int, *, total: int) -> None:
    """Emit one training step."""
    loss = 0.1 + math.exp(-step / 50) / 10
    writer.emit(
        "step",
        step=step,
        total=total,
        epoch=step // 10 + 1,
        loss=loss,
        loss_ema=loss,
        lrs={"denoiser": 1e-4},
        grad_norm=1.0,
        step_seconds=0.5,
        memory_bytes=2**30,
    )


def write_sample(writer: EventWriter, run: RunFolder, step: int, index: int, prompt: str) -> None:
    """Write one sample picture and its event."""
    path = run.samples_dir / f"step-{step:08d}-{index}.png"
    Image.new("RGB", (64, 64), (step % 256, 80, index * 90 % 256)).save(path)
    writer.emit("sample", step=step, prompt_index=index, prompt=prompt, path=f"samples/{path.name}", seed=42)
