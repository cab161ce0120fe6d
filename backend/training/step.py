"""One optimizer step: forward and backward over the micro-batches, gradients added up, clipped, applied."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.data.loader import Batch
from backend.families.base import Geometry
from backend.training import losses, noise
from backend.training.distributed import add_up, add_up_gradients
from backend.training.optimizers import set_rates
from backend.training.schedulers import factor
from backend.training.session import Session


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did. `applied` is False when loss or gradient was no number and the weights were left alone."""

    loss: float
    grad_norm: float
    rates: dict[str, float]
    applied: bool


def encode(session: Session, batch: Batch) -> dict[str, Tensor]:
    """Return the text of a batch: from the cache, or from the encoders, with gradients if one of them is trained."""
    if batch.text is not None:
        return {name: tensor.to(session.state.device) for name, tensor in batch.text.items()}
    trained = any(name in session.components for name in session.family.spec.text_encoders)
    with contextlib.nullcontext() if trained else torch.no_grad():
        return session.family.encode_text(batch.captions)


def forward(session: Session, batch: Batch, *, micro_batch: int) -> Tensor:
    """Return the weighted loss of each sample of a batch (B,)."""
    family, config, device = session.family, session.config, session.state.device
    seed = noise.step_seed(
        config.training.seed, step=session.loop.step, process=session.state.process_index, micro_batch=micro_batch
    )
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # what dropout draws from
    with torch.autocast(device.type, session.precision, enabled=session.precision != torch.float32):
        latents = batch.images.to(device) if session.stream.latents else family.encode_images(batch.images)
        timesteps = noise.draw_timesteps(config.noise, count=len(batch), generator=generator).to(device)
        drawn = noise.draw_noise(config.noise, latents.shape, generator=generator).to(device)
        noisy = family.add_noise(latents, drawn, timesteps)
        geometry = Geometry(
            batch.original_sizes.to(device), batch.crop_top_lefts.to(device), batch.target_sizes.to(device)
        )
        prediction = family.predict(noisy, timesteps, encode(session, batch), geometry)
    per_sample = losses.sample_losses(prediction, family.target(latents, drawn, timesteps))
    if config.loss.min_snr_gamma:
        snr = losses.signal_to_noise(family.alphas_cumprod, timesteps)
        per_sample = per_sample * losses.min_snr_weights(
            snr, gamma=config.loss.min_snr_gamma, prediction_type=family.prediction_type
        )
    return per_sample


def train_step(session: Session, group: Sequence[Batch]) -> StepResult:
    """Do one optimizer step. Every sample of all micro-batches and processes weighs the same."""
    state, scaler, optimizer = session.state, session.scaler, session.optimizer
    num_samples = add_up(state, sum(len(batch) for batch in group))
    total = torch.zeros((), device=state.device)
    optimizer.zero_grad(set_to_none=True)
    for number, batch in enumerate(group):
        loss = forward(session, batch, micro_batch=number).sum() / num_samples
        scaler.scale(loss).backward()
        total += loss.detach()
    parameters = session.parameters.all()
    add_up_gradients(state, parameters)
    scaler.unscale_(optimizer)
    grad_norm = clip(parameters, session.config.training.max_grad_norm)
    rates = set_rates(
        optimizer,
        factor(session.config.scheduler, step=session.loop.step, total_steps=session.count.total_steps),
    )
    mean_loss, norm = add_up(state, float(total)), float(grad_norm)
    applied = math.isfinite(mean_loss) and math.isfinite(norm)
    if applied:
        scaler.step(optimizer)
    scaler.update()  # after an overflow of fp16, too: it lowers the scale
    return StepResult(mean_loss, norm, rates, applied)


def clip(parameters: Sequence[torch.nn.Parameter], max_norm: float) -> Tensor:
    """Shorten the gradient to a norm; returns the norm before. 0 only measures."""
    return torch.nn.utils.clip_grad_norm_(parameters, max_norm if max_norm else math.inf)
