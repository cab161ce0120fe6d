"""The original layout, checked by diffusers' own readers."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from backend.formats import ldm_keys

SD = {
    "block_out_channels": (4, 8, 8, 8),
    "layers_per_block": 2,
    "sample_size": 8,
    "cross_attention_dim": 16,
    "norm_num_groups": 2,
    "attention_head_dim": 2,
}
SDXL = {
    "block_out_channels": (4, 8, 8),
    "layers_per_block": 2,
    "sample_size": 8,
    "cross_attention_dim": 16,
    "norm_num_groups": 2,
    "attention_head_dim": (2, 4, 4),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 64,
}


@pytest.mark.parametrize("config", [SD, SDXL], ids=["sd", "sdxl"])
def test_a_unet_comes_back_bit_for_bit(config: dict) -> None:
    unet = UNet2DConditionModel(**config)
    original = {
        "model.diffusion_model." + ldm_keys.unet_to_ldm(name, unet.config): tensor
        for name, tensor in unet.state_dict().items()
    }
    assert len(original) == len(unet.state_dict())
    back = convert_ldm_unet_checkpoint(original, dict(unet.config))
    assert back.keys() == unet.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in unet.state_dict().items())


def test_a_vae_comes_back_bit_for_bit() -> None:
    vae = AutoencoderKL(
        block_out_channels=(4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        norm_num_groups=2,
    )
    original = {"first_stage_model." + k: v for k, v in ldm_keys.vae_to_ldm(vae.state_dict(), vae.config).items()}
    assert original["first_stage_model.encoder.mid.attn_1.q.weight"].ndim == 4
    back = convert_ldm_vae_checkpoint(original, dict(vae.config))
    fresh = AutoencoderKL(**vae.config)
    shapes = fresh.state_dict()
    fresh.load_state_dict({name: tensor.reshape(shapes[name].shape) for name, tensor in back.items()})
    assert all(torch.equal(fresh.state_dict()[name], tensor) for name, tensor in vae.state_dict().items())


def test_openclip_comes_back_bit_for_bit() -> None:
    config = CLIPTextConfig(
        hidden_size=16, intermediate_size=24, num_attention_heads=2, num_hidden_layers=3, projection_dim=16
    )
    model = CLIPTextModelWithProjection(config)
    prefix = "conditioner.embedders.1.model."
    original = {prefix + name: tensor for name, tensor in ldm_keys.clip_to_openclip(model.state_dict()).items()}
    back = convert_open_clip_checkpoint(model, original, prefix=prefix)
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "input_blocks.4.1.transformer_blocks.0.attn1.to_q"),
        ("down_blocks.2.attentions.1.proj_in", "input_blocks.8.1.proj_in"),
        ("mid_block.attentions.0.transformer_blocks.9.ff.net.0.proj", "middle_block.1.transformer_blocks.9.ff.net.0.proj"),
        ("up_blocks.0.attentions.2.transformer_blocks.0.attn2.to_out.0", "output_blocks.2.1.transformer_blocks.0.attn2.to_out.0"),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"),
    ],
)  # fmt: skip
def test_names_of_sdxl_modules(module: str, expected: str) -> None:
    assert ldm_keys.sdxl_module_name(module, SDXL) == expected
