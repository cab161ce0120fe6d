"""Work in the background: it tells how far it is, ends when nobody wants it, and its answer is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ui.background import Cancelled, Job, Progress, Slot, Stopped

PATIENCE_SECONDS = 60


def patient(job: Job, release: threading.Event) -> str:
    """Work until it is released or stopped."""
    job.tell(1, 4)
    while not release.wait(0.01):
        if job.is_stopped:
            raise Stopped
    return "done"


def asked_until(is_meant: Callable[[Any], bool], slot: Slot[str], work: Callable[[Job], str], wait: float = 1.0) -> Any:
    """Ask for the work of key a until the answer is the one that is meant: it comes from another thread."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_meant(answer := slot.get("a", work, wait=wait)):
        assert time.monotonic() < deadline, answer
    return answer


def test_short_work_is_answered_at_once_and_done_once() -> None:
    slot: Slot[int] = Slot()
    calls: list[str] = []
    for _ in range(3):
        assert slot.get("a", lambda _: calls.append("a") or 7, wait=PATIENCE_SECONDS) == 7
    assert calls == ["a"] and slot.number == 1
    assert slot.get("b", lambda _: 8, wait=PATIENCE_SECONDS) == 8 and slot.number == 2


def test_long_work_tells_how_far_it_is() -> None:
    slot: Slot[str] = Slot()
    release = threading.Event()
    first = asked_until(lambda answer: answer.num_total == 4, slot, lambda job: patient(job, release), wait=0.1)
    assert isinstance(first, Progress) and first.num_done == 1
    assert first.seconds_left == pytest.approx(first.seconds * 3)
    release.set()
    assert asked_until(lambda answer: answer == "done", slot, lambda job: patient(job, release))


def test_nobody_knows_the_time_left_before_the_total_is_known() -> None:
    assert Progress(5, 0, 1.0).seconds_left is None and Progress(0, 5, 1.0).seconds_left is None


def test_what_is_cancelled_stays_so_until_it_is_asked_for_anew() -> None:
    slot: Slot[str] = Slot()
    never = threading.Event()
    slot.get("a", lambda job: patient(job, never), wait=0.05)
    slot.cancel()
    asked_until(lambda answer: isinstance(answer, Cancelled), slot, lambda job: patient(job, never))
    assert isinstance(slot.get("a", lambda job: patient(job, never)), Cancelled)
    slot.forget()
    assert slot.get("a", lambda _: "anew", wait=PATIENCE_SECONDS) == "anew"


def test_other_work_ends_what_goes_on() -> None:
    slot: Slot[str] = Slot()
    never, ended = threading.Event(), threading.Event()

    def work(job: Job) -> str:
        try:
            return patient(job, never)
        finally:
            ended.set()

    slot.get("a", work, wait=0.05)
    assert slot.get("b", lambda _: "other", wait=PATIENCE_SECONDS) == "other"
    assert ended.wait(PATIENCE_SECONDS)


def test_an_error_reaches_whoever_asks_and_is_tried_again() -> None:
    slot: Slot[int] = Slot()

    def fail(_: Job) -> int:
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="fire"):
        slot.get("a", fail, wait=PATIENCE_SECONDS)
    assert slot.get("a", lambda _: 1, wait=PATIENCE_SECONDS) == 1
