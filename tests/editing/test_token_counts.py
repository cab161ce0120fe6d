"""Tokens are counted from tags where that is the same, and remembered for the next opening."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer, models

from backend.config.model import ModelSection
from backend.editing.library import Library
from backend.editing.tags import TagTable
from backend.editing.token_counts import UNREAD, Tags, counted_by_tags
from backend.families.tokens import TokenCounter

NUM_PICTURES = 1200
COUNTERS = {weighted: TokenCounter.of(ModelSection(), is_weighted=weighted) for weighted in (False, True)}
TAGS = st.one_of(
    st.sampled_from(["long hair", "1girl", "^_^", "hatsune miku \\(vocaloid\\)", "(smile:1.2)", "(a", "b:1.3)", "猫"]),
    st.text(max_size=6),
)


@pytest.mark.parametrize("weighted", [False, True])
@given(texts=st.lists(st.builds(str.join, st.sampled_from([", ", ", ", ",", "\n", " , "]), st.lists(TAGS, max_size=5))))
def test_what_is_counted_from_tags_is_what_reading_counts(texts: list[str], weighted: bool) -> None:
    counter = COUNTERS[weighted]
    found = counted_by_tags(Tags(TagTable.of_texts(texts)), texts, counter)
    expected = np.array(counter.counts(texts), np.int32)
    assert np.array_equal(found, np.where(found == UNREAD, UNREAD, expected))


def test_lists_of_tags_need_not_be_read() -> None:
    texts = ["1girl, long hair, blue eyes, :)", "", "smile", "a line\nanother", "no blank,here"]
    found = counted_by_tags(Tags(TagTable.of_texts(texts)), texts, COUNTERS[False])
    assert found.tolist() == [*COUNTERS[False].counts(texts[:3]), UNREAD, UNREAD]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "0000.png")
    for number in range(NUM_PICTURES):
        place = tmp_path / "many" / f"{number:04}.png"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes((tmp_path / "0000.png").read_bytes())
        place.with_suffix(".txt").write_text(f"tag {number % 7}, smile", encoding="utf-8")
    return tmp_path / "many"


def counts_of(folder: Path, counter: TokenCounter) -> list[int]:
    with Library(folder) as library:
        return library.token_counts(counter).tolist()


def test_counts_are_remembered_for_the_next_opening(many: Path) -> None:
    counter = COUNTERS[False]
    (many / "0003.txt").write_text("two\nlines of words", encoding="utf-8")
    first = counts_of(many, counter)
    assert first[:4] == [4, 4, 4, 3]
    # Another that says it has the same vocabulary is not asked.
    silent = replace(counter, tokenizer=Tokenizer(models.WordLevel({"x": 0}, unk_token="x")), lengths={})
    assert counts_of(many, silent) == first
    (many / "0002.txt").write_text("a, b, c, d, e", encoding="utf-8")
    assert counts_of(many, counter)[:4] == [4, 4, 9, 3]
    (many / "0000.png").unlink()
    assert counts_of(many, counter)[:3] == [4, 9, 3]
    assert counts_of(many, COUNTERS[True])[:3] == [4, 9, 3]


def test_what_was_edited_is_counted_again(many: Path) -> None:
    counter = COUNTERS[False]
    with Library(many) as library:
        assert library.token_counts(counter)[:2].tolist() == [4, 4]
        library.apply("all", {row: f"{text}, one more" for row, text in enumerate(library.texts)})
        assert set(library.token_counts(counter).tolist()) == {7}
        library.undo()
        assert set(library.token_counts(counter).tolist()) == {4}
