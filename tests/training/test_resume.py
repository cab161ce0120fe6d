"""A run that is killed and resumed ends with the very same weights, bit for bit, as the run left alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from runner import events, kill_after, make_run, train, write_pictures
from safetensors.torch import load_file

from backend.data.user_code import trust
from backend.runs.layout import RunFolder

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


def masked(folder: Path) -> Path:
    """Draw pictures with a mask beside every other one."""
    write_pictures(folder, 5)
    for path in sorted(folder.glob("picture [024].png")):
        mask = Image.new("L", (64, 64), 40)
        mask.paste(255, (10, 10, 50, 50))
        mask.save(path.with_name(f"{path.stem}-masklabel.png"))
    return folder


def many_data_sets(folder: Path) -> dict[str, Any]:
    """Return data sets of every part that come and go, with caches of pictures and of variants of captions."""
    rows = [
        {"path": str(masked(folder / "masked")), "mask": "file", "num_repeats": 1.3, "loss_weight": 0.5},
        {"path": str(write_pictures(folder / "late", 3)), "start_epoch": 2, "num_repeats": 0.75, "batch_size": 1},
        {"path": str(write_pictures(folder / "early", 4)), "end_epoch": 2, "weight": 2.0, "conditioning": "jpeg"},
        {"path": str(write_pictures(folder / "class", 2)), "role": "regularization", "class_tokens": "thing"},
        {"path": str(write_pictures(folder / "seen", 4)), "num_samples": 3, "validation_split": 0.3},
    ]
    captions = {"shuffle_caption": True, "tag_dropout_rate": 0.3, "caption_variants": 3, "caption_dropout_rate": 0.2}
    return {
        "data": {"datasets": rows, "mixing": "weights", "flip_augmentation": True, "num_workers": 2, **captions},
        "cache": {"text_embeddings": "disk"},
        "loss": {"unmasked_weight": 0.1, "normalize_masked_area": True},
        "validation": {"every_n_steps": 3},
        "training": {"num_epochs": 5, "gradient_accumulation_steps": 2},
    }


CODE = """
def num_repeats(img_key, img_md, *, rng, **kwargs):
    return 1 if rng.random() < 0.5 else 2

def caption(img_info, *, rng, flip_aug, **kwargs):
    return f"{img_info.caption} {rng.random():.4f} {flip_aug}"
"""


def own_code(folder: Path) -> dict[str, Any]:
    """Return data sets with code of the user's, priors, masks and a warm-up of tags; nothing is cached."""
    code = folder / "mine.py"
    code.write_text(CODE, encoding="utf-8")
    trust(code)
    rows = [
        {"path": str(write_pictures(folder / "mine", 5)), "code_path": str(code), "num_repeats": 1.5},
        {"path": str(masked(folder / "masked")), "mask": "file", "token_warmup_steps": 0.6, "crop": "random"},
        {"path": str(write_pictures(folder / "class", 3)), "role": "prior", "color_augmentation": True},
    ]
    rules = {"shuffle_caption": True, "flip_augmentation": True, "small_buckets": "short", "num_workers": 2}
    return {
        "data": {"datasets": rows, **rules},
        "cache": {"latents": "off"},
        "training": {"num_epochs": 5, "train_text_encoder": True},
    }


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("make_overlay", [many_data_sets, own_code])
def test_a_killed_run_with_rich_data_goes_on_exactly(
    make_overlay: Callable[[Path], dict[str, Any]], tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    overlay = make_overlay(tmp_path)
    alone, killed = (make_run(tmp_path, tiny_folder("sd15"), overlay) for _ in range(2))
    train(alone)
    kill_after(killed, num_steps=5)
    # What the caches held is made again, and elsewhere.
    shutil.rmtree(tmp_path / "cache")
    text = killed.config_path.read_text(encoding="utf-8")
    killed.config_path.write_text(text.replace('text_embeddings = "disk"', 'text_embeddings = "memory"'), "utf-8")
    check_resumed(alone, killed)
    measured = [{event["step"]: event["loss"] for event in events(run, "validation")} for run in (alone, killed)]
    assert measured[0] == measured[1] and bool(measured[0]) == (make_overlay is many_data_sets)


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_goes_on_exactly(case: str, tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    model, overlay = tiny_folder("sd15"), CASES[case]
    alone = train(make_run(tmp_path, model, LONG, overlay))
    killed = make_run(tmp_path, model, LONG, overlay)
    kill_after(killed, num_steps=5)
    check_resumed(alone, killed)


def check_resumed(alone: RunFolder, killed: RunFolder) -> None:
    """Resume a killed run, and compare it with the one that was left alone."""
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
