"""The contract between the trainer and a model family. Nothing outside a family's module asks which family it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from PIL import Image
from torch import Tensor, nn

from backend.config.model import ModelSection
from backend.config.output import SamplePrompt, SamplingSection
from backend.families.specs import FamilySpec


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the pictures of a batch were cut: (B, 2) long tensors of (height, width) or (top, left) in pixels."""

    original_sizes: Tensor
    crop_top_lefts: Tensor
    target_sizes: Tensor


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Where and in which arithmetic a model is loaded.

    `frozen_dtype` holds weights that are not trained; what is trained is kept in fp32 by the trainer.
    `weighted_captions`: brackets in captions are weights, such as (word:1.3).
    """

    device: torch.device
    frozen_dtype: torch.dtype
    weighted_captions: bool = False


class Family(ABC):
    """A loaded model of one family.

    `components` holds the modules by name: "denoiser", "vae", and the names in `spec.text_encoders`. The trainer moves,
    freezes, wraps and trains them through this mapping; a component that was unloaded is absent.
    """

    spec: FamilySpec
    components: dict[str, nn.Module]
    prediction_type: str
    # The prefix of each trainable component in a kohya LoRA file.
    lora_prefixes: ClassVar[Mapping[str, str]]

    @classmethod
    @abstractmethod
    def load(cls, model: ModelSection, options: LoadOptions, spec: FamilySpec) -> Self:
        """Load from a diffusers folder, a single file or a hub id; everything in eval mode, requires_grad off.

        Raises:
            UserError: Missing, corrupt, of another family, or offline.
        """

    @abstractmethod
    def encode_images(self, pixels: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Encode pixels (B, 3, H, W) in -1..1 to scaled latents (B, C, h, w) in fp32.

        The mode of the posterior, or a draw from it when a generator is given.
        """

    @abstractmethod
    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Encode captions; tensors have B first and are what `predict` takes. Gradients flow if they are enabled."""

    @abstractmethod
    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return noisy latents for long timesteps (B,) in 0..999."""

    @abstractmethod
    def predict(self, noisy: Tensor, timesteps: Tensor, text: Mapping[str, Tensor], geometry: Geometry) -> Tensor:
        """Run the denoiser; the result has the shape of `noisy`."""

    @abstractmethod
    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return what `predict` should have returned."""

    @property
    @abstractmethod
    def alphas_cumprod(self) -> Tensor:
        """The noise schedule, fp32 (1000,): for SNR weights."""

    @abstractmethod
    def enable_zero_terminal_snr(self) -> None:
        """Rescale the schedule so that the last timestep is pure noise (Lin et al. 2023)."""

    @abstractmethod
    def adapter_modules(self, component: str) -> list[str]:
        """Return the module paths of a component that a LoRA is put on."""

    @abstractmethod
    def export_keys(self, component: str, module: str) -> str:
        """Return the name, dots kept, that a module of a component has in a kohya LoRA file, without the prefix."""

    @abstractmethod
    def prepare_prompts(self, prompts: Sequence[SamplePrompt]) -> None:
        """Encode the texts of sample prompts and keep them, so that `sample` works after the encoders are unloaded."""

    @abstractmethod
    def sample(self, prompt: SamplePrompt, sampling: SamplingSection, *, width: int, height: int) -> Image.Image:
        """Paint one picture with the components as they are now; no effect on any global random state."""

    @abstractmethod
    def save(self, path: Path, *, layout: str, dtype: torch.dtype, metadata: Mapping[str, str]) -> None:
        """Write the whole model: "diffusers" is a folder, "single_file" one .safetensors of the original layout."""

    @property
    @abstractmethod
    def identities(self) -> dict[str, str]:
        """Return a short content hash of each frozen encoder ("vae", "text_encoder", ...): part of the cache keys.

        Cheap (sampled bytes of every tensor plus configuration), and different whenever the weights differ.
        """

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent along a side."""
        return self.spec.vae_scale_factor

    def unload(self, *names: str) -> None:
        """Drop components that are no longer needed, so that their memory comes back."""
        for name in names:
            self.components.pop(name, None)
