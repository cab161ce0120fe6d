"""What a file or folder is, by its header alone."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.config.model import ModelSection
from backend.families.detect import detect, is_hub_id, verify_base_model
from backend.families.specs import FAMILIES


def codes(**changes):
    return [(problem.code, problem.path) for problem in verify_base_model(ModelSection(**changes))]


def file_of(path, *names, metadata=None, shape=(2, 4)):
    save_file({name: torch.zeros(shape) for name in names}, path, metadata=metadata)
    return path


@pytest.mark.parametrize("name", FAMILIES)
def test_a_folder_is_recognised(name, tiny_folder):
    found = detect(tiny_folder(name))
    assert (found.family, found.layout) == (name, "diffusers")
    assert found.prediction_type == ("v_prediction" if name == "sd2" else "epsilon")
    assert found.title == FAMILIES[name].title
    assert found.num_bytes > 1_000_000
    assert codes(family=name, base_model=str(tiny_folder(name))) == []


@pytest.mark.parametrize("name", FAMILIES)
def test_a_single_file_is_recognised(name, single_file):
    path = single_file(name)
    found = detect(path)
    assert (found.family, found.layout, found.prediction_type) == (name, "single_file", None)
    assert found.num_bytes == path.stat().st_size
    assert codes(family=name, base_model=str(path)) == []


def test_the_demo_is_recognised_as_sd15(tiny_folder, tmp_path):
    # Its UNet reads the text at a width that no released model has.
    folder = shutil.copytree(tiny_folder("sd15"), tmp_path / "\u793a\u4f8b model \U0001f600")
    assert detect(folder).family == "sd15"


@pytest.mark.parametrize(
    ("names", "layout", "title"),
    [
        (["lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.alpha"], "lora", "LoRA"),
        (["unet.down_blocks.0.lora_A.weight"], "lora", "LoRA"),
        (["lora_unet_x.hada_w1_a"], "lora", "LoRA"),
        (["encoder.conv_in.weight", "decoder.conv_in.weight"], "unknown", "VAE"),
        (["control_model.time_embed.0.weight"], "unknown", "ControlNet"),
        (["emb_params"], "unknown", "embedding"),
        (["model.diffusion_model.input_blocks.1.0.weight"], "unknown", "UNet"),
        (["double_blocks.0.img_attn.qkv.weight"], "unknown", "Flux"),
        (["conditioner.embedders.0.model.ln_final.weight"], "unknown", "Stable Diffusion XL Refiner"),
        (["edm_mean", "conditioner.embedders.1.model.ln_final.weight"], "unknown", "EDM"),
        (["something.else"], "unknown", ""),
    ],
)
def test_what_is_no_base_model_is_named(names, layout, title, tmp_path):
    path = file_of(tmp_path / "x.safetensors", *names)
    found = detect(path)
    assert (found.family, found.layout, found.title) == (None, layout, title)
    code = "base_model_lora" if layout == "lora" else "base_model_other" if title else "base_model_unknown"
    assert codes(base_model=str(path)) == [(code, "model.base_model")]


def test_an_inpainting_model_is_refused(tmp_path):
    tensors = {
        "cond_stage_model.transformer.text_model.x": torch.zeros(1),
        "model.diffusion_model.input_blocks.0.0.weight": torch.zeros(8, 9, 3, 3),
    }
    save_file(tensors, tmp_path / "inpainting.safetensors")
    found = detect(tmp_path / "inpainting.safetensors")
    assert (found.family, found.title) == (None, "Stable Diffusion 1.x (9 channels)")


@pytest.mark.parametrize(
    ("marker", "metadata", "expected"),
    [
        ("v_pred", {}, "v_prediction"),
        ("x", {"modelspec.prediction_type": "v"}, "v_prediction"),
        ("x", {"modelspec.predict_key": "v"}, "v_prediction"),
        ("x", {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ("x", {"modelspec.title": "v"}, None),
    ],
)
def test_the_prediction_type_of_a_file(marker, metadata, expected, tmp_path):
    path = file_of(tmp_path / "x.safetensors", "conditioner.embedders.1.model.ln", marker, metadata=metadata)
    assert detect(path).prediction_type == expected


def test_missing(tmp_path):
    assert detect(tmp_path / "none").layout == "missing"
    assert codes(base_model=str(tmp_path / "none.safetensors")) == [("base_model_missing", "model.base_model")]


def test_another_family(tiny_folder):
    assert codes(family="sd15", base_model=str(tiny_folder("sdxl"))) == [("base_model_family", "model.base_model")]


@pytest.mark.parametrize("keep", [-1000, 1000, 4])
def test_a_truncated_file(keep, single_file):
    path = single_file("sd15")
    data = path.read_bytes()
    path.write_bytes(data[:keep])
    assert detect(path).layout == "unknown"
    expected = "safetensors_truncated" if keep != 4 else "not_safetensors"
    assert codes(base_model=str(path)) == [(expected, "model.base_model")]


@pytest.mark.parametrize(
    "data", [b"", b"<!DOCTYPE html><html>not found</html>" * 10, b"\x10" + bytes(7) + b"{not json}" * 9]
)
def test_a_file_that_is_something_else(data, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    assert codes(base_model=str(path))[0][0] in {"not_safetensors", "safetensors_truncated"}


def test_a_truncated_part_of_a_folder(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("sd15"), tmp_path / "model")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    assert codes(base_model=str(folder)) == [("safetensors_truncated", "model.base_model")]


def test_a_missing_part_of_a_folder(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("sdxl"), tmp_path / "model")
    shutil.rmtree(folder / "text_encoder_2")
    shutil.rmtree(folder / "vae")
    problems = verify_base_model(ModelSection(family="sdxl", base_model=str(folder)))
    assert [problem.code for problem in problems] == ["folder_component_missing"] * 2
    missing = ["text_encoder_2/*.safetensors", "vae/*.safetensors"]
    assert [problem.params["component"] for problem in problems] == missing
    with_vae = ModelSection(family="sdxl", base_model=str(folder), vae=str(tiny_folder("sdxl")))
    assert [problem.params["component"] for problem in verify_base_model(with_vae)] == missing[:1]


def test_folders_that_are_no_pipeline(tmp_path):
    (tmp_path / "empty").mkdir()
    assert codes(base_model=str(tmp_path / "empty")) == [("base_model_unknown", "model.base_model")]
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}), encoding="utf-8")
    assert codes(base_model=str(tmp_path)) == [("base_model_other", "model.base_model")]
    (tmp_path / "model_index.json").write_text("{", encoding="utf-8")
    assert codes(base_model=str(tmp_path)) == [("json_invalid", "model.base_model")]


@pytest.mark.parametrize("file_name", ["old.ckpt", "renamed.safetensors"])
def test_a_pickle_is_refused_unless_trusted_by_name(file_name, tmp_path):
    path = tmp_path / file_name
    path.write_bytes(pickle.dumps({"state_dict": {}}))
    assert detect(path).layout == "pickle"
    assert codes(base_model=str(path)) == [("base_model_pickle", "model.base_model")]
    assert codes(base_model=str(path), trusted_checkpoint="another.ckpt") != []
    assert codes(base_model=str(path), trusted_checkpoint=file_name) == []


def test_hub_ids(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert is_hub_id("stabilityai/stable-diffusion-xl-base-1.0")
    assert codes(base_model="stabilityai/stable-diffusion-xl-base-1.0") == []
    for path in ("models/mine", "models/mine.safetensors", "/a/b", "a/b/c", "./a", "a\\b", "name", ""):
        assert not is_hub_id(path), path


def test_the_other_paths(tiny_folder, tmp_path):
    folder = str(tiny_folder("sd15"))
    assert codes(base_model=folder, vae=str(tmp_path / "none.safetensors")) == [("file_not_found", "model.vae")]
    (tmp_path / "vae.pt").write_bytes(b"")
    assert codes(base_model=folder, vae=str(tmp_path / "vae.pt")) == [("vae_pickle", "model.vae")]
    assert codes(base_model=folder, config_dir=str(tmp_path)) == [("config_dir_invalid", "model.config_dir")]


def test_nothing_is_said_of_an_empty_path():
    assert codes(base_model="") == []


def test_a_file_without_a_part_says_which(single_file):
    path = single_file("sdxl")
    whole = load_file(path)
    for prefix, part in (
        ("model.diffusion_model.", "unet"),
        ("first_stage_model.", "vae"),
        ("conditioner.embedders.0.", "text_encoder"),
    ):
        save_file({name: tensor for name, tensor in whole.items() if not name.startswith(prefix)}, path)
        problems = verify_base_model(ModelSection(family="sdxl", base_model=str(path)))
        assert [(problem.code, problem.params["component"]) for problem in problems] == [
            ("base_model_incomplete", part)
        ]
