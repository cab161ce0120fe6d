"""The optimizers by name, each over groups of parameters with their own learning rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from backend.config.problems import UserError
from backend.config.training import OptimizerSection

Groups = list[dict[str, Any]]


def _adamw(groups: Groups, optimizer: OptimizerSection) -> torch.optim.Optimizer:
    betas = (optimizer.beta1, optimizer.beta2)
    return torch.optim.AdamW(groups, betas=betas, eps=optimizer.epsilon, weight_decay=optimizer.weight_decay)


def _adamw8bit(groups: Groups, optimizer: OptimizerSection) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise UserError("bitsandbytes_missing", "optimizer.kind", value=optimizer.kind) from error
    betas = (optimizer.beta1, optimizer.beta2)
    return AdamW8bit(groups, betas=betas, eps=optimizer.epsilon, weight_decay=optimizer.weight_decay)


def _lion(groups: Groups, optimizer: OptimizerSection) -> torch.optim.Optimizer:
    from lion_pytorch import Lion

    return Lion(groups, betas=(optimizer.beta1, optimizer.beta2), weight_decay=optimizer.weight_decay)


def _prodigy(groups: Groups, optimizer: OptimizerSection) -> torch.optim.Optimizer:
    from prodigyopt import Prodigy

    return Prodigy(
        groups,
        betas=(optimizer.beta1, optimizer.beta2),
        eps=optimizer.epsilon,
        weight_decay=optimizer.weight_decay,
        d_coef=optimizer.d_coef,
        decouple=True,
        use_bias_correction=True,
        safeguard_warmup=True,
    )


def _adafactor(groups: Groups, optimizer: OptimizerSection) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor

    return Adafactor(
        groups, weight_decay=optimizer.weight_decay, scale_parameter=False, relative_step=False, warmup_init=False
    )


OPTIMIZERS: Mapping[str, Callable[[Groups, OptimizerSection], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adamw8bit": _adamw8bit,
    "lion": _lion,
    "prodigy": _prodigy,
    "adafactor": _adafactor,
}


def component_rate(optimizer: OptimizerSection, component: str) -> float:
    """Return the learning rate of a component: its own, else the common one."""
    own = {
        "denoiser": optimizer.denoiser_learning_rate,
        "text_encoder": optimizer.text_encoder_learning_rate,
        "text_encoder_2": optimizer.text_encoder_2_learning_rate,
    }[component]
    return optimizer.learning_rate if own is None else own


def parameter_groups(trainable: Mapping[str, Iterable[nn.Parameter]], optimizer: OptimizerSection) -> Groups:
    """Return one group a component; a component with rate 0 is left out: it does not learn."""
    groups = []
    for component, parameters in trainable.items():
        rate = component_rate(optimizer, component)
        if rate > 0:
            groups.append({"params": list(parameters), "lr": rate, "base_lr": rate, "component": component})
    return groups


def make_optimizer(
    trainable: Mapping[str, Iterable[nn.Parameter]], optimizer: OptimizerSection
) -> torch.optim.Optimizer:
    """Make the optimizer.

    Raises:
        UserError: Its package is not installed.
    """
    return OPTIMIZERS[optimizer.kind](parameter_groups(trainable, optimizer), optimizer)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> dict[str, float]:
    """Set every group's rate to its base times the schedule's factor; returns the rates by component."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return {group["component"]: group["lr"] * float(group.get("d", 1.0)) for group in optimizer.param_groups}
