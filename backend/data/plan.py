"""From pictures to batches: what is seen in which epoch, in which order, and how many steps that makes."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.config.data import DataSection
from backend.config.training import TrainingSection
from backend.data.buckets import Size, buckets_of, choose
from backend.data.scan import ImageRecord

Batch = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Placement:
    """A picture and the size it is trained at; (width, height)."""

    record: ImageRecord
    bucket: Size
    resized: Size


@dataclass(frozen=True, slots=True)
class StepCount:
    """The arithmetic of a run, exactly as the loop counts."""

    num_images: int
    samples_per_epoch: int
    batches_per_epoch: int
    steps_per_epoch: int
    num_epochs: int
    total_steps: int


def place(records: Iterable[ImageRecord], data: DataSection) -> list[Placement]:
    """Give every picture its bucket."""
    buckets = buckets_of(data)
    placements = []
    for record in records:
        choice = choose((record.width, record.height), data, buckets)
        placements.append(Placement(record, choice.bucket, choice.resized))
    return placements


def _samples_by_bucket(placements: Sequence[Placement]) -> dict[Size, list[int]]:
    samples: dict[Size, list[int]] = defaultdict(list)
    for index, placement in enumerate(placements):
        samples[placement.bucket] += [index] * placement.record.num_repeats
    return samples


def num_batches(placements: Sequence[Placement], batch_size: int) -> int:
    """Return the batches of one epoch: each bucket's last one may be short, none is lost."""
    return sum(math.ceil(len(samples) / batch_size) for samples in _samples_by_bucket(placements).values())


def epoch_batches(placements: Sequence[Placement], *, batch_size: int, seed: int, epoch: int) -> list[Batch]:
    """Return one epoch's batches as indices into the placements, shuffled within and across buckets.

    The same seed and epoch give the same batches everywhere.
    """
    rng = random.Random(seed + epoch)
    batches: list[Batch] = []
    for _, samples in sorted(_samples_by_bucket(placements).items()):
        rng.shuffle(samples)
        batches += [tuple(samples[start : start + batch_size]) for start in range(0, len(samples), batch_size)]
    rng.shuffle(batches)
    return batches


def deal(batches: Sequence[Batch], *, num_processes: int, process: int) -> list[Batch]:
    """Return one process's share, dealt round robin; the list is filled up from its start so that shares are equal."""
    if not batches:
        return []
    padded = list(batches)
    for index in range(-len(batches) % num_processes):
        padded.append(batches[index % len(batches)])
    return padded[process::num_processes]


def count(placements: Sequence[Placement], training: TrainingSection, *, num_processes: int) -> StepCount:
    """Count the optimizer steps. Accumulation never crosses the end of an epoch."""
    batches = num_batches(placements, training.batch_size)
    per_process = math.ceil(batches / num_processes)
    steps = math.ceil(per_process / training.gradient_accumulation_steps)
    total = steps * training.num_epochs
    return StepCount(
        num_images=len(placements),
        samples_per_epoch=sum(placement.record.num_repeats for placement in placements),
        batches_per_epoch=batches,
        steps_per_epoch=steps,
        num_epochs=training.num_epochs,
        total_steps=min(total, training.max_steps) if training.max_steps else total,
    )
