import pytest

from backend.config.base import flatten
from backend.config.root import TrainConfig, by_path
from ui import goals


def test_every_overlay_sets_parameters_that_exist_to_values_they_accept() -> None:
    for choice in (*goals.GOALS, *goals.MEMORY_TIERS):
        data: dict = {}
        for path, value in choice.values.items():
            assert path in by_path()
            section, name = path.split(".")
            data.setdefault(section, {})[name] = value
        flat = flatten(TrainConfig.model_validate(data))
        assert choice.holds(flat)


def test_each_choice_is_read_back_from_the_configuration() -> None:
    default = flatten(TrainConfig())
    for choices in (goals.GOALS, goals.MEMORY_TIERS):
        for choice in choices:
            assert goals.matching(choices, {**default, **choice.values}) == choice.name
    assert goals.matching(goals.GOALS, {**default, "adapter.rank": 77}) == ""


@pytest.mark.parametrize("num_samples", [1, 5, 24, 400, 20_000])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("num_steps", [375, 1500, 6000])
def test_the_schedule_comes_near_the_wanted_steps(num_samples: int, batch_size: int, num_steps: int) -> None:
    repeats, epochs = goals.schedule(num_samples, num_steps=num_steps, batch_size=batch_size)
    steps = epochs * -(-num_samples * repeats // batch_size)
    assert steps * batch_size >= num_samples, "every picture is seen"
    if num_samples * 10 <= num_steps:
        assert 0.7 <= steps * batch_size / num_steps <= 1.4 and 6 <= epochs <= 16


def test_a_quality_is_read_back_from_the_steps() -> None:
    for index, quality in enumerate(goals.QUALITIES):
        steps = round(1500 * quality.factor / 2)
        assert goals.nearest_quality(steps, usual=1500, batch_size=2) == index
