"""The filter: what it means, that it can be printed, and where it is wrong."""

from __future__ import annotations

import fnmatch
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backend.config.model import ModelSection
from backend.data.index import Embedding, Index, Score
from backend.editing.filter import FLAGS, And, Compare, Everything, FilterError, Flag, Node, Not, Or, Term, parse
from backend.editing.library import Library
from backend.editing.matching import evaluate
from backend.editing.patterns import Pattern
from backend.families.tokens import TokenCounter

# Name: width, height, caption.
ROWS: dict[str, tuple[int, int, str | None]] = {
    "a.png": (64, 64, "1girl, cat ears, smile"),
    "b.png": (160, 90, "1boy, Cat Ears"),
    "c_bad.png": (30, 90, "miku (vocaloid), 100%, :), a*b"),
    "sub/d.png": (64, 64, "风景, 山\n第二行，有猫"),
    "sub/e.png": (64, 64, None),
    "sub/f.png": (64, 64, " "),
}


@pytest.fixture
def library(tmp_path: Path) -> Any:
    for number, (name, (width, height, caption)) in enumerate(ROWS.items()):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(noise).resize((width, height)).save(path)
        if caption is not None:
            path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    with Library(tmp_path / "set") as opened:
        yield opened


def found(library: Library, text: str) -> str:
    """Return the first letters of the pictures that a filter finds."""
    mask = evaluate(parse(text), library, TokenCounter.of(ModelSection()))
    assert mask.dtype == bool
    return "".join(library.names[row].rpartition("/")[2][0] for row in np.flatnonzero(mask))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "abcdef"),
        ('tag:"cat ears"', "ab"),
        ("tag:'cat ears'", "ab"),
        ("not 'cat ears'", "cdef"),
        ("-‘cat ears’ untagged", "ef"),
        ("tag:cat", ""),
        ("tag:cat*", "ab"),
        ("tag:1????", "a"),
        ("tag:*y or tag:*e", "ab"),
        ("caption:cat", "ab"),
        ("CAPTION:CAT", "ab"),
        ("caption:cat*smile", "a"),
        ("caption:smile*cat", ""),
        ('caption:"c?t e"', "ab"),
        ("caption:有猫", "d"),
        ("caption：山", "d"),
        ("tag:山", "d"),
        ("tag:miku*", "c"),
        ('tag:"miku (vocaloid)"', "c"),
        (r"tag:a\*b", "c"),
        ("tag:a*b", "c"),
        ('tag:":)"', "c"),
        ("name:d", "cd"),
        ("name:*_bad.png", "c"),
        ("path:sub", "def"),
        ("path:sub/*", "def"),
        ("sub", "def"),
        ("smile", "a"),
        ("tags: > 2", "acd"),
        ("tags:>=3", "acd"),
        ("tags>=3", "acd"),
        ("Tags ＞ 2 and -tag:1girl", "cd"),
        ("not size < 64", "abdef"),
        ('"tags>=3"', ""),
        ("tags", ""),
        ("tags: 0", "ef"),
        ("tokens: > 8 path:.png not path:sub", "c"),
        ("tokens: 0", "ef"),
        ("chars: 1", "f"),
        ("lines: 2", "d"),
        ("size: < 64", "c"),
        ("width: > 100", "b"),
        ("height: = 90", "bc"),
        ("aspect: 16:9", "b"),
        ("aspect: < 1/2", "c"),
        ("aspect: != 1", "bc"),
        ("untagged", "ef"),
        ("not untagged", "abcd"),
        ("not not untagged", "ef"),
        ("untagged and path:e", "e"),
        ("path:a.png or path:b and tag:1boy", "ab"),
        ("(path:a.png or path:b) tag:1boy", "b"),
        ("（path:a.png or path:b） tag:1boy", "b"),
        ("not(path:sub)not tag:1girl", "bc"),
        ("changed", ""),
        ("rated or masked or cropped or rotated", ""),
        ("rating: 0", "abcdef"),
        ("caption:*1?irl", "a"),
        ("caption:?irl", "a"),
        ("caption:smile?", ""),
        ("name:?.png", "abdef"),
        ('"untagged"', ""),
        ('"masked"', ""),
        # What other programs write for and, or and not; commas between terms.
        ("tags: > 2, -tag:1girl", "cd"),
        ("path:sub，!untagged", "d"),
        ("-untagged -(path:sub) !caption:1girl", "bc"),
        ("tag:1girl | tag:1boy && caption:cat", "ab"),
        ("name:a.png || name:b.png", "ab"),
        ('caption:"1girl, cat"', "a"),
        ("-sub", "abc"),
        ("-_-", ""),
        ("-1girl !风景 -path:sub", "bc"),
    ],
)
def test_what_filters_find(library: Library, text: str, expected: str) -> None:
    assert found(library, text) == expected
    assert found(library, str(parse(text))) == expected


