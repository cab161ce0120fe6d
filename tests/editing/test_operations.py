"""What batches do to captions, one by one and over a folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backend.config.model import ModelSection
from backend.config.problems import UserError
from backend.editing.expressions import substitution
from backend.editing.library import Library
from backend.editing.operations import (
    AddTags,
    Brackets,
    Context,
    KeepFirst,
    MoveToFront,
    NaturalText,
    Operation,
    RemoveDuplicates,
    RemoveTags,
    Replace,
    SortTags,
    Tidy,
    Truncate,
    Underscores,
    context_of,
    edits,
    preview,
)
from backend.editing.tags import split_tags
from backend.families.tokens import TokenCounter

COUNTER = TokenCounter.of(ModelSection())
CONTEXT = Context({"b": 5, "c": 9}, {"c": 1, "a": 0}, COUNTER)


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        (Replace("cat", "dog"), "cat, catgirl\ncat", "dog, doggirl\ndog"),
        (Replace("CAT", "dog", ignore_case=True), "Cat, a", "dog, a"),
        (Replace("a.b", r"\1", ignore_case=True), "A.B, acb", r"\1, acb"),
        (Replace("cat", "dog", "tag"), "cat, catgirl", "dog, catgirl"),
        (Replace("cat", "dog", "tag"), "a,catgirl", "a,catgirl"),
        (Replace("cat", "dog", "tag"), "dog, x, cat", "dog, x"),
        (Replace("cat", "", "tag"), "a, cat, b, cat", "a, b"),
        (Replace("cat", "animal, cat ears", "tag"), "a, cat, b", "a, animal, cat ears, b"),
        (Replace("CAT", "dog", "tag", ignore_case=True), "a, Cat", "a, dog"),
        (Replace(r"(\d)girls?", r"\1 girl", "regex"), "1girl, 2girls", "1 girl, 2 girl"),
        (Replace(r"(x)|y", r"[\1]", "regex"), "xy", "[x][]"),
        (Replace("^x|y$", "z", "regex"), "x, y\nx, x, y", "z, z\nz, x, z"),
        (Replace(r"\n", ", ", "regex"), "x\ny", "x, y"),
        (AddTags("a, b"), "c, a", "c, a, b"),
        (AddTags("a, b", "start"), "c", "a, b, c"),
        (AddTags("a", "number", 2), "c, d", "c, a, d"),
        (AddTags("a", "number", 99), "c, d", "c, d, a"),
        (AddTags("a"), "", "a"),
        (AddTags("a"), "b\nc", "b, a\nc, a"),
        (RemoveTags("A*, x?"), "abc, x1, x, b", "x, b"),
        (RemoveTags("b"), "a,b,c", "a, c"),
        (RemoveTags("q"), "a,b,c", "a,b,c"),
        (SortTags("alphabet"), "b, C, a", "a, b, C"),
        (SortTags("alphabet", reverse=True, keep_first=1), "b, a, c", "b, c, a"),
        (SortTags("frequency"), "a, b, c", "c, b, a"),
        (SortTags("length"), "ccc, a, bb", "a, bb, ccc"),
        (SortTags("category"), "x, c, a, y", "c, a, x, y"),
        (MoveToFront("c, x, a"), "a, b, c", "c, a, b"),
        (KeepFirst(2), "a, b, c\nd", "a, b\nd"),
        (KeepFirst(0), "a, b", ""),
        (RemoveDuplicates(), "a, A, b, a", "a, b"),
        (RemoveDuplicates(ignore_case=False), "a, A, b, a", "a, A, b"),
        (Tidy(), " a,,b  c ,\n\n d", "a, b c\nd"),
        (Truncate(3), "long hair, smile, dog", "long hair"),
        (Truncate(4), "long hair, smile, dog", "long hair, smile"),
        (Truncate(2), "a very long sentence", "a very"),
        (Truncate(100), "a,b", "a,b"),
        (Underscores("spaces"), "long_hair, ^_^, a_b_c", "long hair, ^_^, a b c"),
        (Underscores("underscores"), "long hair, ^_^", "long_hair, ^_^"),
        (Brackets("escaped"), r"miku (vocaloid), \(x\)", r"miku \(vocaloid\), \(x\)"),
        (Brackets("plain"), r"miku \(vocaloid\), (x)", "miku (vocaloid), (x)"),
        (NaturalText("text"), r"1girl, long_hair, miku \(v\)", "1girl, long hair and miku (v)."),
        (NaturalText("text"), "", ""),
        (
            NaturalText("tags"),
            "A girl with long hair, smiling. She sits; v1.5",
            "a girl with long hair, smiling, she sits, v1.5",
        ),
        (NaturalText("tags"), "一个女孩，长发。微笑", "一个女孩, 长发, 微笑"),
        (NaturalText("text"), "1girl, (smile:1.2)", "1girl and smile."),
        # Sentences among captions of tags stay as they are.
        (NaturalText("text"), "A girl, smiling. She sits", "A girl, smiling. She sits"),
        (NaturalText("text"), "Mr. Smith, 3.5 meters tall.", "Mr. Smith, 3.5 meters tall."),
        (NaturalText("text"), "一个女孩，长发。", "一个女孩，长发。"),
        (NaturalText("text"), "1girl, !?, and a dr. stone", "1girl, !? and a dr. stone."),
        # Empty lines are no captions, whatever the lines end in.
        (AddTags("x"), "a\n\nb\n", "a, x\n\nb, x\n"),
        (AddTags("x"), "\n", "x"),
        (KeepFirst(1), "\n", "\n"),
        (AddTags("x"), "a\r\nb\nc", "a, x\r\nb, x\nc, x"),
        # Commas of Chinese keyboards; other spellings of the same tag.
        (AddTags("x，long_hair, CAT"), "Long hair, cat", "Long hair, cat, x"),
        (MoveToFront("cat, b"), "a, b, Cat", "Cat, b, a"),
        (RemoveDuplicates(), "long hair, long_hair, Long Hair", "long hair"),
        (RemoveTags(r"saber \(fate\)"), r"saber \(fate\), b", "b"),
        (RemoveTags(r"*\(fate\)"), r"saber \(fate\), b", "b"),
        (RemoveTags(r"\*, \\"), "*, \\, b", "b"),
        # Weights stay weights, and what models know with underscores keeps them.
        (Brackets("escaped"), "(smile:1.2), (saber (fate):.9), (a)", r"(smile:1.2), (saber \(fate\):.9), \(a\)"),
        (Brackets("escaped"), r"(saber \(fate\):1.2), \(x:1.2\)", r"(saber \(fate\):1.2), \(x:1.2\)"),
        (
            Underscores(),
            "score_9, score_8_up, T_T, (long_hair:1.2), (^_^:0.4)",
            "score_9, score_8_up, T_T, (long hair:1.2), (^_^:0.4)",
        ),
    ],
)
def test_what_operations_do(operation: Operation, before: str, after: str) -> None:
    assert operation.edit(CONTEXT)(before) == after


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Replace(""), "find_missing"),
        (Replace("(", "x", "regex"), "regex_wrong"),
        (Replace("a", r"\1", "regex"), "regex_wrong"),
        (Replace("a{1000000000}", "x", "regex"), "regex_wrong"),
        (Replace("((a{999}){999}){999}", "x", "regex"), "regex_wrong"),
        (Replace("(?:" * 3000 + "a" + ")" * 3000, "x", "regex"), "regex_wrong"),
        (Replace("a", r"\g<name>", "regex"), "regex_wrong"),
        (AddTags(" , "), "tags_missing"),
        (RemoveTags(""), "tags_missing"),
        (KeepFirst(-1), "number_negative"),
        (Truncate(-1), "number_negative"),
    ],
)
def test_values_that_make_no_sense_are_told(operation: Operation, code: str) -> None:
    with pytest.raises(UserError) as error:
        operation.edit(CONTEXT)
    assert error.value.problem.code == code
    assert "problem." not in error.value.problem.text("zh-CN")


tags = st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1, max_size=6)
captions = st.lists(st.lists(tags, max_size=6).map(", ".join), min_size=1, max_size=3).map("\n".join)
operations = (
    st.sampled_from(
        [SortTags(by, reverse) for by in ("alphabet", "frequency", "length", "category") for reverse in (False, True)]
        + [RemoveDuplicates(), Tidy(), KeepFirst(2), Truncate(5), Underscores(), Brackets(), MoveToFront("a, b")]
    )
    | st.builds(RemoveTags, tags)
    | st.builds(AddTags, tags, st.sampled_from(["start", "end"]))
)


@given(captions, operations)
def test_doing_it_twice_is_doing_it_once(caption: str, operation: Operation) -> None:
    edit = operation.edit(CONTEXT)
    once = edit(caption)
    if not isinstance(operation, SortTags) or not operation.reverse:  # equal keys change places when reversed
        assert edit(once) == once


@given(captions, st.sampled_from(["alphabet", "frequency", "length", "category"]))
def test_sorting_loses_no_tag(caption: str, by: str) -> None:
    sorted_text = SortTags(by).edit(CONTEXT)(caption)
    assert sorted(split_tags(sorted_text)) == sorted(split_tags(caption))


@given(captions, tags, tags)
def test_a_replaced_tag_is_gone_and_no_other(caption: str, old: str, new: str) -> None:
    replaced = Replace(old, new, "tag").edit(CONTEXT)(caption)
    assert old == new or old not in split_tags(replaced)
    expected = {new if tag == old else tag for tag in split_tags(caption)}
    assert set(split_tags(replaced)) == expected


@given(captions, st.integers(0, 10))
def test_truncated_captions_fit(caption: str, num: int) -> None:
    truncated = Truncate(num).edit(CONTEXT)(caption)
    assert all(COUNTER.count(line) <= num for line in truncated.split("\n"))


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    for name, caption in {"a": "cat, x", "b": "dog", "c": "cat, y", "d": "catgirl"}.items():
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(caption, encoding="utf-8")
    with Library(tmp_path) as opened:
        yield opened


def test_a_batch_is_previewed_applied_and_undone(library: Library) -> None:
    operation = Replace("cat", "kitten", "tag")
    shown = preview(library, operation)
    assert shown.num_changes == 2
    assert [(each.row, each.before, each.after) for each in shown.examples] == [
        (0, "cat, x", "kitten, x"),
        (2, "cat, y", "kitten, y"),
    ]
    only = library.tags.with_any(library.tags.find("y"))
    assert edits(library, operation, only) == {2: "kitten, y"}
    library.apply("cat to kitten", edits(library, operation), wait=True)
    assert (library.root / "c.txt").read_text(encoding="utf-8") == "kitten, y"
    assert preview(library, operation).num_changes == 0
    library.undo(wait=True)
    assert library.texts == ["cat, x", "dog", "cat, y", "catgirl"]


def test_frequencies_are_those_of_the_folder(library: Library) -> None:
    library.apply("x", {1: "x, dog, cat"})
    assert edits(library, SortTags("frequency"), context=context_of(library))[1] == "cat, x, dog"


def test_an_expression_that_never_ends_is_stopped_and_others_go_on(library: Library) -> None:
    library.apply("x", {1: "a" * 200 + "!"})
    with pytest.raises(UserError) as error:
        edit = substitution("(a|aa)+$", "x", seconds=0.3)
        [edit(text) for text in library.texts]
    assert error.value.problem.code == "regex_slow"
    for language in ("en", "zh-CN"):
        assert "(a|aa)+$" in error.value.problem.text(language)
    with pytest.raises(UserError):  # its time is up for the other captions, too
        edit("a")
    assert library.texts[1] == "a" * 200 + "!"


def test_other_threads_run_while_an_expression_does() -> None:
    counted: list[float] = []
    running = threading.Event()

    def count() -> None:
        while not running.is_set():
            counted.append(time.perf_counter())
            time.sleep(0.001)

    counting = threading.Thread(target=count)
    counting.start()
    began = time.perf_counter()
    with pytest.raises(UserError):
        substitution("(a|aa)+$", "x", seconds=0.5)("a" * 200 + "!")
    ended = time.perf_counter()
    running.set()
    counting.join()
    assert sum(began < each < ended for each in counted) > 20
