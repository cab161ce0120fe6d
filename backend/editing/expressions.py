"""Regular expressions of users, which may be such that a search never ends: they get a time to do it in."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable

import regex

from backend.config.problems import UserError

# For all captions together. A sane expression needs a second for a hundred thousand.
SECONDS = 10.0
# All repeats of an expression together: it becomes as long as that before anything is searched.
MOST_REPEATS = 100_000
REPEAT = re.compile(r"\{(\d{1,9})")
# What an expression ends in that is wrong, or that leads into itself.
WRONG = (regex.error, IndexError, MemoryError, RecursionError)


def substitution(
    find: str, replacement: str, *, ignore_case: bool = False, seconds: float = SECONDS
) -> Callable[[str], str]:
    """Return the function that replaces what an expression finds; ^ and $ are at the ends of each line.

    The function raises UserError `regex_slow` once it has taken so many seconds in all.

    Raises:
        UserError: `regex_wrong`.
    """
    if math.prod(max(1, int(number)) for number in REPEAT.findall(find)) > MOST_REPEATS:
        raise UserError("regex_wrong", value=find, reason=f"{MOST_REPEATS:,} < {{...}}")
    try:
        pattern = regex.compile(find, regex.MULTILINE | (regex.IGNORECASE if ignore_case else 0))
        regex.compile(f"{find}|").sub(replacement, "")  # finds mistakes of the replacement, too
    except WRONG as error:
        raise UserError("regex_wrong", value=find, reason=str(error) or type(error).__name__) from error
    left = seconds

    def edited(text: str) -> str:
        nonlocal left
        began = time.perf_counter()
        try:
            if left <= 0:
                raise TimeoutError
            # Concurrently: others are served meanwhile.
            return pattern.sub(replacement, text, timeout=left, concurrent=True)
        except (MemoryError, RecursionError) as error:
            raise UserError("regex_wrong", value=find, reason=type(error).__name__) from error
        except TimeoutError as error:
            raise UserError("regex_slow", value=find, seconds=f"{seconds:g}") from error
        finally:
            left -= time.perf_counter() - began

    return edited
