"""Learning-rate schedules as closed forms of the step: nothing to save, nothing to drift."""

from __future__ import annotations

import math

from backend.config.training import SchedulerSection


def num_warmup_steps(scheduler: SchedulerSection, total_steps: int) -> int:
    """Return the warm-up in steps, given as such or as a share of all."""
    return scheduler.warmup_steps or round(scheduler.warmup_ratio * total_steps)


def factor(scheduler: SchedulerSection, *, step: int, total_steps: int) -> float:
    """Return what the learning rate is multiplied with, 0 to 1.

    The forms are those of transformers/optimization.py, which sd-scripts and diffusers use.

    Args:
        scheduler: Kind, warm-up, cycles and power.
        step: Optimizer steps done before this one, from 0.
        total_steps: Optimizer steps in all.
    """
    warmup = num_warmup_steps(scheduler, total_steps)
    if step < warmup:
        return step / max(1, warmup)
    if scheduler.kind == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    match scheduler.kind:
        case "linear":
            return 1.0 - progress
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        case "cosine_with_restarts":
            if progress >= 1.0:
                return 0.0
            return 0.5 * (1.0 + math.cos(math.pi * ((scheduler.num_cycles * progress) % 1.0)))
        case "polynomial":
            return float((1.0 - progress) ** scheduler.power)
