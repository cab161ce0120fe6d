"""Fill the caches before training: each picture through the VAE once, each caption through the text encoders once.

While a batch is encoded, the pictures of the next ones are read and scaled in threads, and the last one is written.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor

from backend.config.problems import Problem, UserError
from backend.data.cache import CONDITIONING, LATENTS, LatentCache, MemoryStore, Store, TextCache
from backend.data.captions import all_captions, caption_rng, draw_key, full_captions
from backend.data.pictures import Pictures
from backend.data.plan import Placement
from backend.data.samples import load_pixels
from backend.data.shards import Tensors
from backend.families.base import Family
from backend.training.distributed import gathered

Name = tuple[int, str]  # data set and name of a picture
Job = tuple[Placement, bool]  # a picture at one size, and whether it is mirrored
# Key and pixels, what keeps them from being made, or None for what the cache turns out to have.
Entries = list[tuple[str, Tensors, Mapping[str, object]]]
Result = tuple[str, Tensors] | UserError | None
VAE_BATCH = 4
TEXT_BATCH = 16
NUM_DECODERS = 4
# Batches whose pictures are read ahead of the one that is encoded.
AHEAD = 4
# How often a filling run looks for what other runs have written meanwhile, and notes what it has read, in batches.
LOOK_EVERY = 8
# Without a cache, so many pictures at most are decoded before training; of more, a bad one is found in its turn.
CHECKED_AHEAD = 20_000


Item = TypeVar("Item")


class Stopped(Exception):
    """The user asked to stop before training began."""


class Teller(Protocol):
    """Whoever is told of the progress: the reporter of a run, or the console."""

    def progress(self, done: int, total: int, unit: str) -> None: ...

    def warn(self, problem: Problem) -> None: ...


@dataclass(frozen=True, slots=True)
class Filler:
    """What filling a cache needs of its surroundings."""

    pictures: Pictures
    state: PartialState
    teller: Teller
    stop: Callable[[], bool]
    seed: int
    strict: bool

    def agree_to_go_on(self) -> None:
        """Stop in all processes if any was asked to: none may be left waiting for the others.

        Raises:
            Stopped: The user asked for it.
        """
        if any(gathered(self.state, [self.stop()])):
            raise Stopped

    def share(self, items: Sequence[Item], store: Store) -> list[Item]:
        """Return what this process makes: its part of what is kept for all, all of what only it has."""
        if isinstance(store, MemoryStore):
            return list(items)
        return list(items[self.state.process_index :: self.state.num_processes])

    def without_bad(self, placements: Sequence[Placement], bad: Mapping[Name, Problem]) -> list[Placement]:
        """Tell of pictures that cannot be used, over all processes, and return the placements without them.

        Raises:
            UserError: The data is strict.
        """
        everywhere = dict(gathered(self.state, list(bad.items())))
        for problem in everywhere.values():
            if self.strict:
                raise UserError(problem.code, "data.datasets", **problem.params)
            self.teller.warn(problem)
        return [item for item in placements if name_of(item) not in everywhere]


def name_of(placement: Placement) -> Name:
    """Return what a picture is known by, whatever sizes it is trained at."""
    return placement.record.dataset, placement.record.name


def note_bad(bad: dict[Name, Problem], placement: Placement, error: UserError) -> None:
    """Note what is wrong with a picture.

    Raises:
        UserError: It is the store: pictures that only could not be fetched just now are not left out.
    """
    if error.problem.code.startswith("s3_"):
        raise error
    bad[name_of(placement)] = error.problem


def warn_of_damage(store: Store, filler: Filler) -> None:
    """Look through what was not looked through before; damaged entries are made again."""
    damaged = store.verify() if filler.state.is_main_process else []
    if damaged:
        filler.teller.warn(Problem("warning", "cache_damaged", "cache.dir", {"num": len(damaged)}))
    filler.state.wait_for_everyone()
    store.refresh()


def fill_latents(
    placements: Sequence[Placement], family: Family, cache: LatentCache, filler: Filler
) -> list[Placement]:
    """Encode what the cache lacks; each process its share.

    Returns:
        The placements without the pictures that cannot be decoded; each of those is told as a warning.

    Raises:
        Stopped: The user asked for it.
        UserError: The disk is full, or a picture is bad and the data is strict.
    """
    warn_of_damage(cache.store, filler)
    share = filler.share(placements, cache.store)
    filler.pictures.learn(item.record for item in share)
    bad: dict[Name, Problem] = {}
    work = list(_lacking(share, cache, filler.pictures))
    prepare = _Preparer(cache, filler, family.vae_scale_factor)
    done = 0
    with cache.store.writer() as writer, ThreadPoolExecutor(1, thread_name_prefix="writer") as pool:
        written: Future[None] | None = None
        for number, (chunk, results) in enumerate(_ahead(_chunks(work), prepare)):
            if filler.stop():
                break
            if number % LOOK_EVERY == LOOK_EVERY - 1:
                cache.store.refresh()
                filler.pictures.remember()
            entries = _encode(chunk, results, family, cache, bad)
            if written is not None:
                written.result()
            written = pool.submit(_put_all, writer.put, entries)
            done += len(chunk)
            filler.teller.progress(done, len(work), "latents")
        if written is not None:
            written.result()
    filler.pictures.remember()
    filler.agree_to_go_on()
    filler.state.wait_for_everyone()
    cache.store.refresh()
    cache.store.touch(cache.keys())
    return filler.without_bad(placements, bad)


def _put_all(put: Callable[[str, Tensors, Mapping[str, object]], None], entries: Entries) -> None:
    for key, tensors, about in entries:
        put(key, tensors, about)


def _lacking(placements: Sequence[Placement], cache: LatentCache, pictures: Pictures) -> Iterator[Job]:
    """Yield what the cache lacks, or may lack: of pictures that were not read yet that turns out when they are."""
    for item in placements:
        flips = (False, True) if pictures.rules_of(item.record).flip_augmentation else (False,)
        for flip in flips:
            if not (pictures.knows(item.record) and cache.key(item, flip=flip) in cache.store):
                yield item, flip


def _chunks(work: Sequence[Job]) -> Iterator[list[Job]]:
    """Yield what goes through the VAE at once: pictures of one size."""
    for _, group in groupby(sorted(work, key=lambda job: job[0].bucket), key=lambda job: job[0].bucket):
        same = list(group)
        for start in range(0, len(same), VAE_BATCH):
            yield same[start : start + VAE_BATCH]


def _ahead(chunks: Iterable[list[Job]], prepare: Callable[[Job], Result]) -> Iterator[tuple[list[Job], list[Result]]]:
    """Yield chunks with their pictures, read ahead in threads."""
    waiting: deque[tuple[list[Job], list[Future[Result]]]] = deque()
    with ThreadPoolExecutor(NUM_DECODERS, thread_name_prefix="decoder") as pool:
        try:
            for chunk in chunks:
                waiting.append((chunk, [pool.submit(prepare, job) for job in chunk]))
                if len(waiting) > AHEAD:
                    first, jobs = waiting.popleft()
                    yield first, [job.result() for job in jobs]
            while waiting:
                first, jobs = waiting.popleft()
                yield first, [job.result() for job in jobs]
        finally:
            for _, jobs in waiting:
                for job in jobs:
                    job.cancel()


class _Preparer:
    """Reads a picture once: for its hash, and for its pixels when the cache lacks them. Called in threads."""

    def __init__(self, cache: LatentCache | None, filler: Filler, scale_factor: int) -> None:
        self.cache = cache
        self.filler = filler
        self.scale_factor = scale_factor
        self._claimed: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, job: Job) -> Result:
        placement, flip = job
        pictures = self.filler.pictures
        # What is drawn for a paired picture is the same each time.
        rng = caption_rng(self.filler.seed, 0, draw_key(placement.record))
        try:
            data = pictures.read(placement.record)
            key = ""
            if self.cache is not None:
                key = self.cache.key(placement, flip=flip, data=data)
                if key in self.cache.store:
                    return None
            pixels = load_pixels(placement, pictures, rng, flip=flip, scale_factor=self.scale_factor, data=data)
        except UserError as error:  # of the same bad picture under two names each is told
            return error
        return (key, pixels) if self.cache is None or self._claim(key) else None

    def _claim(self, key: str) -> bool:
        """Tell whether nobody makes this entry yet: the same picture may be there under two names."""
        with self._lock:
            if key in self._claimed:
                return False
            self._claimed.add(key)
            return True


def _encode(
    chunk: Sequence[Job], results: Sequence[Result], family: Family, cache: LatentCache, bad: dict[Name, Problem]
) -> Entries:
    """Encode pictures of one size; those that could not be read are noted as bad."""
    good: list[tuple[str, Placement, Tensors]] = []
    for (item, _), result in zip(chunk, results, strict=True):
        if isinstance(result, UserError):
            note_bad(bad, item, result)
        elif result is not None:
            good.append((result[0], item, result[1]))
    latents = _encode_pixels(family, [pixels[LATENTS] for _, _, pixels in good])
    paired = [place for place, (_, _, pixels) in enumerate(good) if CONDITIONING in pixels]
    pairs = dict(zip(paired, _encode_pixels(family, [good[place][2][CONDITIONING] for place in paired]), strict=True))
    entries: Entries = []
    for place, (key, item, pixels) in enumerate(good):
        tensors = {**pixels, LATENTS: latents[place]}
        if place in pairs:
            tensors[CONDITIONING] = pairs[place]
        entries.append((key, tensors, cache.about(item)))
    return entries


def _encode_pixels(family: Family, pixels: Sequence[Tensor]) -> list[Tensor]:
    return [latent.cpu() for latent in family.encode_images(torch.stack(list(pixels)))] if pixels else []


def check_pictures(placements: Sequence[Placement], filler: Filler, *, scale_factor: int) -> list[Placement]:
    """Decode every picture once, so that a bad one is known before training instead of in its middle.

    Returns and raises as `fill_latents`. Very large sets are not looked through: that would take hours.
    """
    first = {name_of(item): item for item in placements}
    names = sorted(first)[filler.state.process_index :: filler.state.num_processes]
    work = [(first[name], False) for name in names] if len(first) <= CHECKED_AHEAD else []
    bad: dict[Name, Problem] = {}
    done = 0
    for chunk, results in _ahead(_chunks(work), _Preparer(None, filler, scale_factor)):
        if filler.stop():
            break
        for (item, _), result in zip(chunk, results, strict=True):
            if isinstance(result, UserError):
                note_bad(bad, item, result)
        done += len(chunk)
        filler.teller.progress(done, len(work), "pictures")
    filler.agree_to_go_on()
    return filler.without_bad(placements, bad)


def fill_texts(
    placements: Sequence[Placement],
    measured: Sequence[Placement],
    family: Family,
    cache: TextCache,
    filler: Filler,
) -> None:
    """Encode every caption of training and validation that the cache lacks; each process its share.

    Raises as `fill_latents`.
    """
    warn_of_damage(cache.store, filler)
    captions = {cache.key(text): text for text in _captions(placements, measured, filler)}
    lacking = sorted(key for key in captions if key not in cache.store)  # in the same order in every process
    work = [(key, captions[key]) for key in filler.share(lacking, cache.store)]
    with cache.store.writer() as writer:
        for start in range(0, len(work), TEXT_BATCH):
            if filler.stop():
                break
            chunk = work[start : start + TEXT_BATCH]
            with torch.no_grad():
                encoded = family.encode_text([text for _, text in chunk])
            for place, (key, text) in enumerate(chunk):
                tensors = {name: tensor[place].cpu() for name, tensor in encoded.items()}
                writer.put(key, tensors, {"caption": text})
            filler.teller.progress(start + len(chunk), len(work), "captions")
    filler.agree_to_go_on()
    filler.state.wait_for_everyone()
    cache.store.refresh()
    cache.store.touch(captions)


def _captions(placements: Sequence[Placement], measured: Sequence[Placement], filler: Filler) -> set[str]:
    pictures = filler.pictures
    captions = {full_captions(item.record, pictures.rules_of(item.record))[0] for item in measured}
    for item in placements:
        rules, code = pictures.rules_of(item.record), pictures.code_of(item.record)
        captions.update(all_captions(item.record, rules, seed=filler.seed, code=code))
    return captions
