"""From the captions as written to the caption of one step, in the order of sd-scripts with what it has not.

    source      one of several captions, or the description; of several lines all, the first or one of them
    trigger     the trigger word in front of it, unless it is there
    edges       prefix and suffix
    dropout     by rate, or all of an epoch: then nothing is left
    wildcards   {a|b} is one of the two
    tags        kept tags, warm-up, shuffle, tag dropout; never for descriptions, which are sentences
    separator   the secondary one becomes the usual one

What differs from sd-scripts: the mark of kept tags never stays in a caption; empty tags are left out even when no mark
is there; each line of several has the prefix and the suffix.

How it is used:

    rng = caption_rng(seed, epoch, draw_key(record, occurrence))
    text = compose(record, dataset.rules, rng, epoch=epoch, step=step, total_steps=total_steps, seed=seed)

`epoch` and `step` count from 0. For a text cache: `varies(rules)` must be False, then every result of `compose` is
among `all_captions(record, rules, seed=seed)`, which also holds the empty caption where captions are dropped.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Protocol

from backend.config.captions import CaptionRules
from backend.config.problems import UserError
from backend.data.records import ImageRecord

# What {{ and }} are while wildcards are resolved: characters that no text has.
BRACES = (("{{", "\ue000", "{"), ("}}", "\ue001", "}"))
WILDCARD = re.compile(r"\{([^{}]+)\}")

Size = tuple[int, int]
Choose = Callable[[Sequence[str]], str]


class Code(Protocol):
    """Code of the user's that writes captions; None where it has no such function. See `user_code.UserCode`."""

    def caption(self, record: ImageRecord, rng: random.Random, *, flip: bool, bucket: Size | None) -> str | None:
        """Return the caption of one draw."""

    def description(self, record: ImageRecord, rng: random.Random, *, flip: bool, bucket: Size | None) -> str | None:
        """Return the description of one draw."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text as written, one line; descriptions are sentences, whose commas part no tags."""

    text: str
    is_description: bool = False


def caption_rng(seed: int, epoch: int, key: str) -> random.Random:
    """Return the generator of one picture in one epoch: the same in every process, however many there are."""
    digest = hashlib.sha256(f"{seed}/{epoch}/{key}".encode("utf-8", "surrogatepass")).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def draw_key(record: ImageRecord, occurrence: int = 0) -> str:
    """Return the key for `caption_rng` of a picture that is drawn for the nth time in an epoch, from 0."""
    return f"{record.dataset}/{record.name}/{occurrence}"


def compose(
    record: ImageRecord,
    rules: CaptionRules,
    rng: random.Random,
    *,
    epoch: int,
    step: int = 0,
    total_steps: int = 0,
    seed: int = 0,
    code: Code | None = None,
    flip: bool = False,
    bucket: Size | None = None,
) -> str:
    """Return the caption that the text encoder is shown in one step.

    Args:
        record: The picture.
        rules: The rules of its data set, filled in.
        rng: Where all chance comes from: `caption_rng` of this draw.
        epoch: From 0. Every nth epoch can be without captions.
        step: The optimizer step, from 0; for tag warm-up.
        total_steps: All steps of the run; for a warm-up that is a share of them.
        seed: The run's; for `caption_variants`, which are the same in all epochs.
        code: The functions of the user's for this data set, from `user_code.open_all`.
        flip: Whether the picture is mirrored this time; only for `code`.
        bucket: The size that it is trained at, (width, height); only for `code`.
    """
    if _is_dropped(rules, rng, epoch):
        return ""
    if rules.caption_variants:
        return _variant(record, rules, rng.randrange(rules.caption_variants), seed=seed, code=code)
    source = _draw_source(record, rules, rng, code=code, flip=flip, bucket=bucket)
    return _finish(source, rules, rng, warmup=_warmup(rules, step, total_steps))


def varies(rules: CaptionRules, *, has_code: bool = False) -> bool:
    """Tell whether captions differ from step to step without end, so that their encodings cannot be cached."""
    return not rules.caption_variants and (_changes_tags(rules) or rules.enable_wildcard or has_code)


