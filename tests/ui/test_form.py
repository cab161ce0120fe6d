"""The form from the schema: what is typed becomes a value, and every field can be shown in every language."""

from __future__ import annotations

import pytest

from backend.config.messages import languages
from backend.config.root import TrainConfig, by_path, parameters
from backend.families.specs import FAMILIES
from ui import form


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), (" .5 ", 0.5), ("5%", 0.05), ("0.1%", 0.001), ("2k", 2000.0), ("1.5M", 1.5e6), ("-3", -3.0)],
)
def test_numbers_are_read_as_people_type_them(text: str, value: float) -> None:
    assert form.read_number(text, whole=False) == value


def test_whole_numbers_are_whole() -> None:
    rank = form.read_number("2k", whole=True)
    assert rank == 2000 and isinstance(rank, int)
    assert form.read_number("1.5", whole=True) == 1.5, "left for the check to refuse, not rounded in silence"


@pytest.mark.parametrize("text", ["fast", "1e", "1,5", "5%%", "--2", "nan", "inf", "1e-4 2"])
def test_what_is_no_number_stays_as_typed(text: str) -> None:
    assert form.read_number(text, whole=False) == text


def test_an_empty_box_means_the_default_and_an_empty_text_means_empty() -> None:
    assert form.read_value(by_path()["optimizer.learning_rate"], "  ") is None
    assert form.read_value(by_path()["output.name"], "") == ""


def test_a_choice_that_is_not_offered_stays_as_typed() -> None:
    assert form.read_value(by_path()["optimizer.kind"], "lion") == "lion"
    assert form.read_value(by_path()["optimizer.kind"], "sgd 猫") == "sgd 猫"


def test_rows_of_a_list_are_read_member_by_member() -> None:
    rows = [{"path": "/图 片", "num_repeats": "10", "class_tokens": "a cat"}]
    assert form.read_value(by_path()["data.datasets"], rows) == [
        {"path": "/图 片", "num_repeats": 10, "class_tokens": "a cat"}
    ]


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
    named = {condition["path"] for field in schema["fields"] for condition in field["when"]}
    for name in FAMILIES:
        unknown = named - set(by_path()) - set(schema["facts"][name])
        assert not unknown, f"{name}: conditions on what nobody knows"


def test_defaults_are_those_of_an_empty_configuration() -> None:
    config = TrainConfig()
    for path, value in form.defaults().items():
        section, name = path.split(".")
        assert getattr(getattr(config, section), name) == value
