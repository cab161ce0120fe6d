"""What a run leaves: weights that other programs load and that paint what the trainer painted, whatever it met."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image
from runner import events, make_run, start, train, wait_for, write_pictures
from safetensors import safe_open
from safetensors.torch import load_file

from backend.runs import control
from backend.runs.layout import RunFolder

Tiny = Callable[[str], Path]
PROMPT = "a thing, number 1"
PAINTED: dict[str, Any] = {
    "sampling": {
        "prompts": [{"prompt": PROMPT, "seed": 7}],
        "at_start": True,
        "guidance_scale": 3.0,
        "num_inference_steps": 4,
    }
}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_plain_diffusers_paints_with_the_lora_what_the_trainer_painted(
    family: str, tmp_path: Path, tiny_folder: Tiny
) -> None:
    both = {"training": {"train_text_encoder": True, "num_epochs": 4}, "optimizer": {"learning_rate": 2e-2}}
    run = train(make_run(tmp_path, tiny_folder(family), PAINTED, both, family=family))
    step = events(run, "step")[-1]["step"]
    before, after = pixels(run.samples_dir / "00000000_00.png"), pixels(run.samples_dir / f"{step:08d}_00.png")
    pipeline_class = {"sd15": StableDiffusionPipeline, "sdxl": StableDiffusionXLPipeline}[family]
    pipeline = pipeline_class.from_pretrained(tiny_folder(family))
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    arguments = {"width": 64, "height": 64, "num_inference_steps": 4, "guidance_scale": 3.0, "output_type": "np"}

    def paint() -> np.ndarray:
        image = pipeline(PROMPT, negative_prompt="", generator=torch.Generator().manual_seed(7), **arguments).images[0]
        return (image * 255).round().astype(int)

    assert np.abs(paint() - before).max() <= 1
    pipeline.load_lora_weights(str(run.models_dir / "tiny.safetensors"))
    assert np.abs(before - after).max() > 2, "the training changed nothing that one could see"
    assert np.abs(paint() - after).max() <= 1


@pytest.fixture(scope="module")
def lora_run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Tiny) -> RunFolder:
    overlay = {
        "output": {"save_every_n_epochs": 1, "keep_last_n": 2, "precision": "fp16"},
        "training": {"num_epochs": 5},
        "data": {"trigger_word": "zkz"},
        "adapter": {"alpha": 4.0},
    }
    return train(make_run(tmp_path_factory.mktemp("lora"), tiny_folder("sd15"), PAINTED, overlay))


def test_a_lora_file_is_what_kohya_writes(lora_run: RunFolder) -> None:
    state = load_file(lora_run.models_dir / "tiny.safetensors")
    stems = {name.split(".")[0] for name in state}
    assert all(stem.startswith("lora_unet_") for stem in stems)
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    assert state[f"{stem}.lora_down.weight"].shape == (16, 16)
    assert state[f"{stem}.lora_down.weight"].dtype == torch.float16
    assert float(state[f"{stem}.alpha"]) == 4.0
    with safe_open(lora_run.models_dir / "tiny.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["ss_network_module"] == "networks.lora"
    assert metadata["ss_network_dim"] == "16"
    assert metadata["ss_base_model_version"] == "sd_v1"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v1/lora"
    assert metadata["modelspec.trigger_phrase"] == "zkz"
    assert json.loads(metadata["ss_tag_frequency"])["pictures"]["tag"] == 5
    assert len(metadata["sshs_model_hash"]) == 64
    assert str(lora_run.path.parent.parent) not in json.dumps(metadata), "a path of this machine in a shared file"


def test_the_last_models_are_kept_and_named_as_sd_scripts_does(lora_run: RunFolder) -> None:
    names = sorted(path.name for path in lora_run.models_dir.iterdir())
    assert names == ["tiny-000003.safetensors", "tiny-000004.safetensors", "tiny.safetensors"]


def test_samples_carry_their_settings_and_tensorboard_has_the_losses(lora_run: RunFolder) -> None:
    with Image.open(lora_run.samples_dir / "00000000_00.png") as image:
        assert json.loads(image.text["parameters"])["seed"] == 7
    assert list(lora_run.logs_dir.glob("events.out.tfevents.*"))
    assert {event["phase"] for event in events(lora_run, "phase")} >= {
        "loading",
        "caching",
        "sampling",
        "training",
        "saving",
    }
    assert events(lora_run)[-1]["status"] == "finished"


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_whole_models_learn_and_load_elsewhere(family: str, tmp_path: Path, tiny_folder: Tiny) -> None:
    overlay = {
        "adapter": {"kind": "full"},
        "optimizer": {"learning_rate": 2e-3},
        "scheduler": {"kind": "constant"},
        "training": {"num_epochs": 12},
        "output": {"full_format": "both"},
    }
    run = train(make_run(tmp_path, tiny_folder(family), overlay, family=family))
    losses = [event["loss"] for event in events(run, "step")]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])
    pipeline_class = StableDiffusionXLPipeline if family == "sdxl" else StableDiffusionPipeline
    saved = pipeline_class.from_pretrained(run.models_dir / "tiny")
    original = pipeline_class.from_pretrained(tiny_folder(family))
    changed = [
        not torch.equal(one, two) for one, two in zip(saved.unet.parameters(), original.unet.parameters(), strict=True)
    ]
    assert all(changed)
    from_file = pipeline_class.from_single_file(
        str(run.models_dir / "tiny.safetensors"), config=str(tiny_folder(family)), local_files_only=True
    )
    assert all(
        torch.equal(one, two) for one, two in zip(saved.unet.parameters(), from_file.unet.parameters(), strict=True)
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path, tiny_folder: Tiny) -> None:
    run = train(make_run(tmp_path, tiny_folder("sd15"), {"hardware": {"device": "cuda"}}), code=1)
    error = events(run, "end")[-1]["error"]
    assert (error["code"], error["path"]) == ("device_missing", "hardware.device")


def test_bad_pictures_are_told_and_left_out(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures")
    whole = (folder / "picture 0.png").read_bytes()
    (folder / "cut short.png").write_bytes(whole[: len(whole) - 40])
    (folder / "no picture.jpg").write_bytes(b"hello")
    for cached in ("disk", "memory", "off"):
        run = train(make_run(tmp_path, tiny_folder("sd15"), {"cache": {"latents": cached}}))
        warned = json.dumps(events(run, "warning"))
        assert "cut short.png" in warned
        assert "no picture.jpg" in warned
        assert events(run, "step")[0]["total"] == 6  # five good pictures in two shapes: 2 + 1 batches, two epochs
    strict = train(make_run(tmp_path, tiny_folder("sd15"), {"data": {"strict": True}}), code=1)
    assert events(strict, "end")[-1]["error"]["path"].startswith("data.datasets")
    assert (folder / "cut short.png").exists(), "nothing in a user's folder is touched"


def test_stop_save_and_sample_on_request(tmp_path: Path, tiny_folder: Tiny) -> None:
    run = make_run(tmp_path, tiny_folder("sd15"), PAINTED, {"training": {"num_epochs": 2000}})
    process = start(run)
    wait_for(run, "step", count=2, process=process)
    control.ask(run.control_dir, "sample")
    wait_for(run, "sample", count=2, process=process)
    control.ask(run.control_dir, "save")
    wait_for(run, "model", process=process)
    control.ask(run.control_dir, "stop")
    assert process.wait(300) == 0
    end = events(run, "end")[-1]
    assert end["status"] == "stopped"
    assert events(run, "checkpoint")[-1]["step"] == end["step"]


def test_a_loss_that_is_no_number_ends_the_run_with_its_name(tmp_path: Path, tiny_folder: Tiny) -> None:
    overlay = {"optimizer": {"learning_rate": 1e30}, "training": {"num_epochs": 40}, "scheduler": {"kind": "constant"}}
    run = train(make_run(tmp_path, tiny_folder("sd15"), overlay), code=1)
    assert events(run, "end")[-1]["error"]["code"] == "nan_loss"


FULL_DISK = """
import resource, runpy, sys
from backend.training import checkpoint
real = checkpoint.save
def save(run, state, **rest):
    if state.step >= 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    return real(run, state, **rest)
