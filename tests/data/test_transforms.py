"""Pictures are scaled, cut and varied as the configuration says, and what goes with them alike."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig
from backend.config.geometry import GeometryRules
from backend.data import faces
from backend.data.buckets import choose
from backend.data.scan import scan
from backend.data.transforms import find_corner, prepare, prepare_pair, resize, to_array

needs_opencv = pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="opencv is an extra")


def ramp(width: int, height: int) -> Image.Image:
    """Red tells the column and green the row, in steps of 2."""
    columns = np.arange(width) * 2
    rows = np.arange(height) * 2
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = columns[None, :], rows[:, None]
    image[..., 2] = 99
    return Image.fromarray(image)


def run(image: Image.Image, *, flip: bool = False, seed: int = 0, **changes: object) -> tuple[np.ndarray, tuple]:
    rules = GeometryRules(**changes)
    cut, corner = prepare(image, bucket=(40, 20), resized=image.size, rules=rules, rng=random.Random(seed), flip=flip)
    return np.asarray(cut).astype(int), corner


def values(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


# Where pictures are cut.


def test_the_centre_is_cut_and_its_corner_told() -> None:
    cut, corner = run(ramp(60, 31))
    assert cut.shape == (20, 40, 3)
    assert corner == (5, 10)
    assert cut[0, 0].tolist() == [20, 10, 99]
    assert cut[-1, -1].tolist() == [98, 48, 99]


def test_the_top_left_corner_is_cut() -> None:
    cut, corner = run(ramp(60, 31), crop="corner")
    assert corner == (0, 0)
    assert cut[0, 0].tolist() == [0, 0, 99]


def test_mirroring_turns_left_and_right() -> None:
    straight, _ = run(ramp(60, 30))
    mirrored, _ = run(ramp(60, 30), flip=True)
    assert (mirrored == straight[:, ::-1]).all()


def test_random_crops_stay_inside_and_tell_where_they_were() -> None:
    corners = set()
    for seed in range(40):
        cut, (top, left) = run(ramp(60, 30), seed=seed, crop="random")
        assert cut[0, 0].tolist() == [2 * left, 2 * top, 99]
        corners.add((top, left))
    assert len(corners) > 20
    assert run(ramp(60, 30), seed=3, crop="random")[1] == run(ramp(60, 30), seed=3, crop="random")[1]


def test_a_cut_of_a_scaled_picture_is_what_lies_there() -> None:
    """A picture of four colours, twice as large as it is scaled to: the lower right quarter is one of them."""
    image = Image.new("RGB", (80, 80), "black")
    image.paste((10, 200, 30), (40, 40, 80, 80))
    cut = prepare_pair(image, bucket=(20, 20), resized=(40, 40), corner=(20, 20), flip=False)
    assert values(cut).tolist() == [[[10, 200, 30]] * 20] * 20


# How they are scaled.


@pytest.mark.parametrize("size", [(80, 40), (20, 10), (40, 20), (97, 53), (13, 200), (1, 1)])
def test_a_picture_of_one_colour_keeps_it(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    assert values(resize(image, (40, 20))).tolist() == [[[10, 200, 30]] * 40] * 20


def test_every_shade_survives_scaling() -> None:
    shades = np.repeat(np.arange(256, dtype=np.uint8), 8).reshape(1, -1)
    image = Image.fromarray(np.repeat(shades, 8, axis=0)).convert("RGB")
    middle = values(resize(image, (256 * 4, 4)))[2, :, 0]
    assert (middle[1::4] == np.arange(256)).mean() > 0.5
    assert np.abs(middle - np.repeat(np.arange(256), 4)).max() <= 1


@pytest.mark.parametrize("side", [32, 40, 48, 60])
def test_fine_patterns_do_not_darken(side: int) -> None:
    """Half black, half white is half the light: sRGB 188. At factors that are not whole a little pattern is left."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = values(resize(Image.fromarray(board).convert("RGB"), (side, side)))
    light = (np.where(small <= 10, 0, ((small / 255 + 0.055) / 1.055) ** 2.4)).mean()
    assert light == pytest.approx(0.5, abs=0.01)
    if side == 32:
        assert set(small[2:-2, 2:-2].ravel().tolist()) == {188}


