"""Every picture is seen exactly as often as asked, and the steps are counted as the loop takes them."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.config.data import DataSection
from backend.config.training import TrainingSection
from backend.data.plan import count, deal, epoch_batches, num_batches, place
from backend.data.scan import ImageRecord

RECORDS = st.lists(st.tuples(st.integers(50, 2000), st.integers(50, 2000), st.integers(1, 4)), min_size=1, max_size=12)


def record(number: int, width: int, height: int, repeats: int) -> ImageRecord:
    return ImageRecord(Path(f"{number}.png"), "", None, "", repeats, width, height, 0)


def placements_of(rows: list[tuple[int, int, int]]) -> list:
    return place([record(number, *row) for number, row in enumerate(rows)], DataSection())


@given(RECORDS, st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=150)
def test_an_epoch_holds_every_picture_as_often_as_it_is_repeated(
    rows: list[tuple[int, int, int]], batch_size: int, epoch: int
) -> None:
    placements = placements_of(rows)
    batches = epoch_batches(placements, batch_size=batch_size, seed=7, epoch=epoch)
    seen = Counter(index for batch in batches for index in batch)
    assert seen == {index: row[2] for index, row in enumerate(rows)}
    assert all(len({placements[index].bucket for index in batch}) == 1 for batch in batches)
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert len(batches) == num_batches(placements, batch_size)


def test_the_order_is_fixed_by_seed_and_epoch() -> None:
    placements = placements_of([(512, 512, 1)] * 30)

    def order(seed: int, epoch: int) -> list[tuple[int, ...]]:
        return epoch_batches(placements, batch_size=4, seed=seed, epoch=epoch)

    assert order(1, 0) == order(1, 0)
    assert len({str(order(*parts)) for parts in ((1, 0), (1, 1), (5, 0))}) == 3


@given(st.integers(1, 30), st.integers(1, 5))
def test_dealing_gives_every_process_as_many_batches_and_loses_none(number: int, processes: int) -> None:
    batches = [(index,) for index in range(number)]
    shares = [deal(batches, num_processes=processes, process=process) for process in range(processes)]
    assert {len(share) for share in shares} == {math.ceil(number / processes)}
    assert {batch for share in shares for batch in share} == set(batches)
    assert [batch for row in zip(*shares, strict=True) for batch in row][:number] == batches


@pytest.mark.parametrize(
    ("changes", "processes", "steps_per_epoch", "total"),
    [
        ({"batch_size": 2, "num_epochs": 10}, 1, 120, 1200),  # 24 x 10 / 2
        ({"batch_size": 7, "num_epochs": 1}, 1, 35, 35),  # 240 / 7 = 34.3, the last one short
        ({"batch_size": 2, "num_epochs": 2, "gradient_accumulation_steps": 7}, 1, 18, 36),  # 120 / 7 = 17.1
        ({"batch_size": 2, "num_epochs": 1}, 7, 18, 18),
        ({"batch_size": 2, "num_epochs": 10, "max_steps": 50}, 1, 120, 50),
        ({"batch_size": 2, "num_epochs": 1, "max_steps": 500}, 1, 120, 120),
    ],
)
def test_steps_are_counted(changes: dict[str, int], processes: int, steps_per_epoch: int, total: int) -> None:
    counted = count(placements_of([(512, 512, 10)] * 24), TrainingSection(**changes), num_processes=processes)
    assert counted.num_images == 24
    assert counted.samples_per_epoch == 240
    assert counted.steps_per_epoch == steps_per_epoch
    assert counted.total_steps == total
