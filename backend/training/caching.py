"""Fill the caches before training: each picture through the VAE once, each caption through the text encoders once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import torch
from accelerate import PartialState
from torch import Tensor

from backend.config.data import DataSection
from backend.config.problems import Problem, UserError
from backend.data.cache import LATENTS, LatentCache, TensorCache, TextCache
from backend.data.captions import all_captions, caption_rng
from backend.data.images import read_rgb
from backend.data.plan import Placement
from backend.data.transforms import prepare, to_array
from backend.families.base import Family
from backend.training.distributed import gathered
from backend.training.report import Reporter

Stop = Callable[[], bool]
VAE_BATCH = 4
TEXT_BATCH = 16


class Stopped(Exception):
    """The user asked to stop before training began."""


def _flips(data: DataSection) -> tuple[bool, ...]:
    return (False, True) if data.flip_augmentation else (False,)


def _pixels(placement: Placement, data: DataSection, *, flip: bool) -> Tensor:
    """Return the centre cut as (3, H, W) in -1..1."""
    image = read_rgb(placement.record.path)
    rng = caption_rng(0, 0, "")  # nothing is drawn: cached pictures are cut at the centre and keep their colours
    cut, _ = prepare(image, bucket=placement.bucket, resized=placement.resized, data=data, rng=rng, flip=flip)
    return torch.from_numpy(to_array(cut))


def _try_pixels(placement: Placement, data: DataSection, flip: bool) -> Tensor | UserError:
    try:
        return _pixels(placement, data, flip=flip)
    except UserError as error:
        return error


def _lacks(cache: TensorCache, key: str, *, name: str, reporter: Reporter) -> bool:
    """Tell whether an entry has to be made; one that is there but damaged is told as a warning."""
    if cache.get(key) is not None:
        return False
    if cache.path(key).exists():
        reporter.warn(Problem("warning", "cache_damaged", "cache.dir", {"value": str(cache.path(key)), "name": name}))
    return True


def _agree_to_go_on(state: PartialState, stop: Stop) -> None:
    """Stop in all processes if any was asked to: none may be left waiting for the others.

    Raises:
        Stopped: The user asked for it.
    """
    if any(gathered(state, [stop()])):
        raise Stopped


def _chunks(work: Sequence[tuple[Placement, bool]]) -> Iterator[list[tuple[Placement, bool]]]:
    """Yield what goes through the VAE at once: pictures of one bucket."""
    ordered = sorted(work, key=lambda pair: pair[0].bucket)
    for _, group in groupby(ordered, key=lambda pair: pair[0].bucket):
        rows = list(group)
        for start in range(0, len(rows), VAE_BATCH):
            yield rows[start : start + VAE_BATCH]


def fill_latents(
    placements: Sequence[Placement],
    family: Family,
    data: DataSection,
    cache: LatentCache,
    *,
    state: PartialState,
    reporter: Reporter,
    stop: Stop,
) -> set[str]:
    """Encode what the cache lacks; each process its share.

    Returns:
        The paths of pictures that cannot be decoded, over all processes; each is told as a warning.

    Raises:
        Stopped: The user asked for it.
        UserError: The disk is full, or a picture is bad and the data is strict.
    """
    share = placements[state.process_index :: state.num_processes]
    bad, share = _readable(share)
    work = [
        (item, flip)
        for item in share
        for flip in _flips(data)
        if _lacks(cache, cache.key(item, flip=flip), name=item.record.path.name, reporter=reporter)
    ]
    done = 0
    with ThreadPoolExecutor(2, thread_name_prefix="decoder") as pool:
        for chunk in _chunks(work):
            if stop():
                break
            bad |= _encode(chunk, family, data, cache, pool)
            done += len(chunk)
            reporter.progress(done, len(work), "latents")
    _agree_to_go_on(state, stop)
    return _tell_bad(bad, data, state=state, reporter=reporter)


def _readable(share: Sequence[Placement]) -> tuple[dict[str, Problem], list[Placement]]:
    """Leave out pictures that are gone since the scan."""
    there = [placement for placement in share if placement.record.path.is_file()]
    gone = [placement for placement in share if not placement.record.path.is_file()]
    problems = {
        str(item.record.path): Problem("warning", "file_not_found", "", {"value": str(item.record.path)})
        for item in gone
    }
    return problems, there


def _encode(
    chunk: Sequence[tuple[Placement, bool]],
    family: Family,
    data: DataSection,
    cache: LatentCache,
    pool: ThreadPoolExecutor,
) -> dict[str, Problem]:
    """Encode a few pictures of one bucket and store them; returns those that cannot be decoded."""
    pictures = list(pool.map(lambda pair: _try_pixels(pair[0], data, pair[1]), chunk))
    pairs = list(zip(chunk, pictures, strict=True))
    good = [(where, picture) for where, picture in pairs if isinstance(picture, Tensor)]
    if good:
        latents = family.encode_images(torch.stack([picture for _, picture in good]))
        for ((placement, flip), _), latent in zip(good, latents, strict=True):
            cache.put(cache.key(placement, flip=flip), {LATENTS: latent.cpu()})
    return {
        str(placement.record.path): picture.problem
        for (placement, _), picture in pairs
        if isinstance(picture, UserError)
    }


def check_pictures(
    placements: Sequence[Placement], data: DataSection, *, state: PartialState, reporter: Reporter, stop: Stop
) -> set[str]:
    """Decode every picture once, so that a bad one is known before training instead of in its middle.

    Returns and raises as `fill_latents`.
    """
    share = placements[state.process_index :: state.num_processes]
    bad, share = _readable(share)
    with ThreadPoolExecutor(2, thread_name_prefix="decoder") as pool:
        checks = pool.map(lambda placement: _try_pixels(placement, data, False), share)
        for done, (placement, picture) in enumerate(zip(share, checks, strict=True), 1):
            if stop():
                pool.shutdown(cancel_futures=True)
                break
            if isinstance(picture, UserError):
                bad[str(placement.record.path)] = picture.problem
            reporter.progress(done, len(share), "pictures")
    _agree_to_go_on(state, stop)
    return _tell_bad(bad, data, state=state, reporter=reporter)


def _tell_bad(bad: dict[str, Problem], data: DataSection, *, state: PartialState, reporter: Reporter) -> set[str]:
    everywhere = gathered(state, list(bad.items()))
    for _, problem in everywhere:
        if data.strict:
            raise UserError(problem.code, "data.datasets", **problem.params)
        reporter.warn(problem)
    return {path for path, _ in everywhere}


def fill_texts(
    placements: Sequence[Placement],
    family: Family,
    data: DataSection,
    cache: TextCache,
    *,
    state: PartialState,
    reporter: Reporter,
    stop: Stop,
) -> None:
    """Encode every caption that the cache lacks; each process its share. Raises as `fill_latents`."""
    captions = sorted({text for item in placements for text in all_captions(item.record.text, data)})
    share = captions[state.process_index :: state.num_processes]
    work = [text for text in share if _lacks(cache, cache.key(text), name=text[:60], reporter=reporter)]
    for start in range(0, len(work), TEXT_BATCH):
        if stop():
            break
        chunk = work[start : start + TEXT_BATCH]
        with torch.no_grad():
            encoded = family.encode_text(chunk)
        for index, caption in enumerate(chunk):
            cache.put(cache.key(caption), {name: tensor[index].cpu() for name, tensor in encoded.items()})
        reporter.progress(start + len(chunk), len(work), "captions")
    _agree_to_go_on(state, stop)
