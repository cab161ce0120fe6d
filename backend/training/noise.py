"""The noise and the timesteps of one step, drawn on the CPU from a generator of that step alone."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F

from backend.config.diffusion import NoiseSection


def step_seed(seed: int, *, step: int, process: int, micro_batch: int) -> int:
    """Return the seed of one forward pass: the same after any restart, different for every other pass."""
    digest = hashlib.sha256(f"{seed}/{step}/{process}/{micro_batch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw_timesteps(noise: NoiseSection, *, count: int, generator: torch.Generator) -> Tensor:
    """Return long timesteps (count,), uniform in [min_timestep, max_timestep)."""
    return torch.randint(noise.min_timestep, noise.max_timestep, (count,), generator=generator)


def draw_noise(noise: NoiseSection, shape: torch.Size, *, generator: torch.Generator) -> Tensor:
    """Return noise (B, C, h, w) in fp32 with the configured offset or coarser levels."""
    drawn = torch.randn(shape, generator=generator)
    if noise.noise_offset:
        drawn += noise.noise_offset * torch.randn(shape[0], shape[1], 1, 1, generator=generator)
    if noise.multires_noise_iterations:
        return multires(drawn, noise, generator=generator)
    return drawn


def multires(drawn: Tensor, noise: NoiseSection, *, generator: torch.Generator) -> Tensor:
    """Add coarser noise level by level and bring the spread back to one (Whitaker 2023, "Multi-Resolution Noise").

    Each level is smaller by a random ratio of 2 to 4 and weaker by the discount; it stops at one latent pixel.
    """
    height, width = drawn.shape[-2:]
    for level in range(noise.multires_noise_iterations):
        ratio = float(torch.rand(1, generator=generator)) * 2 + 2
        size = max(1, int(height / ratio**level)), max(1, int(width / ratio**level))
        coarse = torch.randn((*drawn.shape[:2], *size), generator=generator)
        scaled = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
        drawn = drawn + scaled * noise.multires_noise_discount**level
        if min(size) == 1:
            break
    return drawn / drawn.std()
