"""Models that cannot be loaded, and unusual ones that can."""

from __future__ import annotations

import json
import pickle
import shutil

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import load_file, save_file

from backend.config.problems import UserError


def refused(load, *arguments, **changes):
    with pytest.raises(UserError) as caught:
        load(*arguments, **changes)
    assert not str(caught.value).startswith("problem."), "no words for this problem"
    return caught.value.problem.code


def test_no_model(load):
    with pytest.raises(UserError) as caught:
        load("sd15", " ")
    assert caught.value.problem.code == "base_model_missing"


def test_missing_path(load, tmp_path):
    assert refused(load, "sd15", tmp_path / "none.safetensors") == "base_model_missing"


def test_a_lora_given_as_base_model(load, tmp_path):
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(4, 4)}, tmp_path / "lora.safetensors")
    assert refused(load, "sd15", tmp_path / "lora.safetensors") == "base_model_lora"


def test_sdxl_given_as_sd15(load, single_file, tiny_folder):
    assert refused(load, "sd15", tiny_folder("sdxl")) == "base_model_family"
    assert refused(load, "sd15", single_file("sdxl")) == "base_model_family"


def test_a_model_of_other_shapes_than_the_bundled_configuration(load, single_file):
    assert refused(load, "sd15", single_file("sd15")) == "base_model_shapes"


def test_a_hub_id_without_network(load):
    assert refused(load, "sd15", "nobody/no-such-model") == "base_model_hub_offline"


def test_clip_skip_beyond_the_layers(load):
    assert refused(load, "sd15", clip_skip=4) == "clip_skip_too_deep"


def test_a_prediction_type_that_is_not_known(load, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("sd15"), tmp_path / "model")
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": "sample"}))
    assert refused(load, "sd15", folder) == "prediction_type_unsupported"
    assert load("sd15", folder, prediction_type="epsilon").prediction_type == "epsilon"


def test_a_model_with_another_kind_of_schedule(load, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("sdxl"), tmp_path / "model")
    FlowMatchEulerDiscreteScheduler().save_pretrained(folder / "scheduler")
    index = folder / "model_index.json"
    text = index.read_text(encoding="utf-8").replace("DDIMScheduler", "FlowMatchEulerDiscreteScheduler")
    index.write_text(text, encoding="utf-8")
    assert refused(load, "sdxl", folder) == "scheduler_unsupported"


def test_a_file_whose_text_encoder_cannot_be_read_says_so(load, single_file, tiny_folder):
    path = single_file("sd15")
    renamed = {
        name.replace("text_model.embeddings.position", "other"): value for name, value in load_file(path).items()
    }
    save_file(renamed, path)
    with pytest.raises(UserError) as caught:
        load("sd15", path, config_dir=str(tiny_folder("sd15")))
    assert (caught.value.problem.code, caught.value.problem.params["component"]) == (
        "base_model_incomplete",
        "text_encoder",
    )


def test_a_folder_with_pickled_weights_only(load, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("sd15"), tmp_path / "model")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    assert refused(load, "sd15", folder) == "folder_component_missing"


def test_a_folder_of_another_variant(load, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("sd15"), tmp_path / "model")
    for weights in folder.glob("*/*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert refused(load, "sd15", folder) == "base_model_unreadable"
    assert load("sd15", folder, variant="fp16").identities == load("sd15").identities


@pytest.mark.parametrize(
    "removed",
    [
        "model.diffusion_model.",
        "model.diffusion_model.middle_block.",
        "first_stage_model.decoder.",
        "cond_stage_model.transformer.text_model.encoder.layers.1.",
    ],
)
def test_a_file_without_some_weights(removed, load, single_file, tiny_folder):
    path = single_file("sd15")
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith(removed)}
    save_file(tensors, path)
    assert refused(load, "sd15", path, config_dir=str(tiny_folder("sd15"))) == "base_model_incomplete"


def test_a_file_without_vae_takes_the_separate_one(load, batch, single_file, tiny_folder):
    path, folder = single_file("sdxl"), str(tiny_folder("sdxl"))
    tensors = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("first_stage_model.")}
    save_file(tensors, path)
    family = load("sdxl", path, config_dir=folder, vae=folder)
    assert family.identities == load("sdxl").identities


