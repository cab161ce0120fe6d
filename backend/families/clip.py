"""CLIP's tokenizer and text encoders: token ids in chunks of 75, hidden states with CLIP skip."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from backend.families.tokens import VOCABULARY_DIR, weighted_parts


def load_tokenizer(*, pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    """Return CLIP's tokenizer with the bundled vocabulary.

    SD 1.x and the first encoder of SDXL pad with the end token; SD 2.x and the second encoder of SDXL with "!" (id 0).
    """
    return CLIPTokenizer(
        vocab=str(VOCABULARY_DIR / "vocab.json"),
        merges=str(VOCABULARY_DIR / "merges.txt"),
        model_max_length=77,
        pad_token=pad_token,
    )


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str], *, max_length: int) -> Tensor:
    """Return the long token ids (B, N, 77) of captions cut to `max_length` = 75 * N tokens.

    Each chunk has a start token and, where the caption goes on or ends, an end token: the layout of sd-scripts.
    """
    chunk_length = tokenizer.model_max_length - 2
    num_chunks = max_length // 75
    length = num_chunks * chunk_length
    encoded = tokenizer(list(captions), add_special_tokens=False, truncation=True, max_length=length).input_ids
    return _chunks(tokenizer, encoded, num_chunks)


def tokenize_weighted(tokenizer: CLIPTokenizer, captions: Sequence[str], *, max_length: int) -> tuple[Tensor, Tensor]:
    """Return the ids as `tokenize` does, and the weight of each (B, N, 77): of captions with weights such as (a:1.3).

    Start, end and padding weigh 1.
    """
    num_chunks = max_length // 75
    length = num_chunks * (tokenizer.model_max_length - 2)
    ids = []
    weights = torch.ones(len(captions), num_chunks, tokenizer.model_max_length)
    for row, caption in enumerate(captions):
        parts, factors = zip(*weighted_parts(caption), strict=True)
        encoded = tokenizer(list(parts), add_special_tokens=False).input_ids
        ids.append([token for part in encoded for token in part][:length])
        factors_of_tokens = [factor for part, factor in zip(encoded, factors, strict=True) for _ in part][:length]
        inner = torch.ones(length)
        inner[: len(factors_of_tokens)] = torch.tensor(factors_of_tokens)
        weights[row, :, 1:-1] = inner.unflatten(0, (num_chunks, -1))
    return _chunks(tokenizer, ids, num_chunks), weights


def _chunks(tokenizer: CLIPTokenizer, encoded: Sequence[list[int]], num_chunks: int) -> Tensor:
    """Return token ids in chunks (B, N, 77), each with start, end and padding."""
    size = tokenizer.model_max_length - 2
    chunks = [[_chunk(tokenizer, ids[i * size : (i + 1) * size], size) for i in range(num_chunks)] for ids in encoded]
    return torch.tensor(chunks, dtype=torch.long)


def _chunk(tokenizer: CLIPTokenizer, ids: list[int], length: int) -> list[int]:
    padding = [tokenizer.pad_token_id] * (length - len(ids))
    return [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id, *padding]


def weigh(states: Tensor, weights: Tensor | None) -> Tensor:
    """Return hidden states (B * N, 77, C) times the weights (B, N, 77) of their tokens; as they are without weights."""
    return states if weights is None else states * weights.flatten(0, 1).unsqueeze(-1).to(states)


def join_chunks(states: Tensor, *, num_chunks: int) -> Tensor:
    """Join hidden states (B * N, 77, C) of chunks to (B, 75 * N + 2, C): inner start and end tokens are left out."""
    if num_chunks == 1:
        return states
    states = states.unflatten(0, (-1, num_chunks))
    return torch.cat([states[:, 0, :1], states[:, :, 1:-1].flatten(1, 2), states[:, -1, -1:]], dim=1)


def final_norm(encoder: Any) -> nn.Module:
    """Return the final layer norm: CLIPTextModelWithProjection wraps the text model, CLIPTextModel is it."""
    return getattr(encoder, "text_model", encoder).final_layer_norm


def vocabulary_hash(tokenizer: CLIPTokenizer) -> str:
    """Return 16 hex digits that depend on the tokens and their ids."""
    vocabulary = tokenizer.get_vocab()
    return hashlib.sha256("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)).encode()).hexdigest()[:16]
