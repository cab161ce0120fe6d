"""How many tokens of a caption the text encoders read, and the weights in captions. Torch-free."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Self

import tokenizers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from backend.config.model import ModelSection
from backend.config.problems import UserError

VOCABULARY_DIR = Path(__file__).parent / "data" / "clip"
# To be raised when the same vocabulary is read in another way than before.
READING = 1
# How CLIP parts a text into words.
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
# What one pair of brackets does.
EMPHASIS = {"(": 1.1, "[": 1 / 1.1}
CLOSES = {")": "(", "]": "["}
# Words whose number of tokens is kept while captions are counted.
NUM_REMEMBERED = 200_000
PART = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)"
    r"|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)"
    r"|(?P<bracket>[()\[\]])"
    r"|(?P<text>[^\\()\[\]:]+|:)"
)


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts as the text encoders of one model read: `limit` tokens of a caption count, the rest is cut.

    `is_weighted`: captions have weights, whose marks are not read.
    """

    tokenizer: Tokenizer
    limit: int
    is_weighted: bool = False
    # What changes with the vocabulary and with how it is read.
    vocabulary: str = ""
    # The tokens of words that came up.
    lengths: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: ModelSection, *, is_weighted: bool = False) -> Self:
        """Return the counter of a base model: by its own vocabulary where it is a folder that has one, else CLIP's.

        Raises:
            UserError: `tokenizer_unreadable` when the model's own vocabulary is broken.
        """
        tokenizer, vocabulary = _load(_folder(model))
        return cls(tokenizer, model.max_token_length, is_weighted, vocabulary)

    @property
    def name(self) -> str:
        """What counts are remembered by: the same texts have the same counts under the same name."""
        return f"{self.vocabulary}{' weighted' if self.is_weighted else ''}"

    @property
    def is_by_word(self) -> bool:
        """Whether a token never reaches over a blank, as CLIP's: words can be counted one by one then."""
        return getattr(self.tokenizer.model, "end_of_word_suffix", "") == "</w>"

    def count(self, text: str) -> int:
        """Return the number of tokens of a caption, without the start and the end that are put around it."""
        return self.counts([text])[0]

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Return the numbers of tokens of many captions; words that come up again are only read once."""
        if self.is_weighted:
            parts = [[part for part, _ in weighted_parts(text)] for text in texts]
        else:
            parts = [[text] for text in texts]
        split = [[word for part in some for word in part.split(" ")] for some in parts] if self.is_by_word else parts
        if len(self.lengths) > NUM_REMEMBERED:
            self.lengths.clear()
        new = list({word for some in split for word in some} - self.lengths.keys())
        found = self.tokenizer.encode_batch_fast(new, add_special_tokens=False)
        self.lengths.update((word, len(tokens)) for word, tokens in zip(new, found, strict=True))
        return [sum(map(self.lengths.__getitem__, some)) for some in split]


def weighted_parts(text: str) -> list[tuple[str, float]]:
    """Return the parts of a caption with their weights.

    (a) counts 1.1 times as much, [a] that much less, (a:1.3) as the number says; brackets in brackets multiply, those
    that are never closed reach to the end. A backslash makes the bracket behind it a plain one.
    """
    pieces: list[tuple[str, float]] = []
    opened: list[tuple[str, int]] = []
    for found in PART.finditer(text):
        bracket = "(" if found["weight"] else CLOSES.get(found["bracket"] or "", "")
        start = _pop(opened, bracket) if bracket else None
        if start is not None:
            _scale(pieces, start, float(found["weight"]) if found["weight"] else EMPHASIS[bracket])
        elif found["bracket"] in EMPHASIS:
            opened.append((found["bracket"], len(pieces)))
        else:
            pieces.append((found[0] if found["escaped"] is None else found["escaped"], 1.0))
    for bracket, start in opened:
        _scale(pieces, start, EMPHASIS[bracket])
    return _merged(pieces)


def _pop(opened: list[tuple[str, int]], bracket: str) -> int | None:
    """Take the last open bracket of a kind off the list and return where it stands; None when there is none."""
    for index in range(len(opened) - 1, -1, -1):
        if opened[index][0] == bracket:
            return opened.pop(index)[1]
    return None


def _scale(pieces: list[tuple[str, float]], start: int, factor: float) -> None:
    pieces[start:] = [(text, weight * factor) for text, weight in pieces[start:]]


def _merged(pieces: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Join neighbours of the same weight, so that words are read whole."""
    merged: list[tuple[str, float]] = []
    for text, weight in pieces:
        if merged and merged[-1][1] == weight:
            merged[-1] = (merged[-1][0] + text, weight)
        elif text:
            merged.append((text, weight))
    return merged or [("", 1.0)]


def _folder(model: ModelSection) -> Path:
    """Return the folder of the vocabulary."""
    for base in (model.config_dir, model.base_model):
        folder = Path(base).expanduser() / "tokenizer"
        if base.strip() and any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            return folder
    return VOCABULARY_DIR


@lru_cache(maxsize=4)
def _load(folder: Path) -> tuple[Tokenizer, str]:
    """Return the tokenizer of a folder, and what changes with it."""
    try:
        if not (folder / "tokenizer.json").is_file():
            return _clip(folder), _digest(folder / "vocab.json", folder / "merges.txt")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, _digest(folder / "tokenizer.json")
    except Exception as error:  # what the library raises is a plain Exception
        raise UserError("tokenizer_unreadable", "model.base_model", value=str(folder), reason=str(error)) from error


def _digest(*files: Path) -> str:
    digest = hashlib.blake2b(f"{READING} {tokenizers.__version__}".encode(), digest_size=16)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _clip(folder: Path) -> Tokenizer:
    """Return CLIP's tokenizer with the vocabulary of a folder."""
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [(first, second) for first, _, second in (line.partition(" ") for line in lines[1:] if line)]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>")
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer
