"""Stable Diffusion XL: two text encoders and size conditioning around the same UNet and VAE classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline
from torch import Tensor

from backend.families import clip
from backend.families.stable_diffusion import StableDiffusion
from backend.formats import ldm_keys


class StableDiffusionXL(StableDiffusion):
    """A loaded SDXL."""

    lora_prefixes: ClassVar[Mapping[str, str]] = {
        "denoiser": "lora_unet",
        "text_encoder": "lora_te1",
        "text_encoder_2": "lora_te2",
    }
    pipeline_class: ClassVar[type[DiffusionPipeline]] = StableDiffusionXLPipeline
    extra_arguments: ClassVar[Mapping[str, Any]] = {"add_watermarker": False}

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Return "prompt_embeds" (B, 75 * N + 2, C1 + C2) and "pooled_prompt_embeds" (B, P).

        The last layer but one of both encoders, without the final norm; the pooled text is of the first chunk, and
        has no weights.
        """
        states = []
        for name in self.spec.text_encoders:
            hidden_states, output, weights, num_chunks = self._run_encoder(name, captions)
            states.append(clip.join_chunks(clip.weigh(hidden_states[-2], weights), num_chunks=num_chunks))
        return {"prompt_embeds": torch.cat(states, dim=-1), "pooled_prompt_embeds": output.text_embeds[::num_chunks]}

    def export_keys(self, component: str, module: str) -> str:
        """Return the module's name in a kohya file: SDXL's UNet goes by its SGM names."""
        if component == "denoiser":
            return ldm_keys.sdxl_module_name(module, self.unet_config)
        return super().export_keys(component, module)
