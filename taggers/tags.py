"""From a model's confidences to the words of a caption. Pure: numbers and rules in, words out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.config.problems import UserError
from backend.editing.tags import typed_tags, with_spaces
from taggers.config import TABLE, TaggingConfig
from taggers.models import Category

ORDER: tuple[Category, ...] = ("character", "copyright", "artist", "general", "meta", "other", "model")
# Kinds of which the likeliest is meant, not all above a threshold.
SINGLE: tuple[Category, ...] = ("rating", "quality")
# MCut may find its gap among names that are all unlikely; something general is on every picture.
LEAST_OF_NAMES = 0.15
SERIES = re.compile(r"^(?P<name>.+?)_?\((?P<series>[^()]+)\)$")
WEIGHTED = re.compile(r"^\((.+):\d+(?:\.\d+)?\)$")
ARROW = re.compile(r"\s*(?:->|→|=>)\s*")
SPACES = " \t\r\n"
ESCAPED = re.compile(r"\\([()])")
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TagList:
    """What a model's outputs mean, in their order. `best` are the makers' thresholds, where there are any."""

    names: tuple[str, ...]
    categories: tuple[Category, ...]
    best: Scores | None = None
    places: Mapping[Category, NDArray[np.intp]] = field(init=False)

    def __post_init__(self) -> None:
        kinds = np.array(self.categories)
        places = {kind: np.flatnonzero(kinds == kind) for kind in dict.fromkeys(self.categories)}
        object.__setattr__(self, "places", places)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag of a picture; `place` is that in the model's list."""

    name: str
    category: Category
    score: float
    place: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The user's wishes, read once."""

    config: TaggingConfig
    thresholds: Mapping[Category, float]
    excluded: re.Pattern[str] | None
    replaced: Mapping[str, tuple[str, ...]]


def same(name: str) -> str:
    """Return the form in which two spellings of a tag are compared; brackets may be typed as they are escaped."""
    return " ".join(ESCAPED.sub(r"\1", name).replace("_", " ").casefold().split())


def make_rules(config: TaggingConfig) -> Rules:
    """Read the lists of a configuration.

    Raises:
        UserError: A replacement has no arrow.
    """
    excluded = typed_tags(",".join(config.excluded_tags))
    patterns = [re.escape(same(text)).replace(r"\*", ".*").replace(r"\?", ".") for text in excluded]
    thresholds: dict[Category, float] = {
        "general": config.general_threshold,
        "character": config.character_threshold,
        "copyright": config.copyright_threshold,
        "artist": config.artist_threshold,
        "meta": config.meta_threshold,
    }
    return Rules(
        config,
        {kind: thresholds.get(kind, config.other_threshold) for kind in ORDER},
        re.compile("|".join(f"(?:{pattern})" for pattern in patterns)) if patterns else None,
        {tag: new for line in config.replacements if line.strip() for tag, new in _replacement(line)},
    )


