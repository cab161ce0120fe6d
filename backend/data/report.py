"""Look before you train: everything that can be told of the pictures without the model. Torch-free.

    found = scan(config.data)
    report = make_report(config, found, index=Index(folder))

What only the pixels tell (duplicates, blur, damage) is in it once `quality.look(found, index)` has looked.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.config.root import TrainConfig
from backend.data.findings import Finding, find
from backend.data.fixes import Fix, apply_fix
from backend.data.index import Index
from backend.data.plan import StepCount, count
from backend.data.quality import Seen, known
from backend.data.records import Scan
from backend.data.statistics import (
    BucketRow,
    CaptionStats,
    CropRow,
    DatasetReport,
    Histogram,
    View,
    reports,
    view,
)
from backend.families.tokens import TokenCounter

__all__ = [
    "BucketRow",
    "CaptionStats",
    "CropRow",
    "DatasetReport",
    "Finding",
    "Fix",
    "Histogram",
    "Report",
    "apply_fix",
    "make_report",
    "report_of",
    "survey",
]


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of each data set and of all, what was found, and the steps as the trainer counts them.

    `num_looked` tells how many pictures were looked at: of the others duplicates, blur and damage are not known.
    """

    datasets: tuple[DatasetReport, ...]
    total: DatasetReport
    findings: tuple[Finding, ...]
    count: StepCount
    num_looked: int


def survey(config: TrainConfig, found: Scan, *, index: Index | None = None, seen: Seen | None = None) -> View:
    """Gather what the report and the plan of a run are made from; reads no picture.

    Args:
        config: A configuration without errors of its own.
        found: Its pictures.
        index: Knows what was found out by looking at pictures; nothing is known without it.
        seen: What looking told, where it is at hand; in place of the index.

    Raises:
        UserError: The vocabulary of the base model cannot be read.
    """
    counter = TokenCounter.of(config.model, is_weighted=config.data.weighted_captions)
    return view(config, found, known(found, index) if seen is None else seen, counter)


def make_report(config: TrainConfig, found: Scan, *, index: Index | None = None, seen: Seen | None = None) -> Report:
    """Return the report of a configuration; arguments and errors as `survey`."""
    shown = survey(config, found, index=index, seen=seen)
    return report_of(shown, find(shown))


def report_of(shown: View, findings: tuple[Finding, ...]) -> Report:
    """Return the report of what was gathered and found already."""
    rows, total = reports(shown)
    return Report(
        datasets=rows,
        total=total,
        findings=findings,
        count=count(shown.schedule, shown.config.training),
        num_looked=shown.seen.num_looked,
    )
