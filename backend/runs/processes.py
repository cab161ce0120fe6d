"""Whether a run is alive, from its folder and the process table: whoever started it, and whoever asks."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from backend.runs.events import Event, EventReader
from backend.runs.layout import RunFolder
from backend.runs.view import Status

Process = psutil.Process
CREATE_TIME_TOLERANCE = 1.5
LIVE: frozenset[Status] = frozenset({"starting", "running", "stopping"})
# Started by this process: kept so that their exit is collected and a zombie is never taken for a living trainer.
children: list[subprocess.Popen[bytes]] = []


@dataclass(slots=True)
class Milestones:
    """The last `start` of a run and the `end` after it, read on from where the last look ended."""

    reader: EventReader
    start: Event | None = None
    end: Event | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self) -> tuple[Event | None, Event | None]:
        """Look at what was appended."""
        with self.lock:
            before = self.reader.offset
            events = self.reader.read()
            if self.reader.offset < before:  # the log was replaced by a shorter one
                self.start = self.end = None
            for event in events:
                if event["kind"] == "start":
                    self.start, self.end = event, None
                else:
                    self.end = event
            return self.start, self.end


_milestones: dict[Path, Milestones] = {}


def last_events(run: RunFolder) -> tuple[Event | None, Event | None]:
    """Return the last `start` of a run, and the `end` after it."""
    path = run.events_path
    known = _milestones.get(path)
    if known is None:
        known = _milestones.setdefault(path, Milestones(EventReader(path, kinds=frozenset({"start", "end"}))))
    return known.update()


def read_process(run: RunFolder) -> dict[str, Any]:
    """Return process.json; empty when the run was never started or the file is damaged."""
    try:
        record = json.loads(run.process_path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def names_run(process: Process, run: RunFolder) -> bool:
    """Tell whether a process is the launcher or a trainer of this run by its command line: `... TRAINER RUN`."""
    argv, path = read_process(run).get("argv") or [], str(run.path.absolute())
    if path not in argv:
        return False
    mark = argv[argv.index(path) - 1 : argv.index(path) + 1]
    try:
        line = process.cmdline()
    except psutil.Error:
        return False
    return path in line and line[line.index(path) - 1 : line.index(path) + 1] == mark


def find_process(run: RunFolder, pid: int | None, create_time: float | None) -> Process | None:
    """Return the living process of a run with this id; a recycled id is nobody's.

    The creation time is reckoned from the clock, which jumps when a computer wakes up: a process that names the run
    on its command line is its own all the same.
    """
    if not pid or create_time is None:
        return None
    try:
        process = Process(pid)
        same = abs(process.create_time() - create_time) < CREATE_TIME_TOLERANCE or names_run(process, run)
        return process if same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else None
    except psutil.Error:
        return None


def processes(run: RunFolder) -> list[Process]:
    """Return the living processes of a run: accelerate's launcher and the trainer itself."""
    for child in children:
        child.poll()
    start, _ = last_events(run)
    found = (find_process(run, each.get("pid"), each.get("create_time")) for each in (read_process(run), start or {}))
    return [process for process in found if process is not None]


def process_tree(run: RunFolder) -> set[Process]:
    """Return every process of a run, also those whose parent is gone, except this one and its parents."""
    roots = {*processes(run), *(process for process in psutil.process_iter() if names_run(process, run))}
    tree = set(roots)
    for root in roots:
        try:
            tree.update(root.children(recursive=True))
        except psutil.Error:
            continue  # gone meanwhile
    myself = Process(os.getpid())
    return tree - {myself, *myself.parents()}


def status(run: RunFolder) -> Status:
    """Return what has become of a run."""
    record = read_process(run)
    start, end = last_events(run)
    if not record and start is None and end is None:
        return "waiting"
    before = int(record.get("num_events", 0))  # what earlier launches of this run wrote
    if end is not None and end["seq"] > before:
        return end.get("status", "failed")
    if not processes(run):
        return "crashed"
    if (run.control_dir / "stop").exists():
        return "stopping"
    return "running" if start is not None and start["seq"] > before else "starting"
