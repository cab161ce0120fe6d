"""One picture as the tensors that are encoded or trained on: scaled, cut, with its mask and its paired picture."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.data import conditioning, masks
from backend.data.cache import CONDITIONING, CORNER, LATENTS, MASK
from backend.data.images import read_rgb
from backend.data.picture_edits import apply_edit
from backend.data.pictures import Pictures
from backend.data.plan import Placement
from backend.data.transforms import prepare, prepare_pair, to_array


@dataclass(frozen=True, slots=True)
class Moment:
    """When a batch is trained: the epoch and the optimizer step, both from 0, of so many steps in all."""

    epoch: int
    step: int
    total_steps: int


def load_pixels(
    placement: Placement,
    pictures: Pictures,
    rng: random.Random,
    *,
    flip: bool,
    scale_factor: int,
    data: bytes | None = None,
) -> dict[str, Tensor]:
    """Return a picture as it is shown once.

    Args:
        placement: The picture and its size.
        pictures: What reads it.
        rng: Decides random crops, colours and what is drawn for a paired picture.
        flip: Whether it is mirrored.
        scale_factor: Pixels per latent along a side: the size of the mask.
        data: The picture's bytes, when they were read already.

    Returns:
        "latents": pixels (3, H, W) in -1..1, which the VAE turns into latents; "corner": (top, left) of the cut in the
        scaled picture; "mask" (h, w) in 0..1 and "conditioning" pixels where the data set has them.

    Raises:
        UserError: A file is gone, unreadable or damaged.
    """
    record, dataset = placement.record, pictures.datasets[placement.record.dataset]
    content = pictures.read(record) if data is None else data
    image = apply_edit(read_rgb(content, name=record.name), record.edit)
    sizes = {"bucket": placement.bucket, "resized": placement.resized}
    cut, corner = prepare(image, **sizes, rules=dataset.rules, rng=rng, flip=flip)
    tensors = {LATENTS: torch.from_numpy(to_array(cut)), CORNER: torch.tensor(corner)}
    if dataset.config.mask != "none":
        mask = masks.load_mask(record, dataset, pictures, content)
        if mask is not None:
            shown = prepare_pair(mask, **sizes, corner=corner, flip=flip)
            tensors[MASK] = torch.from_numpy(masks.to_latent_size(shown, scale_factor))
    if dataset.config.conditioning != "none":
        pair = conditioning.load_pair(record, dataset, pictures, image, rng, size=placement.resized)
        if pair is not None:
            tensors[CONDITIONING] = torch.from_numpy(to_array(prepare_pair(pair, **sizes, corner=corner, flip=flip)))
    return tensors
