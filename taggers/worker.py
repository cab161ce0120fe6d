"""python -m taggers.worker RUN [--resume]: a run folder in, an exit code out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from backend.config.presets import write_text
from backend.config.problems import UserError
from backend.runs.control import Control
from backend.runs.failures import describe
from backend.runs.layout import RunFolder
from taggers.kinds import get
from taggers.kinds import load as load_tagger
from taggers.launching import action_name, config_of
from taggers.tagging import Listener, Task, preview_row, tag
from taggers.teller import Teller

MEGABYTE = 1_000_000


def main(arguments: list[str]) -> int:
    """Work on a tagging run; returns 0 when finished or stopped, 1 when failed."""
    parser = argparse.ArgumentParser(prog="python -m taggers.worker", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args(arguments)
    run = RunFolder(options.run.resolve())
    teller = Teller(run)
    try:
        status = work(run, teller, resume=options.resume)
    except BaseException as error:  # the last chance to say why: whatever it is, it is told and passed on
        teller.end("failed", error=json.loads(json.dumps(describe(error), default=str)))
        if not isinstance(error, UserError):
            raise
        print(error, file=sys.stderr)
        return 1
    teller.end(status)
    return 0


def work(run: RunFolder, teller: Teller, *, resume: bool) -> str:
    """Load the model and tag; returns how it ended.

    Raises:
        UserError: What is wrong with the configuration, the model or the folders.
    """
    config, control = config_of(run), Control(run.control_dir)
    teller.start()
    task = Task(config, action_name(run), is_resumed=resume)

    def downloading(_file: str, done: int, total: int) -> None:
        teller.phase("downloading")
        teller.progress(done // MEGABYTE, max(total, done) // MEGABYTE, "megabytes")

    files = get(config.model, downloading)
    teller.phase("loading")
    tagger = load_tagger(files, config)
    task.kind = files.model.kind
    print(f"{files.path} ({tagger.device})", flush=True)
    teller.phase("tagging")
    shown: list[dict[str, str]] = []
    listener = Listener(
        progress=lambda done, total: teller.progress(done, total, "pictures"),
        warn=teller.warn,
        stopping=control.stopping,
        found=lambda written: shown.append(preview_row(written)) if config.dry_run else None,
    )
    tag(task, tagger, listener)
    if config.dry_run:
        write_text(run.path / "preview.json", json.dumps(shown, ensure_ascii=False, indent=1))
    counts = task.counts
    teller.tagged(written=counts.written, skipped=counts.skipped, failed=counts.failed, device=tagger.device)
    if counts.failed and not counts.written and not control.stopping():
        raise UserError("tagging_all_failed", num=counts.failed)
    return "stopped" if control.stopping() else "finished"


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    raise SystemExit(code)
