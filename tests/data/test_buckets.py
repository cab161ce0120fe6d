"""Buckets by sd-scripts' rules: tables worked out by hand, and properties over all sizes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.config.data import DataSection
from backend.data.buckets import buckets_of, choose, make_buckets, select_bucket, select_without_upscale

SIDES = st.integers(1, 6000)


def sdxl_buckets() -> list[tuple[int, int]]:
    return make_buckets(1024, 1024, minimum=256, maximum=2048, step=64)


@pytest.mark.parametrize(
    ("side", "minimum", "maximum", "step", "number"),
    [(512, 256, 1024, 64, 17), (1024, 256, 2048, 64, 41), (1024, 256, 2048, 32, 81)],
)
def test_the_number_of_buckets(side: int, minimum: int, maximum: int, step: int, number: int) -> None:
    assert len(make_buckets(side, side, minimum=minimum, maximum=maximum, step=step)) == number


def test_the_buckets_of_512() -> None:
    """For each width w from 256 to 1024 by 64: h = floor(262144 / w / 64) * 64, and both ways round."""
    halves = [(256, 1024), (320, 768), (384, 640), (448, 576), (512, 512)]
    both = {pair for w, h in halves for pair in ((w, h), (h, w))}
    both |= {(w, 262144 // w // 64 * 64) for w in range(576, 1025, 64)}
    both |= {(h, w) for w, h in both}
    assert make_buckets(512, 512, minimum=256, maximum=1024, step=64) == sorted(both)


def test_limits_are_brought_to_the_step_the_minimum_down_and_the_maximum_up() -> None:
    assert make_buckets(512, 512, minimum=300, maximum=1000, step=64) == make_buckets(
        512, 512, minimum=256, maximum=1024, step=64
    )


@pytest.mark.parametrize(
    ("size", "bucket", "resized"),
    [
        # 4/3 = 1.3333: 1152x896 = 1.2857 is nearer than 1216x832 = 1.4615; wider than the bucket: fit the height.
        ((4000, 3000), (1152, 896), (1195, 896)),
        ((3000, 4000), (896, 1152), (896, 1195)),
        # A size that is a bucket is taken as it is, and not scaled.
        ((1216, 832), (1216, 832), (1216, 832)),
        ((500, 500), (1024, 1024), (1024, 1024)),
        # Beyond the most extreme shapes the most extreme one is taken.
        ((5000, 100), (2048, 256), (12800, 256)),
    ],
)
def test_selection(size: tuple[int, int], bucket: tuple[int, int], resized: tuple[int, int]) -> None:
    choice = select_bucket(size, sdxl_buckets())
    assert (choice.bucket, choice.resized) == (bucket, resized)


@pytest.mark.parametrize(
    ("size", "bucket", "resized"),
    [
        # rw = sqrt(1048576 * 4/3) = 1182.4 -> 1152, 1152 / 1.3333 = 864 -> 832: 1.3846, off by .0513
        # rh = 886.8 -> 832, 832 * 1.3333 = 1109 -> 1088: 1.3077, off by .0256: the height decides.
        ((4000, 3000), (1088, 832), (1109, 832)),
        # Small pictures keep their size; what does not fill a step is cut.
        ((700, 500), (640, 448), (700, 500)),
        ((1024, 1024), (1024, 1024), (1024, 1024)),
        # Smaller than a step: one step, the least there is.
        ((100, 50), (64, 64), (128, 64)),
    ],
)
def test_selection_without_upscale(size: tuple[int, int], bucket: tuple[int, int], resized: tuple[int, int]) -> None:
    choice = select_without_upscale(size, area=1024 * 1024, step=64)
    assert (choice.bucket, choice.resized) == (bucket, resized)


@given(SIDES, SIDES)
@settings(max_examples=300)
def test_every_picture_covers_its_bucket_and_one_side_fits(width: int, height: int) -> None:
    choice = select_bucket((width, height), sdxl_buckets())
    assert choice.bucket in sdxl_buckets()
    assert choice.resized[0] >= choice.bucket[0]
    assert choice.resized[1] >= choice.bucket[1]
    assert choice.resized[0] == choice.bucket[0] or choice.resized[1] == choice.bucket[1]


@given(SIDES, SIDES, st.sampled_from([8, 32, 64]), st.sampled_from([256, 512, 1024]))
@settings(max_examples=500)
def test_without_upscale_nothing_is_enlarged_beyond_one_step(width: int, height: int, step: int, side: int) -> None:
    choice = select_without_upscale((width, height), area=side * side, step=step)
    bucket, resized = choice.bucket, choice.resized
    assert bucket[0] % step == bucket[1] % step == 0
    assert step <= bucket[0] <= resized[0]
    assert step <= bucket[1] <= resized[1]
    if min(width, height) >= 2 * step and min(bucket) > step:
        assert resized[0] <= width + 1
        assert resized[1] <= height + 1
        assert bucket[0] * bucket[1] <= side * side * 1.05


@given(st.integers(256, 1536), st.integers(256, 1536), st.sampled_from([8, 16, 32, 64]))
@settings(max_examples=200)
def test_buckets_keep_to_their_area_step_and_limits(width: int, height: int, step: int) -> None:
    buckets = make_buckets(width, height, minimum=256, maximum=2048, step=step)
    assert buckets
    assert {(high, wide) for wide, high in buckets} == set(buckets)
    for wide, high in buckets:
        assert wide * high <= width * height
        assert wide % step == high % step == 0
        assert wide <= 2048
        assert high <= 2048


def test_without_buckets_every_picture_is_cropped_to_the_size() -> None:
    data = DataSection(width=512, height=256, enable_bucket=False)
    choice = choose((1000, 1000), data, buckets_of(data))
    assert (choice.bucket, choice.resized) == ((512, 256), (512, 512))