def test_changed_and_edits_are_seen(library: Library) -> None:
    assert found(library, "caption:cat") == "ab"
    assert found(library, "tokens: > 8 not path:sub/d") == "c"
    library.apply("x", {0: "dog", 4: "a very long new caption with the word cat and many others"})
    assert found(library, "changed") == "ae"
    assert found(library, "caption:cat") == "be"
    assert found(library, "tag:dog") == "a"
    assert found(library, "tokens: > 8 not path:sub/d") == "ce"
    library.undo()
    assert found(library, "changed") == ""
    assert found(library, "caption:cat") == "ab"


def test_duplicates_and_likeness(library: Library) -> None:
    for text in ("dup", "similar: a.png", "score: > 5"):
        with pytest.raises(FilterError) as error:
            found(library, text)
        assert error.value.code in ("filter_not_looked", "filter_not_scored")
    copy = library.root / "z.png"
    copy.write_bytes((library.root / "a.png").read_bytes())
    library.reload_changed()
    library.look()
    assert found(library, "dup") == "az"
    assert "z" in found(library, "similar: a.png")
    assert "c" not in found(library, "similar: a.png")
    assert found(library, "similar: sub/d.png") == found(library, "similar: D.PNG")
    vector = np.eye(4, dtype=np.float16)
    with Index(library.cache_dir) as index:
        for row, number in ((0, 0), (1, 0), (2, 1)):
            key = (str(library.path(row)), library.stamps[row])
            index.remember([(key, Score(float(number))), (key, Embedding("clip", vector[number].tobytes()))])
    library.forget_likeness()
    assert found(library, "score: >= 1") == "c"
    assert found(library, "similar: a.png") == "ab"


@pytest.mark.parametrize(
    ("text", "position", "length", "code"),
    [
        ("tagg:cat", 0, 5, "filter_key_unknown"),
        ("cat and tagg:dog", 8, 5, "filter_key_unknown"),
        ("tag:", 0, 4, "filter_value_missing"),
        ("cat tag: )", 4, 4, "filter_value_missing"),
        ("tags: > many", 0, 12, "filter_number_wrong"),
        ("tags:", 0, 5, "filter_number_wrong"),
        ("tags: 5:4", 0, 9, "filter_number_wrong"),
        ("aspect: 1:0", 0, 11, "filter_number_wrong"),
        ('tag:"cat', 4, 4, "filter_quote_open"),
        ("cat (dog", 4, 1, "filter_bracket_open"),
        ("cat) dog", 3, 1, "filter_bracket_close"),
        ("cat and", 4, 3, "filter_term_missing"),
        ("not", 0, 3, "filter_term_missing"),
        ("or cat", 0, 1, "filter_term_missing"),
        ("cat or or dog", 4, 2, "filter_term_missing"),
        ("()", 0, 1, "filter_term_missing"),
        ("similar: nobody.png", 0, 19, "filter_picture_unknown"),
        ("(" * 5000 + "cat" + ")" * 5000, 100, 1, "filter_too_deep"),
        ("not " * 5000 + "cat", 400, 1, "filter_too_deep"),
    ],
)
def test_errors_are_told_at_their_place(library: Library, text: str, position: int, length: int, code: str) -> None:
    with pytest.raises(FilterError) as error:
        found(library, text)
    assert (error.value.position, error.value.length, error.value.code) == (position, length, code)
    for language in ("en", "zh-CN"):
        words = error.value.problem.text(language)
        assert words
        assert "problem." not in words
        assert "{" not in words


