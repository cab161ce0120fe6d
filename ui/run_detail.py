"""One run in full: phases, numbers, actions, diagnosis, files, log and configuration, as HTML."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from backend.config.messages import has, translate
from backend.config.problems import Problem
from backend.config.problems import render as render_problem
from backend.config.root import by_path
from backend.runs.layout import RunFolder
from backend.runs.view import RunView
from backend.runs.works import TRAINING, Work
from ui import log, wording
from ui.markup import render
from ui.run_cards import picture_base
from ui.samples import Cell, wall
from ui.watch import Facts, created, is_live


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the phase bar; `state` is done, current or future."""

    name: str
    state: str
    done: int
    total: int
    percent: int


@dataclass(frozen=True, slots=True)
class Action:
    """A button of a run."""

    name: str
    main: bool = False
    confirm: bool = False
    goto: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One parameter with two values, as texts."""

    path: str
    title: str
    here: str
    there: str


def phases(view: RunView, work: Work = TRAINING) -> list[Phase]:
    """Return the phase bar. Training goes on while samples are painted and weights saved, so its count stays."""
    current = view.phase if is_live(view.status) else ""
    reached = work.phases.index(current) if current in work.phases else -1
    main = work.phases.index(work.main_phase)
    made = []
    for index, name in enumerate(work.phases):
        done, total = (view.step, view.total) if name == work.main_phase else (0, 0)
        if name == current and name != work.main_phase:
            done, total = view.done, view.phase_total
        finished = view.status == "finished" or (index < min(reached, main)) or (view.step > 0 and index < main)
        state = "current" if name == current else "done" if finished else "future"
        percent = round(100 * min(done / total, 1)) if total else (100 if state == "done" else 0)
        made.append(Phase(name, state, done, total, percent))
    return made


def _of(done: int, total: int, language: str) -> str:
    return translate("runs.of", language, done=done, total=total) if total else str(done)


def _learned(view: RunView, num_epochs: int, language: str) -> dict[str, str]:
    """Return what only trainings have: epoch, loss, learning rate."""
    return {
        "step": _of(view.step, view.total, language),
        "epoch": _of(min(view.epoch + 1, num_epochs), num_epochs, language) if view.step else "-",
        "loss": wording.number(view.loss_ema),
        "learning_rate": ", ".join(wording.number(rate) for rate in dict.fromkeys(view.lrs.values())) or "-",
    }


def numbers(view: RunView, num_epochs: int, language: str, work: Work = TRAINING) -> list[dict[str, str]]:
    """Return the facts under the phase bar: step, epoch, loss, speed, time, memory."""
    if work.is_training:
        shown = _learned(view, num_epochs, language)
    else:
        shown = {work.counted_in: _of(view.step, view.total, language)}
        shown |= {name: str(number) for name, number in view.tagged.items()}
    shown["speed"] = speed(view.step_seconds, language, work.counted_in)
    if is_live(view.status):
        shown["eta"] = wording.duration(view.eta_seconds, language)
    end = view.ended_at or (time.time() if is_live(view.status) else view.last_event_at)
    shown["elapsed"] = wording.duration(end - view.started_at if view.started_at and end else None, language)
    if work.is_training:
        shown["memory"] = wording.num_bytes(view.memory_bytes or None)
    return [{"name": name, "text": text} for name, text in shown.items()]


def speed(step_seconds: float | None, language: str, counted_in: str = "steps") -> str:
    """Return a speed the way round that gives a number above one."""
    if not step_seconds:
        return "-"
    if step_seconds >= 1:
        return translate(f"runs.speed.{counted_in}.slow", language, seconds=f"{step_seconds:.2f}")
    return translate(f"runs.speed.{counted_in}.fast", language, num=f"{1 / step_seconds:.1f}")


def actions(view: RunView, *, can_resume: bool, local: bool, work: Work = TRAINING) -> list[Action]:
    """Return what can be done with a run in its state, the most likely first."""
    folder = [Action("folder")] if local else []
    if is_live(view.status):
        running = [Action("save"), Action("sample")] if view.status == "running" and work.is_training else []
        return [Action("stop", main=True, confirm=True), *running, *folder]
    first = [Action("start", main=True)] if view.status == "waiting" else []
    if view.status in ("stopped", "failed", "crashed") and can_resume:
        first = [Action("resume", main=True)]
    again = [Action("again", confirm=True, goto="train/expert")] if work.is_training else []
    return [*first, *again, *folder, Action("delete", confirm=True)]


def head_html(
    run: RunFolder, view: RunView, facts: Facts, language: str, *, local: bool, diagnosis: Mapping[str, Any] | None
) -> Markup:
    """Return name, status, diagnosis, phase bar, numbers and buttons of a run."""
    work = facts.work
    can_resume = not work.is_training or bool(view.checkpoints) or any(run.checkpoints_dir.glob("step-*"))
    return render(
        "runs/head.html",
        language,
        run=run.id,
        name=facts.name,
        family=facts.family,
        created=created(run),
        view=view,
        path=str(run.path),
        phases=phases(view, work),
        facts=numbers(view, facts.num_epochs, language, work),
        actions=actions(view, can_resume=can_resume, local=local, work=work),
        diagnosis=diagnosis,
        warnings=[warning_text(event, language) for event in list(view.warnings)],
    )


def warning_text(event: Mapping[str, Any], language: str) -> str:
    """Return a warning event in words."""
    code, params = str(event.get("code", "")), event.get("params") or {}
    problem = Problem("warning", code, str(event.get("path") or ""), params if isinstance(params, dict) else {})
    return render_problem(problem, language) if has(f"problem.{code}") else f"{code} {params or ''}".strip()


def samples_html(run: RunFolder, view: RunView, language: str, *, root: str, end: int | None) -> Markup:
    """Return the sample wall of a run."""
    cells = [
        Cell(
            int(sample["step"]),
            int(sample.get("prompt_index", 0)),
            str(sample.get("prompt", "")),
            Path(str(sample["path"])).name,
            sample.get("seed"),
        )
        for sample in list(view.samples)
    ]
    return render("runs/samples.html", language, wall=wall(cells, end=end), base=picture_base(run, root))


def files_html(run: RunFolder, view: RunView, language: str, *, root: str) -> Markup:
    """Return the weights and checkpoints that are there now, newest first."""
    models = [_model(run, event, root) for event in reversed(list(view.models))]
    checkpoints = [_checkpoint(run, event) for event in reversed(list(view.checkpoints))]
    return render(
        "runs/files.html",
        language,
        models=[model for model in models if model],
        checkpoints=[checkpoint for checkpoint in checkpoints if checkpoint],
    )


def _model(run: RunFolder, event: Mapping[str, Any], root: str) -> dict[str, Any] | None:
    path = run.models_dir / Path(str(event["path"])).name
    if not path.exists():  # keep_last_n took it away
        return None
    url = f"{root}/runs/{quote(run.id)}/models/{quote(path.name)}" if path.suffix == ".safetensors" else ""
    return {
        "name": path.name,
        "path": str(path),
        "url": url,
        "step": event.get("step", ""),
        "num_bytes": event.get("num_bytes"),
    }


def _checkpoint(run: RunFolder, event: Mapping[str, Any]) -> dict[str, Any] | None:
    path = run.checkpoints_dir / Path(str(event["path"])).name
    if not path.is_dir():
        return None
    num_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return {"name": path.name, "path": str(path), "step": event.get("step", ""), "num_bytes": num_bytes}


def log_html(run: RunFolder, language: str, *, query: str) -> Markup:
    """Return the end of the log, or the lines of the whole log that hold `query`."""
    lines, more = log.search(run.console_path, query) if query else (log.tail(run.console_path), False)
    return render("runs/log.html", language, lines=lines, query=query, more=more)


def config_html(facts: Facts, language: str, *, other: Facts | None) -> Markup:
    """Return the configuration of a run, and what differs from another."""
    changes = differences(facts.data, other.data, language) if other else []
    return render("runs/config.html", language, toml=facts.toml, other=other.name if other else "", changes=changes)


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{path: value}` of nested tables; lists are values."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def differences(here: Mapping[str, Any], there: Mapping[str, Any], language: str) -> list[Change]:
    """Return the parameters in which two configurations differ, in the order of the schema."""
    left, right = flat(here), flat(there)
    known = by_path()
    paths = [path for path in known if path in left or path in right]
    paths += sorted((left.keys() | right.keys()) - set(paths))
    return [
        Change(path, title(path, language), value_text(left.get(path), language), value_text(right.get(path), language))
        for path in paths
        if left.get(path) != right.get(path)
    ]


def title(path: str, language: str) -> str:
    """Return the label of a parameter; its path when it is not of this version."""
    key, known = f"{path}.label", by_path().get(path)
    if has(key, language):
        return translate(key, language)
    return known.title if known else path


def value_text(value: Any, language: str) -> str:
    """Return a value as it is shown in a comparison."""
    if isinstance(value, bool):
        return translate("runs.value.on" if value else "runs.value.off", language)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(str(item) for item in value)
    return "-" if value is None else str(value)
