"""An action of a journal while it is being done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backend.editing.actions import Action, Change, Record

if TYPE_CHECKING:
    from backend.editing.journal import Journal


class Recording:
    """An action that is being done, part by part."""

    def __init__(self, journal: Journal, record: Record, *, wait: bool, at_once: bool) -> None:
        self._journal = journal
        self._record = record
        self._wait = wait
        self._at_once = at_once
        # What is written down, and not in the files yet.
        self.left: list[Sequence[Change]] = []

    @property
    def action(self) -> Action:
        """The action as far as it is done."""
        return self._record.shown()

    def write(self, changes: Sequence[Change]) -> None:
        """Write changes down, then to the files.

        Raises:
            UserError: The journal cannot be written; then none of these changes was made.
        """
        if not changes:
            return
        self._journal._write_down(self._record, changes)
        if not self._wait and not self._at_once:
            self.left.append(changes)
            return
        writing = self._journal._schedule(self._record, changes)
        if self._wait:
            writing.result()
