"""How fast batches come from the cache: python tests/benchmarks/loader_speed.py

Opens the demo, trains some steps of it, and then goes through ten epochs of its batches with two threads without
training: the speed beside that of the training, and the memory after each epoch, with many pictures.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import psutil  # noqa: E402

from backend import demo  # noqa: E402
from backend.config import presets  # noqa: E402
from backend.config.root import load  # noqa: E402
from backend.runs.layout import create_run  # noqa: E402
from backend.training import loop  # noqa: E402
from backend.training.distributed import make_state  # noqa: E402
from backend.training.report import Reporter  # noqa: E402
from backend.training.session import Session, open_session  # noqa: E402
from backend.training.step import train_step  # noqa: E402

TARGET = 20.0
MEBIBYTE = 1024**2


def open_demo(home: Path, *, num_copies: int, num_epochs: int) -> Session:
    """Open the demo with each of its pictures under several names, so that there is something to go through."""
    config = load(demo.PRESET)
    folder = home / "pictures"
    folder.mkdir()
    for dataset in config.data.datasets:
        for path in sorted((ROOT / dataset.path).iterdir()):
            for number in range(num_copies if path.is_file() else 0):
                shutil.copy(path, folder / f"{number:03d} {path.name}")
    data = presets.plain(config)
    data["data"]["datasets"] = [{**data["data"]["datasets"][0], "path": str(folder), "num_repeats": 1}]
    data["data"]["num_workers"] = 2
    data["training"] |= {"num_epochs": num_epochs, "max_steps": 0}
    data["cache"]["dir"] = str(home / "cache")
    data["sampling"]["at_start"] = False
    run = create_run(home / "runs", "demo", presets.to_toml(data))
    return open_session(run, make_state("auto"), Reporter(run, is_main=True), resume=False)


def training_speed(session: Session, num_steps: int) -> float:
    """Return the demo's optimizer steps in a second, after two to warm up."""
    seconds = []
    for number, group in enumerate(loop.groups(session)):
        started = time.perf_counter()
        train_step(session, group)
        if number >= 2:
            seconds.append(time.perf_counter() - started)
        if number == num_steps + 1:
            break
    return 1 / statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=40)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        session = open_demo(Path(name), num_copies=options.copies, num_epochs=options.epochs)
        accumulated = session.config.training.gradient_accumulation_steps
        training = training_speed(session, options.steps) * accumulated
        memory, speeds = [], []
        for epoch in range(options.epochs):
            started = time.perf_counter()
            number = sum(1 for _ in session.stream.batches(epoch))
            speeds.append(number / (time.perf_counter() - started))
            gc.collect()
            memory.append(psutil.Process().memory_info().rss / MEBIBYTE)
    ratio = statistics.median(speeds) / training
    print(f"{training:.1f} batches/s trained, {statistics.median(speeds):.0f} batches/s read, {number} in an epoch")
    print(f"memory after each epoch in MiB: {' '.join(f'{each:.0f}' for each in memory)}")
    print(f"ratio {ratio:.0f}, wanted at least {TARGET:.0f}: {'met' if ratio >= TARGET else 'NOT MET'}")


if __name__ == "__main__":
    main()
