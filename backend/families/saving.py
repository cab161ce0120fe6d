"""Writes a whole model: a diffusers folder that older versions read too, or one file of the original layout."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, ModelMixin, SchedulerMixin
from torch import Tensor, nn
from transformers import CLIPTokenizer, PreTrainedModel

from backend.formats import ldm_keys
from backend.formats.files import save_safetensors
from backend.formats.manifest import publishing

# What transformers wants to see in a weight file before it reads it.
FORMAT = {"format": "pt"}


def save_folder(
    path: Path,
    pipeline: DiffusionPipeline,
    *,
    dtype: torch.dtype,
    metadata: Mapping[str, str],
    schedule: Mapping[str, Any],
) -> None:
    """Write a diffusers folder, whole or not at all; an older one at the path is replaced.

    Args:
        path: The folder.
        pipeline: Holds all parts; they are not changed.
        dtype: Of the floating tensors in the files.
        metadata: Written as metadata.json.
        schedule: What the scheduler is to say of the training: `prediction_type`, `rescale_betas_zero_snr`.

    Raises:
        UserError: `disk_full` or `file_unwritable`.
    """
    with publishing(path) as folder:
        pipeline.save_config(folder)
        for name, part in pipeline.components.items():
            _save_part(folder / name, part, dtype, schedule)
        text = json.dumps(dict(metadata), indent=2, ensure_ascii=False)
        (folder / "metadata.json").write_text(text, encoding="utf-8")


def _save_part(folder: Path, part: Any, dtype: torch.dtype, schedule: Mapping[str, Any]) -> None:
    if isinstance(part, SchedulerMixin):
        _scheduler(part, schedule).save_pretrained(folder)
    elif isinstance(part, CLIPTokenizer):
        part.save_pretrained(folder)
        # vocab.json and merges.txt: what transformers before 5 reads.
        part.backend_tokenizer.model.save(str(folder))
    elif isinstance(part, PreTrainedModel):
        config = copy.deepcopy(part.config)
        config.architectures, config.dtype = [type(part).__name__], dtype
        config.save_pretrained(folder)
        save_safetensors(folder / "model.safetensors", text_encoder_state(part), FORMAT, dtype)
    elif isinstance(part, ModelMixin):
        part.save_config(folder)
        save_safetensors(folder / "diffusion_pytorch_model.safetensors", part.state_dict(), FORMAT, dtype)


def text_encoder_state(encoder: nn.Module) -> dict[str, Tensor]:
    """Return the weights under the names of all released models, with the `text_model.` that transformers 5 leaves out.

    Without it, transformers before 5 would load the folder with random weights and only warn.
    """
    return {ldm_keys.clip_name(name): tensor for name, tensor in encoder.state_dict().items()}


def _scheduler(scheduler: SchedulerMixin, schedule: Mapping[str, Any]) -> SchedulerMixin:
    """Return the model's scheduler with the settings of the training; DDIM where it cannot express them."""
    can = "rescale_betas_zero_snr" in scheduler.config or not schedule["rescale_betas_zero_snr"]
    kind = type(scheduler) if can else DDIMScheduler
    settings = (
        dict(schedule)
        if "rescale_betas_zero_snr" in kind().config
        else {"prediction_type": schedule["prediction_type"]}
    )
    if schedule["rescale_betas_zero_snr"]:
        settings["timestep_spacing"] = "trailing"
    return kind.from_config(scheduler.config, **settings)


def save_single_file(
    path: Path, layout: str, parts: Mapping[str, Any], *, dtype: torch.dtype, metadata: Mapping[str, str]
) -> None:
    """Write one .safetensors of the original layout ("sd1", "sd2" or "sdxl").

    Args:
        path: The file.
        layout: As `FamilySpec.single_file_layout`.
        parts: "denoiser", "vae" and the text encoders.
        dtype: Of the floating tensors in the file.
        metadata: Of the file.

    Raises:
        UserError: `disk_full` or `file_unwritable`.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    configs = {name: dict(parts[name].config) for name in ("denoiser", "vae")}
    tensors = ldm_keys.checkpoint_to_ldm(states, family_layout=layout, configs=configs)
    save_safetensors(path, tensors, metadata, dtype)
