"""What only the pixels tell: damage, blur, and pictures that are there twice. Everything is remembered in the index."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.config.problems import UserError
from backend.data.images import read_reduced
from backend.data.index import Content, Index, Looks
from backend.data.picture_edits import apply_edit, side_before
from backend.data.records import ImageRecord, Scan
from backend.data.scan import Stopped
from backend.data.stores import Store, open_store

# Pictures are looked at in this size, longer side, so that sharpness can be compared.
SIDE = 512
# Variance of the Laplacian, grey 0..255: below this a picture has no edges.
BLURRY = 20.0
# A picture with less contrast (standard deviation of its grey) has no features that could be compared.
FLAT = 2.0
# Perceptual hashes of 64 bits that differ in no more bits than this are of the same picture.
NEAR = 5
HASH_BITS = 64
NUM_PER_CHUNK = 256
NUM_THREADS = min(32, (os.cpu_count() or 1) + 2)
# Comparisons made at once: 64-bit words in memory.
NUM_COMPARED = 2**22
# Errors of the content, which stays as it is while the stamp does.
REMEMBERED = frozenset({"image_corrupt", "image_empty", "image_too_large", "image_truncated"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the pictures of a scan, in their order: what looking told, or None; the sha256, or "".

    Pictures with the same bytes that are cut differently are not the same: their edits stand behind the sha256.
    """

    looks: tuple[Looks | None, ...]
    contents: tuple[str, ...]

    @property
    def num_looked(self) -> int:
        """How many pictures were looked at."""
        return sum(looks is not None for looks in self.looks)


def known(found: Scan, index: Index | None) -> Seen:
    """Return what the index knows of the pictures of a scan, without reading any."""
    if index is None:
        return Seen((None,) * len(found.images), ("",) * len(found.images))
    looks = index.find(Looks, ((record.location, record.shown_stamp) for record in found.images))
    return _seen(found, looks, index.content_hashes(found.images))


def _seen(found: Scan, looks: Mapping[str, Looks], hashes: Mapping[str, str]) -> Seen:
    contents = [(hashes.get(record.location, ""), record.edit) for record in found.images]
    return Seen(
        tuple(looks.get(record.location) for record in found.images),
        tuple(f"{content}|{edit.mark}" if content and edit.changes_pixels else content for content, edit in contents),
    )


def look(
    found: Scan,
    index: Index,
    *,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Seen:
    """Decode every picture once, reduced, unless the index knows it already.

    Args:
        found: The pictures.
        index: Where results are kept: a second look is free, and one that was stopped goes on where it was.
        progress: Is told how many pictures are done, and of how many.
        stop: Is asked whether to give up.

    Raises:
        Stopped: `stop` said so.
    """
    looks = index.find(Looks, ((record.location, record.shown_stamp) for record in found.images))
    contents = index.content_hashes(found.images)
    wanted = {record.location: record for record in found.images}
    new = [record for location, record in wanted.items() if location not in looks or location not in contents]
    wanted_sets = {record.dataset for record in new}
    stores = {dataset.index: open_store(dataset) for dataset in found.datasets if dataset.index in wanted_sets}
    with ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="look") as pool:
        for start in range(0, len(new), NUM_PER_CHUNK):
            if stop is not None and stop():
                raise Stopped
            chunk = new[start : start + NUM_PER_CHUNK]
            results = list(pool.map(lambda record: look_at(record, stores[record.dataset]), chunk))
            remember(index, chunk, results)
            for record, (seen_one, content) in zip(chunk, results, strict=True):
                looks[record.location], contents[record.location] = seen_one, content
            if progress is not None:
                progress(len(wanted) - len(new) + start + len(chunk), len(wanted))
    return _seen(found, looks, contents)


def look_at(record: ImageRecord, store: Store) -> tuple[Looks, str]:
    """Return what decoding a picture tells, and the sha256 of its bytes; "" when they cannot be read."""
    content = ""
    try:
        data = store.read(record.location)
        content = hashlib.sha256(data).hexdigest()
        grey = apply_edit(read_reduced(data, record.name, side=side_before(record.edit, SIDE)), record.edit)
    except UserError as error:
        return Looks(error=error.problem.code), content
    return Looks(perceptual_hash(grey), sharpness(grey)), content


