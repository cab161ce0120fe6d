"""The registry of model families: torch-free facts that the form, the checks and the estimates read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backend.config.problems import UserError

if TYPE_CHECKING:
    from backend.families.base import Family


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilySpec:
    """One model family. `target` is imported by the trainer only.

    Parameter counts are of the released models, for the memory estimate; the trainer counts the real ones.
    """

    name: str
    title: str
    target: str
    text_encoders: tuple[str, ...]
    prediction_types: tuple[str, ...]
    default_prediction_type: str
    resolution: int
    min_bucket_step: int
    latent_channels: int = 4
    vae_scale_factor: int = 8
    clip_skip: bool = False
    size_conditioning: bool = False
    single_file_layout: str
    base_model_version: str
    architecture: str
    denoiser_parameters: float
    text_encoder_parameters: tuple[float, ...]
    vae_parameters: float = 83.7e6
    # In 16 bits, without gradient checkpointing.
    activation_bytes_per_pixel: float
    # Inputs plus outputs of all layers that a LoRA is put on: the denoiser, then the text encoders.
    lora_parameters_per_rank: tuple[float, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what conditions on fields may ask about the family, as flat `family.*` values."""
        return {
            "family.name": self.name,
            "family.prediction_types": self.prediction_types,
            "family.clip_skip": self.clip_skip,
            "family.size_conditioning": self.size_conditioning,
            "family.num_text_encoders": len(self.text_encoders),
            "family.min_bucket_step": self.min_bucket_step,
            "family.resolution": self.resolution,
        }

    def load_class(self) -> type[Family]:
        """Import the module of the family and return its class."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


_ROWS = (
    FamilySpec(
        name="sd15",
        title="Stable Diffusion 1.x",
        target="backend.families.stable_diffusion:StableDiffusion",
        text_encoders=("text_encoder",),
        prediction_types=("epsilon", "v_prediction"),
        default_prediction_type="epsilon",
        resolution=512,
        min_bucket_step=8,
        clip_skip=True,
        single_file_layout="sd1",
        base_model_version="sd_v1",
        architecture="stable-diffusion-v1",
        denoiser_parameters=859.5e6,
        text_encoder_parameters=(123.1e6,),
        activation_bytes_per_pixel=9.0e3,
        lora_parameters_per_rank=(423.9e3, 165.9e3),
    ),
    FamilySpec(
        name="sd2",
        title="Stable Diffusion 2.x",
        target="backend.families.stable_diffusion:StableDiffusion",
        text_encoders=("text_encoder",),
        prediction_types=("epsilon", "v_prediction"),
        default_prediction_type="v_prediction",
        resolution=768,
        min_bucket_step=8,
        clip_skip=True,
        single_file_layout="sd2",
        base_model_version="sd_v2",
        architecture="stable-diffusion-v2",
        denoiser_parameters=865.9e6,
        text_encoder_parameters=(340.4e6,),
        activation_bytes_per_pixel=9.0e3,
        lora_parameters_per_rank=(432.1e3, 423.9e3),
        defaults={"data.width": 768, "data.height": 768},
    ),
    FamilySpec(
        name="sdxl",
        title="Stable Diffusion XL",
        target="backend.families.stable_diffusion_xl:StableDiffusionXL",
        text_encoders=("text_encoder", "text_encoder_2"),
        prediction_types=("epsilon", "v_prediction"),
        default_prediction_type="epsilon",
        resolution=1024,
        min_bucket_step=8,
        size_conditioning=True,
        single_file_layout="sdxl",
        base_model_version="sdxl_base_v1-0",
        architecture="stable-diffusion-xl-v1-base",
        denoiser_parameters=2567.5e6,
        text_encoder_parameters=(123.1e6, 694.7e6),
        activation_bytes_per_pixel=8.0e3,
        lora_parameters_per_rank=(2659.8e3, 165.9e3, 737.3e3),
        defaults={"data.width": 1024, "data.height": 1024, "data.max_bucket_resolution": 2048},
    ),
)
FAMILIES: Mapping[str, FamilySpec] = {row.name: row for row in _ROWS}


def get(name: str) -> FamilySpec:
    """Return a family by name.

    Raises:
        UserError: There is no such family.
    """
    if name not in FAMILIES:
        raise UserError("family_unknown", "model.family", value=name, known=", ".join(FAMILIES))
    return FAMILIES[name]
