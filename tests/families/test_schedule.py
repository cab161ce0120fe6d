"""The noise schedule against closed forms in fp64."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, PNDMScheduler

from backend.families import schedule

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def closed_form() -> torch.Tensor:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0)


@pytest.mark.parametrize("kind", [DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler])
def test_the_schedule_of_any_scheduler_is_the_closed_form(kind):
    alphas_cumprod = schedule.alphas_cumprod_of(kind(**BETAS))
    assert alphas_cumprod.dtype == torch.float32
    torch.testing.assert_close(alphas_cumprod.double(), closed_form(), rtol=1e-4, atol=1e-7)


def test_a_rescaled_schedule_is_not_rescaled_twice():
    plain = schedule.alphas_cumprod_of(DDIMScheduler(**BETAS))
    assert torch.equal(schedule.alphas_cumprod_of(DDIMScheduler(**BETAS, rescale_betas_zero_snr=True)), plain)


def test_zero_terminal_snr():
    plain = closed_form()
    rescaled = schedule.rescale_zero_terminal_snr(plain)
    assert rescaled[-1] == 0
    assert rescaled[0] == pytest.approx(plain[0].item(), abs=1e-12)
    assert (rescaled.diff() < 0).all()
    roots = plain.sqrt()
    slope = roots[0] / (roots[0] - roots[-1])
    torch.testing.assert_close(rescaled.sqrt(), (roots - roots[-1]) * slope, rtol=0, atol=1e-12)
    theirs = DDPMScheduler(**BETAS, rescale_betas_zero_snr=True).alphas_cumprod
    torch.testing.assert_close(rescaled.float(), theirs, rtol=0, atol=2e-6)


def test_noise_and_velocity_in_fp64():
    alphas_cumprod = schedule.rescale_zero_terminal_snr(closed_form())
    latents, noise = torch.randn(3, 4, 2, 2, dtype=torch.float64), torch.randn(3, 4, 2, 2, dtype=torch.float64)
    timesteps = torch.tensor([0, 500, 999])
    noisy = schedule.add_noise(alphas_cumprod, latents, noise, timesteps)
    velocity = schedule.velocity(alphas_cumprod, latents, noise, timesteps)
    for i, timestep in enumerate(timesteps):
        a = alphas_cumprod[timestep]
        torch.testing.assert_close(noisy[i], a.sqrt() * latents[i] + (1 - a).sqrt() * noise[i])
        # From noisy and velocity both the picture and the noise come back.
        torch.testing.assert_close(a.sqrt() * noisy[i] - (1 - a).sqrt() * velocity[i], latents[i])
        torch.testing.assert_close((1 - a).sqrt() * noisy[i] + a.sqrt() * velocity[i], noise[i])
    assert torch.equal(noisy[2], noise[2]), "with zero terminal SNR the last timestep is pure noise"
    torch.testing.assert_close(velocity[2], -latents[2])


def test_half_precision_latents_keep_their_dtype():
    latents = torch.randn(1, 4, 2, 2, dtype=torch.bfloat16)
    assert schedule.add_noise(closed_form(), latents, latents, torch.tensor([3])).dtype == torch.bfloat16


@pytest.mark.parametrize("name", schedule.SAMPLERS)
def test_samplers_take_over_the_models_betas(name):
    model = PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1)
    sampler = schedule.make_sampler(name, model, prediction_type="v_prediction", zero_snr=True)
    assert sampler.config.prediction_type == "v_prediction"
    assert sampler.config.timestep_spacing == "trailing"
    assert sampler.alphas_cumprod[-1] < 1e-6
    plain = schedule.make_sampler(name, model, prediction_type="epsilon", zero_snr=False)
    torch.testing.assert_close(plain.alphas_cumprod, schedule.alphas_cumprod_of(model))
