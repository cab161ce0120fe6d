"""Every change below a folder of pictures, on disk before it is made: for undo, and for what a crash left undone.

    with Journal(folder) as journal:
        journal.record("Replace cat by dog", [Change("sub/a.txt", "cat", "dog")])
        journal.undo()

Changes are of captions and other texts, of files whose contents are kept in `blobs`, and of places: see actions.Change.
The changes are written to the journal and flushed, then the files are written, then the journal says so. A process that
is killed in between leaves an action without an end: whoever opens the folder next carries it to its end.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path
from typing import Literal, Self

from backend.config.problems import Problem, UserError
from backend.editing.actions import Action, Change, FilesChangedOutside, Part, Record, Skipped
from backend.editing.blobs import Blobs
from backend.editing.changing import Changer, changed_outside, net, together
from backend.editing.files import CaptionText, is_same_text
from backend.editing.log import Entry, Log, encoded, journal_path, line
from backend.editing.partials import clear_partials, is_alive, ourselves
from backend.editing.recording import Recording
from backend.editing.recovery import overtaken
from backend.editing.turns import Turns

__all__ = ["Action", "Change", "FilesChangedOutside", "Journal", "OnConflict", "Recording", "Skipped", "journal_path"]

VERSION = 1
# Changes in one line of data: what of a batch is in memory at a time while it is undone.
NUM_PER_LINE = 2000
# Of a few files each is flushed to the disk; of many all at once at the end.
NUM_FLUSHED = 32

OnConflict = Literal["refuse", "skip", "overwrite"]
# Tells whether a file is known to be as a change expects it; where not, it is read.
IsAsSeen = Callable[[Change], bool]
UNSEEN: IsAsSeen = lambda _: False  # noqa: E731


class Journal:
    """The journal of a folder. Several threads and processes may have one each; all see the same actions."""

    def __init__(self, folder: Path) -> None:
        """Open the journal, and carry to its end what processes that are gone left half done.

        Raises:
            UserError: The journal cannot be read or written.
        """
        self.folder = folder.resolve()
        self.path = journal_path(folder)
        # What recovery did: actions that a process which is gone had begun.
        self.recovered: tuple[Action, ...] = ()
        self.blobs = Blobs(self.path.with_suffix(".blobs"), self.alone)
        self._turns = Turns(self.path.with_suffix(".turns"))
        self._changer = Changer(self.folder, self.blobs, self._turns.taken, self._tell_form)
        self._log = Log(self.path)
        self._generation = 0
        self._records: dict[int, Record] = {}
        # The actions that can be done again, until something else is done.
        self._undone: set[int] = set()
        self._owner = ourselves()
        self._lock = threading.RLock()
        self._pending_lock = threading.Lock()
        self._pending: dict[str, tuple[Change, int]] = {}
        self._num_jobs = 0
        self._jobs: list[Future[None]] = []
        # What has become of files since it was last asked: their new stamp, or why they were not written.
        self._outcomes: dict[str, str | Problem] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="captions")
        self._recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until all is written."""
        self._pool.shutdown(wait=True)
        self._turns.close()

    def record(self, name: str, changes: Sequence[Change], *, wait: bool = True) -> Action:
        """Do an action: write its changes to the journal, then to the files.

        A file that has another text than `before` by now is not written, nor is one that cannot be: both are in
        `skipped` of the action. With `wait` off the files are written by a thread: `pending` tells how far it is.

        Raises:
            UserError: The journal cannot be written; then nothing was.
        """
        with self.recording(name, wait=wait) as recording:
            recording.write(changes)
        return recording.action

    @contextmanager
    def recording(self, name: str, *, wait: bool = True, at_once: bool = False) -> Iterator[Recording]:
        """Do an action in parts: for a tagger that takes an hour, and yet is undone as one.

        With `wait` off a thread writes the files: from the end of the action on, or each part `at_once`.
        """
        record = self._begin(name)
        recording = Recording(self, record, wait=wait, at_once=at_once)
        try:
            yield recording
        finally:
            for changes in recording.left:
                self._schedule(record, changes)
            record.is_whole = True
            last = self._later(lambda: self._end(record, 1))
            if wait:
                last.result()

    def undo(
        self, on_conflict: OnConflict = "refuse", *, wait: bool = True, is_as_seen: IsAsSeen = UNSEEN
    ) -> tuple[Action, list[Change]] | None:
        """Take back the last action that stands.

        Args:
            on_conflict: What to do about files that others have changed since: nothing at all, pass them over, or
                overwrite them.
            wait: As `record`.
            is_as_seen: Tells of files that they are as a change expects them, more quickly than by reading them.

        Returns:
            The action, and the changes that were made of files; None: there is nothing to undo.

        Raises:
            FilesChangedOutside: With `on_conflict="refuse"`; then nothing was written.
            UserError: The journal cannot be written.
        """
        return self._turn("undo", on_conflict, wait, is_as_seen)

    def redo(
        self, on_conflict: OnConflict = "refuse", *, wait: bool = True, is_as_seen: IsAsSeen = UNSEEN
    ) -> tuple[Action, list[Change]] | None:
        """Do again what was undone last; as `undo`."""
        return self._turn("redo", on_conflict, wait, is_as_seen)

    def history(self, num: int = 50) -> list[Action]:
        """Return the last actions, the newest first; without those that were undone and cannot be done again."""
        with self._fresh():
            known = [record for record in self._records.values() if record.num_changes and not record.is_gone]
            return [record.shown() for record in known[: -num - 1 : -1]]

    def action(self, number: int) -> Action:
        """Return what is known of an action by now."""
        with self._fresh():
            return self._records[number].shown()

    def changes(self, action: int) -> Iterator[Change]:
        """Yield the changes of an action, as they were recorded."""
        with self._fresh():
            record = self._records[action]
        yield from self._read(record)

    def standing(self) -> list[Action]:
        """Return the actions that stand, the oldest first."""
        with self._fresh():
            return [record.shown() for record in self._records.values() if record.num_changes and not record.is_undone]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep out other threads and processes that would write to the journal; raises as `Log.locked`."""
        with self._lock, self._log.locked():
            yield

    def file_changes(self) -> Iterator[tuple[Change, bool]]:
        """Yield all changes of files other than texts, and whether each can be made by an undo or redo, or is now.

        Raises:
            ValueError: The journal is damaged where they are.
        """
        with self._fresh():
            for record in self._records.values():
                for part in record.parts:
                    changes = () if part.is_text else self._changes_of(part)
                    is_needed = not (record.is_gone and record.is_finished)
                    yield from ((change, is_needed) for change in changes if change.kind != "text")

    @property
    def num_pending(self) -> int:
        """How many files a thread has yet to write."""
        return len(self._pending)

    def pending(self, path: str) -> bool:
        """Tell whether a file has yet to be written."""
        return path in self._pending

    def outcomes(self) -> dict[str, str | Problem]:
        """Return what has become of files since this was last called: the stamp of each (empty: it is gone by now), or
        why it was not written."""
        with self._pending_lock:
            outcomes, self._outcomes = self._outcomes, {}
        return outcomes

    def converted(self) -> dict[str, str]:
        """Return the captions that had to become UTF-8 since this was last called, with the encoding they were in."""
        found, self._changer.converted = self._changer.converted, {}
        return found

    def wait(self) -> None:
        """Wait until the files are written.

        Raises:
            UserError: The journal could not be written.
        """
        jobs = list(self._jobs)
        try:
            for job in jobs:
                job.result()
        finally:
            with self._pending_lock:
                self._jobs = [job for job in self._jobs if job not in jobs]

    # What follows is between the journal and its recordings.

    @contextmanager
    def _fresh(self) -> Iterator[None]:
        """Keep others out, and know what they did."""
        with self._lock, self._log.locked():
            entries = self._log.read_new()
            if self._log.generation != self._generation:
                self._generation = self._log.generation
                self._records.clear()
                self._undone.clear()
                entries = entries or self._log.read_new()
            for entry, start in entries:
                self._fold(entry, start)
            yield

    def _fold(self, entry: Entry, start: int) -> None:
        """Take note of an entry; of one whose action is lost with a damaged line, nothing can be said."""
        self._changer.forms.update((path, CaptionText(*form)) for path, *form in entry.get("forms", ()))
        if entry["kind"] == "begin":
            while self._undone:
                self._records[self._undone.pop()].is_gone = True
            action = entry["action"]
            self._records[action] = Record(action, entry["name"], entry["time"], tuple(entry["owner"]))
        if (known := self._records.get(entry.get("action", 0))) is not None:
            known.fold(entry, start)
            (self._undone.add if known.is_undone and not known.is_gone else self._undone.discard)(known.id)

    def _append(self, lines: Sequence[bytes], *, flush: bool = True) -> None:
        """Append to the journal and take note of it ourselves; inside of `_fresh`."""
        if not self._log.offset:
            root = line({"kind": "journal", "version": VERSION, "folder": str(self.folder)})
            lines = [root, *lines]
        before = self._log.offset
        self._log.append(lines, flush=flush)
        self._log.offset = before
        for entry, start in self._log.read_new():
            self._fold(entry, start)

    def _begin(self, name: str) -> Record:
        with self._fresh():
            action = max(self._records, default=0) + 1
            entry = {"kind": "begin", "action": action, "name": name, "time": time.time(), "owner": self._owner}
            self._append([line(entry)])
            return self._records[action]

    def _write_down(self, record: Record, changes: Sequence[Change]) -> None:
        lines = []
        for start in range(0, len(changes), NUM_PER_LINE):
            some = changes[start : start + NUM_PER_LINE]
            data = encoded([change.row for change in some])
            kinds = sorted({change.kind for change in some})
            head = {"kind": "changes", "action": record.id, "num": len(some), "bytes": len(data), "kinds": kinds}
            lines += [line(head), data + b"\n"]
        with self._fresh():
            self._append(lines)

    def _schedule(self, record: Record, changes: Sequence[Change], *, force: bool = False) -> Future[None]:
        """Have files written, after all that was asked for before."""
        with self._pending_lock:
            self._num_jobs += 1
            job = self._num_jobs
            self._pending.update((change.path, (change, job)) for change in changes)
        return self._later(lambda: self._write_files(record, changes, force, job))

    def _later(self, work: Callable[[], None]) -> Future[None]:
        with self._pending_lock:
            future = self._pool.submit(work)
            self._jobs = [each for each in self._jobs if not each.done() or each.exception()] + [future]
        return future

    def _write_files(self, record: Record, changes: Sequence[Change], force: bool, job: int) -> None:
        stop: Problem | None = None
        apart: dict[str, Problem] = {}
        for change in changes:
            group = together(change)
            outcome = (
                stop or apart.get(group) or self._changer.make(change, force=force, flush=len(changes) <= NUM_FLUSHED)
            )
            if isinstance(outcome, Problem):
                apart |= {group: outcome} if group else {}
                record.skipped[change.path] = Skipped(change.path, outcome)
                # A full disk, or a folder that is gone, would only be met again with each file.
                stop = outcome if outcome.code in ("no_space", "caption_folder_gone") else None
            with self._pending_lock:
                self._outcomes[change.path] = outcome
                if change.path in self._pending and self._pending[change.path][1] == job:
                    self._pending.pop(change.path)
        if len(changes) > NUM_FLUSHED and hasattr(os, "sync"):
            os.sync()

    def _end(self, record: Record, step: int) -> None:
        told = [(each.path, each.problem.code, each.problem.params) for each in tuple(record.skipped.values())]
        entry = {"kind": "end", "action": record.id, "step": step, "skipped": told}
        with self._fresh():
            self._append([line(entry)])

    def _tell_form(self, path: str, form: CaptionText) -> None:
        """Write down how a caption is written, before that can no more be seen."""
        with self._fresh():
            self._append([line({"kind": "forms", "forms": [(path, *astuple(form))]})], flush=False)

    def _usable(self, is_undone: bool) -> list[Record]:
        """Return the actions that can be turned: those that are done, or that this process is writing."""
        return [
            record
            for record in self._records.values()
            if record.is_undone == is_undone and record.num_changes and not record.is_gone
            if record.is_finished or (record.is_whole and record.owner == self._owner)
        ]

    def _turn(
        self, kind: Literal["undo", "redo"], on_conflict: OnConflict, wait: bool, is_as_seen: IsAsSeen
    ) -> tuple[Action, list[Change]] | None:
        """Undo the last action, or do the first again that was undone."""
        self._recover()  # of those that were killed since the journal was opened, as a tagger
        while True:
            with self._fresh():
                usable = self._usable(kind == "redo")
                if not usable:
                    return None
                record = usable[-1 if kind == "undo" else 0]
                changes = self._turned(record, kind == "undo")
                if self._can_judge(changes):
                    changes, last = self._begin_turn(kind, record, changes, on_conflict, is_as_seen)
                    break
            self._later(lambda: None).result()
        if wait:
            last.result()
        return record.shown(), changes

    def _can_judge(self, changes: Sequence[Change]) -> bool:
        """Tell whether it can be seen if files are as expected: of moved ones, only when nothing is being written."""
        with self._pending_lock:
            pending = [change for change, _ in self._pending.values()]
        return not pending or all(change.kind == "text" for change in [*pending, *changes])

    def _begin_turn(
        self, kind: str, record: Record, changes: Sequence[Change], on_conflict: OnConflict, is_as_seen: IsAsSeen
    ) -> tuple[list[Change], Future[None]]:
        """Write down that an action is turned and have it done; return what is done, and what is so when it is."""
        conflicts = {} if on_conflict == "overwrite" else self._conflicts(changes, is_as_seen)
        if conflicts and on_conflict == "refuse":
            raise FilesChangedOutside(record.name, sorted(conflicts))
        step = record.step + 1
        told = [(path, problem.code, problem.params) for path, problem in conflicts.items()]
        entry = {"kind": kind, "action": record.id, "step": step, "owner": self._owner, "skipped": told}
        self._append([line(entry)])
        done = [change for change in changes if change.path not in conflicts]
        self._schedule(record, done, force=on_conflict == "overwrite")
        return done, self._later(lambda: self._end(record, step))

    def _turned(self, record: Record, is_back: bool) -> list[Change]:
        """Return what an action changes of the files, or the way back; without the files that it passed over."""
        left = record.left_for_good
        changes = [change for change in self._read(record) if change.path not in left]
        return [change.turned for change in reversed(changes)] if is_back else changes

    def _read(self, record: Record) -> Iterator[Change]:
        for part in record.parts:
            # A part that is damaged is lost; the rest of the action is not, nor the folder.
            with suppress(ValueError):
                yield from self._changes_of(part)

    def _changes_of(self, part: Part) -> Iterator[Change]:
        return (Change(*row) for row in self._log.data(part.start, part.num_bytes))

    def _conflicts(self, changes: Sequence[Change], is_as_seen: IsAsSeen) -> dict[str, Problem]:
        """Return the files that are neither as before the changes nor as behind them, and what is wrong.

        What belongs to a picture that cannot be moved stays with it.
        """
        wanted = net(changes)
        found = {change.path: change for change in wanted if not self._can_make(change, is_as_seen)}
        apart = {together(change) for change in found.values()} - {""}
        found |= {change.path: change for change in wanted if together(change) in apart}
        return {path: changed_outside(found[path]) for path in sorted(found)}

    def _can_make(self, change: Change, is_as_seen: IsAsSeen) -> bool:
        """Tell whether a file is as the change expects it, or will be as soon as it is written."""
        with self._pending_lock:
            pending = self._pending.get(change.path)
        if pending and pending[0].kind == change.kind == "text":
            text = pending[0].after
            return is_same_text(text, change.before) or is_same_text(text, change.after)
        try:
            return is_as_seen(change) or self._changer.can_make(change)
        except UserError:  # it cannot be read: the thread that writes says so, of this file alone
            return True

    def _recover(self) -> None:
        """Carry to its end what was begun by processes that are gone."""
        with self._fresh():
            left = [each for each in self._records.values() if not each.is_finished and not is_alive(each.owner)]
            for record in left:
                # So that no other process does the same.
                self._append([line({"kind": "claim", "action": record.id, "owner": self._owner})])
            wanted = (change for record in left for change in self._read(record))
            clear_partials({folder for change in wanted for folder in self._near(change)})
        # As they were begun: what came later may be about the same files, and expects them as they were then.
        steps = sorted((place, step, record) for record in left for place, step in record.begun)
        for place, step, record in steps:
            changes = self._turned(record, step % 2 == 0)
            self._schedule(record, changes).result()
            if not_made := [change for change in changes if change.path in record.skipped]:
                for path in overtaken(not_made, self._made_since(place, record)):
                    record.skipped.pop(path)
            self._end(record, step)
            with self._pending_lock:  # nobody here asked for it: they are as changed from outside
                for change in changes:
                    self._outcomes.pop(change.path, None)
        self.recovered += tuple(record.shown() for record in left if record.num_changes)

    def _made_since(self, place: int, but: Record) -> Iterator[Change]:
        """Yield the changes that other actions have made since a place in the journal."""
        for record in [each for each in self._records.values() if each is not but and each.is_finished]:
            if record.place > place or (record.parts and record.parts[-1].start > place):
                yield from self._turned(record, record.is_undone)

    def _near(self, change: Change) -> Iterator[str]:
        """Yield the folders of the files that a change is about."""
        places = (change.before, change.after) if change.kind == "move" else (change.path,)
        return (os.path.dirname(self._changer.path(place)) for place in places if place)  # noqa: PTH120