def remember(index: Index, records: Sequence[ImageRecord], results: Sequence[tuple[Looks, str]]) -> None:
    """Keep what `look_at` told of pictures, except for errors that may pass."""
    rows: list[tuple[tuple[str, str], Looks | Content]] = []
    for record, (looks, content) in zip(records, results, strict=True):
        if not looks.error or looks.error in REMEMBERED:
            rows.append(((record.location, record.shown_stamp), looks))
        if content:
            rows.append(((record.location, record.stamp), Content(content)))
    index.remember(rows)


def perceptual_hash(grey: Image.Image) -> str:
    """Return 16 hexadecimal digits that are nearly the same for pictures that look the same; "" for one colour."""
    import imagehash  # with scipy it takes as long to load as the whole command line

    return "" if float(np.asarray(grey).std()) < FLAT else str(imagehash.phash(grey))


def sharpness(grey: Image.Image) -> float:
    """Return the variance of the Laplacian of an 8-bit grey picture: how much there is in the way of edges."""
    values = np.asarray(grey, np.float32)
    if min(values.shape) < 3:
        return 0.0
    edges = 4 * values[1:-1, 1:-1] - values[:-2, 1:-1] - values[2:, 1:-1] - values[1:-1, :-2] - values[1:-1, 2:]
    return float(edges.var())


def is_blurry(looks: Looks | None) -> bool:
    """Tell whether a picture that was looked at has no sharp edges."""
    return looks is not None and not looks.error and looks.sharpness < BLURRY


def same_content(contents: Sequence[str], among: Iterable[int]) -> list[list[int]]:
    """Return groups of pictures with the same bytes, each of two or more, in order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index in among:
        if contents[index]:
            groups[contents[index]].append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(looks: Sequence[Looks | None], among: Iterable[int], *, most: int = NEAR) -> list[list[int]]:
    """Return groups of pictures that look the same: connected by hashes that differ in at most `most` bits."""
    indices = [index for index in among if (each := looks[index]) is not None and each.perceptual_hash]
    hashes = np.array([int(looks[index].perceptual_hash, 16) for index in indices], np.uint64)  # type: ignore[union-attr]
    if not len(hashes):
        return []
    distinct, which = np.unique(hashes, return_inverse=True)
    labels = _connected(distinct, most)[which]
    groups: dict[int, list[int]] = defaultdict(list)
    for index, label in zip(indices, labels.tolist(), strict=True):
        groups[label].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _connected(hashes: NDArray[np.uint64], most: int) -> NDArray[np.int32]:
    """Number the groups of hashes that are connected by small distances: int32 (num_hashes,).

    Of most + 1 bands of bits, two hashes that differ in `most` bits have at least one in common: only hashes that do
    are compared.
    """
    from scipy.sparse import coo_array  # as above
    from scipy.sparse.csgraph import connected_components

    pairs: list[NDArray[np.int64]] = []
    edges = np.linspace(0, HASH_BITS, most + 2).astype(int)
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=band[order][:1] + np.uint64(1)))
        for members in np.split(order, starts[1:]):
            pairs += _near_pairs(hashes, members, most)
    rows, columns = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1]


def _near_pairs(hashes: NDArray[np.uint64], members: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """Return the pairs among some hashes that differ in at most `most` bits: (2, num_pairs) each."""
    pairs = []
    if len(members) > 1:
        height = max(1, NUM_COMPARED // len(members))
        for start in range(0, len(members), height):
            rows = members[start : start + height]
            distance = np.bitwise_count(hashes[rows, None] ^ hashes[None, members])
            first, second = np.nonzero(distance <= most)
            is_later = second > first + start
            pairs.append(np.stack([rows[first[is_later]], members[second[is_later]]]))
    return pairs
