"""Batches: the same pictures, captions and crops for any number of processes and threads, and after a restart."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from backend.config.data import DataSection
from backend.config.problems import Problem, UserError
from backend.data import plan
from backend.data.index import Index
from backend.data.loader import Batch, BatchStream, SampleReader, ValidationSet
from backend.data.pictures import Pictures
from backend.data.scan import scan

VARIED = {"crop": "random", "flip_augmentation": True, "shuffle_caption": True, "caption_dropout_rate": 0.2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(9):
        Image.effect_noise((80 + 40 * (index % 2), 80), 90).convert("RGB").save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"number {index}, a, b, c, d", encoding="utf-8")
    return folder


def stream(
    folder: Path,
    *,
    process: int = 0,
    num_processes: int = 1,
    num_workers: int = 0,
    warn: Callable[[Problem], None] | None = None,
    own: dict[str, Any] | None = None,
    rows: list[dict[str, Any]] | None = None,
    **settings: Any,
) -> BatchStream:
    rules = {"width": 64, "height": 64, "min_bucket_resolution": 32, "bucket_step": 16}
    datasets = [{"path": str(folder), "num_repeats": 2.5, **row} for row in (own or {}, *(rows or ()))]
    data = DataSection.model_validate({**rules, **VARIED, **settings, "datasets": datasets})
    found = scan(data, cache_dir=folder.parent / "cache")
    placed = plan.place(found)
    schedule = plan.Schedule(placed.placements, found.datasets, data, batch_size=2, seed=5, num_processes=num_processes)
    pictures = Pictures(found.datasets, Index(folder.parent / "cache"))
    return BatchStream(
        schedule,
        SampleReader(pictures, None, None, 5, 0.5, 8),
        steps_before=lambda epoch, number: epoch * 10 + number,
        total_steps=100,
        num_workers=num_workers,
        process=process,
        num_processes=num_processes,
        warn=warn,
    )


def same(one: Batch, two: Batch) -> bool:
    return one.captions == two.captions and torch.equal(one.images, two.images)


def test_threads_and_restarts_change_nothing(folder: Path) -> None:
    whole = list(stream(folder).batches(1))
    for other in (stream(folder, num_workers=4).batches(1), [*whole[:3], *stream(folder).batches(1, start=3)]):
        assert all(same(one, two) for one, two in zip_longest(whole, other))
    again = list(stream(folder).batches(2))
    assert not all(same(one, two) for one, two in zip(whole, again, strict=False))


def test_two_processes_see_what_one_would(folder: Path) -> None:
    whole = list(stream(folder).batches(0))
    shares = [list(stream(folder, process=number, num_processes=2).batches(0)) for number in range(2)]
    dealt = [batch for pair in zip(*shares, strict=True) for batch in pair]
    assert all(same(one, two) for one, two in zip(whole, dealt, strict=False))


def test_sizes_and_corners_are_those_of_the_cut(folder: Path) -> None:
    for batch in stream(folder, crop="center").batches(0):
        height, width = batch.images.shape[2:]
        assert batch.target_sizes.tolist() == [[height, width]] * len(batch)
        assert all(top >= 0 and left >= 0 for top, left in batch.crop_top_lefts.tolist())
        assert all(size in ([80, 80], [80, 120]) for size in batch.original_sizes.tolist())


def test_weights_of_data_sets_and_of_regularization_go_with_the_samples(folder: Path) -> None:
    (plain, *_) = stream(folder, own={"loss_weight": 0.25}).batches(0)
    assert plain.loss_weights.tolist() == [0.25, 0.25] and not plain.is_prior.any() and plain.masks is None
    held = stream(folder, rows=[{"role": "prior", "loss_weight": 3.0}])
    found = {
        (float(weight), bool(prior))
        for batch in held.batches(0)
        for weight, prior in zip(batch.loss_weights, batch.is_prior, strict=True)
    }
    assert found == {(1.0, False), (1.5, True)}, "the weight of priors is 0.5 here"


def test_a_mask_is_as_large_as_the_latents_and_a_picture_without_one_counts_whole(folder: Path) -> None:
    for index in range(0, 9, 2):
        mask = Image.new("L", (80, 80), 0)
        mask.paste(255, (0, 0, 40, 80))
        mask.save(folder / f"{index}-masklabel.png")
    seen = set()
    for batch in stream(folder, own={"mask": "file"}, crop="center", flip_augmentation=False).batches(0):
        if batch.masks is None:
            continue
        assert batch.masks.shape[2:] == (batch.images.shape[2] // 8, batch.images.shape[3] // 8)
        seen.update(round(float(mask.mean()), 2) for mask in batch.masks)
    assert seen <= {0.5, 1.0} and 0.5 in seen


def test_a_picture_that_turns_bad_is_replaced_by_another_of_its_bucket(folder: Path) -> None:
    told: list[Problem] = []
    kept = stream(folder, warn=told.append)
    strict = stream(folder)
    (folder / "3.png").write_bytes(b"broken")
    first, second = list(kept.batches(0)), list(kept.batches(0))
    assert len(first) == kept.schedule.num_batches(0) and all(len(batch) == 2 for batch in first)
    assert all(same(one, two) for one, two in zip(first, second, strict=True))
    assert told and all("3.png" in str(problem.params) for problem in told)
    assert not any("number 3" in caption for batch in first for caption in batch.captions)
    with pytest.raises(UserError) as caught:
        list(strict.batches(0))
    assert "3.png" in caught.value.problem.text()


def test_validation_pictures_come_as_they_are(folder: Path) -> None:
    kept = stream(folder)
    measured = ValidationSet(kept.schedule.placements, kept.reader)
    first = [measured.batch(number) for number in range(len(measured))]
    assert [batch.captions[0][:8] for batch in first] == [f"number {index}" for index in range(9)]
    assert all(same(batch, measured.batch(number)) for number, batch in enumerate(first))
    assert measured.title(0) == "pictures"