def all_captions(
    record: ImageRecord, rules: CaptionRules, *, seed: int = 0, code: Code | None = None
) -> tuple[str, ...]:
    """Return every caption that `compose` can give for a picture, each once; only where captions do not vary."""
    assert not varies(rules, has_code=code is not None), "captions that vary cannot be listed"
    if rules.caption_variants:
        variants = range(rules.caption_variants)
        texts = [_variant(record, rules, number, seed=seed, code=code) for number in variants]
    else:
        texts = list(full_captions(record, rules))
    dropped = [""] if rules.caption_dropout_rate or rules.caption_dropout_every_n_epochs else []
    return tuple(dict.fromkeys(texts + dropped))


def full_captions(record: ImageRecord, rules: CaptionRules) -> tuple[str, ...]:
    """Return each text of a picture with all of its tags in their order, and of wildcards the longest choice."""
    return tuple(dict.fromkeys(_finish(source, rules) for source in _sources(record, rules)))


def preview(
    record: ImageRecord,
    rules: CaptionRules,
    *,
    seed: int = 0,
    num: int = 12,
    total_steps: int = 1000,
    code: Code | None = None,
) -> list[str]:
    """Return the captions of a picture in `num` epochs that are spread over a run of `total_steps`."""
    key = draw_key(record)
    return [
        compose(
            record,
            rules,
            caption_rng(seed, epoch, key),
            epoch=epoch,
            step=epoch * total_steps // num,
            total_steps=total_steps,
            seed=seed,
            code=code,
        )
        for epoch in range(num)
    ]


def with_trigger(caption: str, trigger_word: str, separator: str) -> str:
    """Put the trigger word in front, unless the caption begins with it already."""
    trigger = trigger_word.strip()
    if not trigger:
        return caption
    if caption == trigger or caption.startswith((f"{trigger} ", f"{trigger}{separator}")):
        return caption
    return f"{trigger}{separator.rstrip()} {caption}" if caption else trigger


def tags_of(text: str, rules: CaptionRules) -> list[str]:
    """Return the tags of a caption, without blanks around them and without empty ones."""
    return [tag.strip() for tag in text.split(rules.caption_separator) if tag.strip()]


def _is_dropped(rules: CaptionRules, rng: random.Random, epoch: int) -> bool:
    every = rules.caption_dropout_every_n_epochs
    by_chance = bool(rules.caption_dropout_rate) and rng.random() < rules.caption_dropout_rate
    return by_chance or bool(every and (epoch + 1) % every == 0)


def _variant(record: ImageRecord, rules: CaptionRules, number: int, *, seed: int, code: Code | None) -> str:
    """Return one of the variants of a caption. They know no step and no epoch: there is no warm-up in them."""
    rng = caption_rng(seed, number, f"variant/{record.dataset}/{record.name}")
    return _finish(_draw_source(record, rules, rng, code=code), rules, rng)


def _draw_source(
    record: ImageRecord,
    rules: CaptionRules,
    rng: random.Random,
    *,
    code: Code | None,
    flip: bool = False,
    bucket: Size | None = None,
) -> Source:
    """Draw description or caption, then one of several captions, then a line of it."""
    description, captions = record.description, record.captions
    if code is not None:
        own = code.caption(record, rng, flip=flip, bucket=bucket)
        captions = captions if own is None else (own,)
        own = code.description(record, rng, flip=flip, bucket=bucket)
        description = description if own is None else own
    if description and (not captions or (rules.description_rate and rng.random() < rules.description_rate)):
        return Source(rng.choice(_lines(description, rules)), is_description=True)
    caption = rng.choice(captions) if captions else record.class_tokens
    return Source(rng.choice(_lines(caption, rules)))


def _sources(record: ImageRecord, rules: CaptionRules) -> Iterator[Source]:
    """Yield all that `_draw_source` can draw without code."""
    tagged = record.captions or ("" if record.description else record.class_tokens,)
    if not record.description or (record.captions and rules.description_rate < 1):
        yield from (Source(line) for caption in tagged for line in _lines(caption, rules))
    if record.description and (not record.captions or rules.description_rate):
        yield from (Source(line, is_description=True) for line in _lines(record.description, rules))


def _lines(text: str, rules: CaptionRules) -> list[str]:
    """Return what of a text is one caption: all lines together, the first, or each; at least one."""
    if "\n" not in text:
        return [text]
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    if rules.enable_wildcard or rules.caption_lines == "random":
        return lines
    return lines[:1] if rules.caption_lines == "first" else [" ".join(lines)]


