"""The console log of a run: its end, and a search through the whole of it. Reads, never writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 64 * 1024
MAX_LINES = 400
MAX_HITS = 200
MAX_LINE_LENGTH = 2000
# Colour codes, which the console shows and a page does not.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ERROR_WORDS = re.compile(r"\w*error\b|\w*exception\b|\b(traceback|fatal|killed|out of memory)\b", re.IGNORECASE)
WARNING_WORDS = re.compile(r"\w*warning\b|\b(warn|deprecat\w*)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line; `number` counts from 1 and is 0 when it is not known (the end of a large file)."""

    number: int
    text: str

    @property
    def level(self) -> str:
        """Return how the line is marked: error, warning or info."""
        if ERROR_WORDS.search(self.text):
            return "error"
        return "warning" if WARNING_WORDS.search(self.text) else "info"


def clean(line: str) -> str:
    """Return what a console would show of a line: after the last carriage return, without colour codes."""
    shown = line.rstrip("\r\n").rsplit("\r", 1)[-1]
    return ESCAPES.sub("", shown)[:MAX_LINE_LENGTH]


def tail(path: Path) -> list[LogLine]:
    """Return the last lines of a log, at most `MAX_LINES`; none when there is no log yet."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - TAIL_BYTES)
        file.seek(start)
        lines = file.read(TAIL_BYTES).decode("utf-8", errors="replace").split("\n")
    lines = lines[1:] if start else lines
    first = 0 if start else 1
    numbered = [LogLine(number if first else 0, clean(line)) for number, line in enumerate(lines, 1)]
    while numbered and not numbered[-1].text:
        numbered.pop()
    return numbered[-MAX_LINES:]


def search(path: Path, query: str) -> tuple[list[LogLine], bool]:
    """Return the last lines that contain `query`, whatever its case, and whether there are more than are returned."""
    if not path.is_file():
        return [], False
    wanted, hits, more = query.casefold(), [], False
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            text = clean(line)
            if wanted in text.casefold():
                hits.append(LogLine(number, text))
                if len(hits) > MAX_HITS:
                    hits.pop(0)
                    more = True
    return hits, more
