"""What became of edits, and what others did meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from backend.config.problems import Problem
from backend.editing.journal import Action, Skipped


class Renumbered(Exception):
    """Rows have other numbers by now than those that something was asked of; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A caption that was edited here and by somebody else. Theirs is in the file and in the library."""

    row: int
    name: str
    ours: str
    theirs: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of edits: the rows that were changed, and those that somebody else had changed before.

    When pictures came or went, all rows are numbered anew: `rows` are those after it, `came` and `went` the names.
    `skipped` are files that were left as they are, and why.
    """

    action: Action | None
    rows: tuple[int, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()

    @property
    def is_renumbered(self) -> bool:
        """Whether rows have other numbers now."""
        return bool(self.came or self.went)


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
    """What others did meanwhile. Rows are of after it; when pictures came or went, all are numbered anew.

    `changed` are captions; `redrawn` are pictures, their edits and their masks.
    """

    changed: tuple[int, ...] = ()
    redrawn: tuple[int, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
