"""What is done to the pictures of a library: turned, cut, rated, copied, moved; each a named action."""

from __future__ import annotations

import os
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import compress, groupby
from pathlib import Path

from backend.config import paths
from backend.config.problems import Problem, UserError
from backend.data.filesystems import LocalFiles
from backend.data.picture_edits import EDIT_SUFFIX, MAXIMUM_RATING, PictureEdit, Size, edit_text, parse_edit, turned_on
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import stem_of
from backend.editing.actions import Action, Change, Skipped
from backend.editing.changing import make_folder
from backend.editing.files import find_caption
from backend.editing.journal import Journal, Recording
from backend.editing.outcomes import Applied
from backend.editing.partials import new_token
from backend.editing.picture_files import COPIES, TRASH, Copy, Group, copy_of, free_stem, group_of
from backend.editing.pictures import NUM_THREADS, Listed, Pictures
from backend.editing.relisting import companions, is_picture, relisted
from backend.editing.rows import Rows

# Pictures of an action after which others get at the rows again.
NUM_PER_PART = 500
# What would only be met again with each file.
HOPELESS = frozenset({"no_space", "caption_folder_gone"})
# go_on(pictures that are done, of how many): whether the rest is still wanted
GoOn = Callable[[int, int], bool]
# The rows that look different, and the names of the pictures that came and went.
Looked = tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...]]
Prepare = Callable[[Sequence[str]], Sequence[Change | Skipped]]


def always(_num_done: int, _num_total: int) -> bool:
    """Go on until all is done."""
    return True


