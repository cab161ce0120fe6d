"""What the buttons of a run do. Each raises `UserError` when it cannot be done, and the page says so."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.config import presets, root
from backend.config.messages import has, translate
from backend.config.problems import ConfigError, UserError, render
from backend.launching import new_run
from backend.runs import supervisor
from backend.runs.diagnosis import Diagnosis, diagnose
from backend.runs.layout import TRASH, RunFolder
from backend.runs.queue import Queue, start_run
from backend.runs.view import RunView
from ui.run_detail import flat, title, value_text
from ui.watch import Facts, RunWatch, require

if TYPE_CHECKING:
    from ui.context import AppContext


def resume(watch: RunWatch, run: RunFolder) -> None:
    """Go on from the newest checkpoint.

    Raises:
        UserError: Another run has the machine, or this one cannot be started.
    """
    others = supervisor.reattach(watch.runs_dir)
    if others:
        raise UserError("run_other_running", value=watch.facts(others[0]).name)
    start_run(run, resume=True)
    watch.forget(run.id)


def start(watch: RunWatch, queue: Queue, run: RunFolder) -> None:
    """Start a run that waits; when another has the machine, it takes its turn in the queue."""
    if supervisor.reattach(watch.runs_dir):
        queue.add(run)
    else:
        start_run(run)
    watch.forget(run.id)


def trash(watch: RunWatch, queue: Queue, run: RunFolder) -> str:
    """Move a run to the trash; return the name of its folder there, for the undo."""
    queue.remove(run)
    target = supervisor.delete(run)
    watch.forget(run.id)
    return target.name


def untrash(watch: RunWatch, trashed: str) -> None:
    """Bring a run back from the trash."""
    path = watch.runs_dir / TRASH / Path(trashed).name
    watch.forget(supervisor.restore(watch.runs_dir, path).id)


def open_folder(path: Path) -> None:
    """Show a folder in the system's file manager.

    Raises:
        UserError: There is no file manager.
    """
    if sys.platform == "win32":
        os.startfile(path)
        return
    program = "open" if sys.platform == "darwin" else "xdg-open"
    try:
        subprocess.Popen(
            [program, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise UserError("no_file_manager", value=str(path)) from error


def explain(run: RunFolder, view: RunView, facts: Facts, language: str) -> dict[str, Any] | None:
    """Return the diagnosis of a run in words, for the page; None for a run that did not fail."""
    found = diagnose(run, view)
    if found is None:
        return None
    if found.problem is not None:
        words = {"what": render(found.problem, language), "why": "", "do": ""}
    else:
        words = {part: found.text(part, language) for part in ("what", "why", "do")}
        words = {part: text if has(f"diagnosis.{found.code}.{part}") else "" for part, text in words.items()}
    before = flat(facts.data)
    changes = [
        {
            "title": title(remedy.path, language),
            "before": value_text(before.get(remedy.path, root.by_path()[remedy.path].default), language),
            "after": value_text(remedy.value, language),
        }
        for remedy in found.remedies
    ]
    return {**words, "changes": changes, "lines": list(found.evidence)}


def remedied(facts: Facts, found: Diagnosis) -> dict[str, Any]:
    """Return the configuration of a run with the changes that its diagnosis proposes."""
    overlay: dict[str, Any] = {}
    for remedy in found.remedies:
        section, name = remedy.path.split(".", 1)
        overlay.setdefault(section, {})[name] = remedy.value
    return presets.merge(facts.data, overlay)


def settings_of(facts: Facts) -> dict[str, Any]:
    """Return what a run was asked to do, without what is the default anyway.

    Raises:
        ConfigError: Its configuration is not one of this version's.
    """
    config, problems = root.parse(facts.data)
    if config is None:
        raise ConfigError(problems)
    return presets.diff(config)


def launch_config(queue: Queue, data: Mapping[str, Any], *, start: bool = True) -> RunFolder:
    """Make a run of a configuration and put it in the queue; `start` lets the queue start it when nothing else runs.

    Raises:
        ConfigError: The configuration is refused.
        UserError: The folder cannot be written, or the run cannot be started.
    """
    config, problems = root.parse(data)
    if config is None:
        raise ConfigError(problems)
    run = new_run(config, queue.runs_dir)
    queue.add(run)
    if start:
        queue.tick()
    return run


def start_draft(context: AppContext, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a run of the draft, unless something speaks against it, and say what came of it.

    Args:
        context: The page's.
        request: `queue`: the run waits its turn; `confirmed`: the user has read the warnings.

    Returns:
        `run` (its id), or `warnings` to be confirmed, or a `message` with `failed`.
    """
    data, language = context.draft.data, context.language
    problems = context.finder.review(data)
    if problems is None:
        return {"message": translate("start.looking", language), "failed": True}
    if any(problem.level == "error" for problem in problems):
        return {"message": translate("expert.blocked", language), "failed": True, "blocked": True}
    warnings = [problem.text(language) for problem in problems if problem.level == "warning"]
    if warnings and not request.get("confirmed"):
        return {"warnings": warnings}
    try:
        return {"run": launch_config(context.queue, data, start=not request.get("queue")).id}
    except ConfigError as error:
        return {"message": str(error), "failed": True}
    except UserError as error:
        return {"message": error.problem.text(language), "failed": True}


def start_remedied(watch: RunWatch, queue: Queue, run_id: str) -> RunFolder:
    """Start a new run like a failed one, with the changes that its diagnosis proposes."""
    run = require(watch, run_id)
    found = diagnose(run, watch.open(run))
    if found is None:
        raise UserError("run_not_failed", value=run.name)
    return launch_config(queue, remedied(watch.facts(run), found))
