"""Tags of a filter that no caption has are told with what the captions have; odd commas are put right."""

from __future__ import annotations

import pytest

from backend.editing.autocomplete import Completer
from backend.editing.commas import with_plain_commas
from backend.editing.filter import parse
from backend.editing.operations import OPERATIONS, Context
from backend.editing.spellings import other_spellings
from backend.editing.tags import TagTable

TEXTS = ["long hair, smile, miku \\(vocaloid\\)", "long hair, blue_eyes", "Long Hair, cat"] + ["smile"] * 30


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tag:long_hair", [("long hair", 2, 'tag:"long hair"')]),
        ('cat and not tag:"blue eyes" or dog', [("blue_eyes", 1, "cat and not tag:blue_eyes or dog")]),
        ('tag:"miku (vocaloid)"', [("miku \\(vocaloid\\)", 1, 'tag:"miku \\\\(vocaloid\\\\)"')]),
        ("tag:smlie, tag:cat", [("smile", 31, "tag:smile, tag:cat")]),
        ("tag:smile", []),
        ("tag:LONG*", []),
        ("tag:elephant", []),
        ("", []),
    ],
)
def test_another_spelling_is_told(text: str, expected: list[tuple[str, int, str]]) -> None:
    table = TagTable.of_texts(TEXTS)
    completer = Completer(dict(zip(table.words, table.counts().tolist(), strict=True)))
    found = other_spellings(parse(text), table, completer.meant)
    assert [(each.tag, each.count, each.in_place(text)) for each in found] == expected
    for each in found:
        assert not other_spellings(parse(each.in_place(text)), table, completer.meant)


def test_a_tag_that_was_in_a_caption_once_is_no_spelling() -> None:
    table = TagTable.of_texts(["long hair"])
    table = table.replaced(table.rows[:1].astype("int64"), ["cat"])
    assert other_spellings(parse("tag:long_hair"), table, lambda _: "") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("少女，长发、微笑", "少女, 长发, 微笑"),
        ("1girl， long hair，，白色连衣裙，", "1girl, long hair, 白色连衣裙"),
        ("猫耳、メイド服", "猫耳, メイド服"),
        ("a, b、c", "a, b, c"),
        ("一个女孩站在窗边，微笑着看着镜头。", None),
        ("一个女孩安静地站在老房子的窗边，微笑着看着外面的街道", None),
        ("She looks at the sign of a shop that says 你好，and smiles", None),
        ("plain, tags", None),
        ("，", None),
    ],
)
def test_lists_get_plain_commas_and_sentences_stay(line: str, expected: str | None) -> None:
    assert with_plain_commas(line) == (line if expected is None else expected)
    assert with_plain_commas(with_plain_commas(line)) == with_plain_commas(line)


def test_each_line_is_looked_at_for_itself() -> None:
    edit = OPERATIONS["commas"]().edit(Context())
    assert edit("少女，长发\n她在看书。很美，很静") == "少女, 长发\n她在看书。很美，很静"
