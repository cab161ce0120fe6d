"""The size that a picture is trained at, by the rules of sd-scripts, SimpleTuner and diffusion-pipe."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.config.geometry import GeometryRules, parse_size

Size = tuple[int, int]  # (width, height) in pixels

# SimpleTuner's megapixels that stand for a square, within so much of it.
AREA_NAMES = {0.25: 512, 0.5: 768, 1.0: 1024, 2.0: 1536, 4.0: 2048}
AREA_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class BucketChoice:
    """The size that a picture is trained at, and the size it is scaled to before the crop; (width, height)."""

    bucket: Size
    resized: Size


Chooser = Callable[[Size], BucketChoice]


def make_buckets(width: int, height: int, *, minimum: int, maximum: int, step: int) -> list[Size]:
    """Return all bucket sizes of at most `width * height` pixels, sorted; sd-scripts' list.

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


def _nearest_multiple(value: float, step: int) -> int:
    """Round to the nearest multiple of the step; at least one step."""
    return max(step, round(value / step) * step)


def _cover(size: Size, bucket: Size) -> Size:
    """Scale so that the bucket is just covered."""
    width, height = size
    scale = bucket[1] / height if width / height > bucket[0] / bucket[1] else bucket[0] / width
    return int(width * scale + 0.5), int(height * scale + 0.5)


def _cover_down(size: Size, bucket: Size) -> Size:
    """Scale so that the bucket is just covered; the longer side is rounded down, as SimpleTuner does."""
    width, height = size
    if width * bucket[1] > height * bucket[0]:
        return width * bucket[1] // height, bucket[1]
    return bucket[0], height * bucket[0] // width


def kohya_chooser(buckets: Sequence[Size]) -> Chooser:
    """Return the choice of the nearest aspect ratio; one of exactly the picture's size wins, then the first."""
    first: dict[float, int] = {}
    for index, bucket in enumerate(buckets):
        first.setdefault(bucket[0] / bucket[1], index)
    ratios, exact = sorted(first), set(buckets)

    def select(size: Size) -> BucketChoice:
        if size in exact:
            return BucketChoice(size, size)
        ratio = size[0] / size[1]
        place = bisect_left(ratios, ratio)
        near = ratios[max(0, place - 1) : place + 1]
        bucket = buckets[min((abs(each - ratio), first[each]) for each in near)[1]]
        return BucketChoice(bucket, _cover(size, bucket))

    return select


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


def _short_ratio(size: Size) -> float:
    """Return width over height with two decimals, as SimpleTuner keeps it."""
    return max(0.01, round(size[0] / size[1], 2))


def select_by_area(size: Size, *, side: float, step: int) -> BucketChoice:
    """Choose the picture's own shape at the area of a square with this side; SimpleTuner's rule."""
    edge, root = _nearest_multiple(side, step), math.sqrt(_short_ratio(size))
    bucket = (_nearest_multiple(edge * root, step), _nearest_multiple(edge / root, step))
    return BucketChoice(bucket, _cover_down(size, bucket))


def select_by_edge(size: Size, *, side: int, step: int) -> BucketChoice:
    """Choose the picture's own shape with a shorter side of this length; SimpleTuner's `pixel` rule."""
    edge, ratio = _nearest_multiple(side, step), _short_ratio(size)
    if ratio >= 1:
        bucket = (_nearest_multiple(edge * ratio, step), edge)
    else:
        bucket = (edge, _nearest_multiple(edge / ratio, step))
    return BucketChoice(bucket, _cover_down(size, bucket))


def area_side(megapixels: float) -> float:
    """Return the side in pixels of the square that SimpleTuner means by an area."""
    named = [side for area, side in AREA_NAMES.items() if abs(area - megapixels) <= AREA_TOLERANCE]
    return named[0] if named else math.sqrt(megapixels * 1e6)


def bucket_aspects(rules: GeometryRules) -> list[float]:
    """Return the shapes of the rule `aspects`: those given, else a geometric series between the limits."""
    if rules.bucket_aspects:
        return list(rules.bucket_aspects)
    number, low, high = rules.num_bucket_aspects, rules.min_bucket_aspect, rules.max_bucket_aspect
    return [low * (high / low) ** (index / (number - 1)) for index in range(number)] if number > 1 else [low]


