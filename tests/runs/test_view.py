import itertools

import pytest

from backend.runs.view import MAXIMUM_POINTS, MAXIMUM_WARNINGS, Curve, RunView, fold


def stream(*rows: dict, start: float = 1000.0, seconds: float = 1.0) -> list[dict]:
    return [{"seq": index + 1, "t": start + index * seconds, **row} for index, row in enumerate(rows)]


def step(number: int, *, total: int = 100, **fields: object) -> dict:
    row = {"kind": "step", "step": number, "total": total, "epoch": 1, "loss": 0.5, "loss_ema": 0.4}
    return {**row, "lrs": {"unet": 1e-4}, "step_seconds": 2.0, "memory_bytes": 7, "grad_norm": 1.0, **fields}


START = {"kind": "start", "pid": 7, "create_time": 1.5, "versions": {"torch": "2"}, "device": "cpu"}


def test_a_run_is_told_from_start_to_end() -> None:
    view = fold(RunView(), stream(START, {"kind": "phase", "phase": "loading"}))
    assert (view.status, view.phase, view.pid, view.device, view.fraction) == ("running", "loading", 7, "cpu", 0)
    fold(view, stream(step(1), step(2, lrs={"unet": 5e-5, "text_encoder": 1e-6})))
    assert (view.phase, view.step, view.total, view.epoch, view.loss) == ("training", 2, 100, 1, 0.5)
    assert view.lrs == {"unet": 5e-5, "text_encoder": 1e-6} and view.fraction == 0.02
    assert view.learning_rates["unet"].points == [(1, 1e-4), (2, 5e-5)]
    assert view.speed == 0.5 and view.eta_seconds == pytest.approx(196)
    fold(view, stream({"kind": "sample", "step": 2, "prompt_index": 0, "prompt": "a", "path": "x.png", "seed": 1}))
    fold(view, stream({"kind": "model", "step": 2, "path": "m"}, {"kind": "checkpoint", "step": 2, "path": "c"}))
    fold(view, stream({"kind": "end", "status": "finished", "step": 2, "error": None}, start=2000))
    assert (view.status, view.ended_at, view.error) == ("finished", 2000, None)
    assert [len(rows) for rows in (view.samples, view.models, view.checkpoints)] == [1, 1, 1]


def test_folding_in_pieces_gives_the_same_as_at_once() -> None:
    rows = stream(START, *(step(number, loss=1 / number) for number in range(1, 3000)))
    whole, pieces = fold(RunView(), rows), RunView()
    for chunk in (rows[:7], rows[7:1500], rows[1500:]):
        fold(pieces, chunk)
    assert whole == pieces


def test_the_time_left_of_caching_is_that_of_its_pictures() -> None:
    rows = [
        {"kind": "progress", "phase": "caching", "done": done, "total": 100, "unit": "images"} for done in range(11)
    ]
    view = fold(RunView(), stream(START, {"kind": "phase", "phase": "caching"}, *rows))
    assert (view.done, view.phase_total, view.unit) == (10, 100, "images")
    assert view.eta_seconds == pytest.approx(90)
    fold(view, stream({"kind": "phase", "phase": "loading"}))
    assert (view.done, view.phase_total, view.eta_seconds) == (0, 0, None)


def test_one_slow_step_does_not_throw_the_time_left_about() -> None:
    view = fold(RunView(), stream(*(step(number) for number in range(1, 50)), step(50, step_seconds=60.0)))
    assert view.eta_seconds is not None and 50 * 2 < view.eta_seconds < 50 * 10


def test_a_resumed_run_does_its_steps_again_without_double_points() -> None:
    view = fold(RunView(), stream(START, *(step(number, loss=1.0) for number in range(1, 11))))
    sample = {"kind": "sample", "step": 8, "prompt_index": 0, "prompt": "a", "seed": 1}
    fold(view, stream({**sample, "path": "old.png"}, {"kind": "end", "status": "failed", "error": {"code": "x"}}))
    assert view.status == "failed" and view.error == {"code": "x"}
    again = [{**START, "resumed_from_step": 5}, *(step(number, loss=2.0) for number in range(6, 9))]
    fold(view, stream(*again, {**sample, "path": "new.png"}))
    assert (view.status, view.error, view.step, view.resumed_from_step) == ("running", None, 8, 5)
    assert view.losses.points == [
        *((number, 1.0) for number in range(1, 6)),
        *((number, 2.0) for number in range(6, 9)),
    ]
    assert [row["path"] for row in view.samples] == ["new.png"]


def test_an_hour_of_events_takes_no_more_room_than_a_minute() -> None:
    view = RunView()
    heartbeat = {"kind": "heartbeat", "phase": "training", "idle_seconds": 1.0, "step": 1}
    warning = {"kind": "warning", "code": "image_corrupt", "params": {}, "path": "x"}
    for number in range(1, 100_001):
        fold(view, stream(step(number, total=100_000), heartbeat if number % 2 else warning))
    assert view.num_events == 200_000
    curves = [view.losses, view.smooth_losses, view.memory, *view.learning_rates.values()]
    assert all(MAXIMUM_POINTS / 2 <= len(curve.points) <= MAXIMUM_POINTS for curve in curves)
    gaps = {later - earlier for (earlier, _), (later, _) in itertools.pairwise(view.losses.points)}
    assert len(gaps) == 1, "evenly spaced"
    assert view.losses.points[0][0] == 1 and view.losses.points[-1][0] > 99_000
    assert (len(view.warnings), view.num_warnings) == (MAXIMUM_WARNINGS, 50_000)


def test_a_curve_passes_over_what_is_no_number() -> None:
    curve = Curve()
    curve.add(1, None)
    curve.add(2, 0.5)
    assert curve.points == [(2, 0.5)]


def test_the_heartbeat_tells_idling_and_any_other_event_ends_it() -> None:
    view = fold(RunView(), stream(START, {"kind": "heartbeat", "phase": "caching", "idle_seconds": 42.0}))
    assert view.idle_seconds == 42
    fold(view, stream({"kind": "progress", "phase": "caching", "done": 1, "total": 2, "unit": "images"}))
    assert view.idle_seconds == 0


def test_kinds_of_a_newer_version_are_passed_over() -> None:
    assert fold(RunView(), stream({"kind": "prophecy", "loss": 1})).num_events == 1


def test_validation_losses_are_curves_of_all_and_of_each_of_several_sets() -> None:
    told = [
        {"kind": "validation", "step": 0, "loss": 2.0, "datasets": {"a": 1.0, "b": 3.0}},
        {"kind": "validation", "step": 9, "loss": 1.0, "datasets": {"a": 0.5, "b": 1.5}},
    ]
    view = fold(RunView(), stream(*told))
    assert {name: curve.points for name, curve in view.validation.items()} == {
        "": [(0, 2.0), (9, 1.0)],
        "a": [(0, 1.0), (9, 0.5)],
        "b": [(0, 3.0), (9, 1.5)],
    }
    one = fold(RunView(), stream({"kind": "validation", "step": 1, "loss": 1.0, "datasets": {"a": 1.0}}))
    assert list(one.validation) == [""]
