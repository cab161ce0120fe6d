"""What a person sees of a run, folded from its events; of bounded size, however long the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.runs.events import Event

Status = Literal["waiting", "starting", "running", "stopping", "finished", "stopped", "failed", "crashed"]
MAXIMUM_POINTS = 1000
MAXIMUM_WARNINGS = 200
SPEED_SMOOTHING = 0.9
# What other works than trainings do piece by piece: its pieces are the steps of the run.
COUNTED_PHASES = frozenset({"tagging"})


@dataclass(slots=True)
class Curve:
    """A series of (step, value) points that halves itself when it grows past `MAXIMUM_POINTS`."""

    points: list[tuple[int, float]] = field(default_factory=list)
    stride: int = 1
    count: int = 0

    def add(self, step: int, value: float | None) -> None:
        """Append a point; after a resume, points of steps that are done again are dropped first."""
        if value is None:
            return
        while self.points and self.points[-1][0] >= step:
            self.points.pop()
        if self.count % self.stride == 0:
            self.points.append((step, float(value)))
        self.count += 1
        if len(self.points) > MAXIMUM_POINTS:
            self.points = self.points[::2]
            self.stride *= 2


@dataclass(slots=True)
class RunView:
    """The state of a run as far as its events tell."""

    status: Status = "waiting"
    phase: str = ""
    done: int = 0
    phase_total: int = 0
    unit: str = ""
    step: int = 0
    total: int = 0
    epoch: int = 0
    loss: float | None = None
    loss_ema: float | None = None
    step_seconds: float | None = None
    memory_bytes: int = 0
    grad_norm: float | None = None
    lrs: dict[str, float] = field(default_factory=dict)
    losses: Curve = field(default_factory=Curve)
    smooth_losses: Curve = field(default_factory=Curve)
    memory: Curve = field(default_factory=Curve)
    learning_rates: dict[str, Curve] = field(default_factory=dict)
    # The loss on validation pictures: of all under "", and of each data set under its name when there are several.
    validation: dict[str, Curve] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    num_warnings: int = 0
    error: dict[str, Any] | None = None
    # Of a tagging run: how many captions were written, left alone, or could not be.
    tagged: dict[str, int] = field(default_factory=dict)
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    create_time: float | None = None
    resumed_from_step: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    last_event_at: float | None = None
    idle_seconds: float = 0.0
    num_events: int = 0
    _phase_started: float = 0.0
    _phase_first: int = 0

    @property
    def fraction(self) -> float:
        """How much of the training is done, 0 to 1."""
        return min(self.step / self.total, 1.0) if self.total else 0.0

    @property
    def speed(self) -> float | None:
        """Steps per second."""
        return 1 / self.step_seconds if self.step_seconds else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds left of the training, or of the caching or download before it; None while nothing is known."""
        if self.phase in ("caching", "downloading") and self.done > self._phase_first and self.last_event_at:
            per_item = (self.last_event_at - self._phase_started) / (self.done - self._phase_first)
            return per_item * (self.phase_total - self.done)
        if self.step_seconds and self.total:
            return self.step_seconds * (self.total - self.step)
        return None


def _start(view: RunView, event: Event) -> None:
    view.status, view.error, view.ended_at = "running", None, None
    view.phase, view.done, view.phase_total = "loading", 0, 0
    view.pid, view.create_time = event.get("pid"), event.get("create_time")
    view.device, view.versions = str(event.get("device", "")), dict(event.get("versions") or {})
    view.resumed_from_step = event.get("resumed_from_step")
    view.started_at = view.started_at or event["t"]
    view.step_seconds = None
    if view.resumed_from_step is not None:
        view.step = int(view.resumed_from_step)


def _phase(view: RunView, event: Event) -> None:
    view.phase, view.done, view.phase_total, view.unit = str(event.get("phase", "")), 0, 0, ""
    view._phase_started, view._phase_first = event["t"], 0


def _progress(view: RunView, event: Event) -> None:
    if event.get("phase", view.phase) != view.phase or event.get("unit", "") != view.unit:
        _phase(view, {"phase": view.phase, **event})
        view._phase_first = int(event.get("done", 0))
    view.done, view.phase_total = int(event.get("done", 0)), int(event.get("total", 0))
    view.unit = str(event.get("unit", ""))
    if view.phase in COUNTED_PHASES:
        view.step, view.total = view.done, view.phase_total
        done, seconds = view.done - view._phase_first, event["t"] - view._phase_started
        view.step_seconds = seconds / done if done > 0 and seconds > 0 else None


def _step(view: RunView, event: Event) -> None:
    step = int(event["step"])
    view.phase, view.step, view.total = "training", step, int(event.get("total", view.total))
    view.epoch = int(event.get("epoch", view.epoch))
    view.loss, view.loss_ema = event.get("loss"), event.get("loss_ema")
    view.grad_norm = event.get("grad_norm")
    view.memory_bytes = int(event.get("memory_bytes") or 0)
    seconds = event.get("step_seconds")
    if seconds:
        past = view.step_seconds
        view.step_seconds = seconds if past is None else SPEED_SMOOTHING * past + (1 - SPEED_SMOOTHING) * seconds
    view.losses.add(step, view.loss)
    view.smooth_losses.add(step, view.loss_ema)
    view.memory.add(step, view.memory_bytes)
    view.lrs = dict(event.get("lrs") or {})
    for component, rate in view.lrs.items():
        view.learning_rates.setdefault(component, Curve()).add(step, rate)


def _validation(view: RunView, event: Event) -> None:
    by_dataset = dict(event.get("datasets") or {})
    for name, loss in {"": event.get("loss"), **(by_dataset if len(by_dataset) > 1 else {})}.items():
        view.validation.setdefault(name, Curve()).add(int(event["step"]), loss)


def _replace(items: list[dict[str, Any]], event: Event, *keys: str) -> None:
    """Add an item; one with the same keys (made again after a resume) takes the place of the older."""
    items[:] = [item for item in items if any(item.get(key) != event.get(key) for key in keys)]
    items.append(dict(event))


def _warning(view: RunView, event: Event) -> None:
    view.num_warnings += 1
    if len(view.warnings) < MAXIMUM_WARNINGS:
        view.warnings.append(dict(event))


def _heartbeat(view: RunView, event: Event) -> None:
    view.idle_seconds = float(event.get("idle_seconds") or 0)


def _end(view: RunView, event: Event) -> None:
    view.status = event.get("status", "failed")
    view.step = int(event.get("step", view.step) or 0)
    view.error = event.get("error")
    view.ended_at = event["t"]


def _tagged(view: RunView, event: Event) -> None:
    view.device = str(event.get("device", ""))
    view.tagged = {name: int(event.get(name) or 0) for name in ("written", "skipped", "failed")}


FOLDS = {
    "start": _start,
    "phase": _phase,
    "progress": _progress,
    "step": _step,
    "validation": _validation,
    "sample": lambda view, event: _replace(view.samples, event, "step", "prompt_index"),
    "model": lambda view, event: _replace(view.models, event, "path"),
    "checkpoint": lambda view, event: _replace(view.checkpoints, event, "path"),
    "warning": _warning,
    "tagged": _tagged,
    "heartbeat": _heartbeat,
    "end": _end,
}


def fold(view: RunView, events: Iterable[Event]) -> RunView:
    """Add events to a view, in place; kinds of a newer version are passed over."""
    for event in events:
        view.num_events += 1
        view.last_event_at = event.get("t", view.last_event_at)
        if event["kind"] != "heartbeat":
            view.idle_seconds = 0.0
        if handler := FOLDS.get(event["kind"]):
            handler(view, event)
    return view
