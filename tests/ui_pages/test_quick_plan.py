import pytest

from backend.config.root import TrainConfig, parse
from backend.data.datasets import Dataset
from backend.data.records import ImageRecord, Scan
from backend.families.detect import Detection
from ui import quick_plan


def record(number: int, caption: str = "a cat") -> ImageRecord:
    return ImageRecord(0, f"{number}.png", f"/pictures/{number}.png", "", 512, 512, (caption,))


def found(config: TrainConfig, *records: ImageRecord) -> Scan:
    data = config.data
    datasets = [Dataset(index, row, data.rules_of(row), "") for index, row in enumerate(data.datasets)]
    return Scan(tuple(datasets), records, ())


def detection(family: str) -> Detection:
    return Detection(family, "single_file", None, family, 1)


def test_a_model_of_another_family_brings_its_sizes_and_takes_them_along_when_it_goes() -> None:
    sdxl = quick_plan.with_base_model({}, detection("sdxl"))
    assert (sdxl["model"]["family"], sdxl["data"]["width"]) == ("sdxl", 1024)
    back = quick_plan.with_base_model(sdxl, detection("sd15"))
    assert (back["model"]["family"], back["data"]["width"]) == ("sd15", 512)
    assert back["data"]["max_bucket_resolution"] == 1024


def test_a_model_of_the_same_family_changes_nothing() -> None:
    mine = {"model": {"family": "sdxl"}, "data": {"width": 832}}
    assert quick_plan.with_base_model(mine, detection("sdxl")) == mine
    assert quick_plan.with_base_model(mine, None) == mine


def test_the_first_folder_is_set_and_the_others_stay() -> None:
    data = {"data": {"datasets": [{"path": "a", "num_repeats": 3}, {"path": "b"}]}}
    changed = quick_plan.with_folder(data, "c")
    assert changed["data"]["datasets"] == [{"path": "c", "num_repeats": 3}, {"path": "b"}]
    assert data["data"]["datasets"][0]["path"] == "a", "the old draft is not touched"
    assert quick_plan.with_folder({}, "")["data"]["datasets"] == []


def test_prompts_are_filled_in_and_follow_the_trigger_word_until_they_are_changed() -> None:
    records = [record(1, "a cat on a mat"), record(2, "a cat asleep")]
    first = quick_plan.with_prompts({}, records)
    second = quick_plan.with_prompts(quick_plan.with_values(first, {"data.trigger_word": "zkz"}), records)
    assert [prompt["prompt"] for prompt in second["sampling"]["prompts"]] == [
        "zkz, a cat on a mat",
        "zkz, a cat asleep",
    ]
    own = quick_plan.with_values(second, {"sampling.prompts": [{"prompt": "mine"}]})
    assert quick_plan.with_prompts(own, records) == own


def test_a_quality_deals_its_steps_out_to_repeats_and_epochs() -> None:
    data = {"data": {"datasets": [{"path": "a"}]}, "training": {"batch_size": 2}}
    config, _ = parse(data)
    assert config is not None
    changed = quick_plan.with_quality(data, config, found(config, *map(record, range(24))), 2)
    repeats, epochs = changed["data"]["datasets"][0]["num_repeats"], changed["training"]["num_epochs"]
    assert 24 * repeats * epochs / 2 == pytest.approx(750, rel=0.15) and 8 <= epochs <= 12


def test_folders_that_are_balanced_by_repeats_stay_balanced() -> None:
    data = {"data": {"datasets": [{"path": "a", "num_repeats": 4}, {"path": "b", "num_repeats": 1}]}}
    config, _ = parse(data)
    assert config is not None
    changed = quick_plan.with_quality(data, config, found(config, record(1), record(2)), 2)
    assert [item["num_repeats"] for item in changed["data"]["datasets"]] == [4, 1]


@pytest.mark.parametrize(
    "broken", [{"data": 5}, {"data": {"datasets": "x"}}, {"data": {"datasets": [1]}}, {"model": []}]
)
def test_a_draft_that_was_broken_by_hand_can_still_be_shown_and_set(broken: dict) -> None:
    assert quick_plan.folder_of(broken) == "" and quick_plan.get(broken, "model.base_model") == ""
    assert quick_plan.folder_of(quick_plan.with_folder(broken, "a")) == "a"


def test_the_demo_is_a_valid_configuration() -> None:
    config, problems = parse(quick_plan.demo())
    assert config is not None and not problems


def test_only_what_is_learned_from_is_repeated() -> None:
    rows = [{"path": "a"}, {"path": "b", "role": "validation"}, {"path": "c", "enabled": False}]
    config, _ = parse({"data": {"datasets": rows}})
    assert config is not None
    changed = quick_plan.with_quality({"data": {"datasets": rows}}, config, found(config, record(1)), 2)
    assert ["num_repeats" in row for row in changed["data"]["datasets"]] == [True, False, False]
