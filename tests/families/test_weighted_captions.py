"""Weights in captions scale the hidden states of their tokens, and nothing else; without the option nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from backend.config.model import ModelSection
from backend.families import clip, specs
from backend.families.base import Family, LoadOptions

FAMILIES = tuple(specs.FAMILIES)
Load = Callable[..., Family]


@pytest.fixture
def load(tiny_folder: Callable[[str], Path]) -> Load:
    def load_tiny(name: str, *, weighted: bool = True, **changes: object) -> Family:
        spec = specs.get(name)
        model = ModelSection(family=name, base_model=str(tiny_folder(name)), **changes)
        options = LoadOptions(torch.device("cpu"), torch.float32, weighted_captions=weighted)
        return spec.load_class().load(model, options, spec)

    return load_tiny


@pytest.mark.parametrize("name", FAMILIES)
def test_the_states_of_a_word_are_scaled(load: Load, name: str) -> None:
    family = load(name)
    with torch.no_grad():
        plain = family.encode_text(["a red cat", "a red cat"])
        weighted = family.encode_text(["a (red:1.5) cat", "a [red] cat"])
    expected = plain["prompt_embeds"].clone()
    # The start, "a", then the word.
    expected[0, 2] *= 1.5
    expected[1, 2] *= 1 / 1.1
    torch.testing.assert_close(weighted["prompt_embeds"], expected)
    if "pooled_prompt_embeds" in plain:
        torch.testing.assert_close(weighted["pooled_prompt_embeds"], plain["pooled_prompt_embeds"], rtol=0, atol=0)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("length", [75, 150])
def test_without_marks_and_without_the_option_nothing_changes(load: Load, name: str, length: int) -> None:
    captions = ["a red cat, " * 20, "", "cat"]
    with torch.no_grad():
        on = load(name, max_token_length=length).encode_text(captions)
        off = load(name, weighted=False, max_token_length=length).encode_text(captions)
    for key, states in off.items():
        assert torch.equal(states, on[key])


def test_without_the_option_marks_are_text(load: Load) -> None:
    family = load("sd15", weighted=False)
    with torch.no_grad():
        marked, plain = family.encode_text(["a (cat:1.3)"]), family.encode_text(["a cat"])
    assert not torch.allclose(marked["prompt_embeds"], plain["prompt_embeds"])


def test_weights_follow_their_words_into_the_second_chunk(load: Load) -> None:
    family = load("sd15", max_token_length=150)
    words = ["cat"] * 80
    with torch.no_grad():
        plain = family.encode_text([" ".join(words)])["prompt_embeds"]
        weighted = family.encode_text([f"{' '.join(words[:73])} ({' '.join(words[73:77])}:2) cat cat cat"])[
            "prompt_embeds"
        ]
    expected = plain.clone()
    expected[:, 74:78] *= 2
    torch.testing.assert_close(weighted, expected)


def test_ids_are_those_of_the_caption_without_marks_and_what_is_cut_weighs_nothing() -> None:
    tokenizer = clip.load_tokenizer()
    plain = clip.tokenize(tokenizer, ["a red cat", "cat " * 200], max_length=75)
    ids, weights = clip.tokenize_weighted(tokenizer, ["a ((red)) cat", "(" + "cat " * 200 + ":3)"], max_length=75)
    assert torch.equal(ids, plain)
    assert weights.shape == (2, 1, 77)
    assert weights[0, 0, :5].tolist() == pytest.approx([1, 1, 1.21, 1, 1])
    assert weights[1, 0].tolist() == [1, *[3] * 75, 1]


def test_gradients_flow_through_the_weights(load: Load) -> None:
    family = load("sd15")
    encoder = family.components["text_encoder"].requires_grad_(True)
    family.encode_text(["a (cat:1.3)"])["prompt_embeds"].sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_caches_of_weighted_captions_are_their_own(load: Load) -> None:
    on, off = load("sd15").identities, load("sd15", weighted=False).identities
    assert on["vae"] == off["vae"]
    assert on["text_encoder"] != off["text_encoder"]
