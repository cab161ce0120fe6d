"""What goes wrong in the middle: pictures that turn bad, epochs without batches, caches that go while they are used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from runner import events, make_run, start, train, wait_for, write_pictures
from safetensors.torch import load_file

from backend.config.problems import ConfigError, Problem, UserError
from backend.config.root import load
from backend.data.shards import ShardStore
from backend.runs.layout import RunFolder
from backend.training import filling
from backend.training.distributed import make_state
from backend.training.loop import groups
from backend.training.report import Reporter
from backend.training.session import Session, open_session
from backend.training.step import forward, train_step
from backend.training.validation import validate

Tiny = Callable[[str], Path]
PLAIN: dict[str, Any] = {"enable_bucket": False}


class Listener(Reporter):
    """A reporter that keeps what it is told."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(run, is_main=False)
        self.warnings: list[Problem] = []
        self.measured: list[dict[str, Any]] = []

    def warn(self, problem: Problem) -> None:
        self.warnings.append(problem)

    def validation(self, *, step: int, loss: float, **fields: Any) -> None:
        self.measured.append({"step": step, "loss": loss, **fields})


def opened(run: RunFolder) -> tuple[Session, Listener]:
    told = Listener(run)
    return open_session(run, make_state("cpu"), told, resume=False), told


def cut_short(path: Path) -> None:
    """Keep the header of a picture, so that only decoding tells that it is damaged."""
    path.write_bytes(path.read_bytes()[:-60])


def noisy(folder: Path, num: int) -> Path:
    write_pictures(folder, num)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        Image.effect_noise((64, 64), 50 + index).convert("RGB").save(path)
    return folder


