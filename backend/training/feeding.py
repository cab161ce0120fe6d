"""From the configuration to what feeds the loop: pictures found and placed, caches filled, batches counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

from accelerate import PartialState

from backend.config import paths
from backend.config.problems import ConfigError, Problem, UserError
from backend.config.root import TrainConfig
from backend.data import plan, user_code
from backend.data.cache import LatentCache, TextCache, open_store
from backend.data.index import Index
from backend.data.loader import BatchStream, SampleReader, ValidationSet
from backend.data.pictures import Pictures
from backend.data.plan import Placement, Schedule, StepCount
from backend.data.records import Scan
from backend.data.scan import scan
from backend.families.base import Family
from backend.training import caching
from backend.training.caching import Filler, Teller


@dataclass(frozen=True, slots=True)
class Feed:
    """What feeds the loop of one process. `unheard` is what processes that are not the main one have to tell."""

    placements: list[Placement]
    pictures: Pictures
    count: StepCount
    stream: BatchStream
    validation: ValidationSet
    unheard: list[Problem]


@dataclass(frozen=True, slots=True)
class Caches:
    """The filled caches, and what can be trained and measured with them."""

    latents: LatentCache | None
    texts: TextCache | None
    placements: list[Placement]
    validation: list[Placement]


@dataclass(frozen=True, slots=True)
class Found:
    """The pictures of a configuration, before anything is decoded."""

    scan: Scan
    placed: plan.Placed
    pictures: Pictures


def find_pictures(config: TrainConfig, teller: Teller) -> Found:
    """Find the pictures and give them their buckets; warnings are told, errors raised.

    Raises:
        ConfigError: A data set cannot be trained.
    """
    folder = paths.cache_dir(config.cache.dir)
    found = scan(config.data, cache_dir=folder)
    errors = [problem for problem in found.problems if problem.level == "error"]
    if errors:
        raise ConfigError(errors)
    for problem in found.problems:
        teller.warn(problem)
    placed = plan.place(found)
    return Found(found, placed, Pictures(found.datasets, Index(folder), user_code.open_all(found)))


def fill_caches(
    config: TrainConfig,
    family: Family,
    found: Found,
    *,
    state: PartialState,
    teller: Teller,
    stop: Callable[[], bool],
) -> Caches:
    """Fill the caches that the configuration asks for, and leave out bad pictures.

    Raises:
        caching.Stopped: The user asked for it.
        UserError: No picture is left, the disk is full, or a picture is bad and the data is strict.
    """
    folder, identities = paths.cache_dir(config.cache.dir), family.identities
    filler = Filler(found.pictures, state, teller, stop, config.training.seed, config.data.strict)
    every = [*found.placed.placements, *found.placed.validation]
    latents = texts = None
    if config.cache.latents == "off":
        every = caching.check_pictures(every, filler, scale_factor=family.vae_scale_factor)
    else:
        store = open_store(folder / "latents", config.cache.latents, compress=config.cache.compress)
        latents = LatentCache(store, vae_identity=identities["vae"], pictures=found.pictures)
        every = caching.fill_latents(every, family, latents, filler)
    good = {caching.name_of(item) for item in every}
    placements = [item for item in found.placed.placements if caching.name_of(item) in good]
    validation = [item for item in found.placed.validation if caching.name_of(item) in good]
    if not placements:
        raise UserError("all_pictures_bad", "data.datasets")
    if config.cache.text_embeddings != "off":
        store = open_store(folder / "text", config.cache.text_embeddings, compress=config.cache.compress)
        texts = TextCache(store, identities={name: identities[name] for name in family.spec.text_encoders})
        caching.fill_texts(placements, validation, family, texts, filler)
    state.wait_for_everyone()
    return Caches(latents, texts, placements, validation)


def make_feed(
    config: TrainConfig, found: Found, caches: Caches, *, state: PartialState, teller: Teller, scale_factor: int
) -> Feed:
    """Count the steps and open the stream of batches."""
    training = config.training
    schedule = Schedule(
        caches.placements,
        found.scan.datasets,
        config.data,
        batch_size=training.batch_size,
        seed=training.seed,
        num_processes=state.num_processes,
    )
    count = plan.count(schedule, training)
    if not count.total_steps:
        raise UserError("no_steps", "data.datasets", value=count.num_epochs)
    unheard: list[Problem] = []
    tell = teller.warn if state.is_main_process else unheard.append
    warn = None if config.data.strict else tell
    reader = SampleReader(
        found.pictures, caches.latents, caches.texts, training.seed, config.loss.prior_loss_weight, scale_factor
    )
    before = [0, *accumulate(count.epoch_steps)]
    stream = BatchStream(
        schedule,
        reader,
        steps_before=lambda epoch, number: before[epoch] + number // training.gradient_accumulation_steps,
        total_steps=count.total_steps,
        num_workers=config.data.num_workers,
        process=state.process_index,
        num_processes=state.num_processes,
        warn=warn,
    )
    measured = caches.validation[: config.validation.max_samples or None]
    return Feed(caches.placements, found.pictures, count, stream, ValidationSet(measured, reader, warn=warn), unheard)
