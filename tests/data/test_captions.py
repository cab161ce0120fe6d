"""Captions are composed as sd-scripts does, and the same in every process."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config.datasets import PictureRules
from backend.config.problems import UserError
from backend.data.captions import (
    all_captions,
    caption_rng,
    compose,
    draw_key,
    dropout_of,
    full_captions,
    preview,
    varies,
    with_trigger,
)
from backend.data.records import ImageRecord

TAGS = st.lists(st.text("abcxyz |{}", min_size=1, max_size=6), max_size=9).map(",".join)


def record(*captions: str, description: str = "", class_tokens: str = "", name: str = "a.png") -> ImageRecord:
    return ImageRecord(
        0, name, f"/{name}", "", 64, 64, captions=captions, description=description, class_tokens=class_tokens
    )


def drawn(
    picture: ImageRecord, *, epoch: int = 0, step: int = 0, total_steps: int = 0, num: int = 200, **rules: object
) -> set[str]:
    """Return what comes out of many draws in one epoch."""
    filled = PictureRules(**rules)
    return {
        compose(picture, filled, caption_rng(1, epoch, str(number)), epoch=epoch, step=step, total_steps=total_steps)
        for number in range(num)
    }


def composed(caption: str, **rules: object) -> str:
    """Return the caption when no chance is in it."""
    (text,) = drawn(record(caption), num=5, **rules)
    return text


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("1girl, red hair", "zkz, 1girl, red hair"),
        ("zkz, 1girl", "zkz, 1girl"),
        ("zkz", "zkz"),
        ("zkz on a sofa", "zkz on a sofa"),
        ("zkzoo, 1girl", "zkz, zkzoo, 1girl"),
        ("", "zkz"),
    ],
)
def test_the_trigger_word_stands_in_front_once(caption: str, expected: str) -> None:
    assert composed(caption, trigger_word=" zkz ") == expected


def test_a_trigger_of_several_tags_is_not_repeated() -> None:
    assert with_trigger("a, b, c", "a, b", ",") == "a, b, c"


# Each row follows from the list of steps: prefix and suffix, dropout, wildcards, tags, second separator.
@pytest.mark.parametrize(
    ("caption", "rules", "expected"),
    [
        ("b ,a,,  c", {}, "b ,a,,  c"),
        ("a", {"caption_prefix": "P"}, "P a"),
        ("a", {"caption_suffix": "S"}, "a S"),
        ("a", {"caption_prefix": "P", "caption_suffix": "S", "trigger_word": "t"}, "P t, a S"),
        ("", {"caption_prefix": "P", "caption_suffix": "S"}, "P S"),
        ("a\nb", {"caption_lines": "first"}, "a"),
        ("a\n\n b ", {}, "a b"),
        ("{a}", {}, "{a}"),
        ("{a}, {{b}}", {"enable_wildcard": True}, "a, {b}"),
        ("a|b|c", {"shuffle_caption": True, "keep_tokens": 3, "caption_separator": "|"}, "a, b, c"),
        (" a ,, b,", {"shuffle_caption": True, "keep_tokens": 2}, "a, b"),
        ("a, b", {"shuffle_caption": True, "keep_tokens": 9}, "a, b"),
        ("a, b ||| c", {"keep_tokens_separator": "|||", "shuffle_caption": True}, "a, b, c"),
        ("a ||| c ||| y, z", {"keep_tokens_separator": "|||", "shuffle_caption": True}, "a, c, y, z"),
        ("a, ||| c ||| z", {"keep_tokens_separator": "|||"}, "a, c, z"),
        ("a ||| c", {}, "a ||| c"),
        ("a, b;;;c", {"secondary_separator": ";;;"}, "a, b,c"),
        ("b;;;c", {"secondary_separator": ";;;", "shuffle_caption": True}, "b,c"),
        ("a, b", {"caption_dropout_rate": 1.0, "trigger_word": "t", "caption_prefix": "P"}, ""),
        ("a, b", {"tag_dropout_rate": 1.0}, ""),
        ("a, b", {"tag_dropout_rate": 1.0, "keep_tokens": 1}, "a"),
        ("a, b", {"tag_dropout_rate": 1.0, "trigger_word": "t", "keep_tokens": 1}, "t"),
        ("a ||| b ||| z", {"tag_dropout_rate": 1.0, "keep_tokens_separator": "|||"}, "a, z"),
        ("a, b", {"tag_dropout_rate": 1.0, "tag_dropout_protected": ["B"]}, "b"),
        ("red hair, b", {"tag_dropout_rate": 1.0, "tag_dropout_protected": ["* hair"]}, "red hair"),
        ("a, b", {"tag_dropout_rate": 1.0, "tag_dropout_only": ["a"]}, "b"),
        ("a, b", {"tag_dropout_rate": 1.0, "tag_dropout_weights": ["b=0"]}, "b"),
        ("a;;;b, c", {"tag_dropout_rate": 1.0, "secondary_separator": ";;;", "tag_dropout_protected": ["a*"]}, "a,b"),
    ],
)
def test_a_caption_without_chance(caption: str, rules: dict[str, object], expected: str) -> None:
    assert composed(caption, **rules) == expected


# floor(step * ((n - min) / length)) + min tags of n = 6 are shown; before they are shuffled.
@pytest.mark.parametrize(
    ("step", "least", "steps", "expected"),
    [(0, 1, 10.0, 1), (1, 1, 10.0, 1), (2, 1, 10.0, 2), (5, 1, 10.0, 3), (9, 1, 10.0, 5), (10, 1, 10.0, 6)]
    + [(0, 3, 10.0, 3), (0, 9, 10.0, 6), (50, 1, 0.5, 1 + 50 * 5 // 100), (99, 1, 0.5, 5), (100, 1, 0.5, 6)]
    + [(3, 1, 0.0, 6)],
)
def test_tag_warm_up(step: int, least: int, steps: float, expected: int) -> None:
    rules = {"token_warmup_steps": steps, "token_warmup_min": least}
    (text,) = drawn(record("a, b, c, d, e, f"), step=step, total_steps=200, num=3, **rules)
    assert text == ", ".join("abcdef"[:expected])
    shuffled = drawn(record("a, b, c, d, e, f"), step=step, total_steps=200, shuffle_caption=True, **rules)
    assert {tuple(sorted(text.split(", "))) for text in shuffled} == {tuple("abcdef"[:expected])}


def test_kept_tokens_stay_in_front_and_the_rest_is_a_permutation() -> None:
    seen = drawn(record("a, b, c, d"), trigger_word="t", shuffle_caption=True, keep_tokens=2)
    assert seen == {", ".join(("t", "a", *order)) for order in permutations("bcd")}


def test_captions_are_dropped_in_every_nth_epoch_counted_from_one() -> None:
    dropped = [drawn(record("a"), epoch=epoch, caption_dropout_every_n_epochs=3) == {""} for epoch in range(7)]
    assert dropped == [False, False, True, False, False, True, False]


def test_dropout_empties_about_its_share() -> None:
    rules = PictureRules(caption_dropout_rate=0.3)
    empty = sum(compose(record("a"), rules, caption_rng(1, 0, str(i)), epoch=0) == "" for i in range(2000))
    assert 520 < empty < 680


def test_a_line_is_drawn_and_each_has_prefix_and_suffix() -> None:
    assert drawn(record("a\nb"), caption_lines="random", caption_suffix="S") == {"a S", "b S"}
    assert drawn(record("{a|b} c\nd"), enable_wildcard=True) == {"a c", "b c", "d"}


def test_one_of_several_captions_is_drawn() -> None:
    assert drawn(record("a", "b", "c")) == {"a", "b", "c"}


def test_tags_and_sentences_mix_by_their_rate() -> None:
    picture = record("a, b", description="A thing, and more.")
    rules = PictureRules(description_rate=0.25, shuffle_caption=True)
    texts = Counter(compose(picture, rules, caption_rng(1, 0, str(number)), epoch=0) for number in range(2000))
    assert 430 < texts["A thing, and more."] < 570
    assert set(texts) == {"A thing, and more.", "a, b", "b, a"}
    assert drawn(picture, description_rate=0) == {"a, b"}
    assert drawn(record(description="Only."), description_rate=0) == {"Only."}


def test_a_picture_without_captions_has_its_default_caption() -> None:
    assert drawn(record(class_tokens="cat")) == {"cat"}
    assert drawn(record("", class_tokens="cat")) == {""}


def test_a_tag_can_have_a_chance_of_its_own() -> None:
    rules = PictureRules(
        tag_dropout_rate=0.2, tag_dropout_weights=["smile=0.5", "* hair = 0.9"], tag_dropout_only=["a"]
    )
    assert [dropout_of(tag, rules) for tag in ("Smile", "red hair", "a", "b")] == [0.5, 0.9, 0.2, 0.0]


@pytest.mark.parametrize("entry", ["smile", "smile=", "=0.5", "smile=2", "smile=nan", "smile=much"])
def test_a_chance_that_is_none_is_refused_by_name(entry: str) -> None:
    with pytest.raises(UserError) as raised:
        dropout_of("a", PictureRules(tag_dropout_weights=[entry]))
    assert (raised.value.problem.code, raised.value.problem.params) == ("tag_weight", {"value": entry})


def test_the_full_caption_has_all_tags_and_the_longest_choice() -> None:
    rules = PictureRules(
        trigger_word="t",
        shuffle_caption=True,
        tag_dropout_rate=0.5,
        enable_wildcard=True,
        caption_dropout_rate=0.5,
        keep_tokens_separator="|||",
    )
    picture = record("a ||| b, {c|longer}", description="It is.")
    assert full_captions(picture, rules) == ("t, a, b, longer", "t, It is.")


def test_a_preview_shows_draws_of_the_whole_run() -> None:
    rules = PictureRules(token_warmup_steps=0.5)
    texts = preview(record("a, b, c, d, e, f, g"), rules, num=4)
    assert texts == ["a", "a, b, c, d", "a, b, c, d, e, f, g", "a, b, c, d, e, f, g"]
    assert preview(record("a, b, c"), PictureRules(shuffle_caption=True), seed=3) == preview(
        record("a, b, c"), PictureRules(shuffle_caption=True), seed=3
    )


def _tags(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


@given(st.text(max_size=60), st.booleans(), st.integers(0, 5))
def test_without_dropout_no_tag_is_lost(caption: str, shuffle: bool, keep: int) -> None:
    rules = PictureRules(shuffle_caption=shuffle, keep_tokens=keep, caption_lines="first")
    line = next((line for line in caption.splitlines() if line.strip()), "") if "\n" in caption else caption
    result = compose(record(caption), rules, caption_rng(3, 1, "x"), epoch=1)
    assert sorted(_tags(result)) == sorted(_tags(line))


@given(TAGS, TAGS, TAGS, st.integers(0, 100), st.floats(0, 1), st.booleans())
def test_what_the_mark_keeps_stays_in_front_and_at_the_end(
    front: str, middle: str, end: str, step: int, rate: float, shuffle: bool
) -> None:
    rules = PictureRules(
        keep_tokens_separator="@@", shuffle_caption=shuffle, tag_dropout_rate=rate, token_warmup_steps=50
    )
    text = f"{front}@@{middle}@@{end}"
    tags = _tags(compose(record(text), rules, caption_rng(step, 0, "k"), epoch=0, step=step))
    first, last = _tags(front), _tags(end)
    assert tags[: len(first)] == first
    assert tags[len(tags) - len(last) :] == last
    assert not Counter(tags) - Counter(first + _tags(middle) + last)


@given(TAGS, st.integers(1, 8), st.floats(0, 60), st.integers(0, 3))
def test_the_warm_up_never_takes_tags_away_again(caption: str, least: int, steps: float, keep: int) -> None:
    rules = PictureRules(token_warmup_steps=steps, token_warmup_min=least, keep_tokens=keep)
    shown = [
        len(_tags(compose(record(caption), rules, random.Random(0), epoch=0, step=step, total_steps=40)))
        for step in range(62)
    ]
    assert shown == sorted(shown)
    assert shown[-1] == len(_tags(caption))


RULES = st.fixed_dictionaries(
    {
        "trigger_word": st.sampled_from(["", "t"]),
        "caption_dropout_rate": st.sampled_from([0.0, 0.5]),
        "caption_dropout_every_n_epochs": st.integers(0, 2),
        "caption_lines": st.sampled_from(["join", "first", "random"]),
        "description_rate": st.sampled_from([0.0, 0.5, 1.0]),
        "caption_suffix": st.sampled_from(["", "S"]),
        "keep_tokens_separator": st.sampled_from(["", "|"]),
    }
)
VARIED = st.fixed_dictionaries(
    {
        "shuffle_caption": st.booleans(),
        "enable_wildcard": st.booleans(),
        "tag_dropout_rate": st.sampled_from([0.0, 0.5]),
        "caption_variants": st.integers(1, 4),
    }
)
CAPTIONS = st.lists(st.one_of(TAGS, st.tuples(TAGS, TAGS).map("\n".join)), max_size=3)


@given(
    CAPTIONS,
    st.sampled_from(["", "It is, a thing.\nAnd more."]),
    RULES,
    st.one_of(st.just({}), VARIED),
    st.integers(0, 9),
)
def test_all_captions_holds_whatever_can_come_out(
    captions: list[str], description: str, rules: dict[str, object], varied: dict[str, object], seed: int
) -> None:
    filled = PictureRules(**rules, **varied)
    picture = record(*captions, description=description, class_tokens="cat")
    held = all_captions(picture, filled, seed=seed)
    assert len(set(held)) == len(held)
    for epoch in range(3):
        for number in range(6):
            rng = caption_rng(seed, epoch, draw_key(picture, number))
            assert compose(picture, filled, rng, epoch=epoch, step=number, total_steps=9, seed=seed) in held


def test_every_variant_comes_up_and_a_seed_has_its_own() -> None:
    picture, rules = record("a, b, c, d, e, f"), PictureRules(shuffle_caption=True, caption_variants=5)
    out = {compose(picture, rules, caption_rng(7, 0, str(number)), epoch=0, seed=7) for number in range(200)}
    assert out == set(all_captions(picture, rules, seed=7))
    assert len(out) == 5
    assert out != set(all_captions(picture, rules, seed=8))


@pytest.mark.parametrize(
    "rules",
    [{"shuffle_caption": True}, {"tag_dropout_rate": 0.1}, {"token_warmup_steps": 5}, {"enable_wildcard": True}],
)
def test_captions_vary_unless_they_have_a_number_of_variants(rules: dict[str, object]) -> None:
    assert varies(PictureRules(**rules))
    assert not varies(PictureRules(**rules, caption_variants=3))
    assert not varies(PictureRules(caption_dropout_rate=0.5, caption_lines="random"))
    assert varies(PictureRules(), has_code=True)


@given(st.permutations(range(8)), st.integers(0, 5), st.integers(0, 5))
def test_the_order_of_the_draws_changes_nothing(order: list[int], seed: int, epoch: int) -> None:
    rules = PictureRules(shuffle_caption=True, tag_dropout_rate=0.3, caption_dropout_rate=0.2)
    pictures = [record("a, b, c, d, e", name=f"{number}.png") for number in range(8)]

    def draw(number: int) -> str:
        rng = caption_rng(seed, epoch, draw_key(pictures[number]))
        return compose(pictures[number], rules, rng, epoch=epoch, seed=seed)

    in_turn = [draw(number) for number in range(8)]
    mixed = {number: draw(number) for number in order}
    assert [mixed[number] for number in range(8)] == in_turn


def test_the_generator_is_the_same_in_another_process_and_differs_by_seed_epoch_and_key() -> None:
    code = "from backend.data.captions import caption_rng; print(caption_rng(5, 2, 'k').random())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(out) == caption_rng(5, 2, "k").random()
    draws = {caption_rng(*parts).random() for parts in ((5, 2, "k"), (6, 2, "k"), (5, 3, "k"), (5, 2, "l"))}
    assert len(draws) == 4
