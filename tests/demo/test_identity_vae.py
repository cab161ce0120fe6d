"""The demo's VAE gives back exactly what it was given."""

import torch

from presets.demo.identity_vae import SCALING_FACTOR, build_vae


def test_latents_are_pixels_and_come_back_unchanged():
    pixels = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    vae = build_vae(40)
    with torch.no_grad():
        posterior = vae.encode(pixels).latent_dist
        decoded = vae.decode(posterior.mode()).sample
    assert posterior.mode().shape == (2, 4, 40, 40)
    assert (posterior.mode()[:, :3] - pixels).abs().max() < 1e-3
    assert posterior.mode()[:, 3].abs().max() < 1e-3
    assert (decoded - pixels).abs().max() < 1e-3
    assert posterior.std.max() < 1e-5  # a draw from the posterior is its mean


def test_its_weights_are_exact_in_half_precision():
    vae = build_vae(40)
    assert all(torch.equal(value, value.half().float()) for value in vae.state_dict().values())
    assert vae.config.scaling_factor == SCALING_FACTOR