checkpoint.save = save
runpy.run_module("backend.training", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="limits file sizes as POSIX does")
def test_a_full_disk_in_the_middle_of_a_save_leaves_the_checkpoint_before_whole(
    tmp_path: Path, tiny_folder: Tiny
) -> None:
    run = train(make_run(tmp_path, tiny_folder("sd15"), {"training": {"num_epochs": 4}}), wrapper=FULL_DISK, code=1)
    assert events(run, "end")[-1]["error"]["code"] == "disk_full"
    assert [path.name for path in run.checkpoints_dir.iterdir()] == ["step-00000002"]
    train(run, resume=True)
    assert events(run, "start")[-1]["resumed_from_step"] == 2
    assert events(run, "end")[-1]["status"] == "finished"


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, tiny_folder: Tiny) -> None:
    write_pictures(tmp_path / "pictures", 1)
    overlay = {
        "training": {"num_epochs": 6, "batch_size": 1, "max_grad_norm": 0.0},
        "data": {"datasets": [{"path": str(tmp_path / "pictures"), "num_repeats": 4}]},
        "output": {"checkpoint_every_n_steps": 5},
    }
    run = train(make_run(tmp_path, tiny_folder("sd15"), overlay, {"hardware": {"num_processes": 2}}), num_processes=2)
    assert len(events(run, "start")) == 1, "only the main process speaks"
    assert events(run, "step")[-1]["step"] == 12  # four samples, two processes: two steps an epoch
    assert events(run, "checkpoint")
    single = train(make_run(tmp_path, tiny_folder("sd15"), overlay, {"training": {"batch_size": 2}}))
    two, one = load_file(run.models_dir / "tiny.safetensors"), load_file(single.models_dir / "tiny.safetensors")
    down = next(name for name in two if name.endswith("to_q.lora_down.weight"))
    assert torch.allclose(two[down], one[down], atol=0.05)
    assert not torch.equal(two[down], one[down])