def test_shrinking_is_antialiased() -> None:
    """Stripes too fine to be shown become an even grey instead of broad stripes."""
    stripes = np.tile(np.array([0, 255], np.uint8), (128, 64))
    small = values(resize(Image.fromarray(stripes).convert("RGB"), (50, 50)))
    assert small.std() < 15


@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from(["center", "corner", "random", "squeeze"]))
@settings(max_examples=60, deadline=None)
def test_every_picture_fills_its_bucket(width: int, height: int, crop: str) -> None:
    rules = GeometryRules(width=128, height=128, min_bucket_resolution=64, max_bucket_resolution=256, crop=crop)
    choice = choose((width, height), rules)
    sizes = {"bucket": choice.bucket, "resized": choice.resized}
    image = Image.new("RGB", (width, height), (200, 100, 50))
    cut, corner = prepare(image, **sizes, rules=rules, rng=random.Random(0), flip=False)
    assert cut.size == choice.bucket
    assert values(cut).reshape(-1, 3).tolist() == [[200, 100, 50]] * (cut.width * cut.height)
    assert corner[0] + choice.bucket[1] <= choice.resized[1]
    assert corner[1] + choice.bucket[0] <= choice.resized[0]


def test_very_long_strips_are_not_blown_up_whole() -> None:
    """Scaled to cover, this would be 4,000,000 x 1024 pixels; only what is kept is made."""
    cut, _ = prepare(
        Image.new("RGB", (4000, 1), "red"),
        bucket=(1024, 1024),
        resized=(4_096_000, 1024),
        rules=GeometryRules(),
        rng=random.Random(0),
        flip=False,
    )
    assert cut.size == (1024, 1024)


# What goes with a picture.


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_masks_and_pairs_are_cut_as_their_picture_whatever_their_size(scale: int, flip: bool) -> None:
    image = Image.new("RGB", (120, 60), "black")
    image.paste("white", (60, 0, 120, 60))
    rules = GeometryRules(crop="random")
    cut, corner = prepare(image, bucket=(40, 20), resized=(60, 30), rules=rules, rng=random.Random(5), flip=flip)
    other = image.resize((120 * scale, 60 * scale), Image.Resampling.NEAREST)
    sizes = {"bucket": (40, 20), "resized": (60, 30), "corner": corner, "flip": flip}
    pair, mask = prepare_pair(other, **sizes), prepare_pair(other.convert("L"), **sizes)
    assert (pair.mode, mask.mode, mask.size) == ("RGB", "L", (40, 20))
    edge = values(cut)[..., 0] > 127
    assert edge.any()
    assert not edge.all()
    assert (edge == (values(pair)[..., 0] > 127)).all()
    assert (edge == (values(mask) > 127)).all()


def test_masks_are_shares_and_no_colours() -> None:
    """Half black, half white counts half: 128, where a picture would become 188."""
    board = Image.fromarray((np.indices((80, 40)).sum(axis=0) % 2 * 255).astype(np.uint8))
    mask = prepare_pair(board, bucket=(20, 40), resized=(20, 40), corner=(0, 0), flip=False)
    assert set(values(mask).ravel().tolist()) <= {127, 128}


def test_colours_vary_a_little() -> None:
    plain, _ = run(Image.new("RGB", (40, 20), (200, 100, 50)))
    varied, _ = run(Image.new("RGB", (40, 20), (200, 100, 50)), color_augmentation=True)
    assert (plain != varied).any()
    assert np.abs(plain - varied).max() < 60


def test_arrays_are_channels_first_from_minus_one_to_one() -> None:
    array = to_array(Image.new("RGB", (4, 2), (0, 255, 0)))
    assert array.shape == (3, 2, 4)
    assert array.dtype == np.float32
    assert array[:, 0, 0].tolist() == [-1.0, 1.0, -1.0]