def _finish(
    source: Source,
    rules: CaptionRules,
    rng: random.Random | None = None,
    *,
    warmup: tuple[int, float] | None = None,
) -> str:
    """Take a text through all steps after the dropout; without chance (rng is None) in full.

    `warmup` is the step and the length of a tag warm-up that is not over.
    """
    text = with_trigger(source.text, rules.trigger_word, rules.caption_separator)
    text = " ".join(part for part in (rules.caption_prefix, text, rules.caption_suffix) if part)
    if rules.enable_wildcard:
        text = _resolve(text, rng.choice if rng else _longest)
    if rng and not source.is_description and _changes_tags(rules):
        text = _vary_tags(text, rules, rng, warmup)
    elif rules.keep_tokens_separator and rules.keep_tokens_separator in text:
        text = _without_mark(text, rules)
    if rules.secondary_separator:
        text = text.replace(rules.secondary_separator, rules.caption_separator)
    return text


def _resolve(text: str, choose: Choose) -> str:
    for written, placeholder, _ in BRACES:
        text = text.replace(written, placeholder)
    text = WILDCARD.sub(lambda found: choose(found[1].split("|")), text)
    for _, placeholder, meant in BRACES:
        text = text.replace(placeholder, meant)
    return text


def _longest(choices: Sequence[str]) -> str:
    return max(choices, key=len)


def _without_mark(text: str, rules: CaptionRules) -> str:
    parts = (part.strip().strip(rules.caption_separator).strip() for part in text.split(rules.keep_tokens_separator))
    return f"{rules.caption_separator.rstrip()} ".join(part for part in parts if part)


def _changes_tags(rules: CaptionRules) -> bool:
    return bool(rules.shuffle_caption or rules.token_warmup_steps or rules.tag_dropout_rate)


def _vary_tags(text: str, rules: CaptionRules, rng: random.Random, warmup: tuple[int, float] | None) -> str:
    fixed, flexible, last = split_tags(text, rules)
    if warmup:
        step, length = warmup
        least = rules.token_warmup_min
        flexible = flexible[: math.floor(step * ((len(flexible) - least) / length)) + least]
    if rules.shuffle_caption:
        rng.shuffle(flexible)
    if rules.tag_dropout_rate:
        flexible = [tag for tag in flexible if rng.random() >= dropout_of(tag, rules)]
    return ", ".join(fixed + flexible + last)


def split_tags(text: str, rules: CaptionRules) -> tuple[list[str], list[str], list[str]]:
    """Return the tags that stay in front, those that may move or go, and those that stay at the end."""
    mark = rules.keep_tokens_separator
    if mark and mark in text:
        front, middle, *end = text.split(mark, 2)
        last = end[0].replace(mark, rules.caption_separator) if end else ""
        return tags_of(front, rules), tags_of(middle, rules), tags_of(last, rules)
    tags = tags_of(text, rules)
    return tags[: rules.keep_tokens], tags[rules.keep_tokens :], []


def _warmup(rules: CaptionRules, step: int, total_steps: int) -> tuple[int, float] | None:
    """Return the step and the length of the tag warm-up; None once it is over."""
    steps = rules.token_warmup_steps
    length = math.floor(steps * total_steps) if steps < 1 else steps
    return (step, length) if step < length else None


def dropout_of(tag: str, rules: CaptionRules) -> float:
    """Return the chance of a tag to be left out: its own, or the general one; 0 where it is protected."""
    if _matches(tag, rules.tag_dropout_protected):
        return 0.0
    for pattern, chance in tag_weights(tuple(rules.tag_dropout_weights)):
        if _matches(tag, (pattern,)):
            return chance
    if rules.tag_dropout_only and not _matches(tag, rules.tag_dropout_only):
        return 0.0
    return rules.tag_dropout_rate


def _matches(tag: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(tag.lower(), pattern.strip().lower()) for pattern in patterns)


@lru_cache(maxsize=64)
def tag_weights(entries: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Return the patterns and chances of entries such as smile=0.5.

    Raises:
        UserError: `tag_weight` when an entry is not a tag, an equals sign and a number from 0 to 1.
    """
    weights = []
    for entry in entries:
        pattern, _, number = entry.rpartition("=")
        try:
            chance = float(number)
        except ValueError:
            chance = math.nan
        if not pattern.strip() or not 0 <= chance <= 1:
            raise UserError("tag_weight", "data.tag_dropout_weights", value=entry)
        weights.append((pattern.strip(), chance))
    return tuple(weights)
