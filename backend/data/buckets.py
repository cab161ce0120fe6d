"""Aspect-ratio buckets by sd-scripts' exact rules (library/model_util.py make_bucket_resolutions, BucketManager)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from backend.config.data import DataSection

Size = tuple[int, int]  # (width, height) in pixels


@dataclass(frozen=True, slots=True)
class BucketChoice:
    """The size that a picture is trained at, and the size it is scaled to before the crop; (width, height)."""

    bucket: Size
    resized: Size


def make_buckets(width: int, height: int, *, minimum: int, maximum: int, step: int) -> list[Size]:
    """Return all bucket sizes of at most `width * height` pixels, sorted.

    The limits are brought to the step as sd-scripts does: the minimum down, the maximum up.
    """
    minimum, maximum = max(step, minimum // step * step), -(-maximum // step) * step
    area = width * height
    square = int(math.sqrt(area) // step) * step
    sizes = {(square, square)} if square else set()
    for side in range(minimum, maximum + 1, step):
        other = min(maximum, area // side // step * step)
        if other >= minimum:
            sizes |= {(side, other), (other, side)}
    return sorted(sizes)


def _round_to(value: float, step: int) -> int:
    """Round to the nearest pixel, then down to the step."""
    return int(value + 0.5) // step * step


def _cover(size: Size, bucket: Size) -> Size:
    """Scale so that the bucket is just covered."""
    width, height = size
    scale = bucket[1] / height if width / height > bucket[0] / bucket[1] else bucket[0] / width
    return int(width * scale + 0.5), int(height * scale + 0.5)


def select_bucket(size: Size, buckets: Sequence[Size]) -> BucketChoice:
    """Choose the bucket of the nearest aspect ratio; one of exactly the picture's size wins."""
    if size in buckets:
        bucket = size
    else:
        ratio = size[0] / size[1]
        bucket = min(buckets, key=lambda each: abs(each[0] / each[1] - ratio))
    return BucketChoice(bucket, _cover(size, bucket))


def _shrink(size: Size, *, area: int, step: int) -> Size:
    """Scale down to the area so that one side is a multiple of the step: the side that keeps the shape better."""
    ratio = size[0] / size[1]
    wide = math.sqrt(area * ratio)
    by_width, by_height = _round_to(wide, step), _round_to(area / wide, step)
    height_in_width, width_in_height = _round_to(by_width / ratio, step), _round_to(by_height * ratio, step)
    if not (height_in_width and width_in_height):  # so narrow that sd-scripts divides by zero
        return int(wide + 0.5), max(1, int(area / wide + 0.5))
    if abs(by_width / height_in_width - ratio) < abs(width_in_height / by_height - ratio):
        return by_width, int(by_width / ratio + 0.5)
    return int(by_height * ratio + 0.5), by_height


def select_without_upscale(size: Size, *, area: int, step: int) -> BucketChoice:
    """Choose a size of the picture's own shape that is not larger than the picture or the area.

    A side shorter than the step is enlarged to one step, the least there is.
    """
    resized = _shrink(size, area=area, step=step) if size[0] * size[1] > area else size
    bucket = (max(step, resized[0] // step * step), max(step, resized[1] // step * step))
    if bucket[0] > resized[0] or bucket[1] > resized[1]:
        return BucketChoice(bucket, _cover(size, bucket))
    return BucketChoice(bucket, resized)


def choose(size: Size, data: DataSection, buckets: Sequence[Size]) -> BucketChoice:
    """Choose the training size of a picture under a configuration."""
    if not data.enable_bucket:
        fixed = (data.width, data.height)
        return BucketChoice(fixed, _cover(size, fixed))
    if data.bucket_no_upscale:
        return select_without_upscale(size, area=data.width * data.height, step=data.bucket_step)
    return select_bucket(size, buckets)


def buckets_of(data: DataSection) -> list[Size]:
    """Return the buckets of a configuration."""
    return make_buckets(
        data.width,
        data.height,
        minimum=data.min_bucket_resolution,
        maximum=data.max_bucket_resolution,
        step=data.bucket_step,
    )
