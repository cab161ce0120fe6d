"""Regular expressions of users, which may be such that a search never ends: they get a time to do it in."""

from __future__ import annotations

import time
from collections.abc import Callable

import regex

from backend.config.problems import UserError

# For all captions together. A sane expression needs a second for a hundred thousand.
SECONDS = 10.0


def substitution(
    find: str, replacement: str, *, ignore_case: bool = False, seconds: float = SECONDS
) -> Callable[[str], str]:
    """Return the function that replaces what an expression finds; ^ and $ are at the ends of each line.

    The function raises UserError `regex_slow` once it has taken so many seconds in all.

    Raises:
        UserError: `regex_wrong`.
    """
    try:
        pattern = regex.compile(find, regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0))
        regex.compile(f"{find}|").sub(replacement, "")  # finds mistakes of the replacement, too
    except (regex.error, IndexError) as error:
        raise UserError("regex_wrong", value=find, reason=str(error)) from error
    left = seconds

    def edited(text: str) -> str:
        nonlocal left
        began = time.perf_counter()
        try:
            if left <= 0:
                raise TimeoutError
            # Concurrently: others are served meanwhile.
            return pattern.sub(replacement, text, timeout=left, concurrent=True)
        except TimeoutError as error:
            raise UserError("regex_slow", value=find, seconds=f"{seconds:g}") from error
        finally:
            left -= time.perf_counter() - began

    return edited
