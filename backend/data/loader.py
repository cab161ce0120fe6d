"""Batches in a fixed order that any number of threads, processes and restarts agree on."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.config.problems import Problem, UserError
from backend.data.cache import CONDITIONING, CORNER, LATENTS, MASK, LatentCache, TextCache
from backend.data.captions import caption_rng, compose, draw_key, full_captions
from backend.data.pictures import Pictures
from backend.data.plan import Batch as Draws
from backend.data.plan import Draw, Placement, Schedule, deal
from backend.data.samples import Moment, load_pixels

# Batches made ahead of the one that is trained on, for each thread.
AHEAD = 2
# How many pictures of the same bucket are tried in the place of one that cannot be read.
SUBSTITUTES = 8
# What is wrong with more than one picture: no other is taken instead.
FATAL = ("cache_lost", "code_failed")


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a batch: latents (C, h, w) or pixels (3, H, W), and how it was cut; sizes are (height, width)."""

    image: Tensor
    mask: Tensor | None
    conditioning: Tensor | None
    caption: str
    text: dict[str, Tensor] | None
    loss_weight: float
    is_prior: bool
    original_size: tuple[int, int]
    crop_top_left: tuple[int, int]
    target_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass is given.

    `images` are latents (B, C, h, w) when they are cached, else pixels (B, 3, H, W) in -1..1; `conditioning` likewise.
    `masks` (B, 1, h, w) in 0..1 at the size of the latents; None when no picture has one. `text` is set when captions
    are cached. Sizes and corners are (B, 2) long tensors: (height, width) or (top, left). `loss_weights` (B,);
    `is_prior` (B,) marks what is held to the frozen model's own answer.
    """

    images: Tensor
    masks: Tensor | None
    conditioning: Tensor | None
    captions: list[str]
    text: dict[str, Tensor] | None
    loss_weights: Tensor
    is_prior: Tensor
    original_sizes: Tensor
    crop_top_lefts: Tensor
    target_sizes: Tensor

    def __len__(self) -> int:
        return len(self.captions)


def _stack_masks(samples: Sequence[Sample]) -> Tensor | None:
    """Stack masks; a picture without one counts as a whole."""
    given = next((sample.mask for sample in samples if sample.mask is not None), None)
    if given is None:
        return None
    rows = [torch.ones_like(given) if sample.mask is None else sample.mask for sample in samples]
    return torch.stack(rows).unsqueeze(1)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one bucket."""
    text = None
    if samples[0].text is not None:
        rows = [sample.text for sample in samples if sample.text is not None]
        text = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    pairs = [sample.conditioning for sample in samples if sample.conditioning is not None]
    return Batch(
        images=torch.stack([sample.image for sample in samples]),
        masks=_stack_masks(samples),
        conditioning=torch.stack(pairs) if len(pairs) == len(samples) else None,
        captions=[sample.caption for sample in samples],
        text=text,
        loss_weights=torch.tensor([sample.loss_weight for sample in samples]),
        is_prior=torch.tensor([sample.is_prior for sample in samples]),
        original_sizes=torch.tensor([sample.original_size for sample in samples]),
        crop_top_lefts=torch.tensor([sample.crop_top_left for sample in samples]),
        target_sizes=torch.tensor([sample.target_size for sample in samples]),
    )


@dataclass(frozen=True, slots=True)
class SampleReader:
    """Makes samples: from the caches where there are any, else from the files."""

    pictures: Pictures
    latents: LatentCache | None
    texts: TextCache | None
    seed: int
    prior_loss_weight: float
    # Pixels per latent along a side.
    scale_factor: int

    def sample(self, placement: Placement, moment: Moment, rng: random.Random) -> Sample:
        """Make one sample; all that is random comes from `rng`.

        Raises:
            UserError: The picture cannot be read, or a cache was lost.
        """
        record, dataset = placement.record, self.pictures.datasets[placement.record.dataset]
        flip = dataset.rules.flip_augmentation and rng.random() < 0.5
        caption = compose(
            record,
            dataset.rules,
            rng,
            epoch=moment.epoch,
            step=moment.step,
            total_steps=moment.total_steps,
            seed=self.seed,
            code=self.pictures.code_of(record),
            flip=flip,
            bucket=placement.bucket,
        )
        return self._finish(placement, caption, rng, flip=flip)

    def plain_sample(self, placement: Placement) -> Sample:
        """Make the sample of a picture as it is: never mirrored, with its first caption. Raises as `sample`."""
        record = placement.record
        caption = full_captions(record, self.pictures.rules_of(record))[0]
        sample = self._finish(placement, caption, caption_rng(self.seed, 0, draw_key(record)), flip=False)
        # A measurement: pictures that count less in training do not count less here.
        return replace(sample, loss_weight=1.0, is_prior=False)

    def _finish(self, placement: Placement, caption: str, rng: random.Random, *, flip: bool) -> Sample:
        record, dataset = placement.record, self.pictures.datasets[placement.record.dataset]
        tensors = self._image(placement, rng, flip=flip)
        top, left = tensors[CORNER].tolist()
        is_regular = dataset.config.role in ("regularization", "prior")
        width, height = placement.bucket
        return Sample(
            image=tensors[LATENTS],
            mask=tensors.get(MASK),
            conditioning=tensors.get(CONDITIONING),
            caption=caption,
            text=self._text(caption),
            loss_weight=dataset.config.loss_weight * (self.prior_loss_weight if is_regular else 1.0),
            is_prior=dataset.config.role == "prior",
            original_size=(record.height, record.width),
            crop_top_left=(top, left),
            target_size=(height, width),
        )

    def _image(self, placement: Placement, rng: random.Random, *, flip: bool) -> dict[str, Tensor]:
        """Return latents from the cache, or pixels; with the corner of the cut, mask and pair."""
        if self.latents is None:
            return load_pixels(placement, self.pictures, rng, flip=flip, scale_factor=self.scale_factor)
        stored = self.latents.get(placement, flip=flip)
        if stored is None:
            self.latents.store.doubt(self.latents.key(placement, flip=flip))
            raise UserError("cache_lost", "cache.dir", name=placement.record.name)
        return stored

    def _text(self, caption: str) -> dict[str, Tensor] | None:
        if self.texts is None:
            return None
        stored = self.texts.get(caption)
        if stored is None:
            self.texts.store.doubt(self.texts.key(caption))
            raise UserError("cache_lost", "cache.dir", name=caption[:60])
        return stored


