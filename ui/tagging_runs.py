"""Tagging runs as the pages that start them show them: how far one is, what came of it, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.config import paths
from backend.config.messages import has, translate
from backend.config.problems import UserError
from backend.runs import supervisor
from backend.runs.diagnosis import diagnose
from backend.runs.layout import RunFolder
from backend.runs.queue import Queue
from backend.runs.view import RunView, Status
from taggers import files, models
from taggers.config import TABLE, TaggingConfig
from taggers.launching import new_run
from ui import run_actions, run_detail, wording
from ui.watch import RunWatch, is_live

Data = dict[str, Any]
# Only the newest runs are looked at: older ones have ended long ago.
NUM_RUNS = 40
NUM_WARNINGS = 5
FAILED = ("failed", "crashed")
# Kinds of models that write no captions.
LOOKERS = ("scorer", "embedding", "background")


def table_of(watch: RunWatch, run: RunFolder) -> Data:
    """Return what a run was asked to do; empty for runs that do not tag."""
    table = watch.facts(run).data.get(TABLE)
    return table if isinstance(table, dict) else {}


def newest(watch: RunWatch, folders: Sequence[Path], *, writes_captions: bool = False) -> RunFolder | None:
    """Return the newest run on pictures of these folders, or the newest that writes captions; previews are none."""
    for run in watch.runs()[:NUM_RUNS]:
        table = table_of(watch, run)
        is_meant = table and not table.get("dry_run") and not (writes_captions and kind_of(table) in LOOKERS)
        if is_meant and _meets(table.get("folders", []), folders):
            return run
    return None


def kind_of(table: Data) -> str:
    """Return what a run's model is for; empty where that is not known."""
    name = str(table.get("model") or models.DEFAULT)
    found = models.find(name)
    return found.kind if found else _own_kind(paths.resolve(name))


def _own_kind(path: Path) -> str:
    """Return what a model of the user's own is for: one that only takes backgrounds away has no list of tags."""
    if not path.exists():
        return ""
    try:
        return files.at(path).model.kind
    except UserError as error:
        return "background" if error.problem.code == "tagger_incomplete" and path.suffix == ".onnx" else ""


def _meets(theirs: Sequence[str], ours: Sequence[Path]) -> bool:
    """Tell whether folders are the same, or one is in another."""
    places = [Path(folder).resolve() for folder in theirs]
    mine = [folder.resolve() for folder in ours]
    return any(a.is_relative_to(b) or b.is_relative_to(a) for a in places for b in mine)


def is_going_on(status: Status) -> bool:
    """Tell whether something is still to come of a run."""
    return is_live(status) or status == "waiting"


def start(watch: RunWatch, queue: Queue, config: TaggingConfig) -> RunFolder:
    """Make a run, and start it when nothing else runs.

    Raises:
        UserError: A folder is gone, or the run cannot be made.
    """
    run = new_run(config, queue.runs_dir)
    queue.add(run)
    queue.tick()
    watch.forget(run.id)
    return run


def stop(watch: RunWatch, queue: Queue, run: RunFolder) -> None:
    """Ask a run to end, or take it out of the queue.

    Raises:
        UserError: It has ended already, or its folder cannot be moved.
    """
    if supervisor.status(run) == "waiting":
        run_actions.trash(watch, queue, run)
    else:
        supervisor.request(run, "stop")


def told(watch: RunWatch, queue: Queue, run: RunFolder, language: str) -> Data:
    """Return a run as a page shows it.

    Returns:
        `run`, `name`, `status`, `is_going_on`; `title`: what it does; `text`: how far it is or what came of it;
        `percent`, None while nobody knows; `problem`: why it failed; `warnings`: what could not be described; `kind` of
        its model; `written`.
    """
    view, table = watch.open(run), table_of(watch, run)
    kind = kind_of(table)
    return {
        "run": run.id,
        "name": watch.facts(run).name,
        "status": view.status,
        "is_going_on": is_going_on(view.status),
        "title": translate(_key("taggingrun.title", kind), language),
        "text": _text(view, queue, kind, language),
        "percent": _percent(view),
        "problem": _problem(run, view, language) if view.status in FAILED else "",
        "warnings": [run_detail.warning_text(event, language) for event in view.warnings[:NUM_WARNINGS]],
        "num_warnings": view.num_warnings,
        "kind": kind,
        "written": view.tagged.get("written", 0),
    }


def _problem(run: RunFolder, view: RunView, language: str) -> str:
    """Return why a run failed, and what to do."""
    found = diagnose(run, view)
    if found is None:
        return ""
    if found.problem is not None:
        return found.problem.text(language)
    keys = [f"diagnosis.{found.code}.{part}" for part in ("what", "do")]
    return " ".join(translate(key, language, **found.params) for key in keys if has(key))


def _percent(view: RunView) -> int | None:
    if view.status == "finished":
        return 100
    return round(100 * min(view.done / view.phase_total, 1)) if view.phase_total else None


def _text(view: RunView, queue: Queue, kind: str, language: str) -> str:
    if view.status == "waiting":
        return translate("taggingrun.paused" if queue.paused else "taggingrun.waiting", language)
    if view.status == "stopping":
        return translate("taggingrun.stopping", language)
    if is_live(view.status):
        return _progress(view, language)
    return _outcome(view, kind, language)


def _progress(view: RunView, language: str) -> str:
    """Return the phase, with numbers, speed and the time that is left as far as they are known."""
    if view.phase not in ("downloading", "tagging") or not view.phase_total:
        return translate("taggingrun.loading", language)
    done, total = f"{view.done:,}", f"{view.phase_total:,}"
    if view.phase == "downloading":
        parts = [translate("taggingrun.downloading", language, done=done, total=total)]
    else:
        parts = [translate("taggingrun.tagging", language, done=done, total=total)]
        parts += [run_detail.speed(view.step_seconds, language, "pictures")] if view.step_seconds else []
    if view.eta_seconds is not None and view.done < view.phase_total:
        parts.append(translate("look.left", language, time=wording.duration(view.eta_seconds, language)))
    return " · ".join(parts)


def _outcome(view: RunView, kind: str, language: str) -> str:
    """Return what came of a run that has ended."""
    if view.status in FAILED:
        return translate(_key("taggingrun.failed", kind), language)
    writes = "masks" if kind == "background" else "looked" if kind in LOOKERS else "written"
    numbers = {writes: view.tagged.get("written", 0)}
    numbers |= {name: view.tagged[name] for name in ("skipped", "failed") if view.tagged.get(name)}
    parts = [translate(f"taggingrun.num.{name}", language, num=f"{num:,}") for name, num in numbers.items()]
    counts = translate("taggingrun.comma", language).join(parts)
    ended = "stopped" if view.status == "stopped" else "finished"
    return translate(_key(f"taggingrun.{ended}", kind), language, counts=counts)


def _key(key: str, kind: str) -> str:
    """Return the key of a text as it is for runs of a kind: not all of them tag."""
    return f"{key}.{kind if kind == 'background' else 'looking'}" if kind in LOOKERS else key
