"""Every text is there in every language, with the same placeholders."""

from __future__ import annotations

import re

import pytest

from backend.config.base import Parameter
from backend.config.messages import catalogue, has, languages, translate
from backend.config.reference import text_key
from backend.config.root import TrainConfig, item_parameters, parameters
from taggers.config import parameters as tagging_parameters

OTHERS = [language for language in languages() if language != "en"]
PLACEHOLDER = re.compile(r"{(\w+)}")


def fields() -> list[tuple[str, Parameter]]:
    rows = [(item.path, item) for item in (*parameters(), *tagging_parameters())]
    return rows + [
        (text_key(item, f"{kind}."), item) for kind in ("datasets", "prompts") for item in item_parameters(kind)
    ]


def test_chinese_is_among_the_languages() -> None:
    assert set(languages()) >= {"en", "zh-CN"}


@pytest.mark.parametrize("language", OTHERS)
def test_every_key_is_in_every_language(language: str) -> None:
    missing = catalogue("en").keys() - catalogue(language).keys()
    assert not missing
    ours = {f"{path}.{part}" for path, _ in fields() for part in ("label", "help")}
    assert catalogue(language).keys() - catalogue("en").keys() <= ours, "texts of parameters that are no more"


@pytest.mark.parametrize("language", OTHERS)
def test_placeholders_are_the_same(language: str) -> None:
    for key, text in catalogue("en").items():
        assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(catalogue(language)[key])), key


def test_every_parameter_says_what_it_is_and_does() -> None:
    for path, item in fields():
        assert item.title != item.name, f"{path} has no title"
        assert item.help, f"{path} has no help"
        for language in OTHERS:
            assert catalogue(language).get(f"{path}.label"), f"{path}.label in {language}"
            assert catalogue(language).get(f"{path}.help"), f"{path}.help in {language}"


@pytest.mark.parametrize("language", languages())
def test_choices_sections_units_and_tiers_have_words(language: str) -> None:
    for path, item in fields():
        assert not item.ui.unit or has(f"units.{item.ui.unit}", language), item.ui.unit
        assert has(f"tier.{item.ui.tier}", language)
        for choice in item.choices:
            assert has(f"choice.{path}.{choice}", language), f"{path}: {choice}"
    for name in TrainConfig.model_fields:
        assert name == "version" or has(f"section.{name}", language)


def test_what_is_missing_falls_back_to_english_and_then_to_the_key() -> None:
    assert translate("problem.version_too_new", "xx", value=3, known=1).startswith("This file was made")
    assert translate("no.such.key", "zh-CN") == "no.such.key"
    assert "{known}" in translate("problem.version_too_new", "en", value=3)


def test_one_of_a_thing_is_not_called_by_the_word_for_many() -> None:
    assert translate("captionpage.num", num=1) == translate("captionpage.num", num="1") == "1 picture"
    assert translate("captionpage.num", num="1,000") == "1,000 pictures"
    assert translate("captionpage.num", num=0) == "0 pictures"
    assert translate("captionpage.num", "zh-CN", num=1) == catalogue("zh-CN")["captionpage.num"].format(num=1)
    assert translate("captionpage.num", total=2) == "{num} pictures", "a gap is no reason to crash"
    assert not [key for key, text in catalogue("en").items() if "(s)" in text]
