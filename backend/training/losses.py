"""How the model's answer is judged."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def signal_to_noise(alphas_cumprod: Tensor, timesteps: Tensor) -> Tensor:
    """Return the signal-to-noise ratio alpha / (1 - alpha) of long timesteps (B,), fp32."""
    alphas = alphas_cumprod.to(timesteps.device)[timesteps].float()
    return alphas / (1.0 - alphas)


def min_snr_weights(snr: Tensor, *, gamma: float, prediction_type: str) -> Tensor:
    """Return the weights (B,) of Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting Strategy".

    min(snr, gamma) / snr when noise is predicted, min(snr, gamma) / (snr + 1) for velocity. Pure noise (snr 0) has
    weight 1 when noise is predicted: the limit of the formula.
    """
    clipped = snr.clamp(max=gamma)
    if prediction_type == "v_prediction":
        return clipped / (snr + 1.0)
    return torch.where(snr > 0, clipped / snr.clamp(min=torch.finfo(snr.dtype).tiny), torch.ones_like(snr))


def mask_weights(masks: Tensor, *, unmasked_weight: float) -> Tensor:
    """Return how much each latent pixel counts: 1 inside masks (B, 1, h, w) of 0..1, `unmasked_weight` outside."""
    return masks + (1.0 - masks) * unmasked_weight


def sample_losses(
    prediction: Tensor, target: Tensor, weights: Tensor | None = None, *, by_area: bool = False
) -> Tensor:
    """Return the mean squared error of each sample (B,), computed in fp32.

    Args:
        prediction: (B, C, h, w).
        target: The same shape.
        weights: (B, 1, h, w), or None where all pixels count alike.
        by_area: Divide by the sum of the weights; otherwise by the number of pixels, as sd-scripts does.
    """
    errors = F.mse_loss(prediction.float(), target.float(), reduction="none")
    if weights is None:
        return errors.flatten(1).mean(dim=1)
    weighted = (errors * weights).flatten(1).mean(dim=1)
    if not by_area:
        return weighted
    area = weights.flatten(1).mean(dim=1)
    return torch.where(area > 0, weighted / area.clamp(min=1e-6), torch.zeros_like(weighted))