class PictureActions(Rows, ABC):
    """The actions on pictures. They come back when all is written; what could not be is in `skipped` of the answer.

    Each raises UserError `caption_folder_gone`, or what the journal raises when it cannot be written. While files are
    written, captions may be read and edited.
    """

    journal: Journal
    caption_extension: str
    recursive: bool

    def __init__(self, root: Path, cache_dir: Path) -> None:
        super().__init__(root, cache_dir)
        # Captions that could not be written, and why.
        self._unsaved: dict[str, Problem] = {}
        # One action after the other; taken before the lock of the rows.
        self._act_lock = threading.RLock()
        # The files that an action is about, while it is done, and what has become of them.
        self._acting: frozenset[str] = frozenset()
        self._became: dict[str, str | Problem] = {}
        # Counts, so that a listing from before an action is not taken for one of after it.
        self._num_done = 0

    def edit_pictures(self, name: str, edits: Mapping[int, PictureEdit], go_on: GoOn = always) -> Applied:
        """Record how pictures are turned, cut and rated, in small files beside them; an empty edit removes its file.

        Args:
            name: What the history calls it.
            edits: New edits by row.
            go_on: As in `_do_in_parts`.

        Raises:
            UserError: `crop_misfit`: a cut was made for a picture of another size.
        """
        with self._act_lock:
            with self._lock:
                self._ready()
                wanted = {self.names[row]: (edit, self.full_size(row)) for row, edit in edits.items()}
            for picture, (edit, size) in wanted.items():
                _check_edit(edit, size, picture)

            def prepared(pictures: Sequence[str]) -> list[Change | Skipped]:
                with self._lock:
                    rows = [(self.row(picture), wanted[picture][0]) for picture in pictures]
                    return [self._edit_change(row, edit) for row, edit in rows if row is not None]

            return self._do_in_parts(name, list(wanted), prepared, go_on)

    def rate(self, name: str, rows: Sequence[int], rating: int) -> Applied:
        """Give pictures a rating of 1 to 5; 0 takes it away."""
        assert rating in range(MAXIMUM_RATING + 1), f"no rating: {rating}"
        with self._act_lock:
            return self.edit_pictures(name, {row: replace(self.edit(row), rating=rating) for row in rows})

    def rotate(self, name: str, rows: Sequence[int], degrees: int) -> Applied:
        """Turn pictures clockwise by more degrees, a multiple of 90; their cuts turn with them."""
        with self._act_lock:
            return self.edit_pictures(name, {row: turned_on(self.edit(row), degrees) for row in rows})

    def save_copies(
        self,
        name: str,
        rows: Sequence[int],
        edits: Mapping[int, PictureEdit] | None = None,
        go_on: GoOn = always,
    ) -> Applied:
        """Write pictures as edited into new files beside them, with their captions and masks; the originals stay.

        PNG stays without loss, JPEG is written anew in high quality; other kinds become PNG.

        Args:
            name: What the history calls it.
            rows: The pictures.
            edits: By row, edits to be used in place of those that are recorded.
            go_on: Is told how many are written, and of how many; where it says no, there are no copies at all.
        """
        with self._act_lock, self._lock:
            self._ready_to_move(rows)
            staged = self.root / COPIES / new_token()
            copies = [
                self._copy_of(row, (edits or {}).get(row, self.edit(row)), staged / f"{number}")
                for number, row in enumerate(rows)
            ]
        # Written under other names, then moved: undo moves them back there. Meanwhile all else may be done.
        with ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="copies") as pool:
            problems = []
            for problem in pool.map(Copy.write, copies):
                problems.append(problem)
                if not go_on(len(problems), len(copies)):
                    pool.shutdown(cancel_futures=True)
                    shutil.rmtree(staged)
                    return Applied(None)
        pairs = list(zip(copies, problems, strict=True))
        with self._act_lock:
            taken: set[str] = set()
            changes = [change for copy, problem in pairs if not problem for change in self._copy_changes(copy, taken)]
            return self._do(name, changes, [Skipped(copy.name, problem) for copy, problem in pairs if problem])

    def trash(self, name: str, rows: Sequence[int]) -> Applied:
        """Move pictures and what belongs to them to the folder .trash, where no scan looks."""
        return self._move(name, rows, lambda stem: self.root / TRASH / stem)

    def move_to(self, name: str, rows: Sequence[int], folder: Path) -> Applied:
        """Move pictures and what belongs to them to another folder, which is made when it is not there.

        A name that is taken gets a number. A caption or mask that another picture shares is copied.

        Raises:
            UserError: `caption_folder_is_file`, or the folder cannot be made.
        """
        target = paths.resolve(str(folder)).resolve()
        if os.path.lexists(target) and not target.is_dir():
            raise UserError("caption_folder_is_file", value=str(target))
        make_folder(target)
        return self._move(name, rows, lambda stem: target / stem.rpartition("/")[2])

    def _move(self, name: str, rows: Sequence[int], place: Callable[[str], Path]) -> Applied:
        with self._act_lock:
            with self._lock:
                self._ready_to_move(rows)
                skipped = self._unwritten(rows)
                rows = [row for row in rows if self.caption_name(row) not in self._unsaved]
                groups = [each for each in self._groups(rows) if not self._is_at(each.stem, place(each.stem))]
            taken: set[str] = set()
            changes: list[Change] = []
            for group in groups:
                if not group.own:
                    problem = Problem("error", "move_source_gone", "", {"value": group.stem})
                    skipped.append(Skipped(group.stem, problem))
                    continue
                stem = free_stem(group, str(place(group.stem)), taken)
                changes += self._group_changes(group, stem)
            return self._do(name, changes, skipped)

    def _is_at(self, stem: str, place: Path) -> bool:
        """Tell whether files of a stem are in the folder of a place already."""
        return (self.root / stem).parent.resolve() == place.parent

    def _ready_to_move(self, rows: Iterable[int]) -> None:
        """Be ready, and have captions in their files that are still being written: they go along."""
        self._ready()
        if any(self.journal.pending(self.caption_name(row)) for row in rows):
            self.journal.wait()
            self._settle()

    def _unwritten(self, rows: Iterable[int]) -> list[Skipped]:
        """Return the captions that are only in memory: their pictures stay, so that they are not lost."""
        captions = dict.fromkeys(self.caption_name(row) for row in rows)
        return [Skipped(caption, self._unsaved[caption]) for caption in captions if caption in self._unsaved]

    def _groups(self, rows: Iterable[int]) -> Iterable[Group]:
        """Yield what belongs to pictures, those of one stem together."""
        for caption, some in groupby(sorted(set(rows), key=self.caption_name), key=self.caption_name):
            names = [self.names[row] for row in some]
            yield group_of(self.root, names, caption, is_whole=len(names) == len(self._rows(caption)))

    def _group_changes(self, group: Group, stem: str) -> list[Change]:
        changes = []
        for source, target in group.targets(stem):
            place = self._place(Path(target))
            if source in group.own or group.is_whole:
                changes.append(Change(source, source, place, "move"))
            else:
                changes.append(Change(place, None, self.journal.blobs.put_file(self.root / source), "bytes"))
        return changes

    def _place(self, path: Path) -> str:
        """Return how a change names a file."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def _copy_of(self, row: int, edit: PictureEdit, staged: Path) -> Copy:
        """Return how a picture is copied to a stem."""
        name = self.names[row]
        suffix = self.caption_name(row)[len(stem_of(name)) :] if self.has_caption[row] else ""
        return copy_of(self.root, name, edit, caption_suffix=suffix, has_mask=row in self.masks, staged=staged)

    def _copy_changes(self, copy: Copy, taken: set[str]) -> Iterator[Change]:
        """Yield how the files of a copy get to their places; `taken` as `free_stem`."""
        final = copy.free_stem(taken)
        for suffix in copy.suffixes:
            source = self._place(Path(copy.staged + suffix))
            yield Change(source, source, self._place(Path(final + suffix)), "move")

    def _edit_change(self, row: int, edit: PictureEdit) -> Change | Skipped:
        """Return what has to be written for an edit, or why it must not be."""
        path = self.edit_name(row)
        problem = self._edited.problems.get(row)
        if problem is not None and problem.code == "picture_edit_too_new":
            return Skipped(path, problem)
        if self._stamp(path) != self._pictures.edits.get(row, ("", ""))[0]:
            self._look_at([path])
            return Skipped(path, Problem("error", "picture_file_changed", "", {"value": path}))
        found = find_caption(self.root / path)
        text = edit_text(edit)
        return Change(path, found.text if found else None, text and text.rstrip("\n"))

    # From here on: doing it, and taking note of what was done.

    def _do(self, name: str, changes: Sequence[Change], skipped: Sequence[Skipped] = ()) -> Applied:
        if not changes:
            return Applied(None, skipped=tuple(skipped))
        with self._lock:
            action = self.journal.record(name, changes, wait=False)
            self._act_on(changes)
        return self._done(action, changes, skipped)

    def _do_in_parts(self, name: str, pictures: Sequence[str], prepare: Prepare, go_on: GoOn) -> Applied:
        """Do one action over many pictures, part by part: in between, others get at the rows.

        Args:
            name: What the history calls it.
            pictures: Their names; none of them comes or goes by it.
            prepare: Returns what has to be done to some of them, and why it must not be.
            go_on: Is told how many are done, and of how many; where it says no, what is done by then is the action.
        """
        parts: list[Applied] = []
        recording: Recording | None = None
        with self._act_lock, ExitStack() as stack:
            for start in range(0, len(pictures), NUM_PER_PART):
                if not go_on(start, len(pictures)):
                    break
                wanted = prepare(pictures[start : start + NUM_PER_PART])
                changes = [each for each in wanted if isinstance(each, Change) and each.before != each.after]
                parts.append(Applied(None, skipped=tuple(each for each in wanted if isinstance(each, Skipped))))
                if changes:
                    recording = recording or stack.enter_context(self.journal.recording(name))
                    parts.append(self._do_part(recording, changes))
                if any(each.problem.code in HOPELESS for each in parts[-1].skipped):
                    break
        action = self.journal.action(recording.action.id) if recording else None
        rows = tuple(row for part in parts for row in part.rows)
        return Applied(action, rows, skipped=tuple(each for part in parts for each in part.skipped))

    def _do_part(self, recording: Recording, changes: Sequence[Change]) -> Applied:
        with self._lock:
            self._act_on(changes)
        try:
            recording.write(changes)
        finally:
            found = self._took(changes)
        return found

    def _act_on(self, changes: Sequence[Change]) -> None:
        self._acting = frozenset(change.path for change in changes)

    def _done(self, action: Action, changes: Sequence[Change], skipped: Sequence[Skipped] = ()) -> Applied:
        """Wait until changes are made, none of them of a caption in place; return what became of them."""
        try:
            self.journal.wait()
        finally:
            found = self._took(changes)
        return replace(found, action=self.journal.action(action.id), skipped=(*skipped, *found.skipped))

    def _took(self, changes: Sequence[Change]) -> Applied:
        """Take over what became of changes that are made, or could not be."""
        with self._lock:
            self._settle()
            became, self._became = self._became, {}
        left = {path: problem for path, problem in became.items() if isinstance(problem, Problem)}
        # Of pictures that come and go all is taken over at once: rows get other numbers by it.
        num = len(changes) if any(change.kind == "move" for change in changes) else NUM_PER_PART
        try:
            parts = [self._took_part(changes[start : start + num], left) for start in range(0, len(changes), num)]
        finally:
            with self._lock:
                self._num_done += 1
                self._acting = frozenset()
        rows = tuple(row for part in parts for row in part[0])
        came = tuple(name for part in parts for name in part[1])
        went = tuple(name for part in parts for name in part[2])
        return Applied(None, rows, (), tuple(Skipped(path, problem) for path, problem in left.items()), came, went)

    def _took_part(self, changes: Sequence[Change], left: Mapping[str, Problem]) -> Looked:
        is_left = [change.path in left for change in changes]
        with self._lock:
            _, *before = self._look_at(_places(changes, is_left))
            rows, came, went = self._look_at(_places(changes, [not each for each in is_left]))
        return rows, before[0] + came, before[1] + went

    def _look_at(self, places: Iterable[str]) -> Looked:
        """Take over what some files are now.

        Returns:
            The rows that look different, and the names of the pictures that came and went.
        """
        files = {place: self._stamp(place) for place in places if self._is_seen(place)}
        came = tuple(name for name, stamp in files.items() if is_picture(name) and stamp and name not in self._row_of)
        went = tuple(name for name, stamp in files.items() if not stamp and name in self._row_of)
        if came or went:
            beside = (each for name in came for each in companions(name, self.caption_extension))
            files.update({each: self._stamp(each) for each in beside if each not in files})
            self._exchange(self._load(relisted(self._pictures, files, self.caption_extension), self._pictures), ())
            return tuple(self._row_of[name] for name in came), came, went
        return (
            tuple(dict.fromkeys(row for name, stamp in files.items() for row in self._take_file(name, stamp))),
            (),
            (),
        )

    def _is_seen(self, place: str) -> bool:
        """Tell whether a file is one that the library lists, by its name."""
        parts = place.split("/")
        is_hidden = any(part.startswith(".") for part in parts)
        return not Path(place).is_absolute() and not is_hidden and (self.recursive or len(parts) == 1)

    def _take_file(self, name: str, stamp: str) -> list[int]:
        """Take over one file that is no picture; return the rows that it is of."""
        if name.endswith(EDIT_SUFFIX):
            row = self._row_of.get(name.removesuffix(EDIT_SUFFIX))
            rows = [] if row is None else [row]
            self._take_edits(rows, stamp, name)
        elif name.lower().endswith(MASK_SUFFIX):
            rows = self._rows_of_mask(name)
            for row in rows:
                self._pictures.masks.pop(row, None)
                self._pictures.masks |= {row: stamp} if stamp else {}
            self.version += 1
        elif rows := self._rows(name):
            self._set({name: self._on_disk(name)})
            for row in rows:
                self._pictures.caption_stamps[row] = stamp
        return rows

    def _rows_of_mask(self, name: str) -> list[int]:
        rows = self._rows(name[: -len(MASK_SUFFIX)] + self.caption_extension)
        # A caption file in large letters is found by looking at all.
        return rows or [row for row in range(len(self)) if self.mask_name(row) == name]

    def _take_edits(self, rows: Sequence[int], stamp: str, name: str) -> None:
        for row in rows:
            text = (self._on_disk(name) or "") if stamp else ""
            self._pictures.edits.pop(row, None)
            if stamp:
                self._pictures.edits[row] = (stamp, text)
            mark = self.edit(row).mark
            self._edited.put(row, text)
            if self.edit(row).mark != mark:
                self.forget_likeness()
            self.version += 1

    # What a library does.

    @abstractmethod
    def _ready(self) -> None:
        """See that the folder is there, and take note of what was written."""

    @abstractmethod
    def _settle(self) -> None:
        """Take note of what has become of files; of those that an action is about, in `_became`."""

    def _stamp(self, name: str) -> str:
        """Return the stamp of a file below the folder; empty: it is not there."""
        try:
            return LocalFiles().stamp(f"{self.root}{os.sep}{name}")
        except UserError as error:
            if error.problem.code == "file_not_found":
                return ""
            raise

    def _on_disk(self, name: str) -> str | None:
        """Return the text of a file below the folder; None: it is not there."""
        found = find_caption(f"{self.root}{os.sep}{name}")
        return found.text if found else None

    @abstractmethod
    def _load(self, listed: Listed, known: Pictures) -> Pictures:
        """Return what is known of the pictures that are there now."""

    @abstractmethod
    def _exchange(self, new: Pictures, changed: Sequence[int]) -> None:
        """Take what was loaded again."""


def _places(changes: Sequence[Change], is_meant: Sequence[bool]) -> Iterator[str]:
    """Yield where files may have come or gone by some of the changes."""
    for change in compress(changes, is_meant):
        if change.kind != "move":
            yield change.path
        else:
            assert change.before and change.after, "a moved file is somewhere"
            yield from (change.before, change.after)


def _check_edit(edit: PictureEdit, size: Size, name: str) -> None:
    try:
        parse_edit(edit_text(edit) or "", name)
        is_right = edit.fits(size)
    except UserError:  # it would be found damaged when it is read
        is_right = False
    if not is_right:
        raise UserError("crop_misfit", value=name)
