"""Buckets by the rules of other trainers: tables worked out by hand, and properties over all sizes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.config.geometry import GeometryRules, parse_size
from backend.data.buckets import Size, bucket_aspects, buckets_of, choose, chooser, make_buckets, resolutions_of

SIDES = st.integers(1, 6000)
SDXL = GeometryRules(width=1024, height=1024, max_bucket_resolution=2048)


def chosen(size: Size, rules: GeometryRules, resolution: int | None = None) -> tuple[Size, Size]:
    choice = choose(size, rules, resolution=resolution)
    return choice.bucket, choice.resized


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
def test_kohya_takes_the_nearest_shape(size: Size, bucket: Size, resized: Size) -> None:
    assert chosen(size, SDXL) == (bucket, resized)


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
def test_kohya_without_upscale(size: Size, bucket: Size, resized: Size) -> None:
    assert chosen(size, SDXL.model_copy(update={"bucket_no_upscale": True})) == (bucket, resized)


@pytest.mark.parametrize(
    ("size", "step", "bucket", "resized"),
    [
        # Executed with SimpleTuner at 1.048576 megapixels.
        ((1920, 1080), 64, (1344, 768), (1365, 768)),
        ((4000, 3000), 64, (1152, 896), (1194, 896)),
        ((3883, 5825), 64, (832, 1280), (853, 1280)),
        ((1920, 1080), 16, (1360, 768), (1365, 768)),
    ],
)
@pytest.mark.parametrize(
    "rules",
    [{"bucket_rule": "area", "megapixels": 1.048576}, {"bucket_rule": "pixel_area", "width": 1024, "height": 1024}],
)
def test_area_keeps_the_shape_of_each_picture(
    rules: dict[str, Any], size: Size, step: int, bucket: Size, resized: Size
) -> None:
    assert chosen(size, GeometryRules(**rules, bucket_step=step)) == (bucket, resized)


@pytest.mark.parametrize(
    ("megapixels", "side"),
    [(0.25, 512), (0.5, 768), (1.0, 1024), (1.048576, 1024), (2.0, 1536), (4.0, 2048), (0.28, 512), (0.75, 896)],
)
def test_common_areas_are_meant_as_squares_of_the_usual_sides(megapixels: float, side: int) -> None:
    """0.75 has no name: sqrt(750000) = 866, and 866 / 64 = 13.5 rounds to 14 steps."""
    rules = GeometryRules(bucket_rule="area", megapixels=megapixels)
    assert chosen((3000, 3000), rules) == ((side, side), (side, side))


@pytest.mark.parametrize(("size", "bucket"), [((1920, 1080), (1792, 1024)), ((1080, 1920), (1024, 1856))])
def test_pixel_fits_the_shorter_side(size: Size, bucket: Size) -> None:
    """Executed with SimpleTuner; the two differ because it keeps two decimals of the aspect: 1.78 and 0.56."""
    assert chosen(size, GeometryRules(bucket_rule="pixel", width=1024, height=1024))[0] == bucket


def test_aspects_are_a_geometric_series() -> None:
    """From 1/2 to 2 in 7: each is wider by the factor 4 ** (1/6) = 1.26."""
    rules = GeometryRules(bucket_rule="aspects", width=1024, height=1024, bucket_step=16)
    assert bucket_aspects(rules) == pytest.approx([0.5, 0.63, 0.7937, 1, 1.26, 1.5874, 2], abs=1e-4)
    # w = sqrt(1024^2 * aspect): 724.1, 812.7, 912.3, 1024, 1149.4, 1290.2, 1448.2 (90.5 steps).
    widths = [720, 816, 912, 1024, 1152, 1296, 1456]
    heights = [1456, 1296, 1152, 1024, 912, 816, 720]
    assert buckets_of(rules) == sorted(zip(widths, heights, strict=True))


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1000, 1000), (512, 512)),
        # 1.12 lies between 1 and 1.26; as factors 1.12 < 1.1225 = sqrt(1.26), so it belongs to 1.
        ((1120, 1000), (512, 512)),
        ((1130, 1000), (576, 448)),  # sqrt(262144 * 1.26) = 574.7 -> 576, 262144 / 574.7 = 456.1 -> 448
        ((1000, 9000), (384, 704)),  # 0.5: 362.04 -> 5.66 steps -> 384, 724.08 -> 11.3 steps -> 704
    ],
)
def test_aspects_are_compared_as_factors(size: Size, bucket: Size) -> None:
    assert chosen(size, GeometryRules(bucket_rule="aspects"))[0] == bucket


def test_aspects_and_sizes_can_be_listed() -> None:
    aspects = GeometryRules(bucket_rule="aspects", bucket_aspects=[0.25, 1.0])
    assert buckets_of(aspects) == [(256, 1024), (512, 512)]
    sizes = GeometryRules(bucket_rule="sizes", bucket_sizes=["512x768", "1024 × 1536", "640X640", "nonsense"])
    assert buckets_of(sizes) == [(512, 768), (1024, 1536), (640, 640)]
    assert chosen((500, 760), sizes) == ((512, 768), (512, 778))
    # Of two sizes of one shape, the nearer in size.
    assert chosen((2000, 3000), sizes)[0] == (1024, 1536)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512x768", (512, 768)),
        (" 512 X 768 ", (512, 768)),
        ("512*768", (512, 768)),
        ("512", None),
        ("0x8", None),
        ("ax8", None),
    ],
)
def test_sizes_are_read(text: str, size: Size | None) -> None:
    assert parse_size(text) == size


def test_several_resolutions_each_make_their_own_bucket() -> None:
    rules = GeometryRules(resolutions=[512, 1024, 512])
    assert resolutions_of(rules) == (512, 1024)
    assert [choose((3000, 2000), rules, resolution=each).bucket for each in resolutions_of(rules)] == [
        (640, 384),
        (1024, 704),  # the longest side is still 1024 at most
    ]
    assert resolutions_of(GeometryRules(bucket_rule="sizes", bucket_sizes=["512x512"], resolutions=[512])) == (None,)


def test_without_buckets_every_picture_is_cropped_to_the_size() -> None:
    rules = GeometryRules(width=512, height=256, enable_bucket=False)
    assert chosen((1000, 1000), rules) == ((512, 256), (512, 512))


def test_squeezing_cuts_nothing() -> None:
    assert chosen((4000, 3000), SDXL.model_copy(update={"crop": "squeeze"})) == ((1152, 896), (1152, 896))


RULES = st.fixed_dictionaries(
    {
        "width": st.integers(256, 1536),
        "height": st.integers(256, 1536),
        "bucket_rule": st.sampled_from(["kohya", "area", "pixel", "pixel_area", "aspects"]),
        "bucket_step": st.sampled_from([8, 16, 32, 64]),
        "max_bucket_resolution": st.integers(1536, 2048),
        "bucket_no_upscale": st.booleans(),
        "megapixels": st.floats(0.1, 4),
        "crop": st.sampled_from(["center", "squeeze"]),
        "num_bucket_aspects": st.integers(1, 12),
        "resolutions": st.sampled_from([[], [512], [256, 768, 1024]]),
    }
)


@given(SIDES, SIDES, RULES)
@settings(max_examples=500)
def test_every_picture_gets_one_bucket_that_it_covers(width: int, height: int, values: dict[str, Any]) -> None:
    rules = GeometryRules(**values)
    for resolution in resolutions_of(rules):
        bucket, resized = chosen((width, height), rules, resolution)
        assert bucket[0] % rules.bucket_step == bucket[1] % rules.bucket_step == 0
        assert min(bucket) >= rules.bucket_step
        fixed = buckets_of(rules, resolution=resolution)
        assert not fixed or bucket in fixed
        assert resized[0] >= bucket[0]
        assert resized[1] >= bucket[1]
        if rules.crop == "squeeze":
            assert resized == bucket
        elif not (rules.bucket_rule == "kohya" and rules.bucket_no_upscale):
            assert resized[0] == bucket[0] or resized[1] == bucket[1]


@given(SIDES, SIDES)
@settings(max_examples=300)
def test_the_quick_search_finds_what_a_slow_one_does(width: int, height: int) -> None:
    buckets = buckets_of(SDXL)
    slow = min(buckets, key=lambda each: abs(each[0] / each[1] - width / height))
    assert chosen((width, height), SDXL)[0] == ((width, height) if (width, height) in buckets else slow)


@given(SIDES, SIDES, st.sampled_from([8, 32, 64]), st.sampled_from([256, 512, 1024]))
@settings(max_examples=500)
def test_without_upscale_nothing_is_enlarged_beyond_one_step(width: int, height: int, step: int, side: int) -> None:
    rules = GeometryRules(width=side, height=side, bucket_step=step, bucket_no_upscale=True)
    bucket, resized = chosen((width, height), rules)
    if min(width, height) >= 2 * step and min(bucket) > step:
        assert resized[0] <= width + 1
        assert resized[1] <= height + 1
        assert bucket[0] * bucket[1] <= side * side * 1.05


@given(st.integers(256, 1536), st.integers(256, 1536), st.sampled_from([8, 16, 32, 64]))
@settings(max_examples=200)
def test_kohya_buckets_keep_to_their_area_step_and_limits(width: int, height: int, step: int) -> None:
    buckets = make_buckets(width, height, minimum=256, maximum=2048, step=step)
    assert buckets
    assert {(high, wide) for wide, high in buckets} == set(buckets)
    for wide, high in buckets:
        assert wide * high <= width * height
        assert wide % step == high % step == 0
        assert wide <= 2048
        assert high <= 2048


@given(SIDES, SIDES, st.sampled_from(["area", "pixel_area", "aspects"]))
@settings(max_examples=300)
def test_areas_are_kept(width: int, height: int, rule: str) -> None:
    """Rounding each side of a usual shape to a step of 16 changes the area by a few percent at most."""
    rules = GeometryRules(width=1024, height=1024, bucket_rule=rule, bucket_step=16)
    if 0.4 < width / height < 2.5:
        bucket = chooser(rules)((width, height)).bucket
        assert bucket[0] * bucket[1] == pytest.approx(1024 * 1024, rel=0.03)