def test_tokens_need_a_counter(library: Library) -> None:
    with pytest.raises(FilterError) as error:
        evaluate(parse("tokens: > 5"), library)
    assert error.value.code == "filter_tokens_unknown"


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "a*b",
        "c?t",
        "and",
        "not",
        "dup",
        "a b",
        '"',
        "\\",
        "\\(x\\)",
        "a:b",
        "(a",
        "b)",
        "“",
        "：",
        "tag:x",
        "",
        "&&",
        "|",
        "-tag:x",
        "!dup",
        "a,b",
        "，",
    ]
)
patterns = texts.map(Pattern.of) | st.lists(
    st.sampled_from(["*", "?", "a", "B", " ", "\\*", "\\?", "\\\\", '"', "'", "(", ")", "猫", ":"]), max_size=8
).map(lambda signs: Pattern("".join(signs)))
leaves: st.SearchStrategy[Node] = (
    st.builds(Term, st.sampled_from(["tag", "caption", "name", "path", "similar", ""]), patterns)
    | st.builds(
        Compare,
        st.sampled_from(["tags", "tokens", "size", "aspect", "score", "rating"]),
        st.sampled_from(["=", "!=", "<", ">", "<=", ">="]),
        st.integers(-1000, 10**12).map(float) | st.floats(-1e6, 1e6, allow_subnormal=False),
    )
    | st.sampled_from(sorted(FLAGS)).map(Flag)
)
several = {"min_size": 2, "max_size": 3}
nodes: st.SearchStrategy[Node] = st.recursive(
    leaves,
    lambda inner: (
        inner.map(Not) | st.lists(inner, **several).map(tuple).map(And) | st.lists(inner, **several).map(tuple).map(Or)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("word", ["girl's", "'90s", "o'clock", "girls'", "n'"])
def test_single_quotes_within_words_are_signs_of_the_word(word: str) -> None:
    assert parse(f"tag:{word} not tag:cat") == And((Term("tag", Pattern(word)), Not(Term("tag", Pattern("cat")))))


@given(nodes)
def test_what_is_printed_means_the_same(node: Node) -> None:
    assert parse(str(node)) == node


@given(
    st.text(max_size=20)
    | st.lists(st.sampled_from("tag: ( ) \" and or not cat * \\ tags: > 5 ： ' ’".split())).map(" ".join)
)
def test_any_text_is_a_filter_or_an_error_at_a_place(text: str) -> None:
    try:
        node = parse(text)
    except FilterError as error:
        assert 0 <= error.position <= len(text)
        assert error.length >= 1
        return
    assert parse(str(node)) == node


@given(texts, texts)
def test_a_literal_pattern_means_itself(text: str, other: str) -> None:
    pattern = Pattern.of(text)
    assert pattern.is_literal
    assert pattern.literal == text
    assert pattern.whole()(text.casefold())
    assert pattern.within()((other + text + other).casefold())


def test_an_empty_filter_is_everything() -> None:
    assert parse("  ") == Everything()
    assert str(parse("  ")) == ""


@given(
    st.text("ab", max_size=12),
    st.lists(st.sampled_from(["*", "?", "a", "b", "ab"]), max_size=7).map("".join),
)
def test_stars_and_question_marks_mean_what_they_do_in_file_names(text: str, pattern: str) -> None:
    assert Pattern(pattern).whole()(text) == fnmatch.fnmatchcase(text, pattern)
    assert Pattern(pattern).within()(text) == fnmatch.fnmatchcase(text, f"*{pattern}*")


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "*a?" * 30 + "b", "a*" * 30 + "b"])
def test_patterns_with_many_stars_end(pattern: str) -> None:
    start = time.process_time()
    assert not Pattern(pattern).whole()("a" * 3000)
    assert not Pattern(pattern).within()("a" * 3000 + "c")
    # The sign that makes it fail must not be looked for first, either.
    assert not Pattern(pattern).whole()("b" + "a" * 3000)
    assert time.process_time() - start < 1
