"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet on VAE latents, epsilon or v-prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers import DiffusionPipeline, SchedulerMixin, StableDiffusionPipeline
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from PIL import Image
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import CLIPMLP, CLIPAttention

from backend.config.model import ModelSection
from backend.config.output import SamplePrompt, SamplingSection
from backend.config.problems import UserError
from backend.families import clip, detect, loading, saving, schedule
from backend.families.base import Family, Geometry, LoadOptions
from backend.families.identity import identity
from backend.families.specs import FamilySpec
from backend.formats.header import read_header

# The diffusers name of a part where it differs from ours.
DENOISER = "unet"
# Settings of a pipeline that are kept when the model is saved.
PIPELINE_SETTINGS = ("force_zeros_for_empty_prompt",)
# How far guided noise is pulled back to the spread of the unguided, with zero terminal SNR (Lin et al. 2023).
GUIDANCE_RESCALE = 0.7


class StableDiffusion(Family):
    """A loaded SD 1.x or 2.x; SDXL derives from it."""

    lora_prefixes: ClassVar[Mapping[str, str]] = {"denoiser": "lora_unet", "text_encoder": "lora_te"}
    pipeline_class: ClassVar[type[DiffusionPipeline]] = StableDiffusionPipeline
    # What the pipeline is built with beside its parts.
    extra_arguments: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }

    def __init__(
        self, pipeline: DiffusionPipeline, model: ModelSection, options: LoadOptions, spec: FamilySpec
    ) -> None:
        """Take over the parts of a loaded pipeline."""
        self.spec = spec
        self.model = model
        self.device = options.device
        self.weighted_captions = options.weighted_captions
        parts = pipeline.components
        self.components = {"denoiser": parts[DENOISER], "vae": parts["vae"]}
        self.components |= {name: parts[name] for name in spec.text_encoders}
        for module in self.components.values():
            module.to(options.device)
        # One picture at a time: less memory, and latents that do not depend on what else is in the batch.
        parts["vae"].enable_slicing()
        self.tokenizers = {name: parts[_tokenizer_name(name)] for name in spec.text_encoders}
        self.scheduler = parts["scheduler"]
        self.pipeline_settings = {name: pipeline.config[name] for name in PIPELINE_SETTINGS if name in pipeline.config}
        self.unet_config = parts[DENOISER].config
        self.vae_config = parts["vae"].config
        if "beta_start" not in self.scheduler.config:
            name = type(self.scheduler).__name__
            raise UserError("scheduler_unsupported", "model.base_model", value=model.base_model, scheduler=name)
        self.prediction_type = _prediction_type(model, self.scheduler, spec)
        self._alphas_cumprod = schedule.alphas_cumprod_of(self.scheduler).to(options.device)
        self.zero_terminal_snr = False
        self._prepared: dict[str, dict[str, Tensor]] = {}
        if self.scheduler.config.get("rescale_betas_zero_snr") or _is_marked_zero_snr(model):
            self.enable_zero_terminal_snr()
        self._check_clip_skip()

    @classmethod
    def load(cls, model: ModelSection, options: LoadOptions, spec: FamilySpec) -> Self:
        """Load from a diffusers folder, a single file or a hub id. See `Family.load`."""
        pipeline = loading.load_pipeline(model, cls.pipeline_class, spec, dtype=options.frozen_dtype)
        return cls(pipeline, model, options, spec)

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent along a side, of the VAE that is loaded."""
        return 2 ** (len(self.vae_config.block_out_channels) - 1)

    @property
    def alphas_cumprod(self) -> Tensor:
        """The noise schedule, fp32 (1000,), on the model's device."""
        return self._alphas_cumprod

    def enable_zero_terminal_snr(self) -> None:
        """Rescale the schedule so that the last timestep is pure noise; doing it twice changes nothing."""
        if not self.zero_terminal_snr:
            self._alphas_cumprod = schedule.rescale_zero_terminal_snr(self._alphas_cumprod)
            self.zero_terminal_snr = True

    @torch.no_grad()
    def encode_images(self, pixels: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Encode pixels (B, 3, H, W) in -1..1 to scaled latents (B, 4, h, w) in fp32, in the VAE's own precision."""
        vae: Any = self.components["vae"]
        with torch.autocast(self.device.type, enabled=False):
            posterior = vae.encode(pixels.to(self.device, dtype_of(vae))).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        shift = self.vae_config.get("shift_factor") or 0.0
        return (latents.float() - shift) * self.vae_config.scaling_factor

    def encode_text(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Return "prompt_embeds" (B, 75 * N + 2, C): the layer of CLIP skip and the final norm, as A1111 and kohya."""
        states, _, weights, num_chunks = self._run_encoder("text_encoder", captions)
        chosen = clip.final_norm(self.components["text_encoder"])(states[-self.model.clip_skip])
        return {"prompt_embeds": clip.join_chunks(clip.weigh(chosen, weights), num_chunks=num_chunks)}

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return noisy latents for long timesteps (B,) in 0..999."""
        return schedule.add_noise(self._alphas_cumprod, latents, noise, timesteps)

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Return the noise, or the velocity of v-prediction."""
        if self.prediction_type == "epsilon":
            return noise
        return schedule.velocity(self._alphas_cumprod, latents, noise, timesteps)

    def predict(self, noisy: Tensor, timesteps: Tensor, text: Mapping[str, Tensor], geometry: Geometry) -> Tensor:
        """Run the UNet on (B, 4, h, w); the result is fp32."""
        unet = self.components["denoiser"]
        dtype = dtype_of(unet)
        conditions = _size_conditions(text, geometry, self.device, dtype) if self.spec.size_conditioning else {}
        prompt_embeds = text["prompt_embeds"].to(self.device, dtype)
        return unet(noisy.to(dtype), timesteps, encoder_hidden_states=prompt_embeds, **conditions).sample.float()

    def adapter_modules(self, component: str) -> list[str]:
        """Return what kohya's LoRA is put on.

        The linear layers and 1x1 convolutions of the UNet's transformers; the linear layers of a text encoder's
        attention and MLP.
        """
        owners = (Transformer2DModel,) if component == "denoiser" else (CLIPAttention, CLIPMLP)
        names = []
        for owner_name, owner in self.components[component].named_modules():
            if isinstance(owner, owners):
                names += [f"{owner_name}.{name}" for name, module in owner.named_modules() if _takes_lora(module)]
        return names

    def export_keys(self, component: str, module: str) -> str:
        """Return the name in a kohya file: diffusers' own, with the `text_model.` that transformers 5 drops."""
        if component == "denoiser":
            return module
        return f"text_model.{module.removeprefix('text_model.')}"

    def prepare_prompts(self, prompts: Sequence[SamplePrompt]) -> None:
        """Encode the texts of sample prompts and keep them, so that `sample` works after the encoders are unloaded."""
        for text in {text for prompt in prompts for text in (prompt.prompt, prompt.negative_prompt)}:
            self._prepared[text] = {name: tensor.cpu() for name, tensor in self._encode_prompt(text).items()}

    @torch.no_grad()
    def sample(self, prompt: SamplePrompt, sampling: SamplingSection, *, width: int, height: int) -> Image.Image:
        """Paint one picture with a plain diffusers pipeline; the noise is drawn on the CPU from the prompt's seed."""
        modules = list(self.components.values())
        was_training = [module.training for module in modules]
        for module in modules:
            module.eval()
        try:
            latents = self._sample_latents(prompt, sampling, width=width, height=height)
            return self._decode(latents)
        finally:
            for module, training in zip(modules, was_training, strict=True):
                module.train(training)

    def sampler(self, name: str) -> SchedulerMixin:
        """Return a fresh sampler, named as in the schema, over the noise schedule of the model."""
        return schedule.make_sampler(
            name, self.scheduler, prediction_type=self.prediction_type, zero_snr=self.zero_terminal_snr
        )

    def save(self, path: Path, *, layout: str, dtype: torch.dtype, metadata: Mapping[str, str]) -> None:
        """Write the whole model; parts that were unloaded are read again from the base model."""
        parts = self._all_parts()
        if layout == "single_file":
            saving.save_single_file(path, self.spec.single_file_layout, parts, dtype=dtype, metadata=metadata)
            return
        pipeline = self._pipeline(self.scheduler, parts)
        said = {"prediction_type": self.prediction_type, "rescale_betas_zero_snr": self.zero_terminal_snr}
        saving.save_folder(path, pipeline, dtype=dtype, metadata=metadata, schedule=said)

    @property
    def identities(self) -> dict[str, str]:
        """Return a short content hash of each encoder that is loaded; text encoders with how captions are read."""
        reading = {"clip_skip": self.model.clip_skip, "max_token_length": self.model.max_token_length}
        if self.weighted_captions:
            reading["weighted_captions"] = True
        found = {"vae": identity(self.components["vae"])} if "vae" in self.components else {}
        for name in self.spec.text_encoders:
            if name in self.components:
                tokenizer = self.tokenizers[name]
                vocabulary = clip.vocabulary_hash(tokenizer)
                found[name] = identity(
                    self.components[name], vocabulary=vocabulary, pad=tokenizer.pad_token_id, **reading
                )
        return found

    def _prompt_arguments(self, prefix: str, text: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return encoded text as arguments of the pipeline's call."""
        dtype = dtype_of(self.components["denoiser"])
        return {f"{prefix}{name}": tensor.to(self.device, dtype) for name, tensor in text.items()}

    def _run_encoder(self, name: str, captions: Sequence[str]) -> tuple[tuple[Tensor, ...], Any, Tensor | None, int]:
        """Run one text encoder over the chunks of captions.

        Returns:
            Hidden states (B * N, 77, C), the whole output, the weights of the tokens (B, N, 77) or None, and N.
        """
        tokenizer, max_length = self.tokenizers[name], self.model.max_token_length
        weights = None
        if self.weighted_captions:
            ids, weights = clip.tokenize_weighted(tokenizer, captions, max_length=max_length)
        else:
            ids = clip.tokenize(tokenizer, captions, max_length=max_length)
        output = self.components[name](ids.flatten(0, 1).to(self.device), output_hidden_states=True)
        return output.hidden_states, output, weights, ids.shape[1]

    @torch.no_grad()
    def _encode_prompt(self, text: str) -> dict[str, Tensor]:
        if set(self.spec.text_encoders) <= self.components.keys():
            return self.encode_text([text])
        assert text in self._prepared, "prepare_prompts comes before the text encoders are unloaded"
        return self._prepared[text]

    def _sample_latents(self, prompt: SamplePrompt, sampling: SamplingSection, *, width: int, height: int) -> Tensor:
        sampler = self.sampler(sampling.sampler)
        parts = {name: self.components[name] for name in ("denoiser", "vae")}
        pipeline = self._pipeline(sampler, parts)
        pipeline.set_progress_bar_config(disable=True)
        arguments = self._prompt_arguments("", self._encode_prompt(prompt.prompt))
        if sampling.guidance_scale > 1:
            arguments |= self._prompt_arguments("negative_", self._encode_prompt(prompt.negative_prompt))
        return pipeline(
            **arguments,
            width=width,
            height=height,
            num_inference_steps=sampling.num_inference_steps,
            guidance_scale=sampling.guidance_scale,
            guidance_rescale=GUIDANCE_RESCALE if self.zero_terminal_snr else 0.0,
            generator=torch.Generator("cpu").manual_seed(prompt.seed),
            output_type="latent",
        ).images

    def _pipeline(self, scheduler: Any, parts: Mapping[str, nn.Module]) -> DiffusionPipeline:
        """Return a pipeline of parts; text encoders that are not among them are left out, with their tokenizers."""
        encoders = {name: parts.get(name) for name in self.spec.text_encoders}
        tokenizers = {_tokenizer_name(name): self.tokenizers[name] if name in parts else None for name in encoders}
        return self.pipeline_class(
            unet=parts["denoiser"],
            vae=parts["vae"],
            scheduler=scheduler,
            **encoders,
            **tokenizers,
            **self.extra_arguments,
            **self.pipeline_settings,
        )

    def _decode(self, latents: Tensor) -> Image.Image:
        """Decode latents (1, 4, h, w) in the VAE's own precision, which may be finer than the UNet's."""
        vae: Any = self.components["vae"]
        shift = self.vae_config.get("shift_factor") or 0.0
        with torch.autocast(self.device.type, enabled=False):
            scaled = latents.to(dtype_of(vae)) / self.vae_config.scaling_factor + shift
            pixels = vae.decode(scaled, return_dict=False)[0]
        values = (pixels[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        return Image.fromarray((values * 255).round().astype("uint8"))

    def _all_parts(self) -> dict[str, nn.Module]:
        """Return every part; those that were unloaded are read again."""
        parts = dict(self.components)
        missing = {"vae", *self.spec.text_encoders} - parts.keys()
        if missing:
            present = [DENOISER if name == "denoiser" else name for name in parts]
            dtype = dtype_of(parts["denoiser"])
            again = loading.load_pipeline(self.model, self.pipeline_class, self.spec, dtype=dtype, skip=present)
            parts |= {name: again.components[name] for name in missing}
        return parts

    def _check_clip_skip(self) -> None:
        if not self.spec.clip_skip:
            return
        encoder: Any = self.components["text_encoder"]
        num_layers = encoder.config.num_hidden_layers
        if self.model.clip_skip > num_layers:
            value = self.model.clip_skip
            raise UserError("clip_skip_too_deep", "model.clip_skip", value=value, num_layers=num_layers)


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the dtype of a module's first weight, which is never an adapter's."""
    return next(module.parameters()).dtype


def _size_conditions(
    text: Mapping[str, Tensor], geometry: Geometry, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Return SDXL's pooled text, and sizes and crops as six numbers a picture, (height, width) or (top, left) each."""
    sizes = (geometry.original_sizes, geometry.crop_top_lefts, geometry.target_sizes)
    conditions = {
        "text_embeds": text["pooled_prompt_embeds"].to(device, dtype),
        # In fp32: bf16 would round a side of 1333 pixels to 1336.
        "time_ids": torch.cat(sizes, dim=1).to(device, torch.float32),
    }
    return {"added_cond_kwargs": conditions}


def _tokenizer_name(encoder: str) -> str:
    return encoder.replace("text_encoder", "tokenizer")


def _takes_lora(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))


def _prediction_type(model: ModelSection, scheduler: Any, spec: FamilySpec) -> str:
    """Return the prediction type that was asked for, or what the file says, or what its scheduler says."""
    if model.prediction_type != "auto":
        return model.prediction_type
    found = detect.detect(Path(model.base_model).expanduser()).prediction_type
    said = found or scheduler.config.get("prediction_type", spec.default_prediction_type)
    if said not in spec.prediction_types:
        raise UserError("prediction_type_unsupported", "model.prediction_type", value=said, title=spec.title)
    return said


def _is_marked_zero_snr(model: ModelSection) -> bool:
    """Tell whether a single file carries the marker of a model trained with zero terminal SNR (NoobAI)."""
    path = Path(model.base_model).expanduser()
    return path.suffix == ".safetensors" and path.is_file() and "ztsnr" in read_header(path).tensors
