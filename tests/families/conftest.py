"""Fixtures of the family tests: loaded tiny models and a fixed batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from backend.config.model import ModelSection
from backend.config.output import SamplePrompt, SamplingSection
from backend.families import specs
from backend.families.base import Family, Geometry, LoadOptions


@dataclass(frozen=True)
class Batch:
    """Two pictures with fixed noise, and what a family makes of them."""

    captions: ClassVar[list[str]] = ["a photo of a cat", "zkz, a red square on a blue background"]
    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    geometry: Geometry

    def predict(self, family: Family) -> Tensor:
        noisy = family.add_noise(self.latents, self.noise, self.timesteps)
        return family.predict(noisy, self.timesteps, family.encode_text(self.captions), self.geometry)

    def loss(self, family: Family) -> Tensor:
        target = family.target(self.latents, self.noise, self.timesteps)
        return (self.predict(family) - target).square().mean()


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    sizes = torch.tensor([[64, 64], [96, 64]])
    return Batch(
        latents=torch.randn(2, 4, 8, 8, generator=generator),
        noise=torch.randn(2, 4, 8, 8, generator=generator),
        timesteps=torch.tensor([120, 840]),
        geometry=Geometry(sizes, torch.zeros_like(sizes), sizes),
    )


@pytest.fixture
def prompt() -> SamplePrompt:
    return SamplePrompt(prompt="a photo of a cat", negative_prompt="blurry", seed=7)


@pytest.fixture
def sampling() -> SamplingSection:
    return SamplingSection(prompts=[], num_inference_steps=3, guidance_scale=5.0)


def load_family(name: str, base_model: Path | str, *, dtype: torch.dtype = torch.float32, **changes: Any) -> Family:
    spec = specs.get(name)
    model = ModelSection(family=name, base_model=str(base_model), **changes)
    return spec.load_class().load(model, LoadOptions(torch.device("cpu"), dtype), spec)


@pytest.fixture
def load(tiny_folder: Callable[[str], Path]) -> Callable[..., Family]:
    """Return a function that loads the tiny model of a family, with changes to the model section."""

    def load_tiny(name: str, base_model: Path | str | None = None, **changes: Any) -> Family:
        return load_family(name, base_model or tiny_folder(name), **changes)

    return load_tiny


@pytest.fixture
def single_file(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes the tiny model of a family as one file of the original layout."""

    def write(name: str) -> Path:
        path = tmp_path / f"{name}.safetensors"
        family = load_family(name, tiny_folder(name))
        family.save(path, layout="single_file", dtype=torch.float32, metadata={})
        return path

    return write
