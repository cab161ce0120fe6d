"""The numbers of a report: sizes, buckets, crops, captions and tags of data sets. Nothing here reads a file."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backend.config.captions import CaptionRules
from backend.config.root import TrainConfig
from backend.data.buckets import Size
from backend.data.captions import full_captions, tags_of
from backend.data.datasets import Dataset
from backend.data.plan import BatchGroup, Placed, Schedule, place
from backend.data.quality import Seen
from backend.data.records import ImageRecord, Scan
from backend.families.tokens import TokenCounter

MEGAPIXELS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
ASPECTS = (0.4, 0.5, 0.6, 0.75, 0.9, 1.1, 1.34, 1.67, 2.0, 2.5)
NUM_EXAMPLES = 6
NUM_CROPS = 10
NUM_TAGS = 200
# Captions whose tokens are counted at once: for the memory's sake.
NUM_PER_CHUNK = 8192


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values are below the first edge, between each two, and from the last on: one count more than edges."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BucketRow:
    """What the first epoch does with one bucket, (width, height).

    Pictures and samples are the data set's own; batches are those of the bucket, which data sets share. `num_repeated`
    samples are shown once more to fill the last batch; `num_dropped` are not shown. `examples` index the scan's images.
    """

    size: Size
    num_images: int
    num_samples: int
    num_batches: int
    num_repeated: int
    num_dropped: int
    examples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CropRow:
    """A picture, by its index in the scan, and the share of its area that is cut away."""

    record: int
    share: float


@dataclass(frozen=True, slots=True)
class CaptionStats:
    """Pictures by what is the matter with their captions. Tokens are of the full caption, with trigger word, prefix and
    suffix; `limit` is what the model reads."""

    num_missing: int
    num_empty: int
    num_long: int
    num_duplicated: int
    num_without_trigger: int
    mean_tokens: float
    most_tokens: int
    limit: int


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """The numbers of one data set, or of all (`field` is "data" then).

    `num_images` counts those found; `num_trained` those that are trained, `num_validation` those that are only
    measured. `num_samples` are those of the first epoch; `repeats` the least and the most of a picture's.
    """

    title: str
    role: str
    field: str
    num_images: int
    num_trained: int
    num_validation: int
    num_samples: int
    repeats: tuple[float, float]
    megapixels: Histogram
    aspects: Histogram
    buckets: tuple[BucketRow, ...]
    crops: tuple[CropRow, ...]
    captions: CaptionStats
    tags: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class View:
    """A scan with everything that several parts of a report ask for.

    By picture: `owners` is its data set, `tokens` what the longest of its full captions has. By placement: `trained` is
    the index of its picture, `samples` how often the first epoch shows it, `cut` the share that is cut away.
    `validation` are the indices of pictures that are only measured.
    """

    config: TrainConfig
    found: Scan
    placed: Placed
    schedule: Schedule
    seen: Seen
    groups: list[BatchGroup]
    limit: int
    owners: NDArray[np.int64]
    tokens: NDArray[np.int64]
    trained: NDArray[np.int64]
    validation: NDArray[np.int64]
    samples: NDArray[np.int64]
    cut: NDArray[np.float64]

    def members(self, dataset: int) -> NDArray[np.int64]:
        """Return the indices of a data set's pictures."""
        return np.flatnonzero(self.owners == dataset)


def view(config: TrainConfig, found: Scan, seen: Seen, counter: TokenCounter) -> View:
    """Place the pictures of a scan, schedule them and count the tokens of their captions."""
    placed = place(found)
    schedule = Schedule(
        placed.placements,
        found.datasets,
        config.data,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        num_processes=config.hardware.num_processes,
    )
    numbers = {id(record): number for number, record in enumerate(found.images)}
    return View(
        config=config,
        found=found,
        placed=placed,
        schedule=schedule,
        seen=seen,
        groups=schedule.batch_groups(0),
        limit=counter.limit,
        owners=np.array([record.dataset for record in found.images], np.int64),
        tokens=_most_tokens(found, counter),
        trained=np.array([numbers[id(item.record)] for item in placed.placements], np.int64),
        validation=np.unique(np.array([numbers[id(item.record)] for item in placed.validation], np.int64)),
        samples=schedule.sample_counts(0),
        cut=_cut(schedule),
    )


def _most_tokens(found: Scan, counter: TokenCounter) -> NDArray[np.int64]:
    """Return the tokens of the longest caption of each picture: (num_images,)."""
    most: list[int] = []
    for start in range(0, len(found.images), NUM_PER_CHUNK):
        chunk = found.images[start : start + NUM_PER_CHUNK]
        texts = [full_captions(record, found.datasets[record.dataset].rules) for record in chunk]
        counts = iter(counter.counts([text for some in texts for text in some]))
        most += [max(next(counts) for _ in some) for some in texts]
    return np.array(most, np.int64)


def _cut(schedule: Schedule) -> NDArray[np.float64]:
    """Return the share of each placement's area that is cut away: (num_placements,)."""
    sizes = np.array([(*item.bucket, *item.resized) for item in schedule.placements], np.float64).reshape(-1, 4)
    return 1 - sizes[:, 0] * sizes[:, 1] / (sizes[:, 2] * sizes[:, 3]) if len(sizes) else np.zeros(0)