def warn_once(warn: Callable[[Problem], None] | None) -> Callable[[Problem], None] | None:
    """Return what tells of the same problem only once: a bad picture is met again in every epoch."""
    if warn is None:
        return None
    told: set[str] = set()

    def tell(problem: Problem) -> None:
        text = repr(problem)
        if text not in told:
            told.add(text)
            warn(problem)

    return tell


class BatchStream:
    """The batches of one process. All that is random comes from (seed, epoch, picture, its turn in the epoch)."""

    def __init__(
        self,
        schedule: Schedule,
        reader: SampleReader,
        *,
        steps_before: Callable[[int, int], int],
        total_steps: int,
        num_workers: int = 0,
        process: int = 0,
        num_processes: int = 1,
        warn: Callable[[Problem], None] | None = None,
    ) -> None:
        """Args:
        schedule: Which pictures are seen when.
        reader: What makes the samples.
        steps_before: The optimizer steps that come before batch n of this process in an epoch.
        total_steps: Of the run.
        num_workers: Threads; 0 is one.
        process: The number of this process.
        num_processes: How many there are.
        warn: Told of pictures that turn out bad in the middle; None where that is an error.
        """
        self.schedule = schedule
        self.reader = reader
        self.steps_before = steps_before
        self.total_steps = total_steps
        self.num_threads = max(1, num_workers)
        self.process = process
        self.num_processes = num_processes
        self.warn = warn_once(warn)

    @property
    def latents(self) -> LatentCache | None:
        """The cache that the images come from; None when they are pixels."""
        return self.reader.latents

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield this process's batches of an epoch from number `start` on, made ahead in threads."""
        share = deal(self.schedule.batches(epoch), num_processes=self.num_processes, process=self.process)
        waiting: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="loader") as pool:
            try:
                for number in range(start, len(share)):
                    moment = Moment(epoch, self.steps_before(epoch, number), self.total_steps)
                    waiting.append(pool.submit(self._batch, share[number], moment))
                    if len(waiting) > AHEAD * self.num_threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _batch(self, draws: Draws, moment: Moment) -> Batch:
        return collate([self._sample(draw, moment) for draw in draws])

    def _sample(self, draw: Draw, moment: Moment) -> Sample:
        """Make a sample; for a picture that turns out bad another of its bucket stands in, the same in every run."""
        index, occurrence = draw
        for candidate in (index, *self.schedule.neighbours(index, SUBSTITUTES)):
            placement = self.schedule.placements[candidate]
            rng = caption_rng(self.reader.seed, moment.epoch, draw_key(placement.record, occurrence))
            try:
                return self.reader.sample(placement, moment, rng)
            except UserError as error:
                if self.warn is None or error.problem.code in FATAL:
                    raise
                self.warn(error.problem)
                failed = error
        raise failed


class ValidationSet:
    """Pictures that are only measured, one at a time, never mirrored and with their first caption."""

    def __init__(
        self, placements: Sequence[Placement], reader: SampleReader, *, warn: Callable[[Problem], None] | None = None
    ) -> None:
        self.placements = placements
        self.reader = reader
        self.warn = warn_once(warn)

    def __len__(self) -> int:
        return len(self.placements)

    def title(self, number: int) -> str:
        """Return the data set of a picture."""
        return self.reader.pictures.datasets[self.placements[number].record.dataset].title

    def batch(self, number: int) -> Batch | None:
        """Return a picture as a batch of one; None when it turned bad, where that is no error."""
        try:
            return collate([self.reader.plain_sample(self.placements[number])])
        except UserError as error:
            if self.warn is None or error.problem.code in FATAL:
                raise
            self.warn(error.problem)
            return None
