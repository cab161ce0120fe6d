"""A VAE that changes nothing: an AutoencoderKL whose weights are set by hand, so that latents are pixels."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import nn

NUM_CHANNELS = 8
# The constant that fixes the statistics of the group norms. A power of two keeps the arithmetic exact in fp16.
ANCHOR = 256.0
# Latents are half the size of pixels: large plain areas would otherwise show through even the strongest noise, and
# the picture would be settled within the first few sampling steps.
SCALING_FACTOR = 0.5


def _read_in(convolution: nn.Conv2d) -> None:
    """Set a convolution to emit (x, -x, ANCHOR, -ANCHOR) for the first three channels x of its input."""
    for i in range(3):
        convolution.weight[i, i, 1, 1] = 1
        convolution.weight[i + 3, i, 1, 1] = -1
    convolution.bias[6], convolution.bias[7] = ANCHOR, -ANCHOR


def _read_out(norm: nn.GroupNorm, convolution: nn.Conv2d) -> None:
    """Set the last norm and convolution to give x back.

    The mean over (x, -x, A, -A) is 0 and the standard deviation A / 2 up to x^2 / A^2, so that a weight of A / 2 undoes
    the norm; and silu(x) - silu(-x) = x undoes the activation.
    """
    norm.weight.fill_(ANCHOR / 2)
    for i in range(3):
        convolution.weight[i, i, 1, 1] = 1
        convolution.weight[i, i + 3, 1, 1] = -1


def build_vae(image_size: int) -> AutoencoderKL:
    """Return the VAE: 3 x H x W pixels to 4 x H x W latents (the fourth is 0) and back, exact to 1e-4 in fp32."""
    vae = AutoencoderKL(
        block_out_channels=(NUM_CHANNELS,),
        latent_channels=4,
        norm_num_groups=1,
        sample_size=image_size,
        scaling_factor=SCALING_FACTOR,
        force_upcast=False,
    )
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        _read_in(vae.encoder.conv_in)
        _read_out(vae.encoder.conv_norm_out, vae.encoder.conv_out)
        vae.encoder.conv_out.bias[4:] = -30  # log variance: a draw from the posterior is its mean
        vae.quant_conv.weight.copy_(torch.eye(8)[:, :, None, None])
        vae.post_quant_conv.weight.copy_(torch.eye(4)[:, :, None, None])
        _read_in(vae.decoder.conv_in)
        _read_out(vae.decoder.conv_norm_out, vae.decoder.conv_out)
    return vae.eval().requires_grad_(False)
