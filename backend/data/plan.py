"""From pictures to batches: what is seen in which epoch, in which order, and how many steps that makes."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from backend.config.training import TrainingSection
from backend.data.buckets import BucketChoice, Size, chooser, resolutions_of
from backend.data.datasets import Dataset
from backend.data.records import ImageRecord, Scan
from backend.data.schedule import Batch, BatchGroup, Draw, Placement, Schedule

__all__ = [
    "Batch",
    "BatchGroup",
    "BucketChoice",
    "Draw",
    "Placed",
    "Placement",
    "Schedule",
    "Size",
    "StepCount",
    "count",
    "deal",
    "place",
]


@dataclass(frozen=True, slots=True)
class StepCount:
    """The arithmetic of a run, exactly as the loop counts.

    `num_images` counts pictures, however many sizes each is trained at. Samples, batches and steps per epoch are those
    of the first epoch; `epoch_steps` has the steps of each, before `max_steps` ends the run.
    """

    num_images: int
    samples_per_epoch: int
    batches_per_epoch: int
    steps_per_epoch: int
    num_epochs: int
    total_steps: int
    epoch_steps: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """Every picture of a scan: trained, kept for validation, or left out for a reason.

    `left_out` has indices into the scan's images by the name of the rule that left them out: `minimum_size`,
    `minimum_aspect`, `maximum_aspect`, `num_repeats` (zero), `maximum_upscale`; and `maximum_upscale_some`: trained,
    but not at all of the resolutions.
    """

    placements: list[Placement] = field(default_factory=list)
    validation: list[Placement] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)


def _held_back(images: Sequence[ImageRecord], indices: Sequence[int], share: float) -> set[int]:
    """Choose a share of pictures by their names alone, so that they are the same ones each time."""
    if not share or len(indices) < 2:
        return set()

    def order(index: int) -> tuple[bytes, str]:
        name = images[index].name
        return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), name

    number = min(len(indices) - 1, max(1, int(len(indices) * share + 0.5)))
    return set(sorted(indices, key=order)[:number])


def _refusal(record: ImageRecord, dataset: Dataset) -> str:
    """Return the name of the rule that leaves a picture out whatever its bucket, or an empty string."""
    rules = dataset.rules
    if min(record.width, record.height) < rules.minimum_size:
        return "minimum_size"
    if rules.minimum_aspect and record.width < rules.minimum_aspect * record.height:
        return "minimum_aspect"
    if rules.maximum_aspect and record.width > rules.maximum_aspect * record.height:
        return "maximum_aspect"
    if not record.num_repeats and not dataset.config.num_samples and dataset.config.role != "validation":
        return "num_repeats"
    return ""


class _Placer:
    """Gives the pictures of one data set their sizes; sizes seen lately are not worked out again."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.choosers = [chooser(dataset.rules, resolution=each) for each in resolutions_of(dataset.rules)]
        self.choices = lru_cache(maxsize=2**16)(self._choices)

    def _choices(self, width: int, height: int) -> tuple[BucketChoice, ...]:
        """Return the choices of a size at each resolution, without those that would enlarge it too much."""
        choices = tuple(choose((width, height)) for choose in self.choosers)
        most = self.dataset.rules.maximum_upscale
        if not most:
            return choices
        return tuple(each for each in choices if max(each.resized[0] / width, each.resized[1] / height) <= most)

    def place(self, record: ImageRecord) -> tuple[list[Placement], str]:
        """Return the placements of a picture, and the name of the rule that left it or some of them out."""
        refusal = _refusal(record, self.dataset)
        if refusal:
            return [], refusal
        choices = self.choices(record.width, record.height)
        missing = "" if len(choices) == len(self.choosers) else "maximum_upscale_some" if choices else "maximum_upscale"
        return [Placement(record, each.bucket, each.resized) for each in choices], missing


def place(found: Scan) -> Placed:
    """Give every picture its bucket at each of its resolutions, and tell which ones are left out and why."""
    placers = {dataset.index: _Placer(dataset) for dataset in found.datasets}
    by_dataset: dict[int, list[int]] = defaultdict(list)
    for index, record in enumerate(found.images):
        by_dataset[record.dataset].append(index)
    placed = Placed(left_out=defaultdict(list))
    for number, indices in by_dataset.items():
        config, placer = placers[number].dataset.config, placers[number]
        held_back = _held_back(found.images, indices, config.validation_split)
        for index in indices:
            placements, reason = placer.place(found.images[index])
            if reason:
                placed.left_out[reason].append(index)
            measured = config.role == "validation" or index in held_back
            (placed.validation if measured else placed.placements).extend(placements)
    return Placed(placed.placements, placed.validation, dict(placed.left_out))


def deal(batches: Sequence[Batch], *, num_processes: int, process: int) -> list[Batch]:
    """Return one process's share, dealt round robin; the list is filled up from its start so that shares are equal."""
    number = len(batches)
    padded = -(-number // num_processes) * num_processes
    return [batches[index % number] for index in range(process, padded, num_processes)]


def count(schedule: Schedule, training: TrainingSection) -> StepCount:
    """Count the optimizer steps. Accumulation never crosses the end of an epoch."""

    def steps(epoch: int) -> int:
        per_process = math.ceil(schedule.num_batches(epoch) / schedule.num_processes)
        return math.ceil(per_process / training.gradient_accumulation_steps)

    epoch_steps = tuple(steps(epoch) for epoch in range(training.num_epochs))
    total = sum(epoch_steps)
    return StepCount(
        num_images=len({id(placement.record) for placement in schedule.placements}),
        samples_per_epoch=schedule.epoch_samples(0),
        batches_per_epoch=schedule.num_batches(0),
        steps_per_epoch=epoch_steps[0],
        num_epochs=training.num_epochs,
        total_steps=min(total, training.max_steps) if training.max_steps else total,
        epoch_steps=epoch_steps,
    )
