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
from backend.training import adapters, losses, noise
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


@dataclass(frozen=True, slots=True)
class Question:
    """What the model is asked: noisy latents (B, C, h, w) at long timesteps (B,), and what the answer is held to."""

    noisy: Tensor
    timesteps: Tensor
    target: Tensor
    geometry: Geometry


def ask(session: Session, batch: Batch, *, noise_of: Tensor, timesteps: Tensor, latents: Tensor) -> Question:
    """Put the question of a batch: the same noise and timesteps give the same question."""
    family, device = session.family, session.state.device
    drawn, timesteps = noise_of.to(device), timesteps.to(device)
    return Question(
        noisy=family.add_noise(latents, drawn, timesteps),
        timesteps=timesteps,
        target=family.target(latents, drawn, timesteps),
        geometry=Geometry(
            batch.original_sizes.to(device), batch.crop_top_lefts.to(device), batch.target_sizes.to(device)
        ),
    )


def latents_of(session: Session, batch: Batch) -> Tensor:
    """Return the latents of a batch, from the cache or encoded now."""
    if session.stream.latents is not None:
        return batch.images.to(session.state.device)
    return session.family.encode_images(batch.images)


@torch.no_grad()
def prior_target(session: Session, batch: Batch, question: Question) -> Tensor:
    """Return the target with the frozen model's own answer in the place of prior-preservation samples."""
    is_prior = batch.is_prior.to(session.state.device)
    with adapters.without_adapters(session.family, session.components):
        text = encode(session, batch)
        own = session.family.predict(question.noisy, question.timesteps, text, question.geometry)
    return torch.where(is_prior[:, None, None, None], own.to(question.target.dtype), question.target)


def judge(session: Session, batch: Batch, prediction: Tensor, target: Tensor, timesteps: Tensor) -> Tensor:
    """Return the loss of each sample of a batch (B,), masked and weighted."""
    family, loss, device = session.family, session.config.loss, session.state.device
    weights = None
    if batch.masks is not None:
        weights = losses.mask_weights(batch.masks.to(device), unmasked_weight=loss.unmasked_weight)
    per_sample = losses.sample_losses(prediction, target, weights, by_area=loss.normalize_masked_area)
    if loss.min_snr_gamma:
        snr = losses.signal_to_noise(family.alphas_cumprod, timesteps)
        per_sample = per_sample * losses.min_snr_weights(
            snr, gamma=loss.min_snr_gamma, prediction_type=family.prediction_type
        )
    return per_sample * batch.loss_weights.to(device)


def forward(session: Session, batch: Batch, *, micro_batch: int) -> Tensor:
    """Return the weighted loss of each sample of a batch (B,)."""
    family, config, device = session.family, session.config, session.state.device
    seed = noise.step_seed(
        config.training.seed, step=session.loop.step, process=session.state.process_index, micro_batch=micro_batch
    )
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # what dropout draws from
    with torch.autocast(device.type, session.precision, enabled=session.precision != torch.float32):
        latents = latents_of(session, batch)
        timesteps = noise.draw_timesteps(config.noise, count=len(batch), generator=generator)
        drawn = noise.draw_noise(config.noise, latents.shape, generator=generator)
        question = ask(session, batch, noise_of=drawn, timesteps=timesteps, latents=latents)
        target = prior_target(session, batch, question) if batch.is_prior.any() else question.target
        prediction = family.predict(question.noisy, question.timesteps, encode(session, batch), question.geometry)
    return judge(session, batch, prediction, target, question.timesteps)


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
