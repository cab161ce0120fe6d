"""How busy the latent cache keeps the VAE: python tests/benchmarks/cache_filling.py

Fills a cache from photos on disk, reading, decoding, scaling, hashing and writing included, and encodes the very same
tensors from memory; in turns, in one process. The VAE has the size of Stable Diffusion's; its weights are random.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "training")]

import numpy as np  # noqa: E402
import tiny  # noqa: E402
import torch  # noqa: E402
from diffusers import AutoencoderKL  # noqa: E402
from PIL import Image  # noqa: E402
from runner import make_run  # noqa: E402

from backend.config.problems import Problem  # noqa: E402
from backend.config.root import load  # noqa: E402
from backend.data.cache import LATENTS, LatentCache  # noqa: E402
from backend.data.captions import caption_rng  # noqa: E402
from backend.data.samples import load_pixels  # noqa: E402
from backend.data.shards import ShardStore  # noqa: E402
from backend.families import specs  # noqa: E402
from backend.families.base import Family  # noqa: E402
from backend.training import caching, feeding  # noqa: E402
from backend.training.caching import Filler  # noqa: E402
from backend.training.distributed import make_state  # noqa: E402
from backend.training.session import load_family  # noqa: E402

TARGET = 0.9


class Silent:
    """Tells nobody."""

    def progress(self, done: int, total: int, unit: str) -> None: ...

    def warn(self, problem: Problem) -> None:
        raise AssertionError(problem.text())


def write_photos(folder: Path, number: int) -> None:
    """Write JPEG files of three megapixels with the detail of photos."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(number):
        coarse = Image.fromarray(rng.integers(0, 255, (96, 128, 3), np.uint8)).resize((2048, 1536))
        coarse.save(folder / f"{index}.jpg", quality=92)
        (folder / f"{index}.txt").write_text("a photo", encoding="utf-8")


def open_family(home: Path, *, size: int, device: str) -> tuple[Family, Filler, feeding.Found]:
    """Return a family with a VAE of the usual size, and the pictures."""
    run = make_run(
        home,
        tiny.build("sd15", home / "model"),
        {"data": {"width": size, "height": size, "enable_bucket": False}, "hardware": {"device": device}},
    )
    config = load(run.config_path)
    state = make_state(device)
    family = load_family(config, state.device, specs.get("sd15"))
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )
    family.components["vae"] = vae.eval().requires_grad_(False).to(state.device)
    family.vae_config = vae.config
    found = feeding.find_pictures(config, Silent())
    return family, Filler(found.pictures, state, Silent(), lambda: False, 0, True), found


def main() -> None:
    """Measure and print the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256, help="pixels along a side")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        write_photos(home / "pictures", options.pictures)
        family, filler, found = open_family(home, size=options.size, device=options.device)
        placements = found.placed.placements
        pixels = [
            load_pixels(item, filler.pictures, caption_rng(0, 0, ""), flip=False, scale_factor=8)[LATENTS]
            for item in placements
        ]
        seconds: dict[str, list[float]] = {"memory": [], "cache": []}
        for number in range(options.rounds + 1):
            started = time.perf_counter()
            for start in range(0, len(pixels), caching.VAE_BATCH):
                family.encode_images(torch.stack(pixels[start : start + caching.VAE_BATCH])).cpu()
            middle = time.perf_counter()
            store = ShardStore(home / f"cache-{number}")
            cache = LatentCache(store, vae_identity="random", pictures=filler.pictures)
            caching.fill_latents(placements, family, cache, filler)
            ended = time.perf_counter()
            assert len(store.entries) == len(placements)
            if number:  # the first round warms up
                seconds["memory"].append(middle - started)
                seconds["cache"].append(ended - middle)
    rates = {name: len(pixels) / statistics.median(found) for name, found in seconds.items()}
    ratio = rates["cache"] / rates["memory"]
    print(f"{rates['memory']:.2f} pictures/s from memory, {rates['cache']:.2f} pictures/s into the cache")
    print(f"ratio {ratio:.3f}, wanted at least {TARGET}: {'met' if ratio >= TARGET else 'NOT MET'}")


if __name__ == "__main__":
    main()
