"""Masks come from where the data set says and are brought to the size of the latents."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.config.datasets import DatasetConfig, PictureRules
from backend.config.problems import UserError
from backend.data.datasets import Dataset
from backend.data.masks import load_mask, to_latent_size
from backend.data.records import ImageRecord
from backend.data.transforms import prepare_pair


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


class Files(dict[str, bytes]):
    """Bytes by location."""

    def read(self, record: ImageRecord, location: str = "") -> bytes:
        return self[location or record.location]


def load(image: Image.Image, files: Files | None = None, *, location: str = "", **config: Any) -> np.ndarray | None:
    dataset = Dataset(0, DatasetConfig(path="a", **config), PictureRules(), "data.datasets[0]")
    record = ImageRecord(0, "a.png", "a.png", "1", *image.size, mask=location)
    mask = load_mask(record, dataset, files or Files(), png(image))
    assert mask is None or mask.mode == "L"
    return None if mask is None else np.asarray(mask)


def half(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (16, 8), left)
    image.paste(right, (8, 0, 16, 8))
    return image


def test_what_is_not_transparent_counts() -> None:
    mask = load(half("RGBA", (255, 0, 0, 0), (255, 0, 0, 200)), mask="alpha")
    assert mask is not None
    assert mask[0].tolist() == [0] * 8 + [200] * 8
    assert load(Image.new("RGB", (16, 8)), mask="alpha") is None


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_mask_is_read_from_its_own_file(kind: str) -> None:
    files = Files({"mask.png": png(half("L", 0, 255))})
    mask = load(Image.new("RGB", (16, 8)), files, location="mask.png", mask=kind)
    assert mask is not None
    assert mask[0].tolist() == [0] * 8 + [255] * 8
    assert load(Image.new("RGB", (16, 8)), files, mask=kind) is None
    assert load(Image.new("RGB", (16, 8)), files, location="mask.png") is None


def test_a_broken_mask_is_told_by_its_name() -> None:
    with pytest.raises(UserError) as raised:
        load(Image.new("RGB", (16, 8)), Files({"mask.png": b"no picture"}), location="mask.png", mask="file")
    assert raised.value.problem.params["value"] == "mask.png"


def test_each_latent_has_the_mean_of_its_pixels() -> None:
    """A quarter of the pixels of the first square of 8 x 8 is white, and half of the second, at half its value."""
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:4, :4] = 255
    pixels[:, 12:] = 127
    mask = to_latent_size(Image.fromarray(pixels), 8)
    assert mask.dtype == np.float32
    assert mask == pytest.approx(np.array([[0.25, 127 / 255 / 2]]))


@pytest.mark.parametrize(("color", "value"), [("white", 1.0), ("black", 0.0)])
def test_even_masks_stay_exact_through_scaling(color: str, value: float) -> None:
    mask = Image.new("L", (333, 177), color)
    cut = prepare_pair(mask, bucket=(128, 64), resized=(128, 68), corner=(2, 0), flip=True)
    assert to_latent_size(cut, 8).tolist() == [[value] * 16] * 8
