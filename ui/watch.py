"""Runs as the pages see them: folded once for every browser tab, and read on from where the last look ended."""

from __future__ import annotations

import threading
import time
import tomllib
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from backend.config.problems import UserError
from backend.config.root import TrainConfig
from backend.families.specs import FAMILIES
from backend.runs import supervisor
from backend.runs.events import EventReader
from backend.runs.layout import RunFolder, list_runs
from backend.runs.view import RunView, Status, fold
from backend.runs.works import Work, work_of

# The end of the events says all that a card shows; only an opened run is folded from its start.
PEEK_BYTES = 64 * 1024
MAX_OPEN = 8
MIN_SECONDS = 0.5
PICTURES = ("*.png", "*.jpg", "*.jpeg", "*.webp")


@dataclass(slots=True)
class Watched:
    """One run, its view so far, and where reading goes on."""

    run: RunFolder
    reader: EventReader
    view: RunView = field(default_factory=RunView)
    looked_at: float = 0.0

    def update(self) -> None:
        """Fold what was appended; several tabs that look at once cost one look."""
        now = time.monotonic()
        if now - self.looked_at < MIN_SECONDS:
            return
        self.looked_at = now
        ended = self.view.status in ("finished", "stopped", "failed")
        events = self.reader.read()
        fold(self.view, events)
        if events or not ended:
            self.view.status = supervisor.status(self.run)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the configuration of a run says about it; `error` when it cannot be read."""

    name: str
    family: str
    data: dict[str, Any]
    toml: str
    error: str = ""

    @property
    def work(self) -> Work:
        """What the run is about."""
        return work_of(self.data)

    @property
    def num_epochs(self) -> int:
        """How many epochs were asked for."""
        value = _get(self.data, "training", "num_epochs")
        return value if isinstance(value, int) else TrainConfig().training.num_epochs


class RunWatch:
    """All runs of one folder. Thread-safe: the handlers of all tabs share it."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self._lock = threading.Lock()
        self._peeked: dict[str, Watched] = {}
        self._opened: OrderedDict[str, Watched] = OrderedDict()
        self._facts: dict[str, tuple[int, Facts]] = {}

    def runs(self) -> list[RunFolder]:
        """Return every run, newest first."""
        return list_runs(self.runs_dir)

    def find(self, run_id: str) -> RunFolder | None:
        """Return a run by its folder's name; None when there is none (any more)."""
        run = RunFolder(self.runs_dir / run_id)
        inside = run_id and run.path.parent == self.runs_dir and not run_id.startswith(".")
        return run if inside and run.config_path.is_file() else None

    def peek(self, run: RunFolder) -> RunView:
        """Return status and last numbers of a run from the end of its events, for a card."""
        with self._lock:
            watched = self._opened.get(run.id) or self._peeked.get(run.id)
            if watched is None:
                size = run.events_path.stat().st_size if run.events_path.exists() else 0
                watched = Watched(run, EventReader(run.events_path, max(0, size - PEEK_BYTES)))
                self._peeked[run.id] = watched
            watched.update()
            return watched.view

    def open(self, run: RunFolder) -> RunView:
        """Return the whole view of a run; folded from the start at the first look only."""
        with self._lock:
            watched = self._opened.pop(run.id, None) or Watched(run, EventReader(run.events_path))
            self._opened[run.id] = watched
            while len(self._opened) > MAX_OPEN:
                self._opened.popitem(last=False)
            watched.update()
            return watched.view

    def forget(self, run_id: str) -> None:
        """Look at a run afresh: it was started again, or is gone."""
        with self._lock:
            self._peeked.pop(run_id, None)
            self._opened.pop(run_id, None)
            self._facts.pop(run_id, None)

    def facts(self, run: RunFolder) -> Facts:
        """Return name, family and configuration of a run; read once, for it is frozen."""
        try:
            modified = run.config_path.stat().st_mtime_ns
        except OSError as error:
            return Facts(run.name, "", {}, "", str(error))
        kept = self._facts.get(run.id)
        if kept is None or kept[0] != modified:
            kept = (modified, _read_facts(run))
            self._facts[run.id] = kept
        return kept[1]


def _read_facts(run: RunFolder) -> Facts:
    try:
        toml = run.config_path.read_text(encoding="utf-8-sig", errors="replace")
        data = tomllib.loads(toml)
    except OSError as error:
        return Facts(run.name, "", {}, "", error.strerror or str(error))
    except tomllib.TOMLDecodeError as error:
        return Facts(run.name, "", {}, toml, str(error))
    defaults = TrainConfig()
    family = str(_get(data, "model", "family") or defaults.model.family)
    name = str(_get(data, "output", "name") or run.name)
    if not work_of(data).is_training:
        return Facts(name, Path(str(_get(data, work_of(data).name, "model") or "")).name, data, toml)
    return Facts(name, FAMILIES[family].title if family in FAMILIES else family, data, toml)


def _get(data: dict[str, Any], section: str, name: str) -> Any:
    table = data.get(section)
    return table.get(name) if isinstance(table, dict) else None


def created(run: RunFolder) -> float | None:
    """Return when a run was made, in seconds since the epoch."""
    moment: datetime | None = run.created
    return moment.timestamp() if moment else None


def last_picture(run: RunFolder, view: RunView) -> str:
    """Return the file name of the newest sample of a run; empty when there is none."""
    if view.samples:
        return Path(str(view.samples[-1]["path"])).name
    files = [path for pattern in PICTURES for path in run.samples_dir.glob(pattern)]
    try:
        return max(files, key=lambda path: path.stat().st_mtime).name if files else ""
    except OSError:  # deleted while we looked
        return ""


def is_live(status: Status) -> bool:
    """Tell whether a run is being worked on."""
    return status in supervisor.LIVE


def require(watch: RunWatch, run_id: str) -> RunFolder:
    """Return a run by its folder's name.

    Raises:
        UserError: It was deleted or renamed.
    """
    run = watch.find(run_id)
    if run is None:
        raise UserError("file_not_found", value=str(watch.runs_dir / run_id))
    return run