def aspect_size(aspect: float, *, area: int, step: int) -> Size:
    """Return the size of a shape at an area: both sides to the nearest multiple of the step."""
    width = math.sqrt(area * aspect)
    return _nearest_multiple(width, step), _nearest_multiple(area / width, step)


def nearest_chooser(shapes: Sequence[tuple[float, Size]]) -> Chooser:
    """Return the choice of the (aspect, size) whose aspect is nearest as a factor; of equal ones, the nearest area."""

    def select(size: Size) -> BucketChoice:
        ratio, area = math.log(size[0] / size[1]), math.log(size[0] * size[1])
        bucket = min(
            shapes,
            key=lambda shape: (abs(math.log(shape[0]) - ratio), abs(math.log(shape[1][0] * shape[1][1]) - area)),
        )[1]
        return BucketChoice(bucket, _cover(size, bucket))

    return select


def target_size(rules: GeometryRules, resolution: int | None) -> Size:
    """Return width and height that give the area: those of the rules, or a square."""
    return (resolution, resolution) if resolution else (rules.width, rules.height)


def resolutions_of(rules: GeometryRules) -> tuple[int | None, ...]:
    """Return the resolutions that each picture is trained at; None is the width and height of the rules."""
    if not rules.resolutions or (rules.enable_bucket and rules.bucket_rule == "sizes"):
        return (None,)
    return tuple(dict.fromkeys(rules.resolutions))


def buckets_of(rules: GeometryRules, *, resolution: int | None = None) -> list[Size]:
    """Return the buckets that there are, whatever the pictures; empty where each picture makes its own."""
    width, height = target_size(rules, resolution)
    if not rules.enable_bucket:
        return [(width, height)]
    match rules.bucket_rule:
        case "kohya" if not rules.bucket_no_upscale:
            limits = {"minimum": rules.min_bucket_resolution, "maximum": rules.max_bucket_resolution}
            return make_buckets(width, height, **limits, step=rules.bucket_step)
        case "aspects":
            sizes = [
                aspect_size(aspect, area=width * height, step=rules.bucket_step) for aspect in bucket_aspects(rules)
            ]
            return sorted(set(sizes))
        case "sizes":
            return [size for size in map(parse_size, rules.bucket_sizes) if size]
    return []


def _by_rule(rules: GeometryRules, resolution: int | None) -> Chooser:
    width, height = target_size(rules, resolution)
    area, step = width * height, rules.bucket_step
    match rules.bucket_rule:
        case "kohya" if rules.bucket_no_upscale:
            return lambda size: select_without_upscale(size, area=area, step=step)
        case "area":
            side = resolution or area_side(rules.megapixels)
            return lambda size: select_by_area(size, side=side, step=step)
        case "pixel_area":
            return lambda size: select_by_area(size, side=math.sqrt(area), step=step)
        case "pixel":
            return lambda size: select_by_edge(size, side=min(width, height), step=step)
        case "aspects":
            return nearest_chooser([(each, aspect_size(each, area=area, step=step)) for each in bucket_aspects(rules)])
        case "sizes":
            sizes = buckets_of(rules) or [(width, height)]
            return nearest_chooser([(size[0] / size[1], size) for size in sizes])
    return kohya_chooser(buckets_of(rules, resolution=resolution) or [(width, height)])


def chooser(rules: GeometryRules, *, resolution: int | None = None) -> Chooser:
    """Return the rule of a configuration as a function from a picture's size; for many pictures."""
    fixed = target_size(rules, resolution)
    select = (
        _by_rule(rules, resolution) if rules.enable_bucket else lambda size: BucketChoice(fixed, _cover(size, fixed))
    )
    if rules.crop != "squeeze":
        return select

    def squeeze(size: Size) -> BucketChoice:
        bucket = select(size).bucket
        return BucketChoice(bucket, bucket)

    return squeeze


def choose(size: Size, rules: GeometryRules, *, resolution: int | None = None) -> BucketChoice:
    """Choose the training size of one picture. `resolution`: one of several, in place of width and height."""
    return chooser(rules, resolution=resolution)(size)
