"""The noise schedule of DDPM models as arithmetic, and the samplers that run it backwards."""

from __future__ import annotations

from typing import Any

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    SchedulerMixin,
)
from torch import Tensor

SAMPLERS: dict[str, type[SchedulerMixin]] = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_a": EulerAncestralDiscreteScheduler,
    "dpm++_2m": DPMSolverMultistepScheduler,
}


def alphas_cumprod_of(scheduler: SchedulerMixin) -> Tensor:
    """Return the cumulative product of alphas, fp32 (num_train_timesteps,), of any scheduler's betas, not rescaled."""
    return DDPMScheduler.from_config(scheduler.config, rescale_betas_zero_snr=False).alphas_cumprod.float()


def rescale_zero_terminal_snr(alphas_cumprod: Tensor) -> Tensor:
    """Shift and scale the square roots so that the last is 0 and the first stays (Lin et al. 2023, algorithm 1)."""
    roots = alphas_cumprod.double().sqrt()
    first, last = roots[0].clone(), roots[-1].clone()
    rescaled = (roots - last) * first / (first - last)
    return rescaled.square().to(alphas_cumprod.dtype)


def add_noise(alphas_cumprod: Tensor, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Return sqrt(a) x + sqrt(1 - a) n with a = alphas_cumprod[t]; latents and noise are (B, C, h, w)."""
    signal, deviation = _coefficients(alphas_cumprod, latents, timesteps)
    return signal * latents + deviation * noise


def velocity(alphas_cumprod: Tensor, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """Return sqrt(a) n - sqrt(1 - a) x, the target of v-prediction (Salimans & Ho 2022)."""
    signal, deviation = _coefficients(alphas_cumprod, latents, timesteps)
    return signal * noise - deviation * latents


def make_sampler(name: str, scheduler: SchedulerMixin, *, prediction_type: str, zero_snr: bool) -> SchedulerMixin:
    """Return a fresh sampler over the betas of a model's own scheduler.

    With zero terminal SNR the last timestep is sampled too (trailing spacing), as Lin et al. found to be needed.
    """
    changes: dict[str, Any] = {
        "prediction_type": prediction_type,
        "rescale_betas_zero_snr": zero_snr,
        "clip_sample": False,
        "steps_offset": 1,
    }
    if zero_snr:
        changes["timestep_spacing"] = "trailing"
    return SAMPLERS[name].from_config(scheduler.config, **changes)


def _coefficients(alphas_cumprod: Tensor, latents: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
    chosen = alphas_cumprod.to(latents.device)[timesteps.to(latents.device)]
    chosen = chosen.reshape(-1, *[1] * (latents.ndim - 1))
    return chosen.sqrt().to(latents.dtype), (1 - chosen).sqrt().to(latents.dtype)
