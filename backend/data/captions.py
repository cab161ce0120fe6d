"""From the caption as written to the caption of one step: trigger word, dropout, shuffle, in sd-scripts' order."""

from __future__ import annotations

import hashlib
import random

from backend.config.data import DataSection


def caption_rng(seed: int, epoch: int, key: str) -> random.Random:
    """Return the generator of one picture in one epoch: the same in every process, however many there are."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{key}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def with_trigger(caption: str, trigger_word: str, separator: str) -> str:
    """Put the trigger word in front, unless the caption begins with it already."""
    trigger = trigger_word.strip()
    if not trigger:
        return caption
    if caption == trigger or caption.startswith((f"{trigger} ", f"{trigger}{separator}")):
        return caption
    return f"{trigger}{separator.rstrip()} {caption}" if caption else trigger


def compose(caption: str, data: DataSection, rng: random.Random) -> str:
    """Return the caption that the text encoder is shown in one step.

    sd-scripts draws dropout first, then keeps the first tokens and shuffles the rest, and joins with ", ".
    """
    text = with_trigger(caption, data.trigger_word, data.caption_separator)
    if data.caption_dropout_rate and rng.random() < data.caption_dropout_rate:
        return ""
    if not data.shuffle_caption:
        return text
    tokens = [token.strip() for token in text.split(data.caption_separator) if token.strip()]
    fixed, flexible = tokens[: data.keep_tokens], tokens[data.keep_tokens :]
    rng.shuffle(flexible)
    return ", ".join(fixed + flexible)


def all_captions(caption: str, data: DataSection) -> tuple[str, ...]:
    """Return every caption that `compose` can give when nothing is shuffled: for the text cache."""
    text = with_trigger(caption, data.trigger_word, data.caption_separator)
    return (text, "") if data.caption_dropout_rate else (text,)
