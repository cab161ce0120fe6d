"""A folder of pictures that is being captioned: every row in memory, every change through the journal.

    with Library(folder) as library:
        rows = np.flatnonzero(evaluate(parse("tag:cat not tag:dog"), library))
        library.apply("Add pet", {row: library.texts[row] + ", pet" for row in rows.tolist()})
        library.undo()

Files are written by a thread: `saving` tells how far it is, and what could not be written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from backend.config import paths
from backend.config.problems import Problem, UserError
from backend.data.filesystems import LocalFiles
from backend.data.index import Index
from backend.data.picture_edits import EDIT_SUFFIX
from backend.editing.edited import Edited
from backend.editing.files import is_same_text, kept_text
from backend.editing.glancing import Glance, is_same
from backend.editing.journal import Action, Change, Journal, OnConflict
from backend.editing.likeness import look
from backend.editing.mask_actions import MaskActions
from backend.editing.outcomes import Applied, Conflict, Reloaded, Renumbered, Saving, Unsaved
from backend.editing.partials import clear_partials
from backend.editing.picture_files import COPIES
from backend.editing.pictures import (
    Listed,
    Pictures,
    Progress,
    folder_time,
    keep,
    list_folder,
    load,
    recall,
    snapshot_path,
)
from backend.editing.presence import Presence, Visitor
from backend.editing.relisting import redrawn_rows, relisted
from backend.editing.tags import Mask
from backend.editing.tidying import tidy

__all__ = ["Applied", "Conflict", "Library", "Reloaded", "Renumbered", "Saving", "Unsaved"]

# What undo and redo of a journal return.
Turned = tuple[Action, list[Change]] | None


class Library(MaskActions):
    """The pictures of a folder, by row: `names` (paths below it with /), `texts`, `widths`, `heights`, `tags`.

    `generation` counts how often rows were numbered anew, `version` how often anything changed that is shown. Methods
    may be called from several threads; see `at` where rows come from somebody who saw them before.
    """

    def __init__(
        self,
        root: Path,
        caption_extension: str = ".txt",
        recursive: bool = True,
        *,
        label: str = "",
        cache_dir: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Open a folder: read what is new since the last time, and finish what a crash left half done.

        Args:
            root: The folder.
            caption_extension: Of the caption files, with its dot.
            recursive: Take the folders below, too.
            label: How others are told of us.
            cache_dir: Where sizes and captions are kept; the usual one when empty.
            progress: Is told how many pictures are done, and of how many: 0 while they are being counted.

        Raises:
            UserError: The folder cannot be read, or the journal not written.
        """
        super().__init__(paths.resolve(str(root)).resolve(), cache_dir or paths.cache_dir())
        self.caption_extension = caption_extension
        self.recursive = recursive
        # Pictures and caption files that cannot be read; folders below that cannot.
        self._unreadable: dict[str, Problem] = {}
        self.folder_problems: tuple[Problem, ...] = ()
        self._snapshot = snapshot_path(self.cache_dir, self.root, caption_extension, is_recursive=recursive)
        self._late: list[Conflict] = []
        # Folders in which captions were written here, by their paths with / at the end.
        self._written: set[str] = set()
        if LocalFiles().kind(str(self.root)) != "folder":
            raise UserError("caption_folder_missing", value=str(self.root))
        self.journal = Journal(self.root)
        tidy(self.journal, self.root / COPIES)
        clear_partials([self._snapshot.parent])
        known, tags, tokens = recall(self._snapshot)
        self._glance = Glance(str(self.root))
        listed = self._glance.recalled(known) or self._list(progress)
        self._take(self._load(listed, known, progress), known, tags, tokens)
        if (known.stamps, known.caption_stamps) != (self.stamps, self._pictures.caption_stamps):
            self.keep()
        self._presence = Presence(self.journal.path.with_suffix(".open"), label)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until all is written, and remember what is known for the next time."""
        self.journal.close()
        self._presence.leave()
        self._own_times()
        self.keep()

    def _own_times(self) -> None:
        """Take over when folders were changed by what was written here, so that the next opening need not list them.

        What others did there meanwhile is found as soon as somebody looks for changes.
        """
        with self._lock:
            self._settle()
            folders = self._pictures.folders
            for prefix in self._written & folders.keys():
                folders[prefix] = folder_time(f"{self.root}{os.sep}{prefix}")

    def keep(self) -> None:
        """Write what is known to the cache; where that fails, the folder only opens more slowly."""
        with self._lock, suppress(UserError, OSError):
            self._settle()
            keep(self._snapshot, self._pictures, self.tags, self._tokens)

    @property
    def problems(self) -> dict[str, Problem]:
        """What is wrong with pictures, captions and edits that cannot be read, by name."""
        return self._unreadable | {self.edit_name(row): problem for row, problem in self._edited.problems.items()}

    def apply(self, name: str, edits: Mapping[int, str], *, wait: bool = False) -> Applied:
        """Change captions, as one action with a name.

        A caption whose file somebody else has changed is not written: the library takes theirs, and ours is in the
        conflict, to be applied again if wanted.

        Args:
            name: What the history calls it.
            edits: New captions by row.
            wait: Come back when the files are written, not only the journal.

        Raises:
            UserError: The folder is gone, or the journal cannot be written; then nothing was changed.
        """
        with self._lock:
            self._ready()
            is_moving = not self._acting.isdisjoint(map(self.caption_name, edits))
            applied = Applied(None) if is_moving else self._apply(name, edits)
        if is_moving:
            with self._act_lock, self._lock:
                self._ready()
                applied = self._apply(name, edits)
        if wait:
            self.journal.wait()
        return applied

    def _apply(self, name: str, edits: Mapping[int, str]) -> Applied:
        new = {self.caption_name(row): kept_text(text) for row, text in edits.items() if text != self.texts[row]}
        conflicts = self._conflicts(new)
        for conflict in conflicts:
            new.pop(self.caption_name(conflict.row), None)
        changes = [Change(caption, self._before(caption), text) for caption, text in new.items()]
        action, rows = self._record(name, changes, new) if changes else (None, ())
        return Applied(action, rows, tuple(conflicts))

    def undo(self, on_conflict: OnConflict = "refuse", *, wait: bool = False) -> Applied | None:
        """Take back the last action on this folder, as `Journal.undo`; None when there is none.

        Raises:
            FilesChangedOutside: Somebody else has changed files since; nothing was written.
        """
        return self._turn(self.journal.undo, on_conflict, wait)

    def redo(self, on_conflict: OnConflict = "refuse", *, wait: bool = False) -> Applied | None:
        """Do again what was undone last; as `undo`."""
        return self._turn(self.journal.redo, on_conflict, wait)

    def saving(self) -> Saving:
        """Return how far the files are behind what is shown. Conflicts are told once."""
        with self._lock:
            self._settle()
            late, self._late = self._late, []
            unsaved = tuple(
                Unsaved(row, self.names[row], problem)
                for caption, problem in self._unsaved.items()
                for row in self._rows(caption)
            )
            return Saving(self.journal.num_pending, unsaved, tuple(late))

    def retry(self, name: str) -> Applied:
        """Try again to write what could not be written, as a new action with a name.

        What others changed meanwhile is a conflict that `saving` tells.

        Raises:
            UserError: As `apply`; what could not be written is as before.
        """
        with self._lock:
            self._ready()
            ours = {caption: self.texts[rows[0]] for caption in self._unsaved if (rows := self._rows(caption))}
            self._late += self._conflicts(ours)
            changes, left = [], {}
            for caption in [each for each in ours if each in self._unsaved]:
                try:
                    changes.append(Change(caption, self._on_disk(caption), ours[caption]))
                except UserError as error:
                    left[caption] = error.problem
            action = self.journal.record(name, changes, wait=False) if changes else None
            self._unsaved = left
            return Applied(action, tuple(row for change in changes for row in self._rows(change.path)))

    @property
    def has_unsaved(self) -> bool:
        """Whether captions are only here: they could not be written, or others changed the files meanwhile."""
        with self._lock:
            self._settle()
            return bool(self._unsaved or self._late)

    def reload_changed(self, *, at_a_glance: bool = False, seen: Sequence[int] = ()) -> Reloaded:
        """Look what others did in the folder, and take it over.

        A caption that could not be saved here and was changed there is a conflict. `at_a_glance`: of a large folder
        not all files are looked at each time, but those of the rows that are `seen`; what was written over in place
        elsewhere is found in one of the next times.

        Raises:
            UserError: The folder cannot be read, or is gone (`caption_folder_gone`); the library stays as it is.
        """
        while True:
            num_done, known = self._num_done, self._pictures
            changed = self._glance.changed(known, seen) if at_a_glance else None
            if changed == {}:
                return Reloaded()
            self._check_folder()
            listed = self._list() if changed is None else self._relisted(known, changed)
            with self._lock:
                if self._acting:  # it takes over itself what it does
                    return Reloaded()
                if num_done == self._num_done and (changed is None or known is self._pictures):
                    return self._reloaded(listed)

    def _relisted(self, known: Pictures, changed: Mapping[str, str]) -> Listed:
        return replace(relisted(known, changed, self.caption_extension), folders=known.folders)

    def _reloaded(self, listed: Listed) -> Reloaded:
        """Take over what a folder is now."""
        self._settle()
        old = self._pictures
        for place, caption in enumerate(listed.captions):
            if self.journal.pending(caption) and (rows := self._rows(caption)):
                listed.caption_stamps[place] = old.caption_stamps[rows[0]]
        if not self._unreadable and is_same(listed, old):
            old.folders = listed.folders
            return Reloaded()
        new = self._load(listed, old)
        added = () if old.names == new.names else tuple(name for name in new.names if name not in self._row_of)
        removed = tuple(set(old.names) - set(new.names)) if len(new.names) - len(added) < len(old.names) else ()
        before = {name: text for name, text in zip(old.names, old.texts, strict=True)}
        changed = [row for row, name in enumerate(new.names) if before.get(name, new.texts[row]) != new.texts[row]]
        conflicts = [
            Conflict(row, new.names[row], before[new.names[row]], new.texts[row])
            for row in changed
            if self._unsaved.pop(new.captions[row], None)
        ]
        redrawn = redrawn_rows(old, new)
        self._exchange(new, changed)
        self.version += bool(redrawn)
        return Reloaded(tuple(changed), tuple(redrawn), added, tuple(sorted(removed)), tuple(conflicts))

    def visitors(self) -> list[Visitor]:
        """Return who else has the folder open, and tell them that we have; to be called every few seconds."""
        self._presence.beat()
        return self._presence.others()

    def changed_rows(self) -> Mask:
        """Return which captions actions of the journal have changed, less those that were undone: bool (num_rows,)."""
        with self._lock:
            found = np.zeros(len(self), bool)
            for action in self.journal.standing():
                key = (action.id, action.num_changes)
                if key not in self._changed_by:
                    touched = [row for each in self.journal.changes(action.id) for row in self._rows(each.path)]
                    self._changed_by[key] = np.array(touched, np.int64)
                found[self._changed_by[key]] = True
            return found

    def look(self, progress: Progress | None = None, stop: Callable[[], bool] | None = None) -> None:
        """Decode the pictures that nobody has looked at yet, for `likeness` and `duplicates`. Takes minutes.

        Raises:
            Stopped: `stop` said so; what was done is kept.
        """
        names, stamps, edits = list(self.names), list(self.stamps), dict(self.edits)
        try:
            with Index(self.cache_dir) as index:
                look(index, self.root, names, stamps, edits, progress=progress, stop=stop)
        finally:
            self.forget_likeness()

    def _list(self, progress: Progress | None = None) -> Listed:
        listed = list_folder(str(self.root), self.caption_extension, is_recursive=self.recursive, progress=progress)
        self._glance.listed()
        self.folder_problems = listed.problems
        return listed

    def _load(self, listed: Listed, known: Pictures, progress: Progress | None = None) -> Pictures:
        with Index(self.cache_dir) as index:
            pictures, self._unreadable = load(str(self.root), listed, known, index, progress)
        return pictures

    def _exchange(self, new: Pictures, changed: Sequence[int]) -> None:
        """Take what was loaded again; whether there is a caption that is being written is known better here."""
        is_there = {name: self.has_caption[row] for name, row in self._first_of.items() if self.journal.pending(name)}
        self._put_in_place(new, changed)
        for caption, is_written in is_there.items():
            self.has_caption[self._rows(caption)] = is_written

    def _put_in_place(self, new: Pictures, changed: Sequence[int]) -> None:
        if (new.names, new.captions) != (self.names, self._pictures.captions):
            self._take(new, self._pictures, self.tags, self._tokens)
            self.generation += 1
            return
        if new.stamps != self.stamps:
            self.forget_likeness()
        self._pictures = replace(new, texts=self.texts)
        edits, self._edited = self.edits, Edited(self._pictures)
        if edits != self.edits:
            self.forget_likeness()
        self.has_caption = np.array([stamp != "" for stamp in new.caption_stamps], bool)
        if changed:
            self._put({row: new.texts[row] for row in changed})

    def _before(self, caption: str) -> str | None:
        """Return a caption as its file has it, or will have it when all is written; None: there is no file."""
        if caption in self._unsaved:
            return self._on_disk(caption)
        row = self._first_of[caption]
        return self.texts[row] if self.has_caption[row] else None

    def _record(self, name: str, changes: Sequence[Change], new: Mapping[str, str]) -> tuple[Action, tuple[int, ...]]:
        # What is shown must not wait for the thread that writes.
        with self.journal.recording(name, wait=False) as recording:
            recording.write(changes)
            rows = self._set(new)
        return recording.action, rows

    def _turn(self, turn: Callable[..., Turned], on_conflict: OnConflict, wait: bool) -> Applied | None:
        with self._act_lock:
            with self._lock:
                self._ready()
                done = turn(on_conflict, wait=False, is_as_seen=self._is_as_seen)
                if done is None:
                    return None
                action, changes = done
                others = [each for each in changes if each.kind != "text" or each.path.endswith(EDIT_SUFFIX)]
                names = [self.names[row] for row in self._set(self._turned_texts(action, changes))]
                self._act_on(others)
            if wait:
                self.journal.wait()
            found = self._done(action, others) if others else Applied(action)
            rows = [row for name in names if (row := self.row(name)) is not None]
            return replace(found, rows=tuple(dict.fromkeys([*rows, *found.rows])))

    def _is_as_seen(self, change: Change) -> bool:
        """Tell whether a caption's file has what a change expects, by its stamp: of 100,000 none is read."""
        row = self._first_of.get(change.path)
        if change.kind != "text" or row is None or change.path in self._unsaved:
            return False
        is_same = is_same_text(self.texts[row] if self.has_caption[row] else None, change.before)
        return is_same and self._stamp(change.path) == self._pictures.caption_stamps[row]

    def _turned_texts(self, action: Action, changes: Sequence[Change]) -> dict[str, str | None]:
        """Return the captions after an undo or redo."""
        texts = {change.path: change.after for change in changes if change.kind == "text"}
        if action.is_undone:  # what never got into its file is taken back, too
            left = [each.path for each in action.skipped if self._unsaved.pop(each.path, None)]
            texts.update((caption, self._on_disk(caption)) for caption in left)
        return texts

    def _ready(self) -> None:
        self.check_generation()
        self._check_folder()
        self._settle()

    def _check_folder(self) -> None:
        if not os.path.isdir(self.root):  # noqa: PTH112 (Path.is_dir raises OSError where a disk is gone)
            raise UserError("caption_folder_gone", value=str(self.root))

    def _settle(self) -> None:
        for caption, outcome in self.journal.outcomes().items():
            if caption in self._acting:
                self._became[caption] = outcome
                continue
            self._unsaved.pop(caption, None)
            rows = self._rows(caption)
            if isinstance(outcome, str):
                self._written.add(caption[: caption.rfind("/") + 1])
                for row in rows:
                    self._pictures.caption_stamps[row] = outcome
                    if not self.journal.pending(caption):
                        self.has_caption[row] = outcome != ""
            elif outcome.code == "caption_changed_outside" and rows and not self.journal.pending(caption):
                self._late += self._take_theirs(caption, self.texts[rows[0]])
            elif rows:
                self._unsaved[caption] = outcome

    def _conflicts(self, new: Mapping[str, str]) -> list[Conflict]:
        """Return which of some captions others have changed; theirs are taken over."""
        found: list[Conflict] = []
        for caption, ours in new.items():
            if not self.journal.pending(caption):
                # What cannot be read is found so by the thread that writes, too, which says it of this file alone.
                with suppress(UserError):
                    found += self._conflict(caption, ours)
        return found

    def _conflict(self, caption: str, ours: str) -> list[Conflict]:
        stamp = self._stamp(caption)
        if stamp == self._pictures.caption_stamps[self._first_of[caption]]:
            return []
        if caption not in self._unsaved and is_same_text(self._on_disk(caption), self._before(caption)):
            self._pictures.caption_stamps[self._first_of[caption]] = stamp
            return []
        return self._take_theirs(caption, ours)

    def _take_theirs(self, caption: str, ours: str) -> list[Conflict]:
        """Read a caption that others have changed."""
        self._unsaved.pop(caption, None)
        theirs, stamp = self._on_disk(caption), self._stamp(caption)
        rows = self._set({caption: theirs})
        for row in rows:
            self._pictures.caption_stamps[row] = stamp
        return [Conflict(row, self.names[row], ours, theirs or "") for row in rows]