def _replacement(line: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is written for each of the tags before the arrow."""
    parts = ARROW.split(line.strip())
    old = typed_tags(parts[0])
    if len(parts) != 2 or not old:
        raise UserError("tag_replacement_invalid", f"{TABLE}.replacements", value=line)
    return [(same(tag), tuple(typed_tags(parts[1]))) for tag in old]


def mcut(scores: Scores) -> float:
    """Return the middle of the widest gap between sorted confidences; 1 where there is none."""
    if len(scores) < 2:
        return 1.0
    falling = np.sort(scores)[::-1]
    place = int(np.argmax(falling[:-1] - falling[1:]))
    return float(falling[place] + falling[place + 1]) / 2


def _threshold(kind: Category, scores: Scores, places: NDArray[np.intp], tags: TagList, rules: Rules) -> float | Scores:
    if rules.config.mcut:
        gap = mcut(scores)
        return gap if kind == "general" else max(gap, LEAST_OF_NAMES)
    if rules.config.best_thresholds and tags.best is not None:
        own = tags.best[places]
        return np.where(np.isnan(own), np.float32(rules.thresholds[kind]), own)
    return rules.thresholds[kind]


def choose(scores: Scores, tags: TagList, rules: Rules) -> list[Tag]:
    """Return the tags of one picture, in the order of the list: those above their thresholds, and the single ones.

    Args:
        scores: (number of tags) confidences from 0 to 1.
        tags: What they mean.
        rules: Thresholds, and whether the single kinds are wanted.
    """
    taken: list[int] = []
    for kind, places in tags.places.items():
        own = scores[places]
        if kind in SINGLE:
            if getattr(rules.config, kind) != "none":
                taken.append(int(places[np.argmax(own)]))
        elif rules.thresholds[kind] < 1:
            taken += [int(place) for place in places[own >= _threshold(kind, own, places, tags, rules)]]
    return [Tag(tags.names[place], tags.categories[place], float(scores[place]), place) for place in sorted(taken)]


def ordered(tags: Iterable[Tag], order: str) -> list[Tag]:
    """Return tags by confidence, by kind, or as in the model's list."""
    if order == "list":
        return sorted(tags, key=lambda tag: tag.place)
    if order == "category":
        return sorted(tags, key=lambda tag: (ORDER.index(tag.category), -tag.score))
    return sorted(tags, key=lambda tag: -tag.score)


def _names(tag: Tag, rules: Rules) -> list[str]:
    """Return what a tag is written as: itself, two for a character and its series, others, or nothing."""
    if _is_excluded(tag.name, rules):
        return []
    match = SERIES.match(tag.name) if rules.config.character_expand and tag.category == "character" else None
    names = [match["name"], match["series"]] if match else [tag.name]
    written = [word for name in names for word in rules.replaced.get(same(name), (name,))]
    return [word for word in written if not _is_excluded(word, rules)]


def _is_excluded(name: str, rules: Rules) -> bool:
    return rules.excluded is not None and rules.excluded.fullmatch(same(name)) is not None


def spelled(name: str, config: TaggingConfig, score: float | None = None) -> str:
    """Return a tag as it is written."""
    text = with_spaces(name) if config.underscore_to_space else name
    if config.escape_brackets or config.confidence_weights:  # brackets in brackets would be a second weight
        text = re.sub(r"(?<!\\)([()])", r"\\\1", text)
    return f"({text}:{score:.2f})" if config.confidence_weights and score is not None else text


def words(tags: Sequence[Tag], rules: Rules) -> list[str]:
    """Return the words of a caption in their order, each once: additional tags, then tags, without the trigger word."""
    config = rules.config
    single = {kind: [tag for tag in tags if tag.category == kind] for kind in SINGLE}
    first = [tag for kind in SINGLE if getattr(config, kind) == "first" for tag in single[kind]]
    last = [tag for kind in reversed(SINGLE) if getattr(config, kind) == "last" for tag in single[kind]]
    middle = ordered((tag for tag in tags if tag.category not in SINGLE), config.order)
    in_front = {"", *triggers(config)}
    found: dict[str, str] = {}
    for text in typed_tags(",".join(config.additional_tags)):
        found.setdefault(same(text), text)
    for tag in (*first, *middle, *last):
        for name in _names(tag, rules):
            found.setdefault(same(name), spelled(name, config, tag.score))
    return [word for key, word in found.items() if key not in in_front]


def sentence(text: str, rules: Rules) -> list[str]:
    """Return the parts of a caption from a captioner's text: the additional tags, and the text in one line."""
    parts = (*typed_tags(",".join(rules.config.additional_tags)), " ".join(text.split()))
    return [part for part in parts if part]


def joined(old: str, new: Sequence[str], config: TaggingConfig) -> str:
    """Return the caption of a picture from what it has, what was found, and what is to be done with the two.

    Each line of what it has is a caption of its own, and gets all that is new.
    """
    kept = "" if config.on_existing == "overwrite" else old.strip()
    if "\n" in kept and "\n" not in config.separator:
        return "\n".join(joined(line, new, config) if line.strip() else line for line in kept.split("\n"))
    known = set(map(_bare, _parts(kept, config))) if config.on_existing == "merge" else set()
    # Of a sentence with commas all parts are known when it stands there already.
    text = config.separator.join(word for word in new if not known.issuperset(map(_bare, _parts(word, config))))
    return _led(_linked((text, kept) if config.on_existing == "prepend" else (kept, text), config), config)


def _linked(parts: Sequence[str], config: TaggingConfig) -> str:
    """Return two texts as one caption; a separator that stands where they meet already is not doubled."""
    first, second = parts
    edge = SPACES + "," + "".join(sign for sign in config.separator if not sign.isalnum())
    if not first.strip(edge) or not second.strip(edge):
        return first if first.strip(edge) else second
    return first.rstrip(edge) + config.separator + second.lstrip(edge)


def triggers(config: TaggingConfig) -> list[str]:
    """Return the trigger word in the form in which tags are compared; several where it has commas in it."""
    return [word for part in _parts(config.trigger_word, config) if (word := _bare(part))]


def _led(caption: str, config: TaggingConfig) -> str:
    """Return a caption with the trigger word in front; where it stands in it already, it comes to the front."""
    leading, found = triggers(config), _parts(caption, config)
    if [_bare(part) for part in found[: len(leading)]] == leading:
        return caption
    if not set(leading).isdisjoint(map(_bare, found)):
        caption = config.separator.join(part.strip() for part in found if _bare(part) not in leading)
    return _linked((config.trigger_word.strip(), caption), config)


def _parts(caption: str, config: TaggingConfig) -> list[str]:
    """Return what stands between commas, or what the user has instead, were it blanks."""
    return re.split("|".join({",", re.escape(config.separator.strip() or config.separator)}), caption)


def _bare(word: str) -> str:
    """Return a word of a caption without escapes and weight, as it is compared."""
    plain = word.strip().replace("\\", "")
    match = WEIGHTED.match(plain)
    return same(match[1] if match else plain)


def confidences(tags: Sequence[Tag]) -> dict[str, Any]:
    """Return the confidences of a picture's tags by kind, surest first, for files that programs read."""
    table: dict[str, Any] = {}
    for tag in ordered(tags, "confidence"):
        table.setdefault(tag.category, {})[tag.name] = round(tag.score, 4)
    return table
