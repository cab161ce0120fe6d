"""Counting, hints, lists of tags, and what a tag that is being typed may become."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config.problems import UserError
from backend.editing.autocomplete import Completer
from backend.editing.tag_lists import KnownTag, TagList, read_tag_list, read_translations
from backend.editing.tag_statistics import Implication, implications, implied_by, tag_counts, together_with
from backend.editing.tags import TagTable, split_tags

CAPTIONS = ["cat ears, animal ears, 1girl"] * 8 + ["dog ears, animal ears, 1girl"] * 6 + ["hat, 1girl", "1boy"] * 4
words = st.text(st.sampled_from("abc"), min_size=1, max_size=2)
captions = st.lists(st.lists(words, max_size=5).map(", ".join), min_size=1, max_size=8)


@given(captions)
def test_counts_are_those_of_counting_one_by_one(texts: list[str]) -> None:
    table = TagTable.of_texts(texts)
    expected = Counter(tag for text in texts for tag in set(split_tags(text)))
    assert dict(zip(table.words, table.counts().tolist(), strict=True)) == expected
    mask = np.arange(len(texts)) % 2 == 0
    shown = Counter(tag for text in texts[::2] for tag in set(split_tags(text)))
    found = {each.tag: (each.count, each.shown) for each in tag_counts(table, mask)}
    assert found == {tag: (count, shown[tag]) for tag, count in expected.items()}


@given(captions, st.data())
def test_a_table_that_was_changed_is_as_one_made_anew(texts: list[str], data: st.DataObject) -> None:
    table = TagTable.of_texts(texts)
    for _ in range(3):
        rows = sorted(data.draw(st.sets(st.integers(0, len(texts) - 1))))
        new = [data.draw(captions)[0] for _ in rows]
        for row, text in zip(rows, new, strict=True):
            texts[row] = text
        table = table.replaced(np.array(rows, np.int64), new)
    anew = TagTable.of_texts(texts)
    assert [table.of(row) for row in range(len(texts))] == [split_tags(text) for text in texts]
    found = dict(zip(table.words, table.counts().tolist(), strict=True))
    assert {tag: count for tag, count in found.items() if count} == dict(
        zip(anew.words, anew.counts().tolist(), strict=True)
    )


def test_who_reads_a_table_is_not_disturbed_by_edits() -> None:
    table = TagTable.of_texts(CAPTIONS)
    before = (table.counts().tolist(), table.rows.tolist(), table.of(0))
    later = table.replaced(np.arange(2), ["new tag, newer tag", ""])
    assert (table.counts()[: len(before[0])].tolist(), table.rows.tolist(), table.of(0)) == before
    assert later.of(0) == ["new tag", "newer tag"]


def test_words_that_no_caption_has_any_more_are_forgotten() -> None:
    texts = [f"a sentence about {number}" for number in range(4000)]
    table = TagTable.of_texts(texts)
    for turn in range(10):
        texts = [f"a sentence {turn} about {number}" for number in range(4000)]
        table = table.replaced(np.arange(4000), texts)
        assert len(table.words) <= 2 * 4000 + 10_000 + 4000
    assert [table.of(row) for row in (0, 3999)] == [[texts[0]], [texts[3999]]]
    assert table.find("A sentence 9 ABOUT 7") == [table.numbers["a sentence 9 about 7"]]
    assert table.counts()[table.numbers[texts[5]]] == 1


def test_tags_are_sorted_searched_and_picked() -> None:
    table = TagTable.of_texts(CAPTIONS)
    assert [each.tag for each in tag_counts(table)][:2] == ["1girl", "animal ears"]
    assert [each.tag for each in tag_counts(table, search="ears", order="alphabet")] == [
        "animal ears",
        "cat ears",
        "dog ears",
    ]
    assert {each.tag for each in tag_counts(table, fewer_than=5)} == {"hat", "1boy"}
    assert tag_counts(table, search="d*g", order="rare")[0].tag == "dog ears"


def test_what_stands_together_and_what_implies_what() -> None:
    table = TagTable.of_texts(CAPTIONS)
    assert [(each.tag, each.count, each.share) for each in together_with(table, "cat ears")] == [
        ("animal ears", 8, 1.0),
        ("1girl", 8, 1.0),
    ]
    assert Implication("cat ears", "animal ears", 8, 0) in implied_by(table, "cat ears")
    found = {(each.tag, each.implied) for each in implications(table)}
    assert ("cat ears", "animal ears") in found
    assert ("animal ears", "cat ears") not in found
    assert together_with(table, "nothing") == implied_by(table, "nothing") == []
    assert implications(TagTable.of_texts([])) == []


def test_captions_that_lack_an_implied_tag_are_counted() -> None:
    table = TagTable.of_texts(["cat, animal"] * 29 + ["cat"] + ["x"] * 30)
    assert implications(table)[0] == Implication("cat", "animal", 30, 1)


LISTS = {
    "danbooru": '1girl,0,6000000,"1girls,sole_female"\nlong_hair,0,4000000,"longhair"\nhatsune_miku,4,90000,miku\n',
    "header": "tag_id,name,category,count\n1,1girl,0,6000000\n2,long_hair,0,4000000\n3,hatsune_miku,4,90000\n",
    "short": "1girl\nlong_hair\nhatsune_miku\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "tags.csv"
    path.write_text("\ufeff" + LISTS[kind], encoding="utf-8")
    known = read_tag_list(path)
    assert [tag.name for tag in known.tags] == ["1girl", "long_hair", "hatsune_miku"]
    if kind != "short":
        assert known.tags[1].count == 4000000
        assert known.categories(["hatsune miku", "nobody"]) == {"hatsune miku": 4}
    if kind == "danbooru":
        assert known.find("LongHair") == KnownTag("long_hair", 0, 4000000, ("longhair",))


def test_lists_that_are_none_are_told(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv"
    path.write_text("\n\n", encoding="utf-8")
    for read in (read_tag_list, read_translations):
        with pytest.raises(UserError) as error:
            read(path)
        assert error.value.problem.code == "tag_list_wrong"
    with pytest.raises(UserError) as missing:
        read_tag_list(tmp_path / "none.csv")
    assert missing.value.problem.code == "file_not_found"


@pytest.mark.parametrize(
    "text",
    [
        "1girl,一个女孩\nlong_hair,长发\n",
        "tag,count,中文\n1girl,5,一个女孩\nlong_hair,4,长发\n",
        "1girl,0,一个女孩\nlong_hair,0,长发",
    ],
)
def test_translations_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "words.csv"
    path.write_bytes(text.encode("gb18030"))
    assert read_translations(path) == {"1girl": "一个女孩", "long hair": "长发"}


KNOWN = TagList(
    (
        KnownTag("1girl", 0, 6000, ("sole_female",)),
        KnownTag("long_hair", 0, 4000),
        KnownTag("long_sleeves", 0, 3000),
        KnownTag("hatsune_miku", 4, 900),
        KnownTag("^_^", 0, 100),
    )
)
COUNTS = {"long dress": 7, "1girl": 5, "very long hair": 2, "gone": 0}


def test_own_tags_come_first_then_those_of_the_list() -> None:
    completer = Completer(COUNTS, KNOWN)
    assert [each.tag for each in completer.complete("long")] == [
        "long dress",
        "long hair",
        "long sleeves",
        "very long hair",
    ]
    assert [each.tag for each in completer.complete("long_h")] == ["long hair", "very long hair"]
    assert [each.tag for each in completer.complete("miku")] == ["hatsune miku"]
    (girl,) = completer.complete("sole")
    assert (girl.tag, girl.alias, girl.count) == ("1girl", "sole female", 5)
    assert [each.tag for each in completer.complete("")] == ["long dress", "1girl", "very long hair"]
    assert completer.complete("gone") == []
    assert completer.complete("^")[0].tag == "^_^"
    assert len(completer.complete("l", num=2)) == 2


def test_tags_are_written_as_the_set_writes_them() -> None:
    assert Completer({"long_dress": 3}, KNOWN).complete("hats")[0].tag == "hatsune_miku"


@pytest.mark.parametrize(
    ("tag", "meant"),
    [
        ("log hair", "long hair"),
        ("lnog hair", "long hair"),
        ("long_haair", "long hair"),
        ("1girl", ""),
        ("xyzzy", ""),
        ("long dresz", ""),
    ],
)
def test_misspelt_tags_are_noticed(tag: str, meant: str) -> None:
    assert Completer(COUNTS, KNOWN).meant(tag) == meant
    assert Completer({"long dress": 70, "long dresz": 1}).meant("long dresz") == "long dress"


def test_other_numbers_and_sentences_are_no_misspelt_tags() -> None:
    completer = Completer({"score 9": 200, "2girls": 900, "score 8": 3})
    assert completer.meant("score 8") == "" and completer.meant("3girls") == ""
    assert completer.meant("2girl") == "2girls"
    began = time.process_time()
    assert completer.meant("a girl who " * 1000) == ""
    assert time.process_time() - began < 0.1


def test_tags_are_found_by_what_they_are_called_elsewhere() -> None:
    completer = Completer(COUNTS, KNOWN, {"long hair": "长发", "very long hair": "超长发", "black hair": "黑发"})
    assert [each.tag for each in completer.complete("长发")] == ["long hair", "very long hair"]
    assert [each.tag for each in completer.complete("黑")] == ["black hair"]
    assert completer.complete("black")[0].tag == "black hair"


def test_brackets_of_the_list_are_escaped_where_the_set_escapes_them() -> None:
    known = TagList((KnownTag("saber_(fate)", 4, 900),))
    assert Completer({r"miku \(vocaloid\)": 3}, known).complete("saber")[0].tag == r"saber \(fate\)"
    assert Completer({"smile": 3}, known).complete("saber")[0].tag == "saber (fate)"
