"""Describes pictures in batches: threads read and scale the next ones while the model works on these."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from backend.config.problems import UserError
from backend.data.picture_edits import read_edited
from taggers.base import Described, Picture, Tagger

Read = Callable[[Path, str], Image.Image]
Result = tuple[Picture, Described | UserError]


def describe(
    tagger: Tagger,
    pictures: Iterable[Picture],
    *,
    batch_size: int,
    num_workers: int,
    stopping: Callable[[], bool] = lambda: False,
    read: Read = read_edited,
) -> Iterator[list[Result]]:
    """Yield what the model says of each picture, batch by batch, in their order. Each picture is decoded once.

    Args:
        tagger: The model.
        pictures: What to describe.
        batch_size: How many at once, unless the model says so itself.
        num_workers: Threads that read and scale.
        stopping: Asked before each batch; when it says so, no other is begun.
        read: Decodes a picture that is called by a name, as RGB.

    Yields:
        The pictures of a batch, each with its description, or with what is wrong with its file.
    """
    size = tagger.fixed_batch or batch_size
    ahead: deque[tuple[Picture, Future[Any]]] = deque()
    coming = iter(pictures)
    with ThreadPoolExecutor(num_workers, thread_name_prefix="prepare") as pool:

        def fill() -> None:
            while len(ahead) < 2 * size + num_workers and (picture := next(coming, None)) is not None:
                ahead.append((picture, pool.submit(_prepare, tagger, picture, read)))

        try:
            fill()
            while ahead and not stopping():
                batch = [ahead.popleft() for _ in range(min(size, len(ahead)))]
                fill()
                yield _described(tagger, [(picture, future.result()) for picture, future in batch])
        finally:
            for _, future in ahead:
                future.cancel()


def _prepare(tagger: Tagger, picture: Picture, read: Read) -> Any:
    """Return a picture as the model takes it, or what is wrong with it: one damaged file does not end a run."""
    try:
        return tagger.prepare(read(picture.path, picture.name), picture)
    except UserError as error:
        return error


def _described(tagger: Tagger, batch: list[tuple[Picture, Any]]) -> list[Result]:
    whole = [prepared for _, prepared in batch if not isinstance(prepared, UserError)]
    found = iter(tagger.describe(whole) if whole else [])
    return [(picture, each if isinstance(each, UserError) else next(found)) for picture, each in batch]
