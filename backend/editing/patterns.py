"""Texts with * (anything) and ? (any one sign), to be found whole or somewhere in another text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

WILD = "*?"
# A backslash makes these plain; before any other sign it is a backslash: tags have \( in them.
ESCAPED = frozenset('*?"\\')
Finder = Callable[[str], bool]


@dataclass(frozen=True)
class Pattern:
    """A pattern, written with a backslash before every *, ? and backslash that is meant as it is."""

    text: str

    @classmethod
    def of(cls, literal: str) -> Pattern:
        """Return the pattern of a text that means itself."""
        return cls(re.sub(r"[*?\\]", r"\\\g<0>", literal))

    @classmethod
    def typed(cls, text: str) -> Pattern:
        r"""Return the pattern of what a user typed, where a backslash before other signs means itself, as in \(."""
        return cls(re.sub(r"\\(.?)", lambda found: found[0] if found[1] in ESCAPED else rf"\\{found[1]}", text))

    @cached_property
    def is_literal(self) -> bool:
        """Whether it has neither * nor ?."""
        return not any(is_wild for _, is_wild in self._signs)

    @cached_property
    def literal(self) -> str:
        """The text it stands for, when it is literal."""
        return "".join(sign for sign, _ in self._signs)

    @cached_property
    def _signs(self) -> list[tuple[str, bool]]:
        """The signs, and whether each is a wildcard."""
        found = re.findall(r"\\(.)|(.)|(\\)$", self.text, re.DOTALL)
        return [(plain or sign or last, not plain and sign in WILD and bool(sign)) for plain, sign, last in found]

    def whole(self) -> Finder:
        """Return what tells whether a text, without large letters, is as the pattern."""
        folded = self.literal.casefold()
        if self.is_literal:
            return lambda text: text == folded
        head, *others = self._expressions()
        # What stands between two * is looked for once, at the first place that it has: else some patterns never end.
        middle = "".join(f"(?>.*?{each})" for each in others[:-1])
        match = re.compile(head + middle + "".join(f".*{each}" for each in others[-1:]), re.DOTALL).fullmatch
        first = max(self._literals(), key=len, default="")
        return lambda text: first in text and match(text) is not None

    def within(self) -> Finder:
        """Return what tells whether the pattern is somewhere in a text without large letters."""
        pieces = [piece for piece in self._pieces() if piece]
        if all(is_plain for piece in pieces for _, is_plain in piece):
            return _in_turn(["".join(sign for sign, _ in piece) for piece in pieces])
        match = re.compile("".join(f"(?>.*?{each})" for each in self._expressions()), re.DOTALL).match
        literals = self._literals()
        return lambda text: all(literal in text for literal in literals) and match(text) is not None

    def _pieces(self) -> list[list[tuple[str, bool]]]:
        """Return what stands between the *: signs without large letters, and whether each means itself."""
        pieces: list[list[tuple[str, bool]]] = [[]]
        for sign, is_wild in self._signs:
            if is_wild and sign == "*":
                pieces.append([])
            else:
                pieces[-1].append((sign.casefold(), not is_wild))
        return pieces

    def _literals(self) -> list[str]:
        """Return the longest texts without wildcards: what is found must have all of them."""
        runs = ["".join(sign if is_plain else "\0" for sign, is_plain in piece).split("\0") for piece in self._pieces()]
        return [run for some in runs for run in some if run]

    def _expressions(self) -> list[str]:
        """Return what stands between the *, each as a regular expression."""
        return ["".join(re.escape(sign) if is_plain else "." for sign, is_plain in piece) for piece in self._pieces()]


def _in_turn(pieces: Sequence[str]) -> Finder:
    """Return what tells whether a text has all pieces, one behind the other."""
    if len(pieces) == 1:
        (piece,) = pieces
        return lambda text: piece in text

    def found(text: str) -> bool:
        start = 0
        for piece in pieces:
            place = text.find(piece, start)
            if place < 0:
                return False
            start = place + len(piece)
        return True

    return found
