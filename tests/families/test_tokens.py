"""Counts agree with the tokenizer that the trainer uses; weights are read as the common interfaces read them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config.model import ModelSection
from backend.config.problems import UserError
from backend.families import clip
from backend.families.tokens import TokenCounter, weighted_parts

CLIP = clip.load_tokenizer()
COUNTER = TokenCounter.of(ModelSection(base_model="nothing.safetensors"))


@given(st.text(max_size=80))
def test_any_text_counts_as_the_trainer_reads_it(text: str) -> None:
    assert COUNTER.count(text) == len(CLIP(text, add_special_tokens=False).input_ids)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", 0), ("cat", 1), ("a photo of a cat", 5), ("1girl, red hair", 5), ("don't", 2), ("zkz " * 80, 160)],
)
def test_counts(text: str, expected: int) -> None:
    assert COUNTER.count(text) == expected


def test_the_limit_is_that_of_the_model() -> None:
    assert COUNTER.limit == 75
    assert TokenCounter.of(ModelSection(max_token_length=225)).limit == 225


def test_many_at_once() -> None:
    texts = [f"{'cat ' * number}" for number in range(100)]
    assert COUNTER.counts(texts) == list(range(100))


def test_the_vocabulary_of_a_folder_is_taken(tiny_folder: Callable[[str], Path]) -> None:
    folder = tiny_folder("sd15")
    own = TokenCounter.of(ModelSection(base_model=str(folder)))
    tokenizer = clip.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    text = "an extraordinarily photorealistic watercolour"
    assert own.count(text) == len(tokenizer(text, add_special_tokens=False).input_ids)
    assert own.count(text) > COUNTER.count(text)
    assert own.count("cat " * 300) == 300


def test_a_broken_vocabulary_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(UserError) as raised:
        TokenCounter.of(ModelSection(base_model=str(tmp_path)))
    assert raised.value.problem.code == "tokenizer_unreadable"
    assert str(tmp_path) in str(raised.value)


def test_marks_are_not_counted_where_they_are_weights() -> None:
    weighted = TokenCounter.of(ModelSection(), is_weighted=True)
    assert weighted.counts(["a (red:1.3) cat", "[a] ((red)) cat", r"a \(red\) cat"]) == [3, 3, 5]
    assert COUNTER.count("a (red:1.3) cat") > 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("", 1.0)]),
        ("a red cat", [("a red cat", 1.0)]),
        ("a (red) cat", [("a ", 1.0), ("red", 1.1), (" cat", 1.0)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("(red: 0.5 )", [("red", 0.5)]),
        ("(red:-.5)", [("red", -0.5)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("[red]", [("red", 1 / 1.1)]),
        ("(a [b] c:2)", [("a ", 2.0), ("b", 2 / 1.1), (" c", 2.0)]),
        ("(a (b:3):2)", [("a ", 2.0), ("b", 6.0)]),
        ("a (b", [("a ", 1.0), ("b", 1.1)]),
        ("a [b", [("a ", 1.0), ("b", 1 / 1.1)]),
        ("a) b] c", [("a) b] c", 1.0)]),
        ("red:1.3)", [("red:1.3)", 1.0)]),
        (r"saber \(fate\)", [("saber (fate)", 1.0)]),
        (r"(\[a\]:1.2)", [("[a]", 1.2)]),
        (r"a\\b", [(r"a\b", 1.0)]),
        ("ratio 3:2", [("ratio 3:2", 1.0)]),
        ("(ratio 3:2:1.5)", [("ratio 3:2", 1.5)]),
        ("(a:1..5)", [("a:1..5", 1.1)]),
        ("(a)(b)", [("ab", 1.1)]),
    ],
)
def test_weights(text: str, expected: list[tuple[str, float]]) -> None:
    parts = weighted_parts(text)
    assert [part for part, _ in parts] == [part for part, _ in expected]
    assert [weight for _, weight in parts] == pytest.approx([weight for _, weight in expected])


@given(st.text(alphabet="ab ,:.13()[]\\", max_size=40))
def test_any_text_has_parts(text: str) -> None:
    parts = weighted_parts(text)
    assert parts
    if not set(text) & set("()[]\\"):
        assert parts == [(text, 1.0)]


def test_counting_needs_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; from backend.config.model import ModelSection; from backend.families.tokens import TokenCounter;"
        "print(TokenCounter.of(ModelSection()).count('a cat'), {'torch', 'transformers'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "2 set()"
