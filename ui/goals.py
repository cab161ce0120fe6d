"""What the Quick page offers: goals, qualities and memory tiers, each a small overlay on the configuration.

Which of them is in force is read back from the configuration itself, so that Quick and Expert can never disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Flat = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Overlay:
    """A named choice: the parameters that it sets."""

    name: str
    values: Flat

    def holds(self, flat: Flat) -> bool:
        """Tell whether a configuration has all of these values."""
        return all(flat.get(path) == value for path, value in self.values.items())


@dataclass(frozen=True, slots=True)
class Goal(Overlay):
    """What is to be learned; `num_steps` of one picture each are usual for it."""

    num_steps: int = 1500


@dataclass(frozen=True, slots=True)
class Quality:
    """How long is trained, as a multiple of what is usual for the goal."""

    name: str
    factor: float


GOALS = (
    Goal(
        "character",
        {
            "adapter.kind": "lora",
            "adapter.rank": 16,
            "adapter.alpha": 16.0,
            "optimizer.kind": "adamw",
            "optimizer.learning_rate": 1e-4,
            "data.caption_dropout_rate": 0.0,
        },
        1500,
    ),
    Goal(
        "style",
        {
            "adapter.kind": "lora",
            "adapter.rank": 32,
            "adapter.alpha": 32.0,
            "optimizer.kind": "adamw",
            "optimizer.learning_rate": 1e-4,
            "data.caption_dropout_rate": 0.1,
        },
        2500,
    ),
    Goal(
        "concept",
        {
            "adapter.kind": "lora",
            "adapter.rank": 16,
            "adapter.alpha": 8.0,
            "optimizer.kind": "adamw",
            "optimizer.learning_rate": 1e-4,
            "data.caption_dropout_rate": 0.05,
        },
        1500,
    ),
    Goal(
        "whole_model",
        {
            "adapter.kind": "full",
            "optimizer.kind": "adamw",
            "optimizer.learning_rate": 1e-5,
            "data.caption_dropout_rate": 0.05,
        },
        4000,
    ),
)
QUALITIES = (
    Quality("draft", 0.25),
    Quality("fast", 0.5),
    Quality("standard", 1.0),
    Quality("thorough", 1.5),
    Quality("long", 2.5),
)
# From the fastest to the thriftiest. The first that fits is taken.
MEMORY_TIERS = (
    Overlay(
        "roomy",
        {"training.batch_size": 4, "training.gradient_checkpointing": False, "cache.text_embeddings": "off"},
    ),
    Overlay(
        "normal",
        {"training.batch_size": 2, "training.gradient_checkpointing": False, "cache.text_embeddings": "off"},
    ),
    Overlay(
        "small",
        {"training.batch_size": 1, "training.gradient_checkpointing": False, "cache.text_embeddings": "off"},
    ),
    Overlay(
        "tight",
        {"training.batch_size": 1, "training.gradient_checkpointing": True, "cache.text_embeddings": "off"},
    ),
    Overlay(
        "smallest",
        {
            "training.batch_size": 1,
            "training.gradient_checkpointing": True,
            "cache.text_embeddings": "disk",
            "training.train_text_encoder": False,
            "training.train_text_encoder_2": False,
            "data.shuffle_caption": False,
        },
    ),
)
# About so many epochs make a handful of saved files to choose from, each with its samples.
USUAL_EPOCHS = 10


def matching(choices: Iterable[Overlay], flat: Flat) -> str:
    """Return the name of the first choice whose values a configuration has; empty when it was changed by hand."""
    return next((choice.name for choice in choices if choice.holds(flat)), "")


def schedule(num_samples: int, *, num_steps: int, batch_size: int, repeats: int = 0) -> tuple[int, int]:
    """Return (repeats, epochs) that come nearest to `num_steps` optimizer steps of `batch_size` pictures.

    Few pictures are repeated, so that an epoch is worth a saved file; there are then about ten epochs.

    Args:
        num_samples: Pictures in all folders, each once.
        num_steps: Wanted steps for a batch size of 1; larger batches need proportionally fewer.
        batch_size: Pictures per step.
        repeats: Given when it must stay as it is; 0 finds it.
    """
    wanted = max(1, num_steps)
    repeats = repeats or max(1, round(wanted / (max(1, num_samples) * USUAL_EPOCHS)))
    per_epoch = math.ceil(max(1, num_samples) * repeats / batch_size)
    return repeats, max(1, round(wanted / batch_size / per_epoch))


def nearest_quality(num_steps: int, *, usual: int, batch_size: int) -> int:
    """Return the index in `QUALITIES` that a number of steps comes nearest to, by ratio."""
    ratio = max(1, num_steps) * batch_size / usual
    return min(range(len(QUALITIES)), key=lambda index: abs(math.log(ratio / QUALITIES[index].factor)))
