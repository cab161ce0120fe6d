"""What became of edits, and what others did meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from backend.config.problems import Problem
from backend.editing.journal import Action


@dataclass(frozen=True, slots=True)
class Conflict:
    """A caption that was edited here and by somebody else. Theirs is in the file and in the library."""

    row: int
    name: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of edits: the rows that were changed, and those that somebody else had changed before."""

    action: Action | None
    rows: tuple[int, ...]
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A caption that is only here and in the journal, and why it could not be written."""

    row: int
    name: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Saving:
    """How far the files are behind: how many have yet to be written, and which could not be."""

    num_pending: int
    unsaved: tuple[Unsaved, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What others did meanwhile. Rows are of after it; when pictures came or went, all are numbered anew."""

    changed: tuple[int, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
