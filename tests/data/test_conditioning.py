"""Paired pictures are read from their folder, or made from the picture alike each time."""

from __future__ import annotations

import io
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.config.datasets import DatasetConfig, PictureRules
from backend.data.conditioning import LONGEST_SIDE, load_pair
from backend.data.datasets import Dataset
from backend.data.edges import canny
from backend.data.records import ImageRecord

MADE = ["canny", "random_mask", "low_resolution", "jpeg", "grayscale"]


def picture(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Colours at random in squares of 8, so that there are edges and detail."""
    colors = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    return Image.fromarray(colors).resize(size, Image.Resampling.NEAREST)


class Files(dict[str, bytes]):
    """Bytes by location."""

    def read(self, record: ImageRecord, location: str = "") -> bytes:
        return self[location or record.location]


def pair(kind: str, *, image: Image.Image | None = None, seed: int = 0, location: str = "", **given: Any) -> Any:
    image = image or picture()
    dataset = Dataset(0, DatasetConfig(path="a", conditioning=kind), PictureRules(), "data.datasets[0]")
    record = ImageRecord(0, "a.png", "a.png", "1", *image.size, conditioning=location)
    return load_pair(record, dataset, given.pop("files", Files()), image, random.Random(seed), **given)


def difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(np.asarray(first, np.float32) - np.asarray(second, np.float32)).mean())


def test_a_pair_is_read_from_its_folder() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (10, 20), "blue").save(stream, "PNG")
    files = Files({"b.png": stream.getvalue()})
    found = pair("folder", files=files, location="b.png")
    assert (found.size, found.getpixel((5, 5))) == ((10, 20), (0, 0, 255))
    assert pair("folder", files=files) is None
    assert pair("none") is None


@pytest.mark.parametrize("kind", MADE)
def test_what_is_made_is_the_same_for_the_same_generator(kind: str) -> None:
    first, second = pair(kind, seed=3), pair(kind, seed=3)
    assert (first.mode, first.size) == ("RGB", (96, 64))
    assert difference(first, second) == 0
    assert difference(first, picture()) > 0
    draws = {pair(kind, seed=seed).tobytes() for seed in range(6)}
    assert (len(draws) > 1) == (kind in ("random_mask", "low_resolution", "jpeg"))


@pytest.mark.parametrize("kind", MADE)
def test_what_is_made_is_made_at_the_size_of_training(kind: str) -> None:
    assert pair(kind, size=(48, 32)).size == (48, 32)
    assert pair(kind, image=Image.new("RGB", (4000, 2)), size=(200_000, 100)).size == (LONGEST_SIDE, 8)


def test_the_picture_itself_stays_as_it_is() -> None:
    image = picture()
    for kind in MADE:
        pair(kind, image=image)
    assert difference(image, picture()) == 0


def test_hidden_parts_are_grey_and_the_rest_is_untouched() -> None:
    image = picture()
    shares = []
    for seed in range(20):
        hidden = np.asarray(pair("random_mask", image=image, seed=seed))
        changed = (hidden != np.asarray(image)).any(axis=-1)
        assert (hidden[changed] == 127).all()
        shares.append(changed.mean())
    assert min(shares) > 0.01
    assert max(shares) < 0.95


def test_a_low_resolution_has_less_detail_and_the_same_brightness() -> None:
    small = pair("low_resolution", image=picture((256, 256)))
    assert small.size == (256, 256)
    assert np.asarray(small).std() < np.asarray(picture((256, 256))).std()


def test_greys_have_no_colour() -> None:
    grey = np.asarray(pair("grayscale"))
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()


# Edges.


def square(level: int = 255, *, side: int = 60) -> np.ndarray:
    grey = np.zeros((side, side), np.uint8)
    grey[20:40, 20:40] = level
    return grey


def test_the_edge_of_a_square_is_a_thin_line_around_it() -> None:
    found = canny(square())
    inside, outside = found[23:37, 23:37], found.copy()
    outside[17:43, 17:43] = False
    assert not inside.any()
    assert not outside.any()
    assert found[30, 17:23].sum() == found[30, 37:43].sum() == 1
    assert found[17:23, 30].sum() == found[37:43, 30].sum() == 1
    assert 60 <= found.sum() <= 90


def test_faint_edges_count_only_where_they_go_on_from_strong_ones() -> None:
    """A step of 255 is strong (a gradient of about 570), one of 60 is not, and one of 20 is none at all."""
    strong, faint = canny(square()), canny(square(60))
    assert strong.any()
    assert not faint.any()
    fading = np.zeros((60, 60), np.uint8)
    fading[30:] = np.linspace(255, 60, 60).astype(np.uint8)
    assert canny(fading)[27:33].sum(axis=0).tolist() == [1] * 60
    fading[30:] = np.linspace(255, 0, 60).astype(np.uint8)
    assert canny(fading)[27:33, 55:].sum() == 0


def test_an_even_picture_has_no_edges() -> None:
    assert not canny(np.full((5, 7), 128, np.uint8)).any()
    assert not canny(np.zeros((1, 1), np.uint8)).any()


def test_opposite_contrasts_have_the_same_number_of_edges() -> None:
    assert canny(square()).sum() == pytest.approx(canny(255 - square()).sum(), abs=8)
