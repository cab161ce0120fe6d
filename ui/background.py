"""Work that may take long, in a thread of its own: with progress, an end by the user, and the last answer kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class Stopped(Exception):
    """The work was given up because nobody wants it any more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Work that goes on: how much is done, of how much (0: not known), since when."""

    num_done: int
    num_total: int
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """The time that is left at this pace; None where nobody knows."""
        if not self.num_done or self.num_total <= self.num_done:
            return None
        return self.seconds * (self.num_total - self.num_done) / self.num_done


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The user ended the work."""


@dataclass
class Job:
    """One piece of work: it tells how far it is, and asks whether it is still wanted."""

    key: Any
    number: int
    started: float = field(default_factory=time.monotonic)
    num_done: int = 0
    num_total: int = 0
    is_stopped: bool = False
    answer: Any = None
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def tell(self, num_done: int, num_total: int = 0) -> None:
        """Say how much is done, of how much; 0 where that is not known."""
        self.num_done, self.num_total = num_done, num_total

    def run(self, work: Callable[[Job], Any]) -> None:
        """Do the work and keep what comes of it."""
        try:
            self.answer = work(self)
        except Stopped:
            self.answer = Cancelled()
        except BaseException as error:  # told to whoever asks for the answer
            self.error = error
        finally:
            self.ended.set()


class Slot(Generic[Answer]):
    """One piece of work at a time: another key ends the one before and begins anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._job: Job | None = None
        self._number = 0

    def get(self, key: Any, work: Callable[[Job], Answer], *, wait: float = 1.0) -> Answer | Progress | Cancelled:
        """Return the answer for a key, or how far it is; `wait` seconds are spent on it when it has just begun.

        Raises:
            What the work raised.
        """
        with self._lock:
            if self._job is None or self._job.key != key:
                self._begin(key, work)
            else:
                wait = min(wait, 0.05)
            job = self._job
            assert job is not None
        if not job.ended.wait(wait):
            return Progress(job.num_done, job.num_total, time.monotonic() - job.started)
        if job.error is not None:
            self.forget()  # the next to ask tries again
            raise job.error
        answer: Answer | Cancelled = job.answer
        return answer

    def _begin(self, key: Any, work: Callable[[Job], Answer]) -> None:
        if self._job is not None:
            self._job.is_stopped = True
        self._number += 1
        self._job = Job(key, self._number)
        threading.Thread(target=self._job.run, args=(work,), daemon=True, name="look").start()

    @property
    def number(self) -> int:
        """Which piece of work it is, counted from 1."""
        return self._number

    def cancel(self) -> None:
        """End what goes on; asked again, it says that it was cancelled."""
        with self._lock:
            if self._job is not None:
                self._job.is_stopped = True

    def forget(self) -> None:
        """Begin anew when asked again."""
        with self._lock:
            if self._job is not None:
                self._job.is_stopped = True
            self._job = None
