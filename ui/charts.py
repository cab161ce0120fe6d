"""The charts of a run as data for `static/charts.js`: loss, learning rates and memory over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.config.messages import translate

Point = tuple[int, float]


def _series(label: str, points: Sequence[Point], **more: Any) -> dict[str, Any]:
    return {"label": label, "points": [[step, value] for step, value in points], **more}


def payload(
    run: str,
    language: str,
    *,
    losses: Sequence[Point],
    smooth_losses: Sequence[Point],
    rates: Mapping[str, Sequence[Point]],
    memory: Sequence[Point],
    validation: Mapping[str, Sequence[Point]],
) -> dict[str, Any]:
    """Return what the chart widget draws.

    Args:
        run: The run's folder name; another run resets the zoom.
        language: Of the titles.
        losses: Of each step, already thinned out, as all of these are.
        smooth_losses: The running mean.
        rates: Learning rate by component.
        memory: Bytes in use.
        validation: The loss on pictures that are not trained on: of all under "", and by data set.
    """
    charts: list[dict[str, Any]] = []
    if losses:
        raw = _series(translate("runs.charts.loss.raw", language), losses, faint=True, colour=0)
        smooth = _series(translate("runs.charts.loss.smooth", language), smooth_losses, colour=0)
        charts.append({"title": translate("runs.charts.loss", language), "series": [raw, smooth], "clip": True})
    if validation:
        whole = translate("runs.charts.validation.all", language)
        series = [_series(name or whole, points, colour=0 if not name else None) for name, points in validation.items()]
        charts.append({"title": translate("runs.charts.validation", language), "series": series})
    shown = {name: points for name, points in rates.items() if points}
    if shown:
        series = [_series(name, points) for name, points in shown.items()]
        charts.append({"title": translate("runs.charts.rates", language), "series": series, "from_zero": True})
    if memory:
        used = _series(translate("runs.charts.memory.used", language), memory, colour=3)
        charts.append(
            {
                "title": translate("runs.charts.memory", language),
                "series": [used],
                "from_zero": True,
                "format": "bytes",
            }
        )
    return {
        "run": run,
        "charts": charts,
        "x_label": translate("runs.charts.step", language),
        "reset": translate("runs.charts.reset", language),
    }
