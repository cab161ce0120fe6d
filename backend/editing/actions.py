"""What a journal remembers: changes of files, and the named actions that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from backend.config.problems import Problem, UserError
from backend.editing.log import Entry

Kind = Literal["text", "move", "bytes"]


@dataclass(frozen=True, slots=True)
class Change:
    """A file before and after. Paths are below the folder with /, or absolute for files of other folders.

    Of a "text" these are what is in it, None: there is no such file; of "bytes" the names that the blobs of the journal
    give to contents, or None. Of a "move" they are where the file is, never None; `path` is where it was at first.
    """

    path: str
    before: str | None
    after: str | None
    kind: Kind = "text"

    @property
    def turned(self) -> Change:
        """The way back."""
        return Change(self.path, self.after, self.before, self.kind)

    @property
    def row(self) -> tuple[str | None, ...]:
        """What the journal keeps of it; the kind is left out where it is text, as it was in old ones."""
        short = (self.path, self.before, self.after)
        return short if self.kind == "text" else (*short, self.kind)


# Why a file was not written that is not about what is in it.
TRIED_AGAIN = frozenset({"no_space", "file_unwritable", "file_unreadable", "caption_folder_gone"})


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that an action did not write, and why: `caption_changed_outside`, `file_unwritable`, `no_space` ..."""

    path: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Action:
    """A named change of many files at once. `is_finished`: its files are written, less those that were skipped."""

    id: int
    name: str
    time: float
    num_changes: int
    is_undone: bool
    is_finished: bool
    skipped: tuple[Skipped, ...] = ()


class FilesChangedOutside(UserError):
    """An action cannot be undone or done again: these files have other texts by now than it left there."""

    def __init__(self, name: str, paths: Sequence[str]) -> None:
        listed = ", ".join(paths[:5]) + (" ..." if len(paths) > 5 else "")
        super().__init__("captions_changed_outside", value=name, num=len(paths), names=listed)
        self.paths = tuple(paths)


@dataclass(frozen=True, slots=True)
class Part:
    """Where a line of data is, and how long; `is_text`: it is known that all its changes are of texts."""

    start: int
    num_bytes: int
    is_text: bool


@dataclass(slots=True)
class Record:
    """An action as the journal tells it. `parts`: where its changes are."""

    id: int
    name: str
    time: float
    owner: tuple[int, float]
    parts: list[Part] = field(default_factory=list)
    num_changes: int = 0
    # What was begun last: 1 is the action itself, each undo and redo counts one more. Odd: it stands.
    step: int = 1
    finished_step: int = 0
    # Where in the journal the last step was begun.
    place: int = 0
    # The steps that are not finished, and where in the journal they were begun: what has to be done in which order.
    begun: list[tuple[int, int]] = field(default_factory=list)
    # All of its changes are known: it only has to be written.
    is_whole: bool = False
    # Undone, and something else was done since: it cannot be done again.
    is_gone: bool = False
    skipped: dict[str, Skipped] = field(default_factory=dict)

    @property
    def is_undone(self) -> bool:
        return self.step % 2 == 0

    @property
    def is_finished(self) -> bool:
        return self.finished_step == self.step

    @property
    def left_for_good(self) -> dict[str, Skipped]:
        """The files that are others' by now; those that only could not be written are tried again by the next step."""
        return {path: each for path, each in self.skipped.items() if each.problem.code not in TRIED_AGAIN}

    def fold(self, entry: Entry, start: int) -> None:
        """Take note of what the journal says of this action."""
        if entry["kind"] in ("begin", "undo", "redo"):
            self.step, self.owner, self.place = entry.get("step", 1), tuple(entry["owner"]), start
            self.begun.append((start, self.step))
            self.skipped = self.left_for_good
        match entry["kind"]:
            case "changes":
                self.parts.append(Part(start, entry["bytes"], entry.get("kinds") == ["text"]))
                self.num_changes += entry["num"]
            case "claim":
                self.owner, self.is_whole = tuple(entry["owner"]), True
            case "end":
                self.finished_step, self.is_whole = entry["step"], True
                self.begun = [(place, step) for place, step in self.begun if step > self.finished_step]
        self.skipped.update((each.path, each) for each in skipped_files(entry.get("skipped")))

    def shown(self) -> Action:
        return Action(
            self.id,
            self.name,
            self.time,
            self.num_changes,
            self.is_undone,
            self.is_finished,
            tuple(self.skipped.values()),
        )


def skipped_files(told: object) -> list[Skipped]:
    """Return the files that an entry of a journal names as passed over."""
    if not isinstance(told, list):
        return []
    return [Skipped(path, Problem("error", code, "", params)) for path, code, params in told]
