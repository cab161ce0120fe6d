"""The running job for the top bar of every page."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from backend.runs.view import Status
from ui.markup import render
from ui.watch import RunWatch, is_live


@dataclass(frozen=True, slots=True)
class JobPill:
    """What the pill says. `run` is the folder's name; `percent` is of the current phase."""

    run: str
    name: str
    status: Status
    phase: str
    percent: int
    eta_seconds: float | None
    num_waiting: int


def running_job(watch: RunWatch, *, num_waiting: int = 0) -> JobPill | None:
    """Return the run that is being worked on, the newest when there are several; None when nothing runs."""
    for run in watch.runs():
        if not run.process_path.exists():
            continue
        view = watch.peek(run)
        if is_live(view.status):
            whole = view.phase_total or view.total
            done = view.done if view.phase_total else view.step
            percent = round(100 * min(done / whole, 1)) if whole else 0
            name = watch.facts(run).name
            return JobPill(run.id, name, view.status, view.phase, percent, view.eta_seconds, num_waiting)
    return None


def pill_html(job: JobPill | None, language: str) -> Markup:
    """Return the pill as HTML: a button with data-action="open", or a quiet word when nothing runs."""
    return render("job_pill.html", language, job=job)
