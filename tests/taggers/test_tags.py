"""From confidences to captions: every option."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_taggers

from backend.config.problems import UserError
from backend.editing.tags import KAOMOJI
from taggers.config import TaggingConfig
from taggers.models import DANBOORU
from taggers.tags import TagList, choose, confidences, joined, make_rules, mcut, same, sentence, words

LIST = TagList(
    tuple(name for name, _ in tiny_taggers.TAGS),
    tuple(DANBOORU[kind] for _, kind in tiny_taggers.TAGS),
)
SCORES = np.array(tiny_taggers.SCORES, np.float32)


def tagged(scores: np.ndarray = SCORES, tags: TagList = LIST, **options: Any) -> list[str]:
    rules = make_rules(TaggingConfig(**options))
    return words(choose(scores, tags, rules), rules)


def test_the_default_is_by_confidence_with_spaces_and_without_rating_artist_and_meta() -> None:
    expected = ["1girl", "saber (fate)", "fate (series)", "long hair", "^_^", "simple background"]
    assert tagged() == expected


def test_each_category_has_its_own_threshold() -> None:
    assert "saber (fate)" not in tagged(character_threshold=0.71)
    assert "saber (fate)" in tagged(character_threshold=0.69, general_threshold=0.99)
    assert tagged(general_threshold=0.5, character_threshold=1, copyright_threshold=1) == ["1girl", "long hair"]
    assert tagged(artist_threshold=0.5)[0] == "some artist"
    assert tagged(meta_threshold=0.5)[0] == "highres"


def test_a_threshold_is_reached_by_what_equals_it_and_1_leaves_the_kind_out() -> None:
    scores = np.array([0, 0, 1, 0.5, 0, 0, 0, 0, 0, 0], np.float32)
    assert tagged(scores, general_threshold=0.5) == ["1girl", "long hair"]
    assert tagged(scores, general_threshold=1) == []


def test_unknown_kinds_have_a_threshold_of_their_own() -> None:
    tags = TagList(("wolf", "1girl"), ("other", "general"))
    assert tagged(np.array([0.9, 0.9], np.float32), tags) == ["1girl"]
    assert tagged(np.array([0.9, 0.9], np.float32), tags, other_threshold=0.5) == ["wolf", "1girl"]


def test_the_makers_thresholds_hold_where_there_are_any() -> None:
    best = np.array([np.nan, np.nan, 0.85, 0.45, np.nan, 0.1, np.nan, np.nan, np.nan, np.nan], np.float32)
    tags = TagList(LIST.names, LIST.categories, best)
    assert tagged(tags=tags, best_thresholds=True, character_threshold=1, copyright_threshold=1) == [
        "long hair",
        "^_^",
        "simple background",
    ]
    assert "1girl" in tagged(tags=tags)


def test_mcut_cuts_at_the_widest_gap() -> None:
    assert mcut(np.array([0.1, 0.9, 0.8, 0.2], np.float32)) == pytest.approx(0.5)
    assert mcut(np.array([0.4], np.float32)) == 1.0
    assert tagged(mcut=True, character_threshold=1, copyright_threshold=1) == ["1girl"]


def test_mcut_takes_no_unlikely_characters() -> None:
    tags = TagList(("a", "b"), ("character", "character"))
    assert tagged(np.array([0.1, 0.001], np.float32), tags, mcut=True) == []
    assert tagged(np.array([0.9, 0.001], np.float32), tags, mcut=True) == ["a"]


def test_the_likeliest_rating_is_written_where_it_is_wanted() -> None:
    assert "general" not in tagged()
    assert tagged(rating="first")[0] == "general"
    assert tagged(rating="last")[-1] == "general"
    assert "sensitive" not in tagged(rating="first")


def test_quality_and_rating_do_not_get_into_each_others_way() -> None:
    tags = TagList(("q1", "q2", "r1", "x"), ("quality", "quality", "rating", "general"))
    scores = np.array([0.1, 0.3, 0.01, 0.9], np.float32)
    assert tagged(scores, tags, rating="first", quality="first") == ["r1", "q2", "x"]
    assert tagged(scores, tags, rating="last", quality="last") == ["x", "q2", "r1"]


def test_the_order_can_be_that_of_kinds_or_of_the_list() -> None:
    assert tagged(order="category")[:3] == ["saber (fate)", "fate (series)", "1girl"]
    assert tagged(order="list") == [
        "1girl",
        "long hair",
        "^_^",
        "simple background",
        "saber (fate)",
        "fate (series)",
    ]


def test_faces_keep_their_underscores() -> None:
    tags = TagList(tuple(sorted(KAOMOJI)), ("general",) * len(KAOMOJI))
    assert tagged(np.ones(len(KAOMOJI), np.float32), tags, order="list") == sorted(KAOMOJI)
    assert len(KAOMOJI) == 19
    assert tagged(np.ones(2, np.float32), TagList(("T_T", ";_;"), ("general",) * 2), order="list") == ["T_T", ";_;"]


def test_lists_may_be_typed_with_commas_of_any_keyboard() -> None:
    assert tagged(additional_tags=["a，b", "c, d"], excluded_tags=["1girl，*hair", "saber*, fate*"]) == [
        *("a", "b", "c", "d"),
        *("^_^", "simple background"),
    ]
    assert tagged(replacements=["1girl -> woman，adult"])[:2] == ["woman", "adult"]


def test_underscores_can_be_kept() -> None:
    assert "long_hair" in tagged(underscore_to_space=False)


def test_brackets_are_escaped_once() -> None:
    assert r"saber \(fate\)" in tagged(escape_brackets=True)
    assert tagged(escape_brackets=True, replacements=[r"1girl -> a \(b\)"])[0] == r"a \(b\)"


def test_confidence_can_be_written_as_weight() -> None:
    assert tagged(confidence_weights=True, escape_brackets=True)[:2] == ["(1girl:0.80)", r"(saber \(fate\):0.70)"]


@pytest.mark.parametrize("pattern", ["*background*", "Simple Background", "simple_background", "simple?background"])
def test_excluded_tags_are_patterns_in_any_spelling(pattern: str) -> None:
    assert "simple background" not in tagged(excluded_tags=[pattern])
    assert "1girl" in tagged(excluded_tags=[pattern])


def test_an_excluded_tag_may_be_missing_and_brackets_mean_themselves() -> None:
    assert tagged(excluded_tags=["no such tag", "[1]girl", ""]) == tagged()
    assert "saber (fate)" not in tagged(excluded_tags=["saber (fate)"])


def test_replacements_rename_remove_and_split() -> None:
    made = tagged(replacements=["1girl -> woman", "long_hair→", "fate (series) => fate, anime", ""])
    assert made[0] == "woman" and "long hair" not in made
    assert made[2:4] == ["fate", "anime"]


def test_a_replacement_may_make_a_tag_that_is_excluded_or_there() -> None:
    assert "woman" not in tagged(replacements=["1girl -> woman"], excluded_tags=["woman"])
    assert tagged(replacements=["1girl -> long hair"]).count("long hair") == 1


def test_a_replacement_holds_for_each_tag_before_its_arrow() -> None:
    assert tagged(replacements=["1girl, long_hair -> woman"])[:3] == ["woman", "saber (fate)", "fate (series)"]


@pytest.mark.parametrize("typed", ["saber (fate)", r"saber \(fate\)", "Saber_(fate)"])
def test_brackets_may_be_typed_as_they_are_escaped(typed: str) -> None:
    for escape in (False, True):
        assert not any("saber" in word for word in tagged(excluded_tags=[typed], escape_brackets=escape))
        assert "heroine" in tagged(replacements=[f"{typed} -> heroine"], escape_brackets=escape)
        assert sum("aber" in word for word in tagged(additional_tags=[typed], escape_brackets=escape)) == 1


@pytest.mark.parametrize("line", ["1girl", "-> woman", "1girl - woman", ", -> woman", "1girl -> woman, solo -> alone"])
def test_a_replacement_without_an_arrow_is_told(line: str) -> None:
    with pytest.raises(UserError) as caught:
        make_rules(TaggingConfig(replacements=[line]))
    assert caught.value.problem.code == "tag_replacement_invalid"
    assert caught.value.problem.path == "tagging.replacements"


def test_a_character_can_be_parted_from_its_series() -> None:
    made = tagged(character_expand=True, excluded_tags=["fate (series)"])
    assert made[1:3] == ["saber", "fate"]
    tags = TagList(("a_(b)_(c)", "d", "e_(f)"), ("character", "character", "general"))
    assert tagged(np.ones(3, np.float32), tags, character_expand=True) == ["a (b)", "c", "d", "e (f)"]


def test_additional_tags_come_first_and_nothing_comes_twice() -> None:
    made = tagged(additional_tags=["photo", "Long_Hair", "photo"], trigger_word="1girl")
    assert made[:2] == ["photo", "Long_Hair"]
    assert len({same(word) for word in made}) == len(made)
    assert "1girl" not in made  # joined puts it in front


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("overwrite", "new, cat"),
        ("append", "cat, old hat, new, cat"),
        ("prepend", "new, cat, cat, old hat"),
        ("merge", "cat, old hat, new"),
        ("skip", "cat, old hat, new, cat"),
    ],
)
def test_what_there_is_and_what_is_found_are_put_together(how: Any, expected: str) -> None:
    assert joined("cat, old hat\n", ["new", "cat"], TaggingConfig(on_existing=how)) == expected
    assert joined("", ["new", "cat"], TaggingConfig(on_existing=how)) == "new, cat"


def test_merging_knows_tags_by_any_spelling() -> None:
    config = TaggingConfig(on_existing="merge", confidence_weights=True)
    old = r"saber \(fate\), Long_Hair, (smile:1.2)"
    assert joined(old, ["(saber (fate):0.71)", "(long hair:0.50)", "smile", "hat"], config) == f"{old}, hat"


@pytest.mark.parametrize("how", ["overwrite", "append", "prepend", "merge"])
def test_the_trigger_word_is_in_front_once(how: Any) -> None:
    config = TaggingConfig(on_existing=how, trigger_word="zkz")
    assert joined("", ["hat"], config) == "zkz, hat"
    again = joined("zkz, cat", ["hat"], config)
    assert again.count("zkz") == 1
    assert joined("cat", ["hat"], config).startswith("zkz, ")
    assert joined("", [], config) == "zkz"


@pytest.mark.parametrize("how", ["merge", "append", "prepend", "overwrite"])
def test_a_trigger_word_of_several_words_is_in_front_once_however_often_it_is_tagged(how: Any) -> None:
    config = TaggingConfig(on_existing=how, trigger_word="zkz, 1girl")
    words = tagged(trigger_word="zkz, 1girl")
    assert "1girl" not in words
    once = joined("smile, 1girl", words, config)
    twice = joined(once, words, config)
    for caption in (once, twice):
        assert caption.startswith("zkz, 1girl, ") and caption.count("zkz") == caption.count("1girl") == 1
    assert joined("", [], config) == "zkz, 1girl"


def test_brackets_in_a_weight_are_no_weight_of_their_own() -> None:
    assert "(saber \\(fate\\):0.70)" in tagged(confidence_weights=True)


def test_a_trigger_word_behind_other_words_comes_to_the_front() -> None:
    config = TaggingConfig(on_existing="prepend", trigger_word="zkz")
    assert joined("zkz, cat", ["hat"], config) == "zkz, hat, cat"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("append", "zkz, cat, hat\n\nzkz, a dog, hat"),
        ("merge", "zkz, cat, hat\n\nzkz, a dog, hat"),
        ("prepend", "zkz, hat, cat\n\nzkz, hat, a dog"),
        ("overwrite", "zkz, hat"),
    ],
)
def test_each_line_is_a_caption_and_gets_all_that_is_new(how: Any, expected: str) -> None:
    assert joined("cat\n\nzkz, a dog\n", ["hat"], TaggingConfig(on_existing=how, trigger_word="zkz")) == expected


def test_merging_knows_tags_between_other_separators() -> None:
    config = TaggingConfig(on_existing="merge", separator=" | ")
    assert joined("cat | hat", ["hat", "dog"], config) == "cat | hat | dog"


@pytest.mark.parametrize(
    ("how", "old", "expected"),
    [
        ("append", "cat, dog, ", "cat, dog, hat"),
        ("merge", "cat, dog,\n", "cat, dog, hat"),
        ("prepend", ", cat", "hat, cat"),
        ("append", ",", "hat"),
    ],
)
def test_a_separator_at_the_edge_of_a_caption_is_not_doubled(how: Any, old: str, expected: str) -> None:
    assert joined(old, ["hat"], TaggingConfig(on_existing=how)) == expected
    assert joined(old, ["hat"], TaggingConfig(on_existing=how, trigger_word="zkz,")) == f"zkz, {expected}"


def test_nothing_of_a_word_is_taken_for_its_separator() -> None:
    config = TaggingConfig(on_existing="append", separator=" and ")
    assert joined("a band", ["dandelion"], config) == "a band and dandelion"


@pytest.mark.parametrize("how", ["append", "merge", "prepend"])
def test_a_trigger_word_is_known_between_blanks(how: Any) -> None:
    config = TaggingConfig(on_existing=how, separator=" ", trigger_word="zkz", underscore_to_space=False)
    caption = joined("zkz long_hair", ["hat"], config)
    assert caption.startswith("zkz ") and sorted(caption.split()) == ["hat", "long_hair", "zkz"]


def test_tags_in_lines_of_their_own_are_one_caption() -> None:
    config = TaggingConfig(on_existing="merge", separator="\n")
    assert joined("cat\nhat", ["hat", "dog"], config) == "cat\nhat\ndog"


def test_a_sentence_with_commas_is_not_merged_twice() -> None:
    config = TaggingConfig(on_existing="merge")
    once = joined("photo", ["A cat, black, on a mat."], config)
    assert joined(once, ["A cat, black, on a mat."], config) == once == "photo, A cat, black, on a mat."


def test_the_widest_gap_takes_no_unlikely_names() -> None:
    tags = TagList(("1girl", "solo", "fate", "bleach"), ("general", "general", "copyright", "copyright"))
    assert tagged(np.array([0.9, 0.1, 0.06, 0.01], np.float32), tags, mcut=True) == ["1girl"]


def test_the_separator_can_be_another() -> None:
    assert joined("", ["a", "b"], TaggingConfig(separator=" | ")) == "a | b"


def test_sentences_are_one_line_with_the_additional_tags_in_front() -> None:
    rules = make_rules(TaggingConfig(additional_tags=["photo"]))
    assert sentence(" A cat\n on a mat. ", rules) == ["photo", "A cat on a mat."]


def test_confidences_are_by_kind_and_surest_first() -> None:
    rules = make_rules(TaggingConfig(rating="first"))
    table = confidences(choose(SCORES, LIST, rules))
    assert table["rating"] == {"general": 0.9}
    assert list(table["general"]) == ["1girl", "long_hair", "^_^", "simple_background"]
