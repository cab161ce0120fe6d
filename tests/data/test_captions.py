"""Captions are composed as sd-scripts does, and the same in every process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config.data import DataSection
from backend.data.captions import all_captions, caption_rng, compose, with_trigger


def composed(caption: str, *, key: str = "a", **changes: object) -> str:
    return compose(caption, DataSection(**changes), caption_rng(1, 0, key))


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


def test_without_options_the_caption_stays_as_written() -> None:
    assert composed("b ,a,,  c") == "b ,a,,  c"


def test_kept_tokens_stay_in_front_and_the_rest_is_a_permutation() -> None:
    seen = {
        composed("a, b, c, d", trigger_word="t", shuffle_caption=True, keep_tokens=2, key=str(number))
        for number in range(60)
    }
    assert all(text.startswith("t, a, ") for text in seen)
    assert seen == {f"t, a, {x}, {y}, {z}" for x, y, z in _orders("bcd")}


def _orders(letters: str) -> list[tuple[str, ...]]:
    return [(x, y, z) for x in letters for y in letters for z in letters if len({x, y, z}) == 3]


def test_another_separator() -> None:
    text = composed("a|b|c", shuffle_caption=True, keep_tokens=3, caption_separator="|")
    assert text == "a, b, c"


def test_dropout_empties_about_its_share() -> None:
    empty = sum(composed("a", caption_dropout_rate=0.3, key=str(number)) == "" for number in range(2000))
    assert 520 < empty < 680
    assert composed("a", caption_dropout_rate=1.0, trigger_word="t") == ""


@given(st.text(max_size=60), st.booleans(), st.integers(0, 5))
def test_shuffling_loses_no_tag(caption: str, shuffle: bool, keep: int) -> None:
    data = DataSection(shuffle_caption=shuffle, keep_tokens=keep)
    tags = sorted(tag.strip() for tag in caption.split(",") if tag.strip())
    result = compose(caption, data, caption_rng(3, 1, "x"))
    assert sorted(tag.strip() for tag in result.split(",") if tag.strip()) == tags


def test_all_captions_holds_whatever_can_come_out() -> None:
    data = DataSection(trigger_word="t", caption_dropout_rate=0.5)
    out = {compose("a", data, caption_rng(1, 0, str(number))) for number in range(50)}
    assert out == set(all_captions("a", data))


def test_the_generator_is_the_same_in_another_process_and_differs_by_seed_epoch_and_key() -> None:
    code = "from backend.data.captions import caption_rng; print(caption_rng(5, 2, 'k').random())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(out) == caption_rng(5, 2, "k").random()
    draws = {caption_rng(*parts).random() for parts in ((5, 2, "k"), (6, 2, "k"), (5, 3, "k"), (5, 2, "l"))}
    assert len(draws) == 4
