"""What is found out about a configuration before it runs: its model, its pictures, its plan, its problems."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend import preflight
from backend.config import paths, root
from backend.config.data import DataSection
from backend.config.problems import Problem
from backend.config.root import TrainConfig
from backend.data import datasets, quality, scan
from backend.data.findings import Finding
from backend.data.index import Index
from backend.data.quality import Seen
from backend.data.records import ImageRecord, Scan
from backend.data.report import Report, report_of
from backend.data.statistics import View
from backend.families.detect import Detection, detect, is_hub_id
from ui import background, machine, quick_plan
from ui.background import Cancelled, Job, Progress, Slot

# Settings of a data set that change nothing in what a scan finds: without them a change would mean to look again.
NOT_SCANNED = frozenset(
    {"name", "role", "num_repeats", "num_samples", "weight", "loss_weight", "start_epoch", "end_epoch", "batch_size"}
) | {"validation_split"}
# Looking into every folder costs: whoever asks in vain gets the same answer for a moment.
ASK_AGAIN_SECONDS = 0.4
LEVELS = ("error", "warning", "info")
SCANNED_RULES = ("caption_source", "caption_extension")


@dataclass(frozen=True, slots=True)
class Findings:
    """What the pages show. `config` is None when the values are refused.

    `waiting` says that the pictures are still being looked through (there is no scan yet), that the plan is being made
    (there is a scan), or that the user ended that. `number` is that of the scan, as the addresses of its pictures have
    it; `plan_number` is that of the plan. `shown` is what a report is made from.
    """

    config: TrainConfig | None
    detection: Detection | None
    scan: Scan | None
    plan: preflight.Plan | None
    problems: tuple[Problem, ...]
    waiting: Progress | Cancelled | None = None
    number: int = 0
    findings: tuple[Finding, ...] = ()
    shown: View | None = None
    plan_number: int = 0

    @property
    def stage(self) -> str:
        """What is waited for: the scan or the plan."""
        return "scan" if self.scan is None else "plan"

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        """The pictures that can be read."""
        return self.scan.images if self.scan else ()

    def about(self, *prefixes: str) -> list[Problem]:
        """Return the problems of some sections, by the beginnings of their paths."""
        return [problem for problem in self.problems if problem.path.startswith(prefixes)]


class Finder:
    """Finds out, and keeps the last answer of each part: typing in one field must not read all pictures again."""

    def __init__(self, runs_dir: Path, *, patience: float = 1.0) -> None:
        self._runs_dir = runs_dir
        # So many seconds are waited for what has just begun; what takes longer is asked for again.
        self._patience = patience
        self._lock = threading.Lock()
        self._scans: Slot[Scan] = Slot()
        self._plans: Slot[preflight.Examined] = Slot()
        self._reports: Slot[Report] = Slot()
        self._looks: Slot[Seen] = Slot()
        # The scan whose pictures are being decoded, and how often that was done.
        self._looking, self._num_looks = 0, 0
        self._shown: dict[int, Scan] = {}
        self._findings: tuple[Any, Findings] | None = None
        # What was asked for last while it was not ready, and when.
        self._waited: tuple[str, float] | None = None

    def find(self, data: Mapping[str, Any]) -> Findings:
        """Look at a draft. Pictures that take longer are looked through in the background: ask again."""
        with self._lock:
            text = json.dumps(data, sort_keys=True, default=str)
            if self._waited and self._waited[0] == text and time.monotonic() < self._waited[1] + ASK_AGAIN_SECONDS:
                assert self._findings is not None
                return self._findings[1]
            stamps = _stamps(data)
            if self._findings is None or self._findings[0] != (text, stamps) or self._findings[1].waiting:
                self._findings = ((text, stamps), self._look(data, stamps))
            self._waited = (text, time.monotonic()) if self._findings[1].waiting else None
            return self._findings[1]

    def report(self, findings: Findings, *, wait: float = 1.0) -> Report | Progress | Cancelled | None:
        """Return the report of the pictures, or how far it is; None without pictures or a valid configuration."""
        shown = findings.shown
        if shown is None:
            return None
        return self._reports.get(findings.plan_number, lambda _: report_of(shown, findings.findings), wait=wait)

    def look_closely(self, findings: Findings) -> Progress | Cancelled | Seen | None:
        """Begin to decode every picture, or say how far that is; what it finds is in the next report."""
        found = findings.scan
        if found is None:
            return None
        self._looking = findings.number
        seen = self._looks.get(findings.number, lambda job: _look_closely(found, job), wait=0.2)
        if not isinstance(seen, Progress):
            self._num_looks += isinstance(seen, Seen)
            self._findings = None
            self._looking = 0
            self._looks.forget()
        return seen

    def looking(self, findings: Findings) -> Progress | Cancelled | None:
        """Return how far the decoding of all pictures is; None when nobody asked for it or it is done."""
        if self._looking and findings.number and self._looking != findings.number:
            self._looking = 0  # other pictures: nobody needs it any more
            self._looks.forget()
        if not self._looking or not findings.number:
            return None
        seen = self.look_closely(findings)
        return None if isinstance(seen, Seen) else seen

    def review(self, data: Mapping[str, Any]) -> list[Problem] | None:
        """Return everything that speaks against a start, errors first; None while the pictures are looked through."""
        findings = self.find(data)
        return None if findings.waiting else list(findings.problems)

    def scan_of(self, number: int) -> Scan | None:
        """Return the scan that the address of a picture names."""
        return self._shown.get(number)

    def cancel(self) -> None:
        """End looking through the pictures, or looking closely at them."""
        self._waited = None
        if self._looking:
            self._looks.cancel()
        else:
            self._scans.cancel()

    def look_again(self) -> None:
        """Forget what was found, for files that have changed without a trace in their folder."""
        self._scans.forget()
        self._findings = self._waited = None

    def _look(self, data: Mapping[str, Any], stamps: tuple[Any, ...]) -> Findings:
        config, problems = root.parse(data)
        value = quick_plan.get(data, "model.base_model").strip()
        detection = detect(paths.resolve(value)) if value and not is_hub_id(value) else None
        if config is None:
            return Findings(None, detection, None, None, tuple(problems))
        found = self._scan(config.data, stamps)
        if not isinstance(found, Scan):
            return Findings(config, detection, None, None, (), found)
        number = self._scans.number
        self._shown = {number: found, **{old: kept for old, kept in self._shown.items() if old == number - 1}}
        key = (number, self._num_looks, config.model_dump_json(), stamps)
        done = self._plans.get(key, lambda _: self._examine(config, found), wait=self._patience)
        if not isinstance(done, preflight.Examined):
            return Findings(config, detection, found, None, (), done, number)
        return Findings(
            config,
            detection,
            found,
            done.plan,
            tuple(done.problems),
            number=number,
            findings=done.findings,
            shown=done.shown,
            plan_number=self._plans.number,
        )

    def _examine(self, config: TrainConfig, found: Scan) -> preflight.Examined:
        return preflight.examine(
            config,
            found,
            runs_dir=self._runs_dir,
            memory_bytes=machine.find().total_bytes,
            seconds_per_step=preflight.measured_seconds_per_step(config, self._runs_dir),
        )

    def _scan(self, data: DataSection, stamps: tuple[Any, ...]) -> Scan | Progress | Cancelled:
        _, *folders = stamps
        found = self._scans.get((_scanned(data), folders), lambda job: _scan(data, job), wait=self._patience)
        return dressed(found, data) if isinstance(found, Scan) else found


def _scan(data: DataSection, job: Job) -> Scan:
    try:
        return scan.scan(data, progress=job.tell, stop=lambda: job.is_stopped)
    except scan.Stopped as error:
        raise background.Stopped from error


def _look_closely(found: Scan, job: Job) -> Seen:
    try:
        with Index(paths.cache_dir()) as index:
            return quality.look(found, index, progress=job.tell, stop=lambda: job.is_stopped)
    except scan.Stopped as error:
        raise background.Stopped from error


def _scanned(data: DataSection) -> str:
    """Return what a scan depends on."""
    rows = []
    for row in data.datasets:
        rules = data.rules_of(row)
        own = {name: value for name, value in _own(row).items() if name not in NOT_SCANNED}
        # What is repeated 0 times, or as the user's code says, cannot be scaled to another number of repeats.
        own["num_repeats"] = row.num_repeats if row.code_path.strip() else bool(row.num_repeats)
        rows.append({**own, **{name: getattr(rules, name) for name in SCANNED_RULES}})
    return json.dumps([data.strict, *rows], sort_keys=True)


def _own(row: Any) -> dict[str, Any]:
    """Return the settings of a data set that are no rules."""
    return row.model_dump(include={item.name for item in root.item_parameters("datasets") if not item.ui.inherits})


def dressed(found: Scan, data: DataSection) -> Scan:
    """Return a scan with the rules and repeats that the configuration has now."""
    fresh, _ = datasets.resolve(data)
    if len(fresh) != len(found.datasets):
        return found
    repeats = [(old.config.num_repeats, new.config.num_repeats) for old, new in zip(found.datasets, fresh, strict=True)]
    images = found.images
    if any(old != new for old, new in repeats):
        images = tuple(_repeated(record, *repeats[record.dataset]) for record in images)
    return replace(found, datasets=tuple(fresh), images=images)


def _repeated(record: ImageRecord, old: float, new: float) -> ImageRecord:
    return record if old == new else replace(record, num_repeats=round(record.num_repeats / old * new, 9))


def _stamps(data: Mapping[str, Any]) -> tuple[Any, ...]:
    rows = (_stamp(str(item.get("path", ""))) for item in quick_plan.datasets(data))
    return (_stamp(quick_plan.get(data, "model.base_model")), *rows)


def _stamp(path: str) -> Any:
    """Return what changes when files are added to or taken from a folder, one level deep, or when a file changes."""
    if not path.strip() or paths.is_address(path):
        return None
    place = paths.resolve(path)
    try:
        there = place.stat()
        if not place.is_dir():
            return (there.st_mtime_ns, there.st_size)
        with os.scandir(place) as entries:
            below = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_dir())
        return (there.st_mtime_ns, tuple(below))
    except OSError:  # not there, or not readable: the scan says so
        return None
