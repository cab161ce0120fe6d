"""Looking at pictures: each is decoded once, its damage and blur are told, copies are found whatever their format."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig
from backend.data.index import Index, Looks
from backend.data.quality import is_blurry, known, look, near_duplicates, perceptual_hash, same_content, sharpness
from backend.data.records import Scan
from backend.data.scan import Stopped, scan

Paint = Callable[..., Path]


def scene(seed: int, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """Return a picture with edges and shades that no other seed has."""
    rng = random.Random(seed)
    image = Image.new("RGB", (256, 192), (rng.randrange(256),) * 3)
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y, w, h = rng.randrange(220), rng.randrange(160), rng.randrange(20, 120), rng.randrange(20, 90)
        draw.ellipse((x, y, x + w, y + h), fill=tuple(rng.randrange(256) for _ in range(3)))
    return image.resize(size, Image.Resampling.LANCZOS)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Index:
    with Index(tmp_path / "cache") as index:
        yield index


def scanned(folder: Path, tmp_path: Path) -> Scan:
    return scan(DataSection(datasets=[DatasetConfig(path=str(folder))]), cache_dir=tmp_path / "cache")


def test_every_picture_is_looked_at_and_remembered(pictures: Path, tmp_path: Path, index: Index) -> None:
    for number in range(5):
        scene(number).save(pictures / f"{number}.png")
    found = scanned(pictures, tmp_path)
    assert known(found, index).num_looked == 0
    done: list[tuple[int, int]] = []
    seen = look(found, index, progress=lambda *counts: done.append(counts))
    assert done[-1] == (5, 5)
    assert len({looks.perceptual_hash for looks in seen.looks if looks}) == 5
    assert len(set(seen.contents)) == 5
    assert all(len(content) == 64 for content in seen.contents)
    assert known(found, index) == seen
    # The second look reads nothing: the pictures are gone.
    for path in pictures.iterdir():
        path.unlink()
    again: list[tuple[int, int]] = []
    assert look(found, index, progress=lambda *counts: again.append(counts)) == seen
    assert again == []


def test_a_changed_picture_is_looked_at_again(pictures: Path, tmp_path: Path, index: Index) -> None:
    scene(1).save(pictures / "a.png")
    before = look(scanned(pictures, tmp_path), index)
    scene(2, (300, 200)).save(pictures / "a.png")
    found = scanned(pictures, tmp_path)
    assert known(found, index).looks == (None,)
    after = look(found, index)
    assert after.contents != before.contents
    assert after.looks != before.looks


def test_a_look_can_be_stopped_and_keeps_what_it_saw(
    pictures: Path, tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.data.quality.NUM_PER_CHUNK", 2)
    for number in range(6):
        scene(number).save(pictures / f"{number}.png")
    found = scanned(pictures, tmp_path)
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        look(found, index, stop=lambda: next(asked))
    assert known(found, index).num_looked == 4
    done: list[tuple[int, int]] = []
    look(found, index, progress=lambda *counts: done.append(counts))
    assert done == [(6, 6)]


def test_damage_that_the_header_hides_is_found(pictures: Path, tmp_path: Path, index: Index) -> None:
    scene(1).save(pictures / "good.jpg")
    scene(2).save(pictures / "cut.jpg")
    scene(3).save(pictures / "cut.png")
    for name in ("cut.jpg", "cut.png"):
        path = pictures / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = scanned(pictures, tmp_path)
    assert [record.name for record in found.images] == ["cut.jpg", "cut.png", "good.jpg"]
    seen = look(found, index)
    assert [looks.error for looks in seen.looks if looks] == ["image_truncated", "image_truncated", ""]
    (pictures / "good.jpg").unlink()
    (tmp_path / "empty").mkdir()
    with Index(tmp_path / "empty") as other:
        gone = look(found, other)
        assert [looks.error for looks in gone.looks if looks] == [
            "image_truncated",
            "image_truncated",
            "file_not_found",
        ]
        # A file that is not there may come back.
        assert known(found, other).looks[2] is None


def test_blur_is_told_at_any_size_and_format(pictures: Path, tmp_path: Path, index: Index) -> None:
    for name, size in (("small.png", (256, 192)), ("large.jpg", (2048, 1536))):
        picture = scene(4, size)
        picture.save(pictures / f"sharp_{name}")
        picture.filter(ImageFilter.GaussianBlur(size[0] / 60)).save(pictures / f"blurred_{name}")
    found = scanned(pictures, tmp_path)
    seen = look(found, index)
    blurry = {record.name for record, looks in zip(found.images, seen.looks, strict=True) if is_blurry(looks)}
    assert blurry == {"blurred_small.png", "blurred_large.jpg"}


def test_sharpness_of_known_pictures() -> None:
    assert sharpness(Image.new("L", (8, 8), 90)) == 0.0
    assert sharpness(Image.new("L", (2, 8), 90)) == 0.0
    ramp = Image.fromarray(np.tile(np.arange(0, 200, 10, dtype=np.uint8), (20, 1)))
    assert sharpness(ramp) == 0.0
    board = Image.fromarray((np.indices((16, 16)).sum(axis=0) % 2 * 255).astype(np.uint8))
    # Each pixel differs from all four neighbours: 4 * 255 up or down.
    assert sharpness(board) == pytest.approx((4 * 255) ** 2)


def test_copies_in_other_sizes_formats_and_orientations_are_near(pictures: Path, tmp_path: Path, index: Index) -> None:
    original = scene(7, (1024, 768))
    original.save(pictures / "a.png")
    original.resize((700, 525)).save(pictures / "b.jpg", quality=50)
    original.convert("RGBA").save(pictures / "c.webp")
    turned = Image.Exif()
    turned[0x0112] = 6
    original.rotate(90, expand=True).save(pictures / "d.jpg", exif=turned)
    (pictures / "e.png").write_bytes((pictures / "a.png").read_bytes())
    for number in range(20):
        scene(100 + number).save(pictures / f"other{number}.png")
    found = scanned(pictures, tmp_path)
    seen = look(found, index)
    (group,) = near_duplicates(seen.looks, range(len(found.images)))
    assert [found.images[number].name for number in group] == ["a.png", "b.jpg", "c.webp", "d.jpg", "e.png"]
    (exact,) = same_content(seen.contents, range(len(found.images)))
    assert [found.images[number].name for number in exact] == ["a.png", "e.png"]


def test_pictures_of_one_colour_are_not_taken_for_copies() -> None:
    assert perceptual_hash(Image.new("L", (64, 64), 3)) == ""
    assert near_duplicates([Looks(), Looks(), None, Looks(error="image_truncated")], range(4)) == []


def groups_one_by_one(hashes: list[int], most: int) -> set[tuple[int, ...]]:
    """Compare all with all: what the bands must find."""
    group_of = list(range(len(hashes)))
    for first in range(len(hashes)):
        for second in range(first):
            if (hashes[first] ^ hashes[second]).bit_count() <= most:
                joined = {group_of[first], group_of[second]}
                group_of = [min(joined) if each in joined else each for each in group_of]
    groups = {each: tuple(i for i, group in enumerate(group_of) if group == each) for each in group_of}
    return {group for group in groups.values() if len(group) > 1}


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 63), max_size=7)), max_size=10),
    st.integers(0, 6),
)
def test_bands_find_what_comparing_all_with_all_finds(
    bases: list[int], changed: list[tuple[int, set[int]]], most: int
) -> None:
    hashes = list(bases)
    for number, bits in changed:
        hashes.append(bases[number % len(bases)] ^ sum(1 << bit for bit in bits))
    looks = [Looks(f"{value:016x}") for value in hashes]
    found = {tuple(sorted(group)) for group in near_duplicates(looks, range(len(looks)), most=most)}
    assert found == groups_one_by_one(hashes, most)


def test_a_hundred_thousand_hashes_are_grouped_in_seconds() -> None:
    rng = random.Random(0)
    looks = [Looks(f"{rng.getrandbits(64):016x}") for _ in range(100_000)]
    looks[70_000] = Looks(f"{int(looks[3].perceptual_hash, 16) ^ 0b1011:016x}")
    # So many that are all alike are compared once.
    looks[80_000:] = [looks[5]] * 20_000
    groups = near_duplicates(looks, range(len(looks)))
    assert sorted(map(len, groups)) == [2, 20_001]
