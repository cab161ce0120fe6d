"""What a run can be about: which table of its configuration says so, and which module works on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.config.presets import read
from backend.runs.layout import RunFolder


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of run. `module` takes the run's folder; under accelerate's launcher where `is_distributed`.

    `phases` are those of the phase bar; `main_phase` is the one that takes the time and counts the run's steps.
    """

    name: str
    module: str
    phases: tuple[str, ...]
    main_phase: str
    # What its steps are called.
    counted_in: str = "steps"
    is_distributed: bool = True
    # Whether its configuration can be opened in the form of trainings, and weights and samples be asked of it.
    is_training: bool = True


TRAINING = Work("training", "backend.training", ("loading", "caching", "training", "sampling", "saving"), "training")
# By the table of the configuration that only such runs have.
WORKS: Mapping[str, Work] = {
    "tagging": Work(
        "tagging",
        "taggers.worker",
        ("downloading", "loading", "tagging"),
        "tagging",
        "pictures",
        is_distributed=False,
        is_training=False,
    ),
}


def work_of(data: Mapping[str, Any]) -> Work:
    """Return what a run with this configuration is about."""
    return next((work for table, work in WORKS.items() if table in data), TRAINING)


def work_of_run(run: RunFolder) -> Work:
    """Return what a run is about.

    Raises:
        UserError: Its configuration cannot be read.
    """
    return work_of(read(run.config_path))
