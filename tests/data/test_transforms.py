"""Pictures are scaled, cut and varied as the configuration says."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from backend.config.data import DataSection
from backend.data.transforms import prepare, to_array


def ramp(width: int, height: int) -> Image.Image:
    """Red tells the column and green the row, in steps of 2."""
    columns = np.arange(width) * 2
    rows = np.arange(height) * 2
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = columns[None, :], rows[:, None]
    image[..., 2] = 99
    return Image.fromarray(image)


def run(image: Image.Image, *, flip: bool = False, seed: int = 0, **changes: object) -> tuple[np.ndarray, tuple]:
    data = DataSection(**changes)
    cut, corner = prepare(image, bucket=(40, 20), resized=image.size, data=data, rng=random.Random(seed), flip=flip)
    return np.asarray(cut).astype(int), corner


def test_the_centre_is_cut_and_its_corner_told() -> None:
    cut, corner = run(ramp(60, 31))
    assert cut.shape == (20, 40, 3)
    assert corner == (5, 10)
    assert cut[0, 0].tolist() == [20, 10, 99]
    assert cut[-1, -1].tolist() == [98, 48, 99]


def test_mirroring_turns_left_and_right() -> None:
    straight, _ = run(ramp(60, 30))
    mirrored, _ = run(ramp(60, 30), flip=True)
    assert (mirrored == straight[:, ::-1]).all()


def test_random_crops_stay_inside_and_tell_where_they_were() -> None:
    corners = set()
    for seed in range(40):
        cut, (top, left) = run(ramp(60, 30), seed=seed, random_crop=True)
        assert cut[0, 0].tolist() == [2 * left, 2 * top, 99]
        corners.add((top, left))
    assert len(corners) > 20
    assert run(ramp(60, 30), seed=3, random_crop=True)[1] == run(ramp(60, 30), seed=3, random_crop=True)[1]


def test_colours_vary_a_little() -> None:
    plain, _ = run(Image.new("RGB", (40, 20), (200, 100, 50)))
    varied, _ = run(Image.new("RGB", (40, 20), (200, 100, 50)), color_augmentation=True)
    assert (plain != varied).any()
    assert np.abs(plain - varied).max() < 60


@pytest.mark.parametrize(("size", "resized"), [((80, 40), (40, 20)), ((20, 10), (40, 20)), ((40, 20), (40, 20))])
def test_scaling_reaches_the_size(size: tuple[int, int], resized: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    cut, _ = prepare(image, bucket=(40, 20), resized=resized, data=DataSection(), rng=random.Random(0), flip=False)
    assert np.asarray(cut).tolist() == [[[10, 200, 30]] * 40] * 20


def test_arrays_are_channels_first_from_minus_one_to_one() -> None:
    array = to_array(Image.new("RGB", (4, 2), (0, 255, 0)))
    assert array.shape == (3, 2, 4)
    assert array.dtype == np.float32
    assert array[:, 0, 0].tolist() == [-1.0, 1.0, -1.0]
