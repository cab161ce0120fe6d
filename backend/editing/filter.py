"""The language of the caption page's filter: parsed, printed again, and errors told at their place.

    tag:"long hair" (caption:smile or tags: < 5) not dup

Terms: `tag:` a whole tag; `caption:` somewhere in the caption; `name:` and `path:` of the picture, somewhere in it, or
all of it when there are * or ? in the term; a word alone is looked for in captions and paths. Numbers, with = != < > <=
>=, after a colon or not: `tags:`, `tokens:`, `chars:`, `lines:`, `width:`, `height:`, `size:` (the shorter side),
`aspect:` (width to height, also as 16:9), `score:`, `rating:` (1 to 5, 0: none), `rarest:` (in how many captions the
rarest tag of this one is).
`similar:` a picture. Between terms: `and` (or nothing, or a comma), `or`, `not`, brackets; also & | and - or !
directly before what is not wanted. In quotes, double or single, blanks, commas and brackets mean themselves; * and ? do
behind a backslash. Large and small letters are the same. Alone stand:

    untagged   pictures without a caption
    changed    captions that were changed on this page
    dup        pictures that are there twice
    rated      pictures with a rating
    masked     pictures with a mask beside them
    cropped    pictures that are cut
    rotated    pictures that are turned
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from backend.config.problems import UserError
from backend.editing.patterns import ESCAPED, Pattern

TextKey = Literal["tag", "caption", "name", "path", "similar", ""]
TEXT_KEYS = frozenset({"tag", "caption", "name", "path", "similar"})
NUMBER_KEYS = frozenset(
    {"tags", "tokens", "chars", "lines", "width", "height", "size", "aspect", "score", "rating", "rarest"}
)
FLAGS = frozenset({"untagged", "changed", "dup", "rated", "masked", "cropped", "rotated"})
# What is typed for words between terms, the longest first: other programs have signs for them.
JOINS = {"and": ("and", "&&", "&"), "or": ("or", "||", "|"), "not": ("not",)}
WORDS = frozenset(word for words in JOINS.values() for word in words)
# Not before signs: -_- is a face.
MINUS = re.compile(r"""[-!](?=[^\W_]|[("'‘])""")
MAXIMUM_DEPTH = 100
OPERATORS = {"==": "=", "≥": ">=", "≤": "<=", "≠": "!=", "": "="}
# What Chinese keyboards write, read as what is meant; of the same length, so that places stay.
TYPED = str.maketrans("：（）“”＞＜＝！，、", ':()""><=!,,')
KEY = re.compile(r"([A-Za-z_]+):")
# A number is compared without a colon, too: tags > 10.
COMPARED = re.compile(rf"({'|'.join(sorted(NUMBER_KEYS))})(?=\s*(?:[<>=≥≤≠]|!=)+\s*-?\d)", re.IGNORECASE)
# Single quotes are quotes around a whole word only: girl's, '90s and o'clock have them, too.
SINGLE = re.compile(r"['‘].+?['’](?=[\s(),]|$)")
NUMBER = re.compile(
    r"\s*(?P<operator>>=|<=|!=|==|=|>|<|≥|≤|≠|)\s*(?P<number>-?\d+(?:\.\d+)?)(?:\s?[:/x×]\s?(?P<by>\d+(?:\.\d+)?))?"
    r"(?=[\s(),]|$)"
)
# What stands where a number should.
NO_NUMBER = re.compile(r"\s*[<>=!≥≤≠]*\s*[^\s(),]*")
BARE = re.compile(r"""[^\s()"'‘:\\,!-][^\s()":\\,]*""")


class FilterError(UserError):
    """A filter that cannot be read; `position` and `length` are the place, in signs of its text."""

    def __init__(self, position: int, length: int, code: str, **params: str) -> None:
        super().__init__(code, **params)
        self.position = position
        self.length = length
        self.code = code
        self.params = params


@dataclass(frozen=True)
class Term:
    """A text to look for; an empty key: in captions and paths."""

    key: TextKey
    pattern: Pattern
    position: tuple[int, int] = field(default=(0, 0), compare=False)

    def __str__(self) -> str:
        return f"{self.key}:{_quoted(self.pattern.text)}" if self.key else _quoted(self.pattern.text)


@dataclass(frozen=True)
class Compare:
    """A number to compare with. The operator is one of = != < > <= >=."""

    key: str
    operator: str
    number: float
    position: tuple[int, int] = field(default=(0, 0), compare=False)

    def __str__(self) -> str:
        return f"{self.key}: {self.operator} {Decimal(repr(self.number)):f}".removesuffix(".0")


@dataclass(frozen=True)
class Flag:
    """One of FLAGS."""

    key: str
    position: tuple[int, int] = field(default=(0, 0), compare=False)

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True)
class Not:
    """What the other does not find."""

    node: Node

    def __str__(self) -> str:
        return f"not {_bracketed(self.node, And | Or)}"


@dataclass(frozen=True)
class And:
    """What all of two or more find."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return " and ".join(_bracketed(node, And | Or) for node in self.nodes)


@dataclass(frozen=True)
class Or:
    """What any of two or more finds."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return " or ".join(_bracketed(node, Or) for node in self.nodes)


@dataclass(frozen=True)
class Everything:
    """What an empty filter finds."""

    def __str__(self) -> str:
        return ""


Node: TypeAlias = Term | Compare | Flag | Not | And | Or | Everything


def parse(text: str) -> Node:
    """Return what a filter means; `str` of it is a filter that means the same.

    Raises:
        FilterError: `filter_key_unknown`, `filter_value_missing`, `filter_number_wrong`, `filter_quote_open`,
            `filter_bracket_open`, `filter_bracket_close`, `filter_term_missing` or `filter_too_deep`.
    """
    return _Parser(text).run()


class _Parser:
    """Reads from left to right; `at` is the place."""

    def __init__(self, text: str) -> None:
        self.text = text
        # Signs inside of quotes mean themselves; they are taken from `text`.
        self.typed = text.translate(TYPED)
        self.at = 0
        self.depth = 0

    def run(self) -> Node:
        self._blanks()
        if self.at == len(self.text):
            return Everything()
        node = self._either()
        if self.at < len(self.text):
            raise FilterError(self.at, 1, "filter_bracket_close")
        return node

    def _either(self) -> Node:
        nodes = [self._all()]
        while self._word("or"):
            nodes.append(self._all())
        return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))

    def _all(self) -> Node:
        nodes = [self._one()]
        while self._word("and") or self._goes_on():
            nodes.append(self._one())
        return nodes[0] if len(nodes) == 1 else And(tuple(nodes))

    def _goes_on(self) -> bool:
        """Tell whether another term follows with nothing between: that means and."""
        return self.at < len(self.text) and self.typed[self.at] != ")" and not self._is_word("or")

    def _one(self) -> Node:
        start = self.at
        self.depth += 1
        if self.depth > MAXIMUM_DEPTH:
            raise FilterError(start, 1, "filter_too_deep", num=str(MAXIMUM_DEPTH))
        node = Not(self._one()) if self._word("not") or self._minus() else self._inner()
        self.depth -= 1
        return node

    def _minus(self) -> bool:
        """Read a - or ! that stands directly before a word, a quote or a bracket."""
        found = MINUS.match(self.typed, self.at)
        self.at += len(found[0]) if found else 0
        return found is not None

    def _inner(self) -> Node:
        start = self.at
        if self._sign("("):
            node = self._either()
            if not self._sign(")"):
                raise FilterError(start, 1, "filter_bracket_open")
            return node
        if start == len(self.text) or self.typed[start] == ")" or self._is_word("and") or self._is_word("or"):
            raise FilterError(*self._before(start), "filter_term_missing")
        return self._term()

    def _before(self, place: int) -> tuple[int, int]:
        """Return the place of the word behind which something is missing, or of the first sign."""
        words = self.text[:place].rstrip().split()
        if not words:
            return place, 1
        end = len(self.text[:place].rstrip())
        return end - len(words[-1]), len(words[-1])

    def _term(self) -> Node:
        start = self.at
        if compared := COMPARED.match(self.typed, self.at):
            self.at = compared.end()
            return self._number(compared[1].lower(), start)
        key = KEY.match(self.typed, self.at)
        if key is None:
            return self._alone()
        name = key[1].lower()
        if name not in TEXT_KEYS | NUMBER_KEYS:
            known = ", ".join(f"{each}:" for each in sorted(TEXT_KEYS | NUMBER_KEYS))
            raise FilterError(start, len(key[0]), "filter_key_unknown", value=key[0], keys=known)
        self.at = key.end()
        if name in NUMBER_KEYS:
            return self._number(name, start)
        self._blanks()
        if self.at == len(self.text) or self.typed[self.at] in "()":
            raise FilterError(start, len(key[0]), "filter_value_missing", value=key[0])
        pattern = self._pattern()
        return Term(name, pattern, self._from(start))  # type: ignore[arg-type]

    def _alone(self) -> Node:
        start = self.at
        is_quoted = self.typed[start] == '"' or SINGLE.match(self.typed, start) is not None
        pattern = self._pattern()
        name = pattern.text.lower()
        if name in FLAGS and not is_quoted:
            return Flag(name, self._from(start))
        return Term("", pattern, self._from(start))

    def _from(self, start: int) -> tuple[int, int]:
        """Return the place of what was read since `start`, and go on behind the blanks."""
        place = (start, self.at - start)
        self._blanks()
        return place

    def _number(self, name: str, start: int) -> Node:
        match = NUMBER.match(self.typed, self.at)
        by = float(match["by"] or 1) if match else 1.0
        if match is None or not by or (match["by"] and name != "aspect"):
            end = NO_NUMBER.match(self.typed, self.at)
            assert end is not None, "every part may be empty"
            length = len(self.text[start : end.end()].rstrip())
            raise FilterError(start, length, "filter_number_wrong", value=self.text[start : start + length], name=name)
        self.at = match.end()
        operator = OPERATORS.get(match["operator"], match["operator"])
        return Compare(name, operator, float(match["number"]) / by, self._from(start))

    def _pattern(self) -> Pattern:
        """Read a word: up to a blank or a bracket that was not opened in it; parts of it may be in quotes."""
        signs: list[str] = []
        if single := SINGLE.match(self.typed, self.at):
            self.at += 1
            while self.at < single.end() - 1:
                self._take_sign(signs)
            self.at = single.end()
            return Pattern("".join(signs))
        depth = 0
        while self.at < len(self.text):
            sign = self.typed[self.at]
            if sign == '"':
                self._quoted_part(signs)
                continue
            if sign.isspace() or sign == "," or (sign == ")" and not depth):
                break
            depth += (sign == "(") - (sign == ")")
            self._take_sign(signs)
        return Pattern("".join(signs))

    def _quoted_part(self, signs: list[str]) -> None:
        start = self.at
        self.at += 1
        while self.at < len(self.text) and self.typed[self.at] != '"':
            self._take_sign(signs)
        if self.at == len(self.text):
            raise FilterError(start, len(self.text) - start, "filter_quote_open")
        self.at += 1

    def _take_sign(self, signs: list[str]) -> None:
        """Read a sign of a pattern, or two when the first is a backslash."""
        sign = self.text[self.at]
        following = self.typed[self.at + 1 : self.at + 2]
        if sign == "\\" and following and following in ESCAPED:
            signs.append(self.text[self.at + 1] if following == '"' else sign + following)
            self.at += 2
        else:
            signs.append("\\\\" if sign == "\\" else sign)
            self.at += 1

    def _blanks(self) -> None:
        while self.at < len(self.text) and (self.text[self.at].isspace() or self.typed[self.at] == ","):
            self.at += 1

    def _sign(self, sign: str) -> bool:
        if self.typed[self.at : self.at + 1] != sign:
            return False
        self.at += 1
        self._blanks()
        return True

    def _is_word(self, word: str) -> bool:
        return self._join(word) is not None

    def _join(self, word: str) -> str | None:
        """Return how a word between terms is written here; None where it is not."""
        for written in JOINS[word]:
            end = self.at + len(written)
            behind = self.typed[end : end + 1]
            is_end = not behind or behind.isspace() or behind in "(),"
            if is_end and self.typed[self.at : end].lower() == written:
                return written
        return None

    def _word(self, word: str) -> bool:
        written = self._join(word)
        if written is None:
            return False
        self.at += len(written)
        self._blanks()
        return True


def _quoted(pattern: str) -> str:
    """Return a pattern as it can stand in a filter."""
    typed = pattern.translate(TYPED)
    is_plain = BARE.fullmatch(typed) and pattern.lower() not in WORDS | FLAGS and not COMPARED.match(typed)
    return pattern if is_plain else '"' + pattern.replace('"', '\\"').translate(CURLY) + '"'


# Quotes of Chinese keyboards would end a quoted text: they are quotes behind a backslash, too.
CURLY = str.maketrans({"“": "\\“", "”": "\\”"})


def _bracketed(node: Node, kinds: object) -> str:
    return f"({node})" if isinstance(node, kinds) else str(node)  # type: ignore[arg-type]
