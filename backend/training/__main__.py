"""python -m backend.training RUN [--resume]: a run folder in, an exit code out. Started by accelerate's launcher."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from backend.config.presets import read
from backend.config.problems import UserError
from backend.runs.failures import describe
from backend.runs.layout import RunFolder


def main(arguments: list[str]) -> int:
    """Train a run; returns 0 when finished or stopped, 1 when failed."""
    parser = argparse.ArgumentParser(prog="python -m backend.training", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)
    run = RunFolder(options.run.resolve())
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from backend.training.distributed import make_state
    from backend.training.report import Reporter

    state = make_state(str(read(run.config_path).get("hardware", {}).get("device", "auto")))
    reporter = Reporter(run, is_main=state.is_main_process)
    try:
        status, step = train_run(run, state, reporter, resume=options.resume)
    except BaseException as error:  # the last chance to say why: whatever it is, it is told and passed on
        reporter.end("failed", step=reporter.step_now, error=describe(error))
        if not isinstance(error, UserError):
            raise
        print(error, file=sys.stderr)
        return 1
    reporter.end(status, step=step)
    return 0


def train_run(run: RunFolder, state: Any, reporter: Any, *, resume: bool) -> tuple[str, int]:
    """Open the session and train; returns the status and the last step."""
    from backend.training.caching import Stopped
    from backend.training.loop import train
    from backend.training.session import open_session

    try:
        session = open_session(run, state, reporter, resume=resume)
    except Stopped:
        return "stopped", reporter.step_now
    return train(session), session.loop.step


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    raise SystemExit(code)