def reports(shown: View) -> tuple[tuple[DatasetReport, ...], DatasetReport]:
    """Return the numbers of every data set of a scan, and of all together."""
    tags = [tag_counts(shown.found, shown.members(dataset.index).tolist()) for dataset in shown.found.datasets]
    rows = tuple(
        _report(shown, shown.members(dataset.index), counts, dataset)
        for dataset, counts in zip(shown.found.datasets, tags, strict=True)
    )
    everything = tags[0] if len(tags) == 1 else sum(tags, Counter())
    return rows, _report(shown, np.arange(len(shown.found.images)), everything)


def _report(
    shown: View, members: NDArray[np.int64], tags: Counter[str], dataset: Dataset | None = None
) -> DatasetReport:
    records = [shown.found.images[index] for index in members.tolist()]
    is_ours = np.isin(shown.trained, members)
    repeats = [record.num_repeats for record in records] or [0.0]
    return DatasetReport(
        title=dataset.title if dataset else "",
        role=dataset.config.role if dataset else "",
        field=dataset.field if dataset else "data",
        num_images=len(records),
        num_trained=len(np.unique(shown.trained[is_ours])),
        num_validation=int(np.isin(shown.validation, members).sum()),
        num_samples=int(shown.samples[is_ours].sum()),
        repeats=(min(repeats), max(repeats)),
        megapixels=histogram((record.width * record.height / 1e6 for record in records), MEGAPIXELS),
        aspects=histogram((record.width / record.height for record in records), ASPECTS),
        buckets=_bucket_rows(shown, is_ours),
        crops=worst_crops(shown, is_ours),
        captions=_caption_stats(shown, members),
        tags=tuple(tags.most_common(NUM_TAGS)),
    )


def histogram(values: Iterable[float], edges: tuple[float, ...]) -> Histogram:
    """Count values between edges; a value on an edge counts above it."""
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[bisect_right(edges, value)] += 1
    return Histogram(edges, tuple(counts))


def _bucket_rows(shown: View, is_ours: NDArray[np.bool_]) -> tuple[BucketRow, ...]:
    """Return a row for each bucket that some placements are in, with the batches of all that share it."""
    ours: dict[Size, list[int]] = defaultdict(list)
    for number in np.flatnonzero(is_ours).tolist():
        ours[shown.schedule.placements[number].bucket].append(number)
    groups: dict[Size, list[BatchGroup]] = defaultdict(list)
    for group in shown.groups:
        groups[group.bucket].append(group)
    return tuple(
        BucketRow(
            size=size,
            num_images=len(numbers),
            num_samples=int(shown.samples[numbers].sum()),
            num_batches=sum(group.num_batches for group in groups[size]),
            num_repeated=sum(group.num_repeated for group in groups[size]),
            num_dropped=sum(group.num_dropped for group in groups[size]),
            examples=tuple(shown.trained[numbers[:NUM_EXAMPLES]].tolist()),
        )
        for size, numbers in sorted(ours.items())
    )


def worst_crops(shown: View, is_ours: NDArray[np.bool_], most: int = NUM_CROPS) -> tuple[CropRow, ...]:
    """Return the pictures of which most is cut away, the worst first; each once."""
    numbers = np.flatnonzero(is_ours & (shown.cut > 0))
    worst: dict[int, float] = {}
    for number in numbers[np.argsort(-shown.cut[numbers], kind="stable")].tolist():
        worst.setdefault(int(shown.trained[number]), float(shown.cut[number]))
        if len(worst) == most:
            break
    return tuple(CropRow(record, share) for record, share in worst.items())


def is_missing(record: ImageRecord) -> bool:
    """Tell whether nothing was written for a picture: no caption, no description, no default caption."""
    return not record.captions and not record.description and not record.class_tokens


def is_empty(record: ImageRecord) -> bool:
    """Tell whether a picture has captions, but nothing is in them."""
    return bool(record.captions) and not record.description and not any(text.strip() for text in record.captions)


def lacks_trigger(record: ImageRecord, rules: CaptionRules) -> bool:
    """Tell whether a caption as written does not have the trigger word, which is then put in front of it."""
    trigger = rules.trigger_word.strip()
    return bool(trigger) and trigger not in record.text


def duplicated(records: Sequence[ImageRecord]) -> list[bool]:
    """Tell of each picture whether its own caption is also another's."""
    counts = Counter(record.text for record in records if record.captions or record.description)
    return [bool(record.captions or record.description) and counts[record.text] > 1 for record in records]


def _caption_stats(shown: View, members: NDArray[np.int64]) -> CaptionStats:
    records = [shown.found.images[index] for index in members.tolist()]
    tokens = shown.tokens[members]
    datasets = shown.found.datasets
    return CaptionStats(
        num_missing=sum(map(is_missing, records)),
        num_empty=sum(map(is_empty, records)),
        num_long=int((tokens > shown.limit).sum()),
        num_duplicated=sum(duplicated(records)),
        num_without_trigger=sum(lacks_trigger(record, datasets[record.dataset].rules) for record in records),
        mean_tokens=float(tokens.mean()) if len(tokens) else 0.0,
        most_tokens=int(tokens.max(initial=0)),
        limit=shown.limit,
    )


def tag_counts(found: Scan, members: Iterable[int]) -> Counter[str]:
    """Return how often each tag comes up in captions as written."""
    counts: Counter[str] = Counter()
    for index in members:
        record = found.images[index]
        rules = found.datasets[record.dataset].rules
        for caption in record.captions or (record.class_tokens,):
            for mark in (rules.keep_tokens_separator, rules.secondary_separator, "\n"):
                if mark and mark in caption:
                    caption = caption.replace(mark, rules.caption_separator)
            counts.update(tags_of(caption, rules))
    return counts
