"""Which pictures are seen in which epoch, how often, and in which batches. All arithmetic is exact."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from backend.config.data import DataSection
from backend.data.buckets import Size
from backend.data.datasets import Dataset
from backend.data.records import ImageRecord

Draw = tuple[int, int]  # (index of the placement, which of its showings in this epoch, from 0)
Batch = tuple[Draw, ...]
# What one batch must have in common: its size in pixels, its length, and whether pictures come with a paired one.
GroupKey = tuple[Size, int, bool]

# Repeats and weights are taken as the nearest fraction with a denominator up to this: 0.1 is meant as 1/10.
FINEST = 10**6
REGULARIZING = ("regularization", "prior")


@dataclass(frozen=True, slots=True)
class Placement:
    """A picture and the size it is trained at; (width, height)."""

    record: ImageRecord
    bucket: Size
    resized: Size


@dataclass(frozen=True, slots=True)
class BatchGroup:
    """What one epoch does with the pictures that can share a batch. Samples are before repeating and dropping."""

    bucket: Size
    batch_size: int
    has_conditioning: bool
    num_images: int
    num_samples: int
    num_batches: int
    num_repeated: int
    num_dropped: int


def exact(value: float) -> Fraction:
    """Return the fraction that a decimal number is meant as."""
    return Fraction(value).limit_denominator(FINEST)


def _shuffled(number: int, *seeds: int) -> np.ndarray:
    """Return 0..number-1 in an order that depends on the seeds alone, in all versions of numpy: int64 (number,)."""
    bits = np.random.PCG64(np.random.SeedSequence([seed % 2**64 for seed in seeds]))
    return np.argsort(bits.random_raw(number), kind="stable")


class _Turn:
    """Pictures of one data set with the same repeats, which take turns where the repeats are no whole number.

    After a dose of x each has been shown floor(x) times, and the first share of them, in a fixed shuffled order, once
    more: whenever x is whole, all have been seen equally often.
    """

    def __init__(self, members: np.ndarray, repeats: Fraction, *, seeds: Sequence[int]) -> None:
        self.members = members
        self.repeats = repeats
        self.order = _shuffled(len(members), *seeds)

    def total(self, dose: Fraction) -> int:
        """Return how many samples have been shown in all after a dose."""
        return math.floor(self.repeats * dose * len(self.members))

    def phase(self, before: Fraction, after: Fraction) -> tuple[int, int]:
        """Return what decides which are shown how often between two doses."""
        start = self.total(before)
        return start % len(self.members), self.total(after) - start

    def add_counts(self, counts: np.ndarray, before: Fraction, after: Fraction) -> None:
        """Add to `counts` (one of each placement) what is shown between two doses."""
        number = len(self.members)
        whole_before, part_before = divmod(self.total(before), number)
        whole_after, part_after = divmod(self.total(after), number)
        counts[self.members] += whole_after - whole_before
        counts[self.members[self.order[:part_after]]] += 1
        counts[self.members[self.order[:part_before]]] -= 1


class _Source:
    """The placements of one data set, and when and how often they are shown."""

    def __init__(self, dataset: Dataset, members: np.ndarray, repeats: np.ndarray, *, seed: int) -> None:
        self.dataset = dataset
        self.members = members
        config = dataset.config
        if config.num_samples:
            rates = np.zeros(len(members))
            kinds = {0.0: Fraction(config.num_samples, len(members))}
        else:
            rates = repeats
            kinds = {value: exact(value) for value in np.unique(repeats).tolist()}
        self.turns = [
            _Turn(members[rates == value], rate, seeds=(seed, dataset.index, number))
            for number, (value, rate) in enumerate(sorted(kinds.items()))
        ]

    @property
    def rate(self) -> Fraction:
        """Samples of one epoch, on average."""
        return sum((turn.repeats * len(turn.members) for turn in self.turns), Fraction())

    def takes_part(self, epoch: int) -> bool:
        config = self.dataset.config
        return config.start_epoch <= epoch + 1 and (not config.end_epoch or epoch + 1 <= config.end_epoch)

    def add_counts(self, counts: np.ndarray, before: Fraction, after: Fraction) -> None:
        for turn in self.turns:
            turn.add_counts(counts, before, after)


def _has_conditioning(record: ImageRecord, dataset: Dataset) -> bool:
    kind = dataset.config.conditioning
    return kind != "none" and (kind != "folder" or bool(record.conditioning))


def fill_up(counts: np.ndarray, wanted: int) -> np.ndarray:
    """Return how often regularization pictures are shown when `wanted` samples are learned; sd-scripts' rule.

    In their order they are taken with their repeats until there are enough; the rest is not used. When all of them are
    too few, each is shown once more, again and again from the first.
    """
    start = np.cumsum(counts) - counts
    taken = np.where(start < wanted, counts, 0)
    used = np.flatnonzero(taken)
    missing = wanted - int(taken.sum())
    if len(used) and missing > 0:
        rounds, rest = divmod(missing, len(used))
        taken[used] += rounds
        taken[used[:rest]] += 1
    return taken


class Schedule:
    """The batches of every epoch. The same seed gives the same ones everywhere, however many processes share them.

    Args:
        placements: Every picture that is trained, at each of its sizes.
        datasets: The data sets that their records name by index.
        data: How data sets are mixed, and what becomes of batches that are not full.
        batch_size: Where a data set has none of its own.
        seed: Decides the order.
        num_processes: For counting steps only.
    """

    def __init__(
        self,
        placements: Sequence[Placement],
        datasets: Sequence[Dataset],
        data: DataSection,
        *,
        batch_size: int,
        seed: int,
        num_processes: int = 1,
    ) -> None:
        self.placements = placements
        self.datasets = datasets
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.num_processes = num_processes
        by_index = {dataset.index: dataset for dataset in datasets}
        self.groups: list[GroupKey] = []
        self._group_of = self._find_groups(by_index, batch_size)
        # The placements group by group, and where each group starts in them.
        self._by_group = np.argsort(self._group_of, kind="stable")
        self._starts = np.searchsorted(self._group_of[self._by_group], np.arange(len(self.groups) + 1)).tolist()
        sources = self._find_sources(by_index)
        self._learned = [source for source in sources if source.dataset.config.role not in REGULARIZING]
        self._regularizing = [source for source in sources if source.dataset.config.role in REGULARIZING]
        # For each epoch so far, the dose that each learned source had had before it.
        self._doses: list[tuple[Fraction, ...]] = [tuple(Fraction() for _ in self._learned)]
        self._known: dict[object, np.ndarray] = {}

    def _find_groups(self, datasets: dict[int, Dataset], batch_size: int) -> np.ndarray:
        """Number the groups, sorted, and return the number of each placement's: int32 (num_placements,)."""
        sizes = {index: dataset.config.batch_size or batch_size for index, dataset in datasets.items()}
        keys = [
            (item.bucket, sizes[item.record.dataset], _has_conditioning(item.record, datasets[item.record.dataset]))
            for item in self.placements
        ]
        self.groups = sorted(set(keys))
        numbers = {key: number for number, key in enumerate(self.groups)}
        return np.fromiter((numbers[key] for key in keys), np.int32, len(keys))

    def _find_sources(self, datasets: dict[int, Dataset]) -> list[_Source]:
        number = len(self.placements)
        owners = np.fromiter((item.record.dataset for item in self.placements), np.int32, number)
        repeats = np.fromiter((item.record.num_repeats for item in self.placements), np.float64, number)
        sources = []
        for index in np.unique(owners).tolist():
            members = np.flatnonzero(owners == index)
            sources.append(_Source(datasets[index], members, repeats[members], seed=self.seed))
        return sources

    def _dose(self, epoch: int) -> tuple[Fraction, ...]:
        """Return how many times each learned source has been gone through before an epoch."""
        while len(self._doses) <= epoch:
            before = self._doses[-1]
            steps = self._portions(len(self._doses) - 1)
            self._doses.append(tuple(dose + step for dose, step in zip(before, steps, strict=True)))
        return self._doses[epoch]

    def _portions(self, epoch: int) -> list[Fraction]:
        """Return how much of each learned source an epoch shows: 1 is as often as its repeats say."""
        active = [Fraction(source.takes_part(epoch)) for source in self._learned]
        if self.data.mixing == "size":
            return active
        equal = self.data.mixing == "equal"
        weights = [
            part * (1 if equal else exact(source.dataset.config.weight)) if source.rate else Fraction()
            for source, part in zip(self._learned, active, strict=True)
        ]
        length = sum((source.rate * part for source, part in zip(self._learned, active, strict=True)), Fraction())
        whole = sum(weights, Fraction())
        return [
            length * weight / whole / source.rate if weight else Fraction()
            for source, weight in zip(self._learned, weights, strict=True)
        ]

    def _signature(self, epoch: int) -> object:
        """Return a value that is equal for epochs that show every picture equally often."""
        spans = list(zip(self._learned, self._dose(epoch), self._dose(epoch + 1), strict=True))
        spans += [(source, *self._regular_span(source, epoch)) for source in self._regularizing]
        return tuple(turn.phase(before, after) for source, before, after in spans for turn in source.turns)

    def _regular_span(self, source: _Source, epoch: int) -> tuple[Fraction, Fraction]:
        """Return the doses of regularization pictures before and after an epoch."""
        return Fraction(epoch), Fraction(epoch + source.takes_part(epoch))

    def sample_counts(self, epoch: int) -> np.ndarray:
        """Return how often each placement is shown in an epoch, before batches are filled or dropped: int64."""
        counts = np.zeros(len(self.placements), np.int64)
        for source, before, after in zip(self._learned, self._dose(epoch), self._dose(epoch + 1), strict=True):
            source.add_counts(counts, before, after)
        if self._regularizing:
            wanted = int(counts.sum())
            for source in self._regularizing:
                source.add_counts(counts, *self._regular_span(source, epoch))
            members = np.concatenate([source.members for source in self._regularizing])
            counts[members] = fill_up(counts[members], wanted)
        return counts

    def _group_samples(self, epoch: int) -> np.ndarray:
        """Return the samples of each group in an epoch: int64 (num_groups,)."""
        signature = self._signature(epoch)
        if signature not in self._known:
            sums = np.bincount(self._group_of, weights=self.sample_counts(epoch), minlength=len(self.groups))
            self._known[signature] = sums.astype(np.int64)
        return self._known[signature]

    def neighbours(self, index: int, number: int) -> list[int]:
        """Return up to `number` placements of the same group that come after one, from its end on from the first."""
        group = int(self._group_of[index])
        same = self._by_group[self._starts[group] : self._starts[group + 1]]
        place = int(np.searchsorted(same, index))
        return [int(same[(place + 1 + step) % len(same)]) for step in range(min(number, len(same) - 1))]

    def epoch_samples(self, epoch: int) -> int:
        """Return the samples of an epoch, before batches are filled or dropped."""
        return int(self._group_samples(epoch).sum())

    def regularization_samples(self, epoch: int) -> int:
        """Return how many of an epoch's samples are regularization pictures or such for prior preservation."""
        counts = self.sample_counts(epoch)
        return sum(int(counts[source.members].sum()) for source in self._regularizing)

    def _num_batches(self, samples: int, batch_size: int) -> int:
        return samples // batch_size if self.data.small_buckets == "drop" else -(-samples // batch_size)

    def num_batches(self, epoch: int) -> int:
        """Return the batches of an epoch over all processes; exactly as many as `batches` gives."""
        samples = self._group_samples(epoch).tolist()
        return sum(self._num_batches(number, key[1]) for number, key in zip(samples, self.groups, strict=True))

    def batch_groups(self, epoch: int) -> list[BatchGroup]:
        """Return what an epoch does with each bucket, for reports."""
        counts = self.sample_counts(epoch)
        images = np.bincount(self._group_of, weights=counts > 0, minlength=len(self.groups)).astype(int).tolist()
        rows = []
        for number, (bucket, size, paired) in enumerate(self.groups):
            samples = int(self._group_samples(epoch)[number])
            batches = self._num_batches(samples, size)
            places = batches * size
            repeated = max(0, places - samples) if self.data.small_buckets == "repeat" else 0
            dropped = max(0, samples - places)
            rows.append(BatchGroup(bucket, size, paired, images[number], samples, batches, repeated, dropped))
        return rows

    def batches(self, epoch: int) -> list[Batch]:
        """Return an epoch's batches (epochs count from 0), shuffled within and across buckets."""
        counts = self.sample_counts(epoch)
        drawn = np.repeat(np.arange(len(counts)), counts)
        first = np.cumsum(counts) - counts
        showings = np.arange(len(drawn)) - first[drawn]
        order = _shuffled(len(drawn), self.seed, epoch)
        order = order[np.argsort(self._group_of[drawn[order]], kind="stable")]
        edges = np.cumsum(self._group_samples(epoch)).tolist()
        batches: list[Batch] = []
        for start, end, key in zip([0, *edges], edges, self.groups, strict=False):
            batches += self._cut(drawn[order[start:end]], showings[order[start:end]], counts, key[1])
        return [batches[index] for index in _shuffled(len(batches), self.seed, epoch, 1).tolist()]

    def _cut(self, drawn: np.ndarray, showings: np.ndarray, counts: np.ndarray, size: int) -> list[Batch]:
        """Cut the shuffled samples of a group into batches, and see to the last one."""
        draws = list(zip(drawn.tolist(), showings.tolist(), strict=True))
        if draws and self.data.small_buckets == "repeat":
            missing = -len(draws) % size
            shown = {index: int(counts[index]) for index, _ in draws[:missing]}
            for number in range(missing):
                index = draws[number][0]
                draws.append((index, shown[index]))
                shown[index] += 1
        length = self._num_batches(len(draws), size) * size
        return [tuple(draws[start : start + size]) for start in range(0, min(length, len(draws)), size)]
