"""Seconds from the start of the trainer's process to its first step: python tests/benchmarks/start_time.py

On a tiny model, so that what is measured is imports, checks and caching; under accelerate's launcher, as the GUI starts
it. Given a run folder (one that was prepared with the demo, say) it measures a copy of that.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "training")]

from runner import events, make_run, start, wait_for  # noqa: E402

from backend.runs.layout import RunFolder, create_run  # noqa: E402

TARGET_SECONDS = 20


def make(home: Path, source: Path | None) -> RunFolder:
    """Make a fresh run."""
    if source is not None:
        return create_run(home / "runs", "start", (source / "config.toml").read_text(encoding="utf-8"))
    import tiny

    model = home / "model"
    return make_run(home, model if model.exists() else tiny.build("sd15", model))


def measure(run: RunFolder) -> dict[str, float]:
    """Start the run; return the seconds to its first event, to the end of caching and to its first step."""
    began = time.time()
    process = start(run)
    try:
        wait_for(run, "step", process=process)
    finally:
        process.kill()
        process.wait()
    training = next(event for event in events(run, "phase") if event["phase"] == "training")
    return {
        "start": events(run, "start")[0]["t"] - began,
        "training": training["t"] - began,
        "first step": events(run, "step")[0]["t"] - began,
    }


def main() -> None:
    """Measure a few times: the first run fills the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?", help="a run folder whose config is started")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp())
    try:
        for _ in range(options.rounds):
            seconds = measure(make(home, options.run))
            print(", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()), f"(target {TARGET_SECONDS} s)")
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
