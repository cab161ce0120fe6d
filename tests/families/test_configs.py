"""The bundled configurations against the sizes of the released models, without their weights."""

from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from backend.families.loading import CONFIGS_DIR
from backend.families.specs import FAMILIES, get

# kohya's LoRA has so many modules on the UNet and on each text encoder (sd-scripts prints them).
NUM_MODULES = {"sd15": (192, 72), "sd2": (192, 138), "sdxl": (722, 72, 192)}


def empty_parts(name):
    folder = CONFIGS_DIR / name
    with torch.device("meta"):
        parts = {
            "denoiser": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet")),
            "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae")),
        }
        for encoder in get(name).text_encoders:
            kind = CLIPTextModelWithProjection if encoder == "text_encoder_2" else CLIPTextModel
            parts[encoder] = kind(CLIPTextConfig.from_pretrained(folder / encoder))
    return parts


def size(module):
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_and_lora_modules_are_those_of_the_released_models(name):
    spec, parts = get(name), empty_parts(name)
    assert size(parts["denoiser"]) == pytest.approx(spec.denoiser_parameters, rel=1e-3)
    assert size(parts["vae"]) == pytest.approx(spec.vae_parameters, rel=1e-3)
    for encoder, expected in zip(spec.text_encoders, spec.text_encoder_parameters, strict=True):
        assert size(parts[encoder]) == pytest.approx(expected, rel=1e-3)

    kind = spec.load_class()
    family = kind.__new__(kind)
    family.components = parts
    counts = tuple(len(family.adapter_modules(component)) for component in ("denoiser", *spec.text_encoders))
    assert counts == NUM_MODULES[name]


def test_sdxl_lora_keys_are_sgm_names():
    kind = get("sdxl").load_class()
    family = kind.__new__(kind)
    family.components = empty_parts("sdxl")
    family.unet_config = family.components["denoiser"].config
    names = {family.export_keys("denoiser", module) for module in family.adapter_modules("denoiser")}
    assert len(names) == 722
    assert "input_blocks.4.1.transformer_blocks.0.attn1.to_out.0" in names
    assert "middle_block.1.transformer_blocks.9.ff.net.0.proj" in names
    assert "output_blocks.5.1.proj_in" in names
    encoder = {family.export_keys("text_encoder_2", module) for module in family.adapter_modules("text_encoder_2")}
    assert "text_model.encoder.layers.31.mlp.fc1" in encoder