# Faces.


def with_face(size: tuple[int, int], *centres: tuple[int, int], radius: int = 90) -> Image.Image:
    """Draw faces: hair, skin, brows, eyes, nose, mouth."""
    image = Image.new("RGB", size, (70, 90, 110))
    draw = ImageDraw.Draw(image)
    for number, (x, y) in enumerate(centres):
        for place, color in _features():
            side = radius / (number + 1)
            cx, cy, width, height = (part * side for part in place)
            draw.ellipse((x + cx - width, y + cy - height, x + cx + width, y + cy + height), fill=color)
    return image.filter(ImageFilter.GaussianBlur(radius * 0.03))


def _features() -> Iterator[tuple[tuple[float, float, float, float], tuple[int, int, int]]]:
    yield (0, -0.15, 0.95, 1.15), (50, 35, 25)
    yield (0, 0.1, 0.78, 1.0), (220, 180, 150)
    for side in (-1, 1):
        yield (side * 0.33, -0.22, 0.22, 0.06), (90, 60, 45)
        yield (side * 0.33, -0.05, 0.19, 0.10), (150, 110, 95)
        yield (side * 0.33, -0.05, 0.09, 0.09), (40, 25, 20)
        yield (side * 0.08, 0.36, 0.06, 0.04), (150, 100, 85)
    yield (0, 0.15, 0.09, 0.25), (240, 205, 180)
    yield (0, 0.62, 0.3, 0.09), (150, 70, 70)


def corner_of(image: Image.Image) -> tuple[int, int]:
    rules = GeometryRules(crop="face")
    return find_corner(image, bucket=(400, 400), resized=image.size, rules=rules, rng=random.Random(0))


@needs_opencv
@pytest.mark.parametrize(
    ("size", "centre", "corner"),
    [
        ((1200, 400), (800, 200), (0, 600)),
        ((1200, 400), (120, 200), (0, 0)),  # nearer to the side than half the cut
        ((400, 900), (200, 650), (450, 0)),
    ],
)
def test_the_face_is_in_the_middle_of_the_cut(
    size: tuple[int, int], centre: tuple[int, int], corner: tuple[int, int]
) -> None:
    assert corner_of(with_face(size, centre)) == pytest.approx(corner, abs=20)


@needs_opencv
def test_of_several_faces_the_largest_counts() -> None:
    assert corner_of(with_face((1600, 400), (1200, 200), (200, 200)))[1] == pytest.approx(1000, abs=20)


@needs_opencv
def test_without_a_face_the_centre_is_cut() -> None:
    assert corner_of(Image.new("RGB", (1200, 400), "gray")) == (0, 400)


@needs_opencv
def test_faces_are_found_in_several_threads_at_once() -> None:
    image = with_face((1200, 400), (800, 200))
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(corner_of, [image] * 12))) == 1


def test_the_package_for_faces_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faces.crop_needs(GeometryRules(crop="center")) is None
    monkeypatch.setattr(faces, "CASCADE", "a cascade that is in no package.xml")
    problem = faces.crop_needs(GeometryRules(crop="face"), "data.datasets[1].crop")
    assert problem is not None
    assert (problem.level, problem.code, problem.path) == ("error", "package_missing", "data.datasets[1].crop")
    assert "opencv-python-headless" in problem.params["package"]


def test_a_scan_says_that_the_package_is_missing(
    tmp_path: Path, draw: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "CASCADE", "a cascade that is in no package.xml")
    folder = str(draw("a.png", caption="a").parent)
    rows = [DatasetConfig(path=folder), DatasetConfig(path=folder), DatasetConfig(path=folder, crop="face")]
    found = scan(DataSection(datasets=rows, crop="face"), cache_dir=tmp_path / "cache")
    missing = [problem.path for problem in found.problems if problem.code == "package_missing"]
    assert missing == ["data.crop", "data.datasets[2].crop"]
