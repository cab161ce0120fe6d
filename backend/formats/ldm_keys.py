"""Names of the original Stable Diffusion layout (CompVis, Stability) from diffusers' names, by the configuration.

Sources: CompVis/stable-diffusion openaimodel.py, Stability generative-models, and what diffusers' single-file loader
expects (diffusers/loaders/single_file_utils.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPENCLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
OPENCLIP_ENDS = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
# The single-file layout whose only text encoder is stored as OpenCLIP.
OPENCLIP_LAYOUT = "sd2"
BLOCK = re.compile(r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.?(.*)$")


def _inner(kind: str, rest: str) -> str:
    """Rename what is inside a residual block; attention keeps its names."""
    head, _, tail = rest.partition(".")
    return f"{RESNET[head]}.{tail}" if kind == "resnets" and tail else RESNET[head] if kind == "resnets" else rest


def unet_to_ldm(name: str, config: Mapping[str, Any]) -> str:
    """Return the original name of a UNet parameter or module.

    Args:
        name: diffusers' name, such as `down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q.weight`.
        config: The UNet's configuration: `layers_per_block`, `up_block_types`.
    """
    for ours, theirs in UNET_ENDS.items():
        if name == ours or name.startswith(ours + "."):
            return theirs + name.removeprefix(ours)
    if name.startswith("mid_block."):
        kind, number, rest = name.removeprefix("mid_block.").split(".", 2)
        return f"middle_block.{MIDDLE[f'{kind}.{number}']}.{_inner(kind, rest)}"
    match = BLOCK.match(name)
    assert match, f"not a UNet name: {name}"
    side, block, kind, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    per_block = int(config["layers_per_block"]) + 1
    slot = {"resnets": "0", "attentions": "1"}
    if side == "down":
        first = 1 + block * per_block
        if kind == "downsamplers":
            return f"input_blocks.{first + per_block - 1}.0.{rest.replace('conv', 'op', 1)}"
        return f"input_blocks.{first + index}.{slot[kind]}.{_inner(kind, rest)}"
    first = block * per_block
    if kind == "upsamplers":
        attends = "Attn" in config["up_block_types"][block]
        return f"output_blocks.{first + per_block - 1}.{2 if attends else 1}.{rest}"
    return f"output_blocks.{first + index}.{slot[kind]}.{_inner(kind, rest)}"


def vae_name(name: str, num_blocks: int) -> str:
    """Return the original name of a VAE parameter; `num_blocks` is the length of `block_out_channels`."""
    coder, _, rest = name.partition(".")
    if coder in ("quant_conv", "post_quant_conv"):
        return name
    if rest.startswith("mid_block."):
        kind, index, inner = rest.removeprefix("mid_block.").split(".", 2)
        if kind == "resnets":
            return f"{coder}.mid.block_{int(index) + 1}.{_shortcut(inner)}"
        ours = next(key for key in VAE_ATTENTION if inner.startswith(key + "."))
        return f"{coder}.mid.attn_1.{VAE_ATTENTION[ours]}{inner.removeprefix(ours)}"
    if match := BLOCK.match(rest):
        side, block, kind, index, inner = match[1], int(match[2]), match[3], match[4], match[5]
        number = block if side == "down" else num_blocks - 1 - block
        if kind == "resnets":
            return f"{coder}.{side}.{number}.block.{index}.{_shortcut(inner)}"
        return f"{coder}.{side}.{number}.{side}sample.{inner}"
    return f"{coder}.{rest.replace('conv_norm_out', 'norm_out')}"


def _shortcut(inner: str) -> str:
    return inner.replace("conv_shortcut", "nin_shortcut")


def vae_to_ldm(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> State:
    """Rename a VAE; its attention's linear weights become 1x1 convolutions, as they were."""
    renamed: State = {}
    for name, tensor in state.items():
        new = vae_name(name, len(config["block_out_channels"]))
        is_projection = ".mid.attn_1." in new and new.endswith(".weight") and ".norm." not in new
        renamed[new] = tensor[:, :, None, None] if is_projection and tensor.ndim == 2 else tensor
    return renamed


def clip_name(name: str) -> str:
    """Return a CLIP text model's parameter name with the `text_model.` that transformers 5 leaves out."""
    return name if name.startswith(("text_model.", "text_projection")) else f"text_model.{name}"


def clip_to_openclip(state: Mapping[str, Tensor]) -> State:
    """Rename a CLIP text model to OpenCLIP's layout: query, key and value in one matrix, the projection transposed."""
    plain = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    renamed: State = {theirs: plain[ours] for ours, theirs in OPENCLIP_ENDS.items() if ours in plain}
    if "text_projection.weight" in plain:
        renamed["text_projection"] = plain["text_projection.weight"].T.contiguous()
    layers = sorted({int(match[1]) for name in plain if (match := re.match(r"encoder\.layers\.(\d+)\.", name))})
    for layer in layers:
        ours, theirs = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for kind in ("weight", "bias"):
            parts = [plain[f"{ours}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            renamed[f"{theirs}.attn.in_proj_{kind}"] = torch.cat(parts)
            for inner, outer in OPENCLIP_LAYER.items():
                renamed[f"{theirs}.{outer}.{kind}"] = plain[f"{ours}.{inner}.{kind}"]
    return renamed


def _prefixed(state: Mapping[str, Tensor], prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def _text_encoders(components: Mapping[str, Mapping[str, Tensor]], layout: str) -> State:
    def named(name: str) -> State:
        return {clip_name(key): tensor for key, tensor in components[name].items() if "position_ids" not in key}

    if "text_encoder_2" in components:
        return _prefixed(named("text_encoder"), "conditioner.embedders.0.transformer.") | _prefixed(
            clip_to_openclip(named("text_encoder_2")), "conditioner.embedders.1.model."
        )
    if layout == OPENCLIP_LAYOUT:
        return _prefixed(clip_to_openclip(named("text_encoder")), "cond_stage_model.model.")
    return _prefixed(named("text_encoder"), "cond_stage_model.transformer.")


def checkpoint_to_ldm(
    components: Mapping[str, Mapping[str, Tensor]], *, family_layout: str, configs: Mapping[str, Mapping[str, Any]]
) -> State:
    """Return a whole model in the original single-file layout.

    Args:
        components: States of "denoiser", "vae", "text_encoder" and, for SDXL, "text_encoder_2".
        family_layout: "sd1", "sd2" or "sdxl".
        configs: The configurations of "denoiser" and "vae".
    """
    unet = {unet_to_ldm(name, configs["denoiser"]): tensor for name, tensor in components["denoiser"].items()}
    return {
        **_prefixed(unet, "model.diffusion_model."),
        **_prefixed(vae_to_ldm(components["vae"], configs["vae"]), "first_stage_model."),
        **_text_encoders(components, family_layout),
    }


def sdxl_module_name(module: str, config: Mapping[str, Any]) -> str:
    """Return the SGM name of a UNet module, as kohya's SDXL LoRA keys spell it."""
    return unet_to_ldm(module, config)
