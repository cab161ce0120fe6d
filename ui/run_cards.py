"""The list of runs as cards: running, queue, history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from markupsafe import Markup

from backend.runs.layout import RunFolder
from backend.runs.view import RunView, Status
from ui.markup import render
from ui.watch import RunWatch, created, is_live, last_picture

HISTORY_LENGTH = 30


@dataclass(frozen=True, slots=True)
class Card:
    """What a card shows of a run."""

    run: str
    name: str
    family: str
    status: Status
    picture: str
    step: int
    total: int
    percent: int
    loss: float | None
    eta: float | None
    counted_in: str
    created: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """Cards under one heading: running, waiting or history."""

    name: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Undo:
    """A run that was just moved to the trash."""

    run: str
    name: str


def card(watch: RunWatch, run: RunFolder, view: RunView, *, root: str) -> Card:
    """Describe one run. `root` is the path that a reverse proxy puts in front of the app."""
    facts, file = watch.facts(run), last_picture(run, view)
    live = is_live(view.status)
    return Card(
        run=run.id,
        name=facts.name,
        family=facts.family,
        status=view.status,
        picture=f"{picture_base(run, root)}/{quote(file)}?size=128" if file else "",
        step=view.step,
        total=view.total,
        percent=round(100 * view.fraction),
        loss=view.loss_ema,
        eta=view.eta_seconds if live and view.phase == facts.work.main_phase else None,
        counted_in=facts.work.counted_in,
        created=created(run),
    )


def _card_in(group: str, watch: RunWatch, run: RunFolder, root: str) -> Card:
    made = card(watch, run, watch.peek(run), root=root)
    return replace(made, status="waiting") if group == "waiting" else made  # a stopped run may wait to be resumed


def picture_base(run: RunFolder, root: str) -> str:
    """Return the address of the samples of a run."""
    return f"{root}/runs/{quote(run.id)}/samples"


def groups(watch: RunWatch, queued: Sequence[str], *, root: str, num_history: int) -> tuple[list[Group], int]:
    """Sort the runs into running, queue (in its order) and history (newest first).

    Returns:
        The groups that have a card, and how many older runs are left out.
    """
    runs = {run.id: run for run in watch.runs()}
    waiting = [runs.pop(run_id) for run_id in queued if run_id in runs]
    running: list[RunFolder] = []
    history: list[RunFolder] = []
    for run in runs.values():
        if len(history) >= num_history and not run.process_path.exists():
            history.append(run)
            continue
        (running if is_live(watch.peek(run).status) else history).append(run)
    shown = {"running": running, "waiting": waiting, "history": history[:num_history]}
    made = [
        Group(name, tuple(_card_in(name, watch, run, root) for run in members))
        for name, members in shown.items()
        if members
    ]
    return made, max(0, len(history) - num_history)


def list_html(
    made: Sequence[Group],
    language: str,
    *,
    selected: str,
    paused: bool,
    num_more: int = 0,
    undo: Undo | None = None,
    message: str = "",
) -> Markup:
    """Return the list as HTML."""
    return render(
        "runs/list.html",
        language,
        groups=made,
        selected=selected,
        paused=paused,
        num_more=num_more,
        undo=undo,
        message=message,
    )
