"""A run that is killed and resumed ends with the very same weights, bit for bit, as the run left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runner import events, kill_after, make_run, train
from safetensors.torch import load_file

LONG: dict[str, Any] = {"training": {"num_epochs": 8}}
CASES: dict[str, dict[str, Any]] = {
    "lora of unet and text encoder, accumulated, cached": {
        "training": {"train_text_encoder": True, "gradient_accumulation_steps": 2},
        "adapter": {"dropout": 0.2},
    },
    "pixels, mirrored, shuffled, dropped captions, two threads": {
        "cache": {"latents": "off"},
        "data": {
            "flip_augmentation": True,
            "shuffle_caption": True,
            "caption_dropout_rate": 0.3,
            "crop": "random",
            "num_workers": 2,
        },
        "noise": {"noise_offset": 0.1},
    },
    "prodigy with min-snr": {
        "optimizer": {"kind": "prodigy", "learning_rate": 1.0},
        "loss": {"min_snr_gamma": 5.0},
        "cache": {"text_embeddings": "disk"},
    },
    "adamw in 8 bits": {
        "optimizer": {"kind": "adamw8bit"},
        "adapter": {"rank": 64},  # tensors under 4096 elements keep 32 bits
    },
    "whole model with lion": {
        "adapter": {"kind": "full"},
        "optimizer": {"kind": "lion", "learning_rate": 1e-5},
        "noise": {"multires_noise_iterations": 3},
        "output": {"full_format": "diffusers"},
    },
}


def weights(run_path: Path) -> dict[str, torch.Tensor]:
    models = run_path / "models"
    file = models / "tiny.safetensors"
    return load_file(file if file.exists() else models / "tiny" / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_exactly(case: str, tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    model, overlay = tiny_folder("sd15"), CASES[case]
    alone = train(make_run(tmp_path, model, LONG, overlay))
    killed = make_run(tmp_path, model, LONG, overlay)
    kill_after(killed, num_steps=5)
    done_before = events(killed, "step")[-1]["step"]
    assert done_before < events(alone, "step")[-1]["step"], "killed too late to mean anything"
    train(killed, resume=True)
    resumed_from = events(killed, "start")[-1]["resumed_from_step"]
    assert 0 < resumed_from <= done_before
    expected, found = weights(alone.path), weights(killed.path)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    losses = {event["step"]: event["loss"] for event in events(killed, "step")}
    assert losses == {event["step"]: event["loss"] for event in events(alone, "step")}


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    run = make_run(tmp_path, tiny_folder("sd15"), LONG)
    kill_after(run, num_steps=7)
    newest = sorted(run.checkpoints_dir.glob("step-*"))[-1]
    (newest / "weights.safetensors").write_bytes(b"half a file")
    (run.checkpoints_dir / "step-00000099.partial").mkdir()
    train(run, resume=True)
    assert events(run, "start")[-1]["resumed_from_step"] < int(newest.name.removeprefix("step-"))
    assert not list(run.checkpoints_dir.glob("*.partial"))


def test_other_pictures_cannot_be_resumed_silently(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    run = make_run(tmp_path, tiny_folder("sd15"), LONG)
    kill_after(run, num_steps=5)
    (tmp_path / "pictures" / "picture 0.png").unlink()
    train(run, resume=True, code=1)
    assert events(run, "end")[-1]["error"]["code"] == "resume_data_changed"


def test_other_settings_cannot_be_resumed_silently(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    run = make_run(tmp_path, tiny_folder("sd15"), LONG)
    kill_after(run, num_steps=5)
    text = run.config_path.read_text(encoding="utf-8")
    assert "batch_size = 2" in text
    run.config_path.write_text(text.replace("batch_size = 2", "batch_size = 1"), encoding="utf-8")
    train(run, resume=True, code=1)
    error = events(run, "end")[-1]["error"]
    assert (error["code"], error["path"]) == ("resume_settings_changed", "training.batch_size")
