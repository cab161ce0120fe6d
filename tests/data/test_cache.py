"""The caches: whatever an entry depends on changes its key, and a damaged entry counts as none."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image

from backend.config.data import DataSection, DatasetConfig
from backend.data import plan
from backend.data.cache import LATENTS, LatentCache, TextCache
from backend.data.plan import Placement
from backend.data.scan import scan


@pytest.fixture
def placement(tmp_path: Path) -> Placement:
    folder = tmp_path / "图片 🎨"
    folder.mkdir()
    Image.new("RGB", (64, 64), (200, 0, 0)).save(folder / "one.png")
    (folder / "one.txt").write_text("one", encoding="utf-8")
    data = DataSection(datasets=[DatasetConfig(path=str(folder))], width=64, height=64, min_bucket_resolution=64)
    return plan.place(scan(data).images, data)[0]


def test_whatever_an_entry_depends_on_is_in_its_key(tmp_path: Path, placement: Placement) -> None:
    def key(item: Placement, *, vae: str = "a", flip: bool = False) -> str:
        return LatentCache(tmp_path, vae_identity=vae).key(item, flip=flip)

    first = key(placement)
    keys = {
        first,
        key(placement, vae="b"),
        key(placement, flip=True),
        key(dataclasses.replace(placement, bucket=(64, 32))),
        key(dataclasses.replace(placement, resized=(128, 128))),
    }
    assert len(keys) == 5
    Image.new("RGB", (64, 64), (0, 0, 200)).save(placement.record.path)
    os.utime(placement.record.path, ns=(1, 1))
    assert key(placement) not in keys
    moved = placement.record.path.rename(tmp_path / "other.png")
    renamed = dataclasses.replace(placement, record=dataclasses.replace(placement.record, path=moved))
    assert key(renamed) == LatentCache(tmp_path, vae_identity="a").key(renamed, flip=False)


def test_text_keys_hang_on_the_caption_and_the_encoders(tmp_path: Path) -> None:
    one = TextCache(tmp_path, identities={"text_encoder": "a", "text_encoder_2": "b"})
    same = TextCache(tmp_path, identities={"text_encoder_2": "b", "text_encoder": "a"})
    other = TextCache(tmp_path, identities={"text_encoder": "a", "text_encoder_2": "c"})
    assert one.key("cat") == same.key("cat")
    assert len({one.key("cat"), one.key("Cat"), one.key(""), other.key("cat")}) == 4


@pytest.mark.parametrize("damage", [b"", b"junk", b"\xff" * 64])
def test_a_damaged_entry_is_made_again(tmp_path: Path, damage: bytes) -> None:
    cache = LatentCache(tmp_path, vae_identity="a")
    assert cache.get("ab" * 32) is None
    cache.put("ab" * 32, {LATENTS: torch.ones(4, 8, 8)})
    whole = cache.path("ab" * 32).read_bytes()
    for content in (damage, whole[:-7], whole[:5]):
        cache.path("ab" * 32).write_bytes(content)
        assert cache.latents("ab" * 32) is None


def test_two_writers_of_one_entry_leave_a_whole_one(tmp_path: Path) -> None:
    cache = LatentCache(tmp_path, vae_identity="a")
    tensors = {LATENTS: torch.randn(4, 32, 32)}

    def write() -> None:
        for _ in range(20):
            cache.put("cd" * 32, tensors)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = cache.latents("cd" * 32)
    assert stored is not None
    assert torch.equal(stored, tensors[LATENTS])
    assert len(list(cache.path("cd" * 32).parent.iterdir())) == 1
