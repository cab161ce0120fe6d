"""Tokens against CLIP's own, and chunks against the rules of sd-scripts."""

from __future__ import annotations

import pytest
import torch

from backend.families import clip

BOS, EOS, CAT = 49406, 49407, 2368


def test_tokens_are_clips():
    tokenizer = clip.load_tokenizer()
    assert tokenizer("a photo of a cat").input_ids == [BOS, 320, 1125, 539, 320, CAT, EOS]
    assert len(tokenizer) == 49408
    assert tokenizer.pad_token_id == EOS
    assert clip.load_tokenizer(pad_token="!").pad_token_id == 0


@pytest.mark.parametrize("caption", ["", "  \n ", "\u4e2d\u6587 \U0001f600", "x" * 5000, "a\u0301 caf\u00e9, don't"])
def test_any_caption_fits(caption):
    ids = clip.tokenize(clip.load_tokenizer(), [caption, "cat"], max_length=150)
    assert ids.shape == (2, 2, 77)
    assert (ids[..., 0] == BOS).all()
    assert (ids == EOS).any(dim=-1).all()


@pytest.mark.parametrize(("pad_token", "pad"), [("<|endoftext|>", EOS), ("!", 0)])
def test_chunks_are_those_of_sd_scripts(pad_token, pad):
    tokenizer = clip.load_tokenizer(pad_token=pad_token)
    short = clip.tokenize(tokenizer, ["cat"], max_length=150)[0]
    assert short[0].tolist() == [BOS, CAT, EOS] + [pad] * 74
    assert short[1].tolist() == [BOS, EOS] + [pad] * 75

    full = clip.tokenize(tokenizer, [" ".join(["cat"] * 75)], max_length=150)[0]
    assert full[0].tolist() == [BOS] + [CAT] * 75 + [EOS]
    assert full[1].tolist() == [BOS, EOS] + [pad] * 75

    long = clip.tokenize(tokenizer, [" ".join(["cat"] * 80)], max_length=150)[0]
    assert long[0].tolist() == [BOS] + [CAT] * 75 + [EOS]
    assert long[1].tolist() == [BOS] + [CAT] * 5 + [EOS] + [pad] * 70

    cut = clip.tokenize(tokenizer, [" ".join(["cat"] * 300)], max_length=75)[0]
    assert cut.tolist() == [[BOS] + [CAT] * 75 + [EOS]]


def test_joined_chunks_lose_only_the_inner_ends():
    states = torch.arange(2 * 3 * 77).reshape(6, 77, 1)
    joined = clip.join_chunks(states, num_chunks=3).flatten(1)
    assert joined.shape == (2, 227)
    first = [*range(76), *range(78, 77 + 76), *range(77 * 2 + 1, 77 * 3)]
    assert joined[0].tolist() == first
    assert joined[1].tolist() == [77 * 3 + index for index in first]


def test_one_chunk_is_left_alone():
    states = torch.rand(4, 77, 8)
    assert clip.join_chunks(states, num_chunks=1) is states
