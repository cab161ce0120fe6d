"""What is told of a change that a killed process had begun, when others have gone on from it since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.editing.actions import Change
from backend.editing.files import is_same_text


def overtaken(changes: Sequence[Change], later: Iterable[Change]) -> set[str]:
    """Return the paths of changes that were made, though their files do not show it any more.

    Args:
        changes: What looks as if it could not be made.
        later: What was made since.
    """
    by_place = {_place(change): change for change in changes}
    found = set()
    for one in later:
        change = by_place.get(one.before if one.kind == "move" else one.path)
        if change is not None and _goes_on(change, one):
            found.add(change.path)
    return found


def _place(change: Change) -> str | None:
    """Return where the file of a change is behind it."""
    return change.after if change.kind == "move" else change.path


def _goes_on(change: Change, later: Change) -> bool:
    """Tell whether a later change of the same file began where this one ended."""
    if "move" in (change.kind, later.kind):
        return True
    if change.kind == later.kind == "text":
        return is_same_text(change.after, later.before)
    return change.after == later.before