@pytest.mark.parametrize("form", ["folder", "model folder", "diffusers file", "original file"])
def test_a_separate_vae_replaces_the_models_own(form, load, single_file, tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder("sd15"), tmp_path / "other")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor * 1.5 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    path = {"folder": folder / "vae", "model folder": folder, "diffusers file": weights, "original file": None}[form]
    if path is None:
        path = tmp_path / "vae.safetensors"
        whole = tmp_path / "whole.safetensors"
        load("sd15", folder).save(whole, layout="single_file", dtype=torch.float32, metadata={})
        prefix = "first_stage_model."
        tensors = load_file(whole).items()
        save_file({name.removeprefix(prefix): tensor for name, tensor in tensors if name.startswith(prefix)}, path)
    config_dir = str(tiny_folder("sd15"))
    family = load("sd15", vae=str(path), config_dir=config_dir)
    assert family.identities["vae"] == load("sd15", folder).identities["vae"]
    assert family.identities["vae"] != load("sd15").identities["vae"]


def test_a_vae_of_other_shapes(load, single_file, tmp_path):
    save_file({"encoder.conv_in.weight": torch.zeros(1, 3, 3, 3)}, tmp_path / "vae.safetensors")
    assert refused(load, "sd15", vae=str(tmp_path / "vae.safetensors")) in {"vae_shapes", "base_model_incomplete"}


def test_what_real_files_carry_beside_the_weights_is_passed_over(load, batch, single_file, tiny_folder):
    path = single_file("sd15")
    tensors = load_file(path)
    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["model_ema.decay"] = torch.tensor(0.9)
    tensors["alphas_cumprod"] = torch.zeros(1000)
    save_file(tensors, path)
    family = load("sd15", path, config_dir=str(tiny_folder("sd15")))
    assert torch.equal(batch.predict(family), batch.predict(load("sd15")))


def test_early_merges_without_text_model_in_the_names(load, batch, single_file, tiny_folder):
    path = single_file("sd15")
    save_file({name.replace("transformer.text_model.", "transformer."): t for name, t in load_file(path).items()}, path)
    family = load("sd15", path, config_dir=str(tiny_folder("sd15")))
    assert torch.equal(batch.predict(family), batch.predict(load("sd15")))


def test_markers_of_noobai_are_followed(load, single_file, tiny_folder):
    path = single_file("sdxl")
    save_file({**load_file(path), "v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}, path)
    family = load("sdxl", path, config_dir=str(tiny_folder("sdxl")))
    assert family.prediction_type == "v_prediction"
    assert family.alphas_cumprod[-1] == 0


def test_a_scheduler_with_zero_terminal_snr_is_followed(load, tmp_path):
    family = load("sd2")
    assert family.alphas_cumprod[-1] > 0
    family.enable_zero_terminal_snr()
    family.save(tmp_path / "out", layout="diffusers", dtype=torch.float32, metadata={})
    assert torch.equal(load("sd2", tmp_path / "out").alphas_cumprod, family.alphas_cumprod)


class Malicious:
    def __reduce__(self):
        return (print, ("a program ran",))


def test_a_trusted_checkpoint_is_read_as_tensors_only(load, batch, single_file, tiny_folder, tmp_path, capsys):
    path, config_dir = tmp_path / "old.ckpt", str(tiny_folder("sd15"))
    torch.save({"state_dict": load_file(single_file("sd15"))}, path)
    assert refused(load, "sd15", path, config_dir=config_dir) == "base_model_pickle"
    family = load("sd15", path, config_dir=config_dir, trusted_checkpoint="old.ckpt")
    assert torch.equal(batch.predict(family), batch.predict(load("sd15")))

    torch.save({"state_dict": load_file(single_file("sd15")), "callbacks": Malicious()}, path)
    changes = {"config_dir": config_dir, "trusted_checkpoint": "old.ckpt"}
    assert refused(load, "sd15", path, **changes) == "checkpoint_not_tensors"
    path.write_bytes(pickle.dumps(Malicious()))
    assert refused(load, "sd15", path, **changes) == "checkpoint_not_tensors"
    assert "a program ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_half_precision_keeps_the_vae_in_fp32(name, load):
    fp16 = load(name, dtype=torch.float16)
    assert next(fp16.components["denoiser"].parameters()).dtype == torch.float16
    assert next(fp16.components["vae"].parameters()).dtype == torch.float32
    bf16 = load(name, dtype=torch.bfloat16)
    assert next(bf16.components["vae"].parameters()).dtype == torch.bfloat16
