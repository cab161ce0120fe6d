"""Parts that data sets play, caches that are killed, shared, stale and cleaned: in real runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from runner import events, make_run, start, train, wait_for, write_pictures
from safetensors.torch import load_file

from backend.config import presets
from backend.data.shards import ShardStore
from backend.runs import supervisor
from backend.runs.layout import RunFolder
from backend.training import losses
from backend.training.distributed import make_state
from backend.training.report import Reporter
from backend.training.session import Session, open_session
from backend.training.step import forward, train_step

Tiny = Callable[[str], Path]


def opened(run: RunFolder) -> Session:
    return open_session(run, make_state("cpu"), Reporter(run, is_main=False), resume=False)


def num_encoded(run: RunFolder) -> int:
    """Return how many pictures went through the VAE."""
    store_before = [event for event in events(run, "progress") if event.get("unit") == "latents"]
    return store_before[-1]["done"] if store_before else 0


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.models_dir / "tiny.safetensors")


def equal(one: RunFolder, two: RunFolder) -> bool:
    first, second = weights(one), weights(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_prior_samples_are_held_to_the_answer_without_the_adapter(tmp_path: Path, tiny_folder: Tiny) -> None:
    for name in ("mine", "class"):
        write_pictures(tmp_path / name, 4)
    rows = [{"path": str(tmp_path / "mine")}, {"path": str(tmp_path / "class"), "role": "prior"}]
    training = {"train_text_encoder": True, "batch_size": 8}
    run = make_run(
        tmp_path, tiny_folder("sd15"), {"data": {"datasets": rows, "enable_bucket": False}, "training": training}
    )
    session = opened(run)
    (batch,) = session.stream.batches(0)
    assert sorted(batch.is_prior.tolist()) == [False] * 4 + [True] * 4
    before = forward(session, batch, micro_batch=0)
    assert before[batch.is_prior].abs().max() < 1e-10, "B is zero: the adapter changes nothing yet"
    assert before[~batch.is_prior].min() > 1e-4
    train_step(session, [batch])
    assert forward(session, batch, micro_batch=0)[batch.is_prior].max() > 0
    assert all(parameter.requires_grad for parameter in session.parameters.all())


def test_regularization_pictures_are_as_many_as_the_training_samples_and_weigh_as_set(
    tmp_path: Path, tiny_folder: Tiny
) -> None:
    write_pictures(tmp_path / "mine", 5)
    write_pictures(tmp_path / "class", 2)
    rows = [{"path": str(tmp_path / "mine"), "num_repeats": 2}]
    rows.append({"path": str(tmp_path / "class"), "role": "regularization", "class_tokens": "thing"})
    overlay = {"data": {"datasets": rows, "enable_bucket": False}, "loss": {"prior_loss_weight": 0.25}}
    session = opened(make_run(tmp_path, tiny_folder("sd15"), overlay))
    found = [float(weight) for batch in session.stream.batches(0) for weight in batch.loss_weights]
    assert found.count(1.0) == found.count(0.25) == 10
    assert session.count.samples_per_epoch == 20


def test_masked_losses_against_the_formula() -> None:
    prediction, target = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    masks = torch.zeros(3, 1, 8, 8)
    masks[0, :, :4], masks[1] = 1.0, 0.5
    errors = (prediction.double() - target.double()) ** 2
    for outside in (0.0, 0.1):
        parts = masks.double() + (1 - masks.double()) * outside
        given = losses.mask_weights(masks, unmasked_weight=outside)
        plain = losses.sample_losses(prediction, target, given)
        by_area = losses.sample_losses(prediction, target, given, by_area=True)
        expected = (errors * parts).mean(dim=(1, 2, 3))
        assert torch.allclose(plain.double(), expected, atol=1e-6)
        area = parts.mean(dim=(1, 2, 3))
        shares = torch.where(area > 0, expected / area.clamp(min=1e-9), torch.zeros_like(expected))
        assert torch.allclose(by_area.double(), shares, atol=1e-5)


def test_what_a_mask_leaves_out_has_no_part_in_the_gradient(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures", 1)
    Image.new("L", (64, 64), 0).save(folder / "picture 0-masklabel.png")
    overlay = {"data": {"datasets": [{"path": str(folder), "mask": "file"}]}}
    session = opened(make_run(tmp_path, tiny_folder("sd15"), overlay))
    (batch,) = session.stream.batches(0)
    assert batch.masks is not None and batch.masks.abs().max() == 0
    result = train_step(session, [batch])
    assert (result.loss, result.grad_norm) == (0.0, 0.0)


def test_paired_pictures_are_cached_beside_the_latents(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures", 3)
    rows = [{"path": str(folder), "conditioning": kind} for kind in ("grayscale", "random_mask")]
    session = opened(make_run(tmp_path, tiny_folder("sd15"), {"data": {"datasets": rows, "enable_bucket": False}}))
    for batch in session.stream.batches(0):
        assert batch.conditioning is not None and batch.conditioning.shape == batch.images.shape
        assert not torch.equal(batch.conditioning, batch.images)


def test_validation_is_measured_and_never_trained_on(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder, other = write_pictures(tmp_path / "pictures", 5), write_pictures(tmp_path / "other", 3)
    rows = [
        {"path": str(folder), "validation_split": 0.4},
        {"path": str(other), "role": "validation", "name": "unseen"},
    ]
    runs = []
    for changes in ({}, {"cache": {"latents": "memory", "text_embeddings": "memory"}}):
        run = train(
            make_run(
                tmp_path, tiny_folder("sd15"), {"data": {"datasets": rows}, "training": {"num_epochs": 3}}, changes
            )
        )
        told = events(run, "validation")
        assert [event["step"] for event in told] == [0, 2, 4, 6]
        assert all(event["num_images"] == 5 and set(event["datasets"]) == {"pictures", "unseen"} for event in told)
        assert events(run, "step")[-1]["total"] == 6, "three pictures are left, in batches of two"
        runs.append([event["loss"] for event in told])
    assert runs[0] == runs[1], "always the same noise"
    assert len(set(runs[0])) == 4


def test_two_processes_measure_what_one_does(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures", 5)
    overlay = {
        "data": {"datasets": [{"path": str(folder), "validation_split": 0.4}], "enable_bucket": False},
        "training": {"num_epochs": 1},
    }
    one = events(train(make_run(tmp_path, tiny_folder("sd15"), overlay)), "validation")
    overlay["hardware"] = {"num_processes": 2, "device": "cpu"}
    two = events(train(make_run(tmp_path, tiny_folder("sd15"), overlay), num_processes=2), "validation")
    assert one[0]["loss"] == pytest.approx(two[0]["loss"], rel=1e-5) and two[0]["num_images"] == 2


def test_caches_on_disk_in_memory_and_none_train_the_same_weights(tmp_path: Path, tiny_folder: Tiny) -> None:
    overlay = {"training": {"num_epochs": 2}, "data": {"flip_augmentation": True, "caption_dropout_rate": 0.3}}
    runs = [
        train(make_run(tmp_path, tiny_folder("sd15"), overlay, {"cache": cache}))
        for cache in (
            {"latents": "disk", "text_embeddings": "disk", "compress": True},
            {"latents": "memory", "text_embeddings": "memory"},
            {"latents": "off"},
        )
    ]
    assert equal(runs[0], runs[1])
    first, uncached = weights(runs[0]), weights(runs[2])
    assert all(torch.allclose(first[name], uncached[name], atol=1e-6) for name in first)


SLOWLY = """
import runpy, sys, time
from backend.data import shards
from backend.training import caching
shards.SHARD_SECONDS = 0.0
real = caching._encode
def slowly(*arguments):
    time.sleep(0.4)
    made = real(*arguments)
    with open(sys.argv[1] + "/encoded.txt", "a") as told:
        told.write("x" * len(made))
    return made
