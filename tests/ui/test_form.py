"""The form from the schema: what is typed becomes a value, and every field can be shown in every language."""

from __future__ import annotations

import pytest

import taggers.config
from backend.config.messages import languages
from backend.config.root import TrainConfig, by_path, parameters
from backend.families.specs import FAMILIES
from ui import form


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), (" .5 ", 0.5), ("5%", 0.05), ("0.1%", 0.001), ("2k", 2000.0), ("1.5M", 1.5e6), ("-3", -3.0)],
)
def test_numbers_are_read_as_people_type_them(text: str, value: float) -> None:
    assert form.read_number(text) == value


def test_whole_numbers_are_whole() -> None:
    rank = form.read_number("2k")
    assert rank == 2000 and isinstance(rank, int)
    assert form.read_number("1.5") == 1.5, "left for the check to refuse, not rounded in silence"


@pytest.mark.parametrize("text", ["fast", "1e", "1,5", "5%%", "--2", "nan", "inf", "1e-4 2"])
def test_what_is_no_number_stays_as_typed(text: str) -> None:
    assert form.read_number(text) == text


def test_an_empty_box_means_the_default_and_an_empty_text_means_empty() -> None:
    assert form.read_value(by_path()["optimizer.learning_rate"], "  ") is None
    assert form.read_value(by_path()["output.name"], "") == ""


def test_values_that_stand_in_lines_keep_their_commas() -> None:
    rules = next(item for item in taggers.config.parameters() if item.name == "replacements")
    assert form.read_value(rules, "1girl -> woman, adult") == ["1girl -> woman, adult"]
    assert form.read_value(rules, "a -> b，c\n\n d -> e \n") == ["a -> b，c", "d -> e"]


def test_a_choice_that_is_not_offered_stays_as_typed() -> None:
    assert form.read_value(by_path()["optimizer.kind"], "lion") == "lion"
    assert form.read_value(by_path()["optimizer.kind"], "sgd 猫") == "sgd 猫"


def test_rows_of_a_list_are_read_member_by_member() -> None:
    rows = [{"path": "/图 片", "num_repeats": "10", "class_tokens": "a cat"}]
    read = form.read_value(by_path()["data.datasets"], rows)
    assert read == [{"path": "/图 片", "num_repeats": 10, "class_tokens": "a cat"}]
    assert isinstance(read[0]["num_repeats"], int), "10 in the file, not 10.0"


def test_a_row_keeps_what_differs_from_the_defaults_and_what_the_form_does_not_know() -> None:
    typed = {"path": "", "role": "train", "num_repeats": "1", "recursive": False, "crop": None, "mispelled": 3}
    assert form.read_row("datasets", typed) == {"path": "", "mispelled": 3}


def test_a_rule_of_a_row_is_own_or_as_in_general() -> None:
    own = {"path": "a", "flip_augmentation": "false", "crop": "center", "trigger_word": "", "keep_tokens": "0"}
    assert form.read_row("datasets", own) == {**own, "flip_augmentation": False, "keep_tokens": 0}
    general = dict.fromkeys(own, None) | {"path": "a", "flip_augmentation": "", "crop": "", "keep_tokens": " "}
    assert form.read_row("datasets", general) == {"path": "a"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a, b", ["a", "b"]),
        ("a，b ", ["a", "b"]),
        ("one, two.png\n", ["one, two.png"]),
        ("a\n\nb, c", ["a", "b, c"]),
        (" ", []),
    ],
)
def test_texts_of_a_list_are_separated_by_commas_or_lines(text: str, values: list[str]) -> None:
    assert form.read_value(by_path()["data.tag_dropout_only"], text) == values


def test_numbers_of_a_list_are_numbers_and_others_stay_as_typed() -> None:
    assert form.read_value(by_path()["data.resolutions"], "512, 0.5k\n1024") == [512, 500, 1024]
    assert form.read_value(by_path()["data.bucket_aspects"], "0.67, wide") == [0.67, "wide"]


def test_rows_show_what_is_basic_and_fold_the_rest() -> None:
    groups = {field["name"]: field["group"] for field in form.members("datasets", "en")}
    assert [name for name, group in groups.items() if group == "main"] == ["path", "role", "num_repeats"]
    assert (groups["recursive"], groups["crop"], groups["trigger_word"]) == ("more", "geometry", "captions")
    assert {field["group"] for field in form.members("prompts", "en")} == {"main"}


@pytest.mark.parametrize("language", languages())
def test_every_parameter_is_in_the_form_once_with_words(language: str) -> None:
    schema = form.schema(language)
    fields = schema["fields"]
    assert [field["path"] for field in fields] == [item.path for item in parameters()]
    assert len({field["id"] for field in fields}) == len(fields)
    sections = {section["name"]: section["label"] for section in schema["sections"]}
    for field in fields + [member for members in schema["items"].values() for member in members]:
        assert field["label"].strip() and field["help"].strip(), field["path"]
        assert "units." not in field["unit"], field["path"]
    assert {field["section"] for field in fields} == set(sections)
    assert not [name for name, label in sections.items() if label.startswith("section.")]


def test_names_of_other_trainers_reach_the_form() -> None:
    aliases = {alias: field["path"] for field in form.schema("en")["fields"] for alias in field["aliases"]}
    assert aliases["network_dim"] == "adapter.rank"
    assert aliases["lr"] == "optimizer.learning_rate"


def test_the_form_knows_the_facts_that_its_conditions_name() -> None:
    schema = form.schema("en")
    rows = [field for members in schema["items"].values() for field in members]
    named = {condition["path"] for field in schema["fields"] + rows for condition in field["when"]}
    named -= {f"item.{field['name']}" for field in rows}
    for name in FAMILIES:
        unknown = named - set(by_path()) - set(schema["facts"][name])
        assert not unknown, f"{name}: conditions on what nobody knows"


def test_defaults_are_those_of_an_empty_configuration() -> None:
    config = TrainConfig()
    for path, value in form.defaults().items():
        section, name = path.split(".")
        assert getattr(getattr(config, section), name) == value
