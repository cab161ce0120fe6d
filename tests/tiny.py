"""Tiny models with random weights, one of each family, built offline in about a second as diffusers folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from backend.families.clip import VOCABULARY_DIR

# So many of CLIP's 48894 merges: enough for common words, and a model loads in a fraction of the time.
NUM_MERGES = 3500
NUM_TOKENS = 2 * 256 + NUM_MERGES + 2


def _tokenizer(pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    merges = (VOCABULARY_DIR / "merges.txt").read_text(encoding="utf-8").splitlines()[1 : NUM_MERGES + 1]
    ids = json.loads((VOCABULARY_DIR / "vocab.json").read_text(encoding="utf-8"))
    tokens = [*sorted(ids, key=ids.__getitem__)[: NUM_TOKENS - 2], "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=[tuple(pair.split()) for pair in merges],
        model_max_length=77,
        pad_token=pad_token,
    )


def _vae(scaling_factor: float) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=64,
        scaling_factor=scaling_factor,
    )


def _unet(**changes: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": 2,
            "cross_attention_dim": 32,
            **changes,
        }
    )


def _text_config(**changes: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        **{
            "hidden_size": 32,
            "intermediate_size": 64,
            "projection_dim": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "vocab_size": NUM_TOKENS,
            "bos_token_id": NUM_TOKENS - 2,
            "eos_token_id": NUM_TOKENS - 1,
            "pad_token_id": 1,
            **changes,
        }
    )


def _scheduler(prediction_type: str) -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )


def sd15_pipeline() -> DiffusionPipeline:
    return StableDiffusionPipeline(
        vae=_vae(0.18215),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=_tokenizer(),
        unet=_unet(),
        scheduler=_scheduler("epsilon"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sd2_pipeline() -> DiffusionPipeline:
    return StableDiffusionPipeline(
        vae=_vae(0.18215),
        text_encoder=CLIPTextModel(_text_config(hidden_act="gelu")),
        tokenizer=_tokenizer("!"),
        unet=_unet(use_linear_projection=True, attention_head_dim=(2, 4)),
        scheduler=_scheduler("v_prediction"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl_pipeline() -> DiffusionPipeline:
    # The encoders differ in width, as the real ones do: diffusers tells them apart by it in a single file.
    second = _text_config(hidden_act="gelu", hidden_size=48, intermediate_size=96, projection_dim=48)
    return StableDiffusionXLPipeline(
        vae=_vae(0.13025),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer("!"),
        unet=_unet(
            layers_per_block=2,
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 2),
            projection_class_embeddings_input_dim=6 * 8 + 48,
            cross_attention_dim=32 + 48,
        ),
        scheduler=_scheduler("epsilon"),
        add_watermarker=False,
    )


PIPELINES: dict[str, Callable[[], DiffusionPipeline]] = {
    "sd15": sd15_pipeline,
    "sd2": sd2_pipeline,
    "sdxl": sdxl_pipeline,
}


def build(family: str, folder: Path, *, seed: int = 0) -> Path:
    """Write the tiny model of a family as a diffusers folder and return the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = PIPELINES[family]()
    pipeline.save_pretrained(folder)
    return folder
