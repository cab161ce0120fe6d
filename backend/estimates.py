"""Rough arithmetic of what a run needs: memory while training, room on disk. Torch-free; estimates, and called so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from backend.config.paths import resolve
from backend.config.root import TrainConfig
from backend.data.plan import Placement, StepCount
from backend.families import specs
from backend.families.sizes import parameter_counts, released
from backend.families.specs import FamilySpec

GIB = 1024**3
# What the optimizer keeps for each trained parameter, in bytes.
OPTIMIZER_BYTES: Mapping[str, float] = {"adamw": 8, "adamw8bit": 2, "lion": 4, "prodigy": 16, "adafactor": 0.1}
FILE_BYTES: Mapping[str, int] = {"fp32": 4, "fp16": 2, "bf16": 2}
# Torch itself, its kernels and its scratch memory.
OVERHEAD_BYTES = 0.8 * GIB
# What gradient checkpointing leaves of the activations.
CHECKPOINTED_SHARE = 0.4
# Tokens of a cached caption are at most this wide (SDXL joins two encoders).
TEXT_WIDTH = 2048


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes of one process in the middle of training."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    overhead: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.overhead


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """Bytes that a run writes: caches, resumable checkpoints, finished weights."""

    caches: float
    checkpoints: float
    models: float


def loaded_components(config: TrainConfig, spec: FamilySpec) -> list[str]:
    """Return the names of the components that stay in memory while training; caches let the encoders go."""
    encoders = [] if config.cache.text_embeddings != "off" else list(spec.text_encoders)
    keeps_vae = config.cache.latents == "off" or config.sampling.prompts or config.adapter.kind == "full"
    return ["denoiser", *encoders, *(["vae"] if keeps_vae else [])]


def base_parameters(config: TrainConfig) -> dict[str, float]:
    """Return the parameters of the base model by component."""
    return parameter_counts(resolve(config.model.base_model), specs.get(config.model.family))


def trained_parameters(config: TrainConfig, base: Mapping[str, float]) -> float:
    """Return how many parameters are trained. A LoRA grows with the width of the layers, the root of their size."""
    spec = specs.get(config.model.family)
    trained = config.training.trained(spec.text_encoders)
    if config.adapter.kind == "full":
        return sum(base[name] for name in trained)
    per_rank = dict(zip(("denoiser", *spec.text_encoders), spec.lora_parameters_per_rank, strict=True))
    usual = released(spec)
    return sum(per_rank[name] * math.sqrt(base[name] / usual[name]) for name in trained) * config.adapter.rank


def estimate_memory(config: TrainConfig, placements: Sequence[Placement]) -> MemoryEstimate:
    """Estimate the memory of one process: weights, gradients, optimizer, activations of the largest bucket."""
    spec, base = specs.get(config.model.family), base_parameters(config)
    frozen_bytes = 4 if config.training.mixed_precision == "no" else 2
    full = set(config.training.trained(spec.text_encoders)) if config.adapter.kind == "full" else set()
    trained = trained_parameters(config, base)
    # Whole components are trained in fp32; autocast keeps a copy of them in the smaller format.
    whole = 4 if frozen_bytes == 4 else 6
    weights = sum(base[name] * (whole if name in full else frozen_bytes) for name in loaded_components(config, spec))
    weights += 0 if full else trained * 4
    pixels = max((item.bucket[0] * item.bucket[1] for item in placements), default=0)
    batch_size = max([config.training.batch_size, *(row.batch_size for row in config.data.datasets if row.enabled)])
    width = math.sqrt(base["denoiser"] / spec.denoiser_parameters)
    activations = spec.activation_bytes_per_pixel * width * pixels * batch_size * frozen_bytes / 2
    return MemoryEstimate(
        weights=weights,
        gradients=trained * 4,
        optimizer=trained * OPTIMIZER_BYTES[config.optimizer.kind],
        activations=activations * (CHECKPOINTED_SHARE if config.training.gradient_checkpointing else 1),
        overhead=OVERHEAD_BYTES,
    )


def num_saves(config: TrainConfig, count: StepCount) -> int:
    """Return how many finished weights lie on the disk at the end."""
    output, steps = config.output, count.total_steps
    epochs = sum(end <= steps for end in accumulate(count.epoch_steps))
    saves = epochs // output.save_every_n_epochs if output.save_every_n_epochs else 0
    saves += steps // output.save_every_n_steps if output.save_every_n_steps else 0
    return min(saves, output.keep_last_n) + 1 if output.keep_last_n else saves + 1


def estimate_disk(config: TrainConfig, placements: Sequence[Placement], count: StepCount) -> DiskEstimate:
    """Estimate what a run writes when nothing is cached yet."""
    spec, base = specs.get(config.model.family), base_parameters(config)
    trained = trained_parameters(config, base)
    full = config.adapter.kind == "full"
    latent_bytes = spec.latent_channels * 4 / spec.vae_scale_factor**2
    latents = sum(item.bucket[0] * item.bucket[1] for item in placements) * latent_bytes
    rules = [config.data.rules_of(row) for row in config.data.datasets if row.enabled] or [config.data]
    variants = max(1, *(each.caption_variants for each in rules))
    texts = count.num_images * variants * (config.model.max_token_length + 2) * TEXT_WIDTH * 4
    copies = 2 if full and config.output.full_format == "both" else 1
    saved = sum(base.values()) * copies if full else trained
    flips = any(each.flip_augmentation for each in rules)
    cached = latents * (1 + flips) if config.cache.latents == "disk" else 0
    state = trained * (4 + OPTIMIZER_BYTES[config.optimizer.kind])
    return DiskEstimate(
        caches=cached + (texts if config.cache.text_embeddings == "disk" else 0),
        checkpoints=state * (config.output.keep_last_n_checkpoints + 1),  # one more while it is being written
        models=saved * FILE_BYTES[config.output.precision] * num_saves(config, count),
    )
