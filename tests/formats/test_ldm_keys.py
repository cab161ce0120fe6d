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
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

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


# One layer a block, as the demo's model; attention in every block; three layers; no attention above.
OTHERS = [
    {
        **SD,
        "block_out_channels": (4, 8),
        "layers_per_block": layers,
        "down_block_types": down,
        "up_block_types": up,
        "attention_head_dim": 2,
    }
    for layers, down, up in (
        (1, ("DownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "UpBlock2D")),
        (2, ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D")),
        (3, ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")),
    )
]


@pytest.mark.parametrize("config", [SD, SDXL, *OTHERS], ids=["sd", "sdxl", "one", "all", "three"])
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
        (
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
            "input_blocks.4.1.transformer_blocks.0.attn1.to_q",
        ),
        ("down_blocks.2.attentions.1.proj_in", "input_blocks.8.1.proj_in"),
        (
            "mid_block.attentions.0.transformer_blocks.9.ff.net.0.proj",
            "middle_block.1.transformer_blocks.9.ff.net.0.proj",
        ),
        (
            "up_blocks.0.attentions.2.transformer_blocks.0.attn2.to_out.0",
            "output_blocks.2.1.transformer_blocks.0.attn2.to_out.0",
        ),
        ("up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"),
        ("down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"),
        ("down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"),
    ],
)
def test_names_of_sdxl_modules(module: str, expected: str) -> None:
    assert ldm_keys.sdxl_module_name(module, SDXL) == expected


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("num_blocks", [1, 2, 4])
def test_vaes_of_any_depth_have_a_name_for_each_weight(layers: int, num_blocks: int) -> None:
    vae = AutoencoderKL(
        block_out_channels=(4, 4, 8, 8)[:num_blocks],
        down_block_types=("DownEncoderBlock2D",) * num_blocks,
        up_block_types=("UpDecoderBlock2D",) * num_blocks,
        layers_per_block=layers,
        norm_num_groups=2,
    )
    original = ldm_keys.vae_to_ldm(vae.state_dict(), vae.config)
    assert len(original) == len(vae.state_dict())
    back = convert_ldm_vae_checkpoint({f"first_stage_model.{k}": v for k, v in original.items()}, dict(vae.config))
    assert back.keys() == vae.state_dict().keys()
    assert all(torch.equal(back[k].reshape(v.shape), v) for k, v in vae.state_dict().items())


def clip(**changes: int) -> CLIPTextConfig:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 3}
    return CLIPTextConfig(**sizes | {"projection_dim": 16} | changes)


def test_openclip_by_its_own_arithmetic() -> None:
    """OpenCLIP multiplies by its projection from the right and splits one matrix into query, key and value."""
    model = CLIPTextModelWithProjection(clip())
    state = ldm_keys.clip_to_openclip(model.state_dict())
    pooled = torch.randn(2, 16)
    torch.testing.assert_close(pooled @ state["text_projection"], model.text_projection(pooled))
    hidden = torch.randn(1, 5, 16)
    fused = state["transformer.resblocks.1.attn.in_proj_weight"], state["transformer.resblocks.1.attn.in_proj_bias"]
    attention = torch.nn.MultiheadAttention(16, 2, batch_first=True)
    attention.in_proj_weight.data, attention.in_proj_bias.data = fused
    attention.out_proj.weight.data = state["transformer.resblocks.1.attn.out_proj.weight"]
    attention.out_proj.bias.data = state["transformer.resblocks.1.attn.out_proj.bias"]
    ours = model.text_model.encoder.layers[1].self_attn(hidden, attention_mask=None)[0]
    torch.testing.assert_close(attention(hidden, hidden, hidden, need_weights=False)[0], ours)


@pytest.mark.parametrize(
    ("layout", "names", "prefixes"),
    [
        ("sd1", ("text_encoder",), {"cond_stage_model.transformer.text_model."}),
        ("sd2", ("text_encoder",), {"cond_stage_model.model."}),
        (
            "sdxl",
            ("text_encoder", "text_encoder_2"),
            {"conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."},
        ),
    ],
)
def test_where_text_encoders_stand_in_a_whole_model(layout: str, names: tuple[str, ...], prefixes: set[str]) -> None:
    unet = UNet2DConditionModel(**OTHERS[0])
    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2)
    kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    encoders = {name: kinds[name](clip()) for name in names}
    parts = {"denoiser": unet, "vae": vae, **encoders}
    configs = {"denoiser": dict(unet.config), "vae": dict(vae.config)}
    states = {name: part.state_dict() for name, part in parts.items()}
    states["text_encoder"]["text_model.embeddings.position_ids"] = torch.arange(77)
    whole = ldm_keys.checkpoint_to_ldm(states, family_layout=layout, configs=configs)
    text = [key for key in whole if not key.startswith(("model.diffusion_model.", "first_stage_model."))]
    assert {prefix for prefix in prefixes if any(key.startswith(prefix) for key in text)} == prefixes
    assert all(any(key.startswith(prefix) for prefix in prefixes) for key in text)
    assert not any("position_ids" in key for key in whole)
    num_elements = sum(tensor.numel() for part in parts.values() for tensor in part.state_dict().values())
    assert sum(tensor.numel() for tensor in whole.values()) == num_elements, "a weight was lost or written twice"


def test_the_last_layer_that_sd2_leaves_out_stays_out() -> None:
    """diffusers passes over layer 23 of SD 2's OpenCLIP, whose model has 23 layers: 0 to 22 come back."""
    model = CLIPTextModelWithProjection(
        clip(hidden_size=4, intermediate_size=4, num_hidden_layers=23, projection_dim=4)
    )
    prefix = "cond_stage_model.model."
    original = {prefix + name: tensor for name, tensor in ldm_keys.clip_to_openclip(model.state_dict()).items()}
    assert not any("resblocks.23." in name for name in original)
    full = original | {name.replace("resblocks.22.", "resblocks.23."): original[name] for name in original}
    back = convert_open_clip_checkpoint(model, full, prefix=prefix)
    expected = model.state_dict()
    assert {name for name in back if "layers.23." in name} == set()
    assert all(torch.equal(back[name], tensor) for name, tensor in expected.items() if name in back)
    assert expected.keys() - back.keys() <= {"text_projection.weight"}
