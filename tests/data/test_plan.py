"""Every picture is seen exactly as often as asked, and the steps are counted as the loop takes them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig
from backend.config.training import TrainingSection
from backend.data.datasets import Dataset
from backend.data.plan import Batch, Placed, Schedule, count, deal, place
from backend.data.records import ImageRecord, Scan

Row = tuple[int, int, float]  # width, height, what a sub-folder's name or user code multiplies repeats by


def scan_of(data: DataSection, rows: Sequence[Sequence[Row]]) -> Scan:
    """Return a scan that found these pictures in the data sets, with the records that the scanner makes."""
    datasets = tuple(
        Dataset(index, config, data.rules_of(config), f"data.datasets[{index}]")
        for index, config in enumerate(data.datasets)
    )
    images = tuple(
        ImageRecord(
            dataset=index,
            name=f"{number}.png",
            location=f"/{index}/{number}.png",
            stamp="1",
            width=width,
            height=height,
            num_repeats=factor * datasets[index].config.num_repeats,
        )
        for index, pictures in enumerate(rows)
        for number, (width, height, factor) in enumerate(pictures)
    )
    return Scan(datasets, images, ())


def schedule_of(
    rows: Sequence[Sequence[Row]], *datasets: dict[str, Any], batch_size: int = 1, seed: int = 7, **data: Any
) -> Schedule:
    configs = [DatasetConfig(path=str(index), **values) for index, values in enumerate(datasets)]
    section = DataSection(datasets=configs, **data)
    found = scan_of(section, rows)
    return Schedule(place(found).placements, found.datasets, section, batch_size=batch_size, seed=seed)


def squares(number: int, factor: float = 1.0) -> list[Row]:
    return [(512, 512, factor)] * number


def seen(batches: Sequence[Batch]) -> Counter[int]:
    return Counter(index for batch in batches for index, _ in batch)


def per_dataset(schedule: Schedule, epoch: int) -> list[int]:
    counts = Counter[int]()
    for index, number in seen(schedule.batches(epoch)).items():
        counts[schedule.placements[index].record.dataset] += number
    return [counts[index] for index in range(max(counts, default=-1) + 1)]


# How pictures are placed.


def placed(rows: Sequence[Row], **dataset: Any) -> Placed:
    section = DataSection(datasets=[DatasetConfig(path="a", **dataset)])
    return place(scan_of(section, [rows]))


def test_every_picture_is_placed_at_each_resolution() -> None:
    result = placed([(512, 512, 1), (1000, 500, 1)], resolutions=[256, 512])
    assert [(item.record.name, item.bucket) for item in result.placements] == [
        ("0.png", (256, 256)),
        ("0.png", (512, 512)),
        ("1.png", (256, 256)),
        ("1.png", (704, 320)),
    ]
    assert result.left_out == {}


@pytest.mark.parametrize(
    ("dataset", "left_out"),
    [
        ({"minimum_size": 256}, {"minimum_size": [1]}),
        # To 512 x 512: 200 x 300 by 2.56, 400 x 400 by 1.28.
        ({"maximum_upscale": 2}, {"maximum_upscale": [1]}),
        ({"maximum_upscale": 1.2}, {"maximum_upscale": [1, 2]}),
        ({"maximum_upscale": 1.5, "resolutions": [256, 512]}, {"maximum_upscale_some": [1]}),
        ({"minimum_aspect": 0.7}, {"minimum_aspect": [1]}),
        ({"maximum_aspect": 2}, {"maximum_aspect": [3]}),
        ({"num_repeats": 0}, {"num_repeats": [0, 1, 2, 3, 4]}),
        ({"num_repeats": 0, "num_samples": 5}, {}),
        ({}, {"num_repeats": [4]}),
    ],
)
def test_what_is_left_out_is_told_with_its_reason(dataset: dict[str, Any], left_out: dict[str, list[int]]) -> None:
    rows = [(1000, 1000, 1.0), (200, 300, 1.0), (400, 400, 1.0), (2000, 800, 1.0), (512, 512, 0.0)]
    result = placed(rows, enable_bucket=False, **dataset)
    expected = {"num_repeats": [4], **left_out} if not dataset.get("num_samples") else left_out
    assert result.left_out == expected
    gone = {index for reason, indices in expected.items() if reason != "maximum_upscale_some" for index in indices}
    assert {int(item.record.name[0]) for item in result.placements} == set(range(5)) - gone


def test_validation_is_never_trained() -> None:
    section = DataSection(
        datasets=[
            DatasetConfig(path="a", validation_split=0.25, resolutions=[256, 512]),
            DatasetConfig(path="b", role="validation", num_repeats=0),
        ]
    )
    result = place(scan_of(section, [squares(20), squares(3)]))
    trained = {(item.record.dataset, item.record.name) for item in result.placements}
    measured = {(item.record.dataset, item.record.name) for item in result.validation}
    assert not trained & measured
    assert Counter(number for number, _ in trained) == {0: 15}
    assert Counter(number for number, _ in measured) == {0: 5, 1: 3}
    assert place(scan_of(section, [squares(20), squares(3)])).validation == result.validation
    more = place(scan_of(section, [squares(22), squares(3)]))
    kept = measured & {(item.record.dataset, item.record.name) for item in more.validation}
    assert len(kept) >= 6  # two more pictures change few of those that are held back


@given(st.integers(0, 30), st.floats(0, 0.99))
@settings(max_examples=100)
def test_a_share_is_held_back_and_never_all(number: int, share: float) -> None:
    result = placed(squares(number), validation_split=share)
    assert len(result.placements) + len(result.validation) == number
    assert bool(result.placements) == bool(number)
    assert bool(result.validation) == (share > 0 and number > 1)


# Which are seen, and how often.

ROWS = st.lists(st.tuples(st.integers(50, 2000), st.integers(50, 2000), st.integers(1, 4)), min_size=1, max_size=12)


@given(ROWS, st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=150)
def test_an_epoch_holds_every_picture_as_often_as_it_is_repeated(rows: list[Row], batch_size: int, epoch: int) -> None:
    schedule = schedule_of([rows], {}, batch_size=batch_size, small_buckets="short")
    batches = schedule.batches(epoch)
    assert seen(batches) == {index: row[2] for index, row in enumerate(rows)}
    draws = [draw for batch in batches for draw in batch]
    assert set(draws) == {(index, showing) for index, row in enumerate(rows) for showing in range(int(row[2]))}
    assert len(draws) == len(set(draws)) == schedule.epoch_samples(epoch)
    assert all(len({schedule.placements[index].bucket for index, _ in batch}) == 1 for batch in batches)
    assert all(1 <= len(batch) <= batch_size for batch in batches)


def test_the_order_is_fixed_by_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[Batch]:
        return schedule_of([squares(30)], {}, batch_size=4, seed=seed).batches(epoch)

    assert order(1, 0) == order(1, 0)
    assert len({str(order(*parts)) for parts in ((1, 0), (1, 1), (5, 0))}) == 3


def test_the_order_stays_what_it_was_in_earlier_versions() -> None:
    """A run that is resumed goes on with the same batches, whatever the version of numpy."""
    assert schedule_of([squares(6)], {}, batch_size=2, seed=3).batches(1) == [
        ((4, 0), (5, 0)),
        ((0, 0), (2, 0)),
        ((1, 0), (3, 0)),
    ]


@pytest.mark.parametrize(
    ("repeats", "per_epoch"),
    [
        (0.5, [3, 4, 3, 4]),
        (1.5, [10, 11, 10, 11]),
        (0.1, [0, 1, 1, 0, 1, 1, 0, 1, 1, 1]),
        (2.0, [14, 14]),
    ],
)
def test_fractions_take_turns(repeats: float, per_epoch: list[int]) -> None:
    schedule = schedule_of([squares(7)], {"num_repeats": repeats})
    assert [schedule.epoch_samples(epoch) for epoch in range(len(per_epoch))] == per_epoch


@given(st.integers(1, 12), st.integers(0, 3), st.integers(0, 9), st.integers(1, 3))
@settings(max_examples=100)
def test_after_enough_epochs_every_picture_was_seen_equally_often(
    number: int, whole: int, tenths: int, periods: int
) -> None:
    repeats = whole + tenths / 10
    if not repeats:
        return
    schedule = schedule_of([squares(number)], {"num_repeats": repeats}, small_buckets="short", batch_size=3)
    total = Counter[int]()
    for epoch in range(10 * periods):
        shown = seen(schedule.batches(epoch))
        assert all(whole <= shown[index] <= whole + 1 for index in range(number))
        total += shown
    assert total == {index: (10 * whole + tenths) * periods for index in range(number)}


@given(st.integers(1, 9), st.integers(1, 30))
@settings(max_examples=80)
def test_balancing_draws_so_many_samples_in_turn(number: int, wanted: int) -> None:
    schedule = schedule_of([squares(number, 3.0)], {"num_samples": wanted, "num_repeats": 5}, small_buckets="short")
    total = Counter[int]()
    for epoch in range(number):
        shown = seen(schedule.batches(epoch))
        assert shown.total() == wanted
        assert max(shown.values()) - min(shown[index] for index in range(number)) <= 1
        total += shown
    assert total == {index: wanted for index in range(number)}


def test_sub_folders_keep_their_own_repeats() -> None:
    schedule = schedule_of([[*squares(2, 10), *squares(3, 2)]], {"num_repeats": 0.5})
    total = seen(schedule.batches(0)) + seen(schedule.batches(1))
    assert total == {0: 10, 1: 10, 2: 2, 3: 2, 4: 2}


# How data sets are mixed.


def test_by_size_each_data_set_has_what_its_repeats_say() -> None:
    schedule = schedule_of([squares(10), squares(4)], {"weight": 5}, {"num_repeats": 3})
    assert per_dataset(schedule, 0) == [10, 12]


def test_by_weights_an_epoch_is_shared_out() -> None:
    """10 + 12 = 22 samples, 3 : 1 is 16.5 : 5.5; over two epochs 33 : 11."""
    schedule = schedule_of([squares(10), squares(4)], {"weight": 3}, {"weight": 1, "num_repeats": 3}, mixing="weights")
    assert [per_dataset(schedule, epoch) for epoch in (0, 1)] == [[16, 5], [17, 6]]
    total = sum((seen(schedule.batches(epoch)) for epoch in range(20)), Counter())
    assert {total[index] for index in range(10)} == {33}
    assert {total[index] for index in range(10, 14)} in ({27, 28}, {27}, {28})


def test_equally_mixed_data_sets_have_equal_parts() -> None:
    schedule = schedule_of([squares(100), squares(4)], {"weight": 3}, {"weight": 0}, mixing="equal")
    assert per_dataset(schedule, 0) == [52, 52]


def test_weights_keep_the_repeats_of_sub_folders() -> None:
    schedule = schedule_of(
        [[*squares(5, 1), *squares(5, 3)], squares(20)], {"weight": 1}, {"weight": 1}, mixing="weights"
    )
    shown = seen(schedule.batches(0))
    assert {shown[index] for index in range(5)} == {1}
    assert {shown[index] for index in range(5, 10)} == {3}


def test_data_sets_take_part_in_their_epochs() -> None:
    schedule = schedule_of([squares(3), squares(5)], {"end_epoch": 2}, {"start_epoch": 2, "end_epoch": 3})
    assert [schedule.epoch_samples(epoch) for epoch in range(4)] == [3, 8, 5, 0]
    assert schedule.batches(3) == []


def test_turns_go_on_where_they_were_when_a_data_set_pauses() -> None:
    schedule = schedule_of([squares(4)], {"num_repeats": 0.5, "start_epoch": 4})
    assert [schedule.epoch_samples(epoch) for epoch in range(5)] == [0, 0, 0, 2, 2]
    assert seen(schedule.batches(3)) + seen(schedule.batches(4)) == {index: 1 for index in range(4)}


@pytest.mark.parametrize(
    ("regular", "repeats", "expected"),
    [
        # 10 samples are learned. Five pictures twice are just enough.
        (5, 2, [2, 2, 2, 2, 2]),
        # Three once are too few: once more in turn until there are ten: 3 + 7.
        (3, 1, [4, 3, 3]),
        (3, 2, [4, 3, 3]),
        # Four times three: after three pictures there are 9, so the fourth is taken whole, and the fifth is not used.
        (5, 3, [3, 3, 3, 3, 0]),
        (12, 1, [1] * 10 + [0, 0]),
    ],
)
@pytest.mark.parametrize("role", ["regularization", "prior"])
def test_as_many_regularization_pictures_as_are_learned(
    role: str, regular: int, repeats: int, expected: list[int]
) -> None:
    schedule = schedule_of([squares(10), squares(regular)], {}, {"role": role, "num_repeats": repeats})
    shown = seen(schedule.batches(2))
    assert [shown[10 + index] for index in range(regular)] == expected
    assert schedule.regularization_samples(2) == sum(expected)


def test_nothing_regularizes_where_nothing_is_learned() -> None:
    schedule = schedule_of([squares(2), squares(2)], {"start_epoch": 2}, {"role": "regularization"})
    assert [schedule.epoch_samples(epoch) for epoch in (0, 1)] == [0, 4]


# Batches.


def test_data_sets_with_a_batch_size_of_their_own_share_no_batches() -> None:
    schedule = schedule_of([squares(8), squares(8)], {}, {"batch_size": 4}, batch_size=2)
    parts = [
        (len(batch), {schedule.placements[index].record.dataset for index, _ in batch}) for batch in schedule.batches(0)
    ]
    assert Counter((size, *owners) for size, owners in parts) == {(2, 0): 4, (4, 1): 2}


def test_pictures_with_a_pair_share_no_batch_with_others() -> None:
    schedule = schedule_of([squares(4), squares(4)], {}, {"conditioning": "canny"}, batch_size=4)
    assert [
        len({schedule.placements[index].record.dataset for index, _ in batch}) for batch in schedule.batches(0)
    ] == [
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("small_buckets", "lengths", "repeated", "dropped"),
    [("repeat", [4, 4, 4], 2, 0), ("short", [2, 4, 4], 0, 0), ("drop", [4, 4], 0, 2)],
)
def test_what_becomes_of_batches_that_are_not_full(
    small_buckets: str, lengths: list[int], repeated: int, dropped: int
) -> None:
    schedule = schedule_of([squares(10)], {}, batch_size=4, small_buckets=small_buckets)
    assert sorted(len(batch) for batch in schedule.batches(0)) == lengths
    (group,) = schedule.batch_groups(0)
    assert (group.bucket, group.batch_size, group.num_images, group.num_samples) == ((512, 512), 4, 10, 10)
    assert (group.num_batches, group.num_repeated, group.num_dropped) == (len(lengths), repeated, dropped)


@given(ROWS, st.integers(0, 15))
def test_neighbours_are_the_others_that_could_stand_in(rows: list[Row], number: int) -> None:
    schedule = schedule_of([rows], {})
    for index, item in enumerate(schedule.placements):
        same = [other for other, each in enumerate(schedule.placements) if each.bucket == item.bucket]
        turned = [other for other in same if other > index] + [other for other in same if other < index]
        assert schedule.neighbours(index, number) == turned[:number]


def test_a_single_picture_fills_its_batch_by_itself() -> None:
    schedule = schedule_of([squares(1)], {}, batch_size=3)
    assert schedule.batches(0) == [((0, 0), (0, 1), (0, 2))]


def test_dropped_pictures_are_others_each_time() -> None:
    schedule = schedule_of([squares(5)], {}, batch_size=4, small_buckets="drop")
    assert len({frozenset(seen(schedule.batches(epoch))) for epoch in range(20)}) == 5


DATASET = st.fixed_dictionaries(
    {
        "num_repeats": st.sampled_from([0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0]),
        "num_samples": st.sampled_from([0, 0, 1, 7]),
        "weight": st.sampled_from([0.0, 0.3, 1.0, 2.5]),
        "role": st.sampled_from(["train", "train", "regularization", "prior"]),
        "start_epoch": st.integers(1, 3),
        "end_epoch": st.sampled_from([0, 0, 3, 4]),
        "batch_size": st.sampled_from([0, 0, 2]),
        "conditioning": st.sampled_from(["none", "none", "canny"]),
        "resolutions": st.sampled_from([None, [256, 512]]),
    }
)
PICTURES = st.lists(
    st.tuples(st.integers(100, 1500), st.integers(100, 1500), st.sampled_from([1.0, 1.0, 2.0])), min_size=1, max_size=6
)


@given(
    st.lists(st.tuples(DATASET, PICTURES), min_size=1, max_size=4),
    st.sampled_from(["size", "weights", "equal"]),
    st.sampled_from(["repeat", "short", "drop"]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 4),
)
@settings(max_examples=200, deadline=None)
def test_the_count_is_what_the_batches_are(
    parts: list[tuple[dict[str, Any], list[Row]]],
    mixing: str,
    small_buckets: str,
    batch_size: int,
    processes: int,
    accumulation: int,
) -> None:
    datasets, rows = [values for values, _ in parts], [pictures for _, pictures in parts]
    schedule = schedule_of(rows, *datasets, batch_size=batch_size, mixing=mixing, small_buckets=small_buckets)
    schedule.num_processes = processes
    training = TrainingSection(num_epochs=5, gradient_accumulation_steps=accumulation)
    counted = count(schedule, training)
    steps = []
    for epoch in range(5):
        batches = schedule.batches(epoch)
        shares = [deal(batches, num_processes=processes, process=process) for process in range(processes)]
        assert {len(share) for share in shares} == {math.ceil(len(batches) / processes)}
        steps.append(math.ceil(len(shares[0]) / accumulation))
        assert len(batches) == schedule.num_batches(epoch)
        _check_epoch(schedule, epoch, batches)
    assert counted.epoch_steps == tuple(steps)
    assert counted.total_steps == sum(steps)
    assert (counted.steps_per_epoch, counted.batches_per_epoch) == (steps[0], schedule.num_batches(0))


def _check_epoch(schedule: Schedule, epoch: int, batches: Sequence[Batch]) -> None:
    """Nothing is lost or doubled beyond what the counts say, and each batch is of one kind."""
    wanted = Counter(dict(enumerate(schedule.sample_counts(epoch).tolist())))
    groups = schedule.batch_groups(epoch)
    shown = seen(batches)
    assert (shown - wanted).total() == sum(group.num_repeated for group in groups)
    assert (wanted - shown).total() == sum(group.num_dropped for group in groups)
    assert wanted.total() == schedule.epoch_samples(epoch) == sum(group.num_samples for group in groups)
    draws = [draw for batch in batches for draw in batch]
    assert len(draws) == len(set(draws))
    kinds = Counter[tuple[Any, ...]]()
    for batch in batches:
        items = [schedule.placements[index] for index, _ in batch]
        configs = [schedule.datasets[item.record.dataset].config for item in items]
        sizes = {config.batch_size or schedule.batch_size for config in configs}
        paired = {config.conditioning != "none" for config in configs}
        buckets = {item.bucket for item in items}
        assert len(sizes) == len(paired) == len(buckets) == 1
        assert len(batch) == max(sizes) or (schedule.data.small_buckets == "short" and len(batch) < max(sizes))
        kinds[*buckets, *sizes, *paired] += 1
    assert kinds == {
        (group.bucket, group.batch_size, group.has_conditioning): group.num_batches
        for group in groups
        if group.num_batches
    }


# Shares of processes, and the count.


@given(st.integers(0, 30), st.integers(1, 5))
def test_dealing_gives_every_process_as_many_batches_and_loses_none(number: int, processes: int) -> None:
    batches = [((index, 0),) for index in range(number)]
    shares = [deal(batches, num_processes=processes, process=process) for process in range(processes)]
    assert {len(share) for share in shares} == {math.ceil(number / processes)}
    assert {batch for share in shares for batch in share} == set(batches)
    assert [batch for row in zip(*shares, strict=True) for batch in row][:number] == batches


@given(ROWS, st.integers(1, 4), st.integers(1, 4), st.integers(0, 2))
@settings(max_examples=50)
def test_any_number_of_processes_together_see_the_same_batches(
    rows: list[Row], batch_size: int, processes: int, epoch: int
) -> None:
    schedule = schedule_of([rows], {}, batch_size=batch_size)
    alone = schedule.batches(epoch)
    schedule.num_processes = processes
    shares = [deal(schedule.batches(epoch), num_processes=processes, process=each) for each in range(processes)]
    in_turn = [batch for row in zip(*shares, strict=True) for batch in row]
    assert in_turn[: len(alone)] == alone
    assert set(in_turn) == set(alone)


@pytest.mark.parametrize(
    ("changes", "processes", "steps_per_epoch", "total"),
    [
        ({"batch_size": 2, "num_epochs": 10}, 1, 120, 1200),  # 24 x 10 / 2
        ({"batch_size": 7, "num_epochs": 1}, 1, 35, 35),  # 240 / 7 = 34.3, the last one filled up
        ({"batch_size": 2, "num_epochs": 2, "gradient_accumulation_steps": 7}, 1, 18, 36),  # 120 / 7 = 17.1
        ({"batch_size": 2, "num_epochs": 1}, 7, 18, 18),
        ({"batch_size": 2, "num_epochs": 10, "max_steps": 50}, 1, 120, 50),
        ({"batch_size": 2, "num_epochs": 1, "max_steps": 500}, 1, 120, 120),
    ],
)
def test_steps_are_counted(changes: dict[str, int], processes: int, steps_per_epoch: int, total: int) -> None:
    schedule = schedule_of([squares(24, 10)], {}, batch_size=changes["batch_size"])
    schedule.num_processes = processes
    counted = count(schedule, TrainingSection(**changes))
    assert counted.num_images == 24
    assert counted.samples_per_epoch == 240
    assert counted.steps_per_epoch == steps_per_epoch
    assert counted.total_steps == total


def test_epochs_may_differ_and_pictures_count_once() -> None:
    schedule = schedule_of(
        [squares(3), squares(4)], {"num_repeats": 0.5, "resolutions": [256, 512]}, {"start_epoch": 2}
    )
    counted = count(schedule, TrainingSection(num_epochs=3))
    assert counted.num_images == 7
    assert counted.epoch_steps == (3, 7, 7)
    assert counted.total_steps == 17


def test_without_pictures_there_are_no_steps() -> None:
    counted = count(schedule_of([[]], {}), TrainingSection(num_epochs=2))
    assert (counted.num_images, counted.samples_per_epoch, counted.epoch_steps) == (0, 0, (0, 0))