@pytest.mark.parametrize("latents", ["disk", "memory", "off"])
def test_a_bad_picture_under_two_names_is_left_out_twice(latents: str, tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = noisy(tmp_path / "pictures", 6)
    cut_short(folder / "picture 1.png")
    shutil.copy(folder / "picture 1.png", folder / "picture 4.png")
    session, told = opened(make_run(tmp_path, tiny_folder("sd15"), {"cache": {"latents": latents}, "data": PLAIN}))
    assert [len(batch) for batch in session.stream.batches(0)] == [2, 2]
    assert session.count.num_images == 4
    assert sorted(str(problem.params["value"]) for problem in told.warnings) == ["picture 1.png", "picture 4.png"]


def test_validation_goes_on_without_pictures_that_turn_bad(tmp_path: Path, tiny_folder: Tiny) -> None:
    noisy(tmp_path / "pictures", 3)
    other = noisy(tmp_path / "other", 2)
    rows = [{"path": str(tmp_path / "pictures")}, {"path": str(other), "role": "validation"}]
    session, told = opened(
        make_run(tmp_path, tiny_folder("sd15"), {"cache": {"latents": "off"}, "data": {"datasets": rows}})
    )
    for num_left in (1, 0):
        (other / f"picture {num_left}.png").unlink()
        validate(session)
        validate(session)
        assert [row["num_images"] for row in told.measured] == [1, 1]
        assert len(told.warnings) == 2 - num_left, "each is told once"


def test_validation_pictures_that_are_all_bad_are_left_out(tmp_path: Path, tiny_folder: Tiny) -> None:
    noisy(tmp_path / "pictures", 3)
    other = noisy(tmp_path / "other", 2)
    for path in other.glob("*.png"):
        cut_short(path)
    rows = [{"path": str(tmp_path / "pictures")}, {"path": str(other), "role": "validation"}]
    session, told = opened(make_run(tmp_path, tiny_folder("sd15"), {"data": {"datasets": rows}}))
    validate(session)
    assert len(told.warnings) == 2 and not told.measured and session.count.num_images == 3


def test_pictures_that_turn_bad_in_the_middle_with_accumulation_and_two_processes(
    tmp_path: Path, tiny_folder: Tiny
) -> None:
    folder = noisy(tmp_path / "pictures", 9)
    overlay = {
        "data": PLAIN,
        "cache": {"latents": "off"},
        "training": {"num_epochs": 12, "gradient_accumulation_steps": 2},
        "hardware": {"num_processes": 2, "device": "cpu"},
    }
    run = make_run(tmp_path, tiny_folder("sd15"), overlay)
    process = start(run, num_processes=2)
    wait_for(run, "step", count=2, process=process)
    (folder / "picture 3.png").unlink()
    assert process.wait(300) == 0
    assert events(run, "step")[-1]["step"] == 24 and events(run, "end")[-1]["status"] == "finished"
    told = events(run, "warning")
    assert told and all("picture 3.png" in str(event["params"]) for event in told)
    assert len(told) <= 2, "each process tells it once at most"


def test_epochs_without_a_batch_are_passed_over_and_a_run_without_any_is_refused(
    tmp_path: Path, tiny_folder: Tiny
) -> None:
    folder = noisy(tmp_path / "pictures", 3)

    def overlay(first: int, last: int) -> dict[str, Any]:
        rows = [{"path": str(folder), "start_epoch": first, "end_epoch": last}]
        return {"data": {"datasets": rows, **PLAIN}, "training": {"num_epochs": 4}, "validation": {"every_n_epochs": 1}}

    two = {"hardware": {"num_processes": 2, "device": "cpu"}, "training": {"batch_size": 4}}
    for processes, more in ((1, {}), (2, two)):
        run = train(make_run(tmp_path, tiny_folder("sd15"), overlay(2, 3), more), num_processes=processes)
        assert [event["epoch"] for event in events(run, "step")] == ([1, 1, 2, 2] if processes == 1 else [1, 2])
        assert (run.models_dir / "tiny.safetensors").exists()
    with pytest.raises(UserError) as caught:
        opened(make_run(tmp_path, tiny_folder("sd15"), overlay(9, 9)))
    assert caught.value.problem.code == "no_steps"


def test_a_cache_that_is_deleted_in_the_middle_is_told_and_made_again(tmp_path: Path, tiny_folder: Tiny) -> None:
    noisy(tmp_path / "pictures", 4)
    for cache in ({}, {"text_embeddings": "disk"}):
        run = make_run(tmp_path, tiny_folder("sd15"), {"cache": cache, "data": PLAIN})
        session, _ = opened(run)
        shutil.rmtree(tmp_path / "cache")
        with pytest.raises(UserError) as caught:
            next(session.stream.batches(0))
        assert caught.value.problem.code == "cache_lost"
        again, _ = opened(run)
        assert len(list(again.stream.batches(0))) == 2


def test_a_full_disk_while_latents_are_written_ends_it_and_keeps_what_was_there(
    tmp_path: Path, tiny_folder: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.data import shards

    noisy(tmp_path / "pictures", 40)
    monkeypatch.setattr(shards, "SHARD_SECONDS", 0.0)
    real, written = shards.save_safetensors, []

    def save(path: Path, *arguments: Any) -> None:
        if len(written) == 3:
            raise UserError("disk_full", value=str(path))
        written.append(path)
        real(path, *arguments)

    monkeypatch.setattr(shards, "save_safetensors", save)
    with pytest.raises(UserError) as caught:
        opened(make_run(tmp_path, tiny_folder("sd15"), {"data": PLAIN}))
    assert caught.value.problem.code == "disk_full"
    monkeypatch.undo()
    assert 0 < len(ShardStore(tmp_path / "cache" / "latents").entries) < 40
    session, _ = opened(make_run(tmp_path, tiny_folder("sd15"), {"data": PLAIN}))
    assert len(list(session.stream.batches(0))) == 20


def test_what_a_data_set_file_says_is_checked_like_the_configuration(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = noisy(tmp_path / "pictures", 2)
    file = tmp_path / "data.toml"
    file.write_text(
        f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{folder}'\nrandom_crop = true\nshuffle_caption = true\n",
        encoding="utf-8",
    )
    overlay = {"data": {"datasets": [{"path": str(file)}]}, "cache": {"text_embeddings": "disk"}}
    run = make_run(tmp_path, tiny_folder("sd15"), overlay)
    for attempt in (lambda: opened(run), lambda: filling.fill(load(run.config_path), "en")):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert {problem.code for problem in caught.value.problems} == {"latents_random_crop", "text_cache_varies"}


@pytest.mark.parametrize(("checkpointing", "precision"), [(False, "no"), (True, "bf16")])
def test_priors_of_two_trained_encoders_with_accumulation(
    checkpointing: bool, precision: str, tmp_path: Path, tiny_folder: Tiny
) -> None:
    rows = [{"path": str(noisy(tmp_path / "mine", 3))}, {"path": str(noisy(tmp_path / "class", 3)), "role": "prior"}]
    training = {
        "train_text_encoder": True,
        "train_text_encoder_2": True,
        "gradient_checkpointing": checkpointing,
        "mixed_precision": precision,
        "gradient_accumulation_steps": 2,
        "batch_size": 6,
    }
    overlay = {"data": {"datasets": rows, **PLAIN}, "training": training, "adapter": {"dropout": 0.0}}
    session, _ = opened(make_run(tmp_path, tiny_folder("sdxl"), overlay, family="sdxl"))
    (group,) = list(groups(session))[:1]
    batch = group[0]
    assert forward(session, batch, micro_batch=0)[batch.is_prior].abs().max() < 1e-9
    before = {name: tensor.clone() for name, tensor in session.parameters.state().items()}
    assert train_step(session, group).applied
    assert all(parameter.requires_grad for parameter in session.parameters.all())
    assert all(parameter.grad is not None for parameter in session.parameters.parameters["denoiser"].values())
    after = session.parameters.state()
    for component in ("denoiser", "text_encoder", "text_encoder_2"):
        assert any(not torch.equal(before[name], after[name]) for name in before if name.startswith(f"{component}.")), (
            component
        )
    assert forward(session, batch, micro_batch=0)[batch.is_prior].max() > 0


def test_caches_in_the_memory_of_two_processes_train_what_caches_on_disk_do(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = noisy(tmp_path / "pictures", 5)
    cut_short(folder / "picture 3.png")
    overlay = {
        "data": {"datasets": [{"path": str(folder), "validation_split": 0.2}], **PLAIN},
        "training": {"num_epochs": 2},
        "hardware": {"num_processes": 2, "device": "cpu"},
    }
    runs = []
    for kind in ("disk", "memory"):
        cache = {"cache": {"latents": kind, "text_embeddings": kind}}
        runs.append(train(make_run(tmp_path, tiny_folder("sd15"), overlay, cache), num_processes=2))
        assert len(events(runs[-1], "warning")) == 1
    first, second = (load_file(run.models_dir / "tiny.safetensors") for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
