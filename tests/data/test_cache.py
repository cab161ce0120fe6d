"""The caches: whatever an entry depends on changes its key, and nothing else does."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.config.data import DataSection
from backend.data import plan
from backend.data.cache import LatentCache, MemoryStore, TextCache
from backend.data.index import Index
from backend.data.pictures import Pictures
from backend.data.plan import Placement
from backend.data.scan import scan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "图片 🎨"
    folder.mkdir()
    Image.new("RGB", (64, 64), (200, 0, 0)).save(folder / "one.png")
    Image.new("L", (64, 64), 255).save(folder / "one-masklabel.png")
    (folder / "one.txt").write_text("one", encoding="utf-8")
    return folder


def opened(folder: Path, *, vae: str = "a", **settings: Any) -> tuple[LatentCache, Placement]:
    """Scan a folder as a run of its own would, and return a cache and the first placement."""
    rules = {"width": 64, "height": 64, "min_bucket_resolution": 64, "bucket_step": 8}
    own = {name: settings.pop(name) for name in ("mask", "conditioning") if name in settings}
    data = DataSection.model_validate({**rules, **settings, "datasets": [{"path": str(folder), **own}]})
    cache_dir = folder.parent / "cache"
    found = scan(data, cache_dir=cache_dir)
    pictures = Pictures(found.datasets, Index(cache_dir))
    return LatentCache(MemoryStore(), vae_identity=vae, pictures=pictures), plan.place(found).placements[0]


def key(folder: Path, *, flip: bool = False, **settings: Any) -> str:
    cache, placement = opened(folder, **settings)
    return cache.key(placement, flip=flip)


def test_whatever_an_entry_depends_on_is_in_its_key(folder: Path) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"vae": "b"},
        {"flip": True},
        {"width": 128, "height": 128},
        {"crop": "corner"},
        {"crop": "squeeze"},
        {"mask": "file"},
        {"mask": "alpha"},
        {"conditioning": "canny"},
        {"conditioning": "grayscale"},
    ]
    keys = [key(folder, **variant) for variant in variants]
    assert len(set(keys)) == len(variants)
    assert keys == [key(folder, **variant) for variant in variants], "another run finds the same"


def test_captions_and_repeats_are_not_in_the_key_of_latents(folder: Path) -> None:
    before = key(folder)
    (folder / "one.txt").write_text("another caption", encoding="utf-8")
    assert key(folder, trigger_word="zkz", shuffle_caption=True) == before


def test_a_moved_or_renamed_picture_keeps_its_entry_and_an_edited_one_does_not(folder: Path) -> None:
    before = key(folder)
    (folder / "one.png").rename(folder / "two.png")
    assert key(folder) == before
    moved = folder.parent / "elsewhere"
    shutil.move(folder, moved)
    assert key(moved) == before
    stat = (moved / "two.png").stat()
    Image.new("RGB", (64, 64), (0, 0, 200)).save(moved / "two.png")
    os.utime(moved / "two.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert key(moved) != before


def test_an_edited_mask_renews_the_entry(folder: Path) -> None:
    before = key(folder, mask="file")
    Image.new("L", (64, 64), 90).save(folder / "one-masklabel.png")
    assert key(folder, mask="file") != before


def test_a_picture_that_is_edited_during_a_run_is_trained_as_it_was(folder: Path) -> None:
    cache, placement = opened(folder)
    before = cache.key(placement, flip=False)
    Image.new("RGB", (64, 64), (0, 0, 200)).save(folder / "one.png")
    assert cache.key(placement, flip=False) == before
    fresh = dataclasses.replace(placement, resized=(128, 128), bucket=(64, 64))
    assert cache.key(fresh, flip=False) != before


def test_text_keys_hang_on_the_caption_and_the_encoders() -> None:
    def text_key(caption: str, **identities: str) -> str:
        return TextCache(MemoryStore(), identities=identities).key(caption)

    assert text_key("cat", one="a", two="b") == text_key("cat", two="b", one="a")
    keys = {
        text_key("cat", one="a"),
        text_key("Cat", one="a"),
        text_key("", one="a"),
        text_key("cat", one="b"),
        text_key("cat", one="a", two="a"),
    }
    assert len(keys) == 5


def test_contents_are_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, placement = opened(folder, mask="file")
    cache.key(placement, flip=False)
    cache.pictures.remember()
    again, placement = opened(folder, mask="file")
    again.pictures.learn([placement.record])

    def refuse(*_: object) -> bytes:
        raise AssertionError("the picture was read again")

    monkeypatch.setattr(Pictures, "read", refuse)
    assert again.pictures.knows(placement.record)
    assert again.key(placement, flip=False) == cache.key(placement, flip=False)
