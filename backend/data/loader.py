"""Batches in a fixed order that any number of threads, processes and restarts agree on."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.config.data import DataSection
from backend.config.problems import UserError
from backend.data.cache import LatentCache, TextCache
from backend.data.captions import caption_rng, compose
from backend.data.images import read_rgb
from backend.data.plan import Batch as Indices
from backend.data.plan import Placement, deal, epoch_batches
from backend.data.transforms import prepare, to_array

# Batches made ahead of the one that is trained on, for each thread.
AHEAD = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a batch: latents (C, h, w) or pixels (3, H, W), and how it was cut; sizes are (height, width)."""

    image: Tensor
    caption: str
    text: dict[str, Tensor] | None
    original_size: tuple[int, int]
    crop_top_left: tuple[int, int]
    target_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one forward pass is given. `text` is set when captions are cached. (B, 2) long tensors: (height, width)."""

    images: Tensor
    captions: list[str]
    text: dict[str, Tensor] | None
    original_sizes: Tensor
    crop_top_lefts: Tensor
    target_sizes: Tensor

    def __len__(self) -> int:
        return len(self.captions)


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples of one bucket."""
    text = None
    if samples[0].text is not None:
        rows = [sample.text for sample in samples if sample.text is not None]
        text = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    return Batch(
        images=torch.stack([sample.image for sample in samples]),
        captions=[sample.caption for sample in samples],
        text=text,
        original_sizes=torch.tensor([sample.original_size for sample in samples]),
        crop_top_lefts=torch.tensor([sample.crop_top_left for sample in samples]),
        target_sizes=torch.tensor([sample.target_size for sample in samples]),
    )


class BatchStream:
    """The batches of one process. All that is random comes from (seed, epoch, place in the epoch)."""

    def __init__(
        self,
        placements: Sequence[Placement],
        data: DataSection,
        *,
        batch_size: int,
        seed: int,
        latents: LatentCache | None,
        texts: TextCache | None,
        process: int = 0,
        num_processes: int = 1,
    ) -> None:
        self.placements = placements
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.latents = latents
        self.texts = texts
        self.process = process
        self.num_processes = num_processes

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield this process's batches of an epoch from number `start` on, made ahead in threads."""
        order = epoch_batches(self.placements, batch_size=self.batch_size, seed=self.seed, epoch=epoch)
        share = deal(order, num_processes=self.num_processes, process=self.process)
        waiting: deque[Future[Batch]] = deque()
        num_threads = max(1, self.data.num_workers)
        with ThreadPoolExecutor(num_threads, thread_name_prefix="loader") as pool:
            try:
                for number in range(start, len(share)):
                    waiting.append(pool.submit(self._batch, share[number], epoch, number))
                    if len(waiting) > AHEAD * num_threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _batch(self, indices: Indices, epoch: int, number: int) -> Batch:
        keys = (f"{self.process}/{number}/{slot}" for slot in range(len(indices)))
        pairs = zip(indices, keys, strict=True)
        return collate(
            [self._sample(self.placements[index], caption_rng(self.seed, epoch, key)) for index, key in pairs]
        )

    def _sample(self, placement: Placement, rng: random.Random) -> Sample:
        caption = compose(placement.record.text, self.data, rng)
        flip = self.data.flip_augmentation and rng.random() < 0.5
        image, corner = self._image(placement, rng, flip=flip)
        record, (width, height) = placement.record, placement.bucket
        return Sample(
            image=image,
            caption=caption,
            text=self._text(caption),
            original_size=(record.height, record.width),
            crop_top_left=corner,
            target_size=(height, width),
        )

    def _image(self, placement: Placement, rng: random.Random, *, flip: bool) -> tuple[Tensor, tuple[int, int]]:
        """Return latents from the cache, or pixels; and the corner of the cut in the scaled picture."""
        if self.latents is not None:
            stored = self.latents.latents(self.latents.key(placement, flip=flip))
            if stored is None:
                raise UserError(
                    "cache_lost", "cache.dir", value=str(self.latents.folder), name=placement.record.path.name
                )
            return stored, centre_corner(placement)
        cut, corner = prepare(
            read_rgb(placement.record.path),
            bucket=placement.bucket,
            resized=placement.resized,
            data=self.data,
            rng=rng,
            flip=flip,
        )
        return torch.from_numpy(to_array(cut)), corner

    def _text(self, caption: str) -> dict[str, Tensor] | None:
        if self.texts is None:
            return None
        stored = self.texts.get(self.texts.key(caption))
        if stored is None:
            raise UserError("cache_lost", "cache.dir", value=str(self.texts.folder), name=caption[:60])
        return stored


def centre_corner(placement: Placement) -> tuple[int, int]:
    """Return (top, left) of the centre cut."""
    width, height = placement.resized
    return (height - placement.bucket[1]) // 2, (width - placement.bucket[0]) // 2
