"""What the tests of runs share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from backend.config import presets
from backend.config.root import TrainConfig
from backend.runs.events import Event, EventReader
from backend.runs.layout import RunFolder, create_run

CONFIG = presets.to_toml(presets.plain(TrainConfig.model_validate({"training": {"batch_size": 4}})))
PATIENCE_SECONDS = 240.0


def make(runs_dir: Path, behaviour: str) -> RunFolder:
    """Make a run whose trainer behaves like this."""
    return create_run(runs_dir, behaviour, CONFIG)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for something that happens in another process."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def events(run: RunFolder, kind: str = "") -> list[Event]:
    """Return the events of a run."""
    return [event for event in EventReader(run.events_path).read() if not kind or event["kind"] == kind]
