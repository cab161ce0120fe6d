"""What is found out about a configuration before it runs: its model, its pictures, its plan, its problems."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend import preflight
from backend.config import root
from backend.config.data import DataSection
from backend.config.paths import resolve
from backend.config.problems import Problem
from backend.config.root import TrainConfig
from backend.data.records import ImageRecord, Scan
from backend.data.scan import scan
from backend.families.detect import Detection, detect, is_hub_id
from ui import machine, quick_plan


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything the Quick page shows. `config` is None when the values are refused."""

    config: TrainConfig | None
    detection: Detection | None
    scan: Scan | None
    plan: preflight.Plan | None
    problems: tuple[Problem, ...]

    @property
    def images(self) -> tuple[ImageRecord, ...]:
        """The pictures that can be read."""
        return self.scan.images if self.scan else ()

    def about(self, *prefixes: str) -> list[Problem]:
        """Return the problems of some sections, by the beginnings of their paths."""
        return [problem for problem in self.problems if problem.path.startswith(prefixes)]


class Finder:
    """Finds out, and keeps the last answer of each part: typing in one field must not read all pictures again."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._lock = threading.Lock()
        self._scans: tuple[Any, Scan] | None = None
        self._findings: tuple[Any, Findings] | None = None

    def find(self, data: Mapping[str, Any]) -> Findings:
        """Look at a draft."""
        with self._lock:
            key = (json.dumps(data, sort_keys=True, default=str), _stamps(data))
            if self._findings is None or self._findings[0] != key:
                self._findings = (key, self._look(data))
            return self._findings[1]

    def _look(self, data: Mapping[str, Any]) -> Findings:
        config, problems = root.parse(data)
        value = quick_plan.get(data, "model.base_model").strip()
        detection = detect(resolve(value)) if value and not is_hub_id(value) else None
        if config is None:
            return Findings(None, detection, None, None, tuple(problems))
        found = self._scan(config.data)
        seconds = preflight.measured_seconds_per_step(config, self._runs_dir)
        memory = machine.find().total_bytes
        plan, problems = preflight.preflight(
            config, found, runs_dir=self._runs_dir, memory_bytes=memory, seconds_per_step=seconds
        )
        return Findings(config, detection, found, plan, tuple(problems))

    def _scan(self, data: DataSection) -> Scan:
        key = (data.model_dump_json(), tuple(_stamp(dataset.path) for dataset in data.datasets))
        if self._scans is None or self._scans[0] != key:
            self._scans = (key, scan(data))
        return self._scans[1]


def _stamps(data: Mapping[str, Any]) -> tuple[Any, ...]:
    folders = (_stamp(str(item.get("path", ""))) for item in quick_plan.datasets(data))
    return (_stamp(quick_plan.get(data, "model.base_model")), *folders)


def _stamp(path: str) -> Any:
    """Return what changes when files are added to or taken from a folder, one level deep."""
    if not path.strip():
        return None
    folder = resolve(path)
    try:
        below = [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
        return (folder.stat().st_mtime_ns, tuple(sorted((entry.name, entry.stat().st_mtime_ns) for entry in below)))
    except OSError:  # not there, or not readable: the scan says so
        return None