caching._encode = slowly
runpy.run_module("backend.training", run_name="__main__", alter_sys=True)
"""


def through_the_vae(run: RunFolder) -> int:
    """Return how many pictures a run under `SLOWLY` has encoded."""
    told = run.path / "encoded.txt"
    return len(told.read_text()) if told.exists() else 0


def test_caching_that_is_killed_goes_on_where_it_was(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures", 40)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        Image.effect_noise((64, 64), 50 + index).convert("RGB").save(path)
    run = make_run(tmp_path, tiny_folder("sd15"), {"training": {"num_epochs": 1}})
    process = start(run, wrapper=SLOWLY)
    wait_for(run, "progress", count=5, process=process)
    process.send_signal(signal.SIGKILL)
    process.wait(120)
    kept = len(ShardStore(tmp_path / "cache" / "latents").entries)
    assert 0 < kept < 40
    (run.path / "encoded.txt").unlink()
    train(run, resume=True, wrapper=SLOWLY)
    assert through_the_vae(run) == 40 - kept
    assert len(ShardStore(tmp_path / "cache" / "latents").entries) == 40


def test_two_runs_that_fill_one_cache_at_once_help_each_other(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures", 80)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        Image.effect_noise((64, 64), 50 + index).convert("RGB").save(path)
    runs = [make_run(tmp_path, tiny_folder("sd15"), {"training": {"num_epochs": 1}}) for _ in range(2)]
    first = start(runs[0], wrapper=SLOWLY)
    wait_for(runs[0], "progress", count=1, process=first)
    second = start(runs[1], wrapper=SLOWLY)
    assert [process.wait(300) for process in (first, second)] == [0, 0]
    assert through_the_vae(runs[0]) + through_the_vae(runs[1]) < 160
    store = ShardStore(tmp_path / "cache" / "latents")
    assert len(store.entries) == 80 and store.verify() == []
    assert equal(*runs)


def test_only_what_changed_is_encoded_again(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures", 5)
    text = {"cache": {"text_embeddings": "disk"}, "training": {"num_epochs": 1}}

    def encoded(*overlays: dict[str, Any]) -> tuple[int, int]:
        run = train(make_run(tmp_path, tiny_folder("sd15"), text, *overlays))
        told = [event for event in events(run, "progress") if event.get("unit") == "captions"]
        return num_encoded(run), told[-1]["done"] if told else 0

    assert encoded() == (5, 5)
    assert encoded() == (0, 0)
    Image.new("RGB", (64, 64), (1, 2, 3)).save(folder / "picture 0.png")
    assert encoded() == (1, 0)
    (folder / "picture 1.txt").write_text("something else", encoding="utf-8")
    assert encoded() == (0, 1)
    assert encoded({"data": {"trigger_word": "zkz"}}) == (0, 5)
    (folder / "picture 2.png").rename(folder / "renamed.png")
    (folder / "picture 2.txt").rename(folder / "renamed.txt")
    assert encoded() == (1, 0), "read again to see that it is the same"
    assert len(ShardStore(tmp_path / "cache" / "latents").entries) == 6
    assert encoded({"data": {"width": 32, "height": 32}}) == (5, 0)


def test_another_vae_makes_its_own_entries(tmp_path: Path, tiny_folder: Tiny, tmp_path_factory: Any) -> None:
    import tiny

    train(make_run(tmp_path, tiny_folder("sd15"), {"training": {"num_epochs": 1}}))
    other = tiny.build("sd15", tmp_path_factory.mktemp("other") / "model", seed=7)
    run = train(
        make_run(tmp_path, tiny_folder("sd15"), {"training": {"num_epochs": 1}, "model": {"vae": str(other / "vae")}})
    )
    assert num_encoded(run) == 5


def cache_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(supervisor.PROJECT_DIR)}
    command = [sys.executable, "-m", "backend", "cache", *arguments, "--lang", "en"]
    return subprocess.run(
        command, cwd=supervisor.PROJECT_DIR, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("num_processes", [1, 2])
def test_the_cache_command_fills_and_cleans(num_processes: int, tmp_path: Path, tiny_folder: Tiny) -> None:
    run = make_run(tmp_path, tiny_folder("sd15"), {"training": {"num_epochs": 1}, "cache": {"text_embeddings": "disk"}})
    done = cache_command(str(run.config_path), "--set", f"hardware.num_processes={num_processes}")
    assert done.returncode == 0, done.stderr
    train(run)
    assert num_encoded(run) == 0
    (tmp_path / "pictures" / "picture 0.png").unlink()
    folder = str(presets.read(run.config_path)["cache"]["dir"])
    old = Path(folder) / "latents" / "ab"
    old.mkdir()
    (old / f"ab{'0' * 62}.safetensors").write_bytes(b"a file of version 1")
    told = cache_command("--clean", "--dry-run", "--cache-dir", folder)
    assert "1 entry" in told.stdout and "dry run" in told.stdout, told.stdout + told.stderr
    assert "1 file or folder" in told.stdout and old.exists()
    assert len(ShardStore(Path(folder) / "latents").entries) == 5
    assert cache_command("--clean", "--cache-dir", folder).returncode == 0
    assert len(ShardStore(Path(folder) / "latents").entries) == 4 and not old.exists()
    assert cache_command("--clean", "--cache-dir", folder, "--unused-days", "0").returncode == 0
    assert not ShardStore(Path(folder) / "text").entries


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "FILE.toml"), (("--clean", "--cache-dir", "no such folder"), "no such folder")]
)
def test_the_cache_command_says_what_it_needs(arguments: tuple[str, ...], said: str) -> None:
    done = cache_command(*arguments)
    assert done.returncode != 0 and said in done.stderr
