"""How each kind of change is made on disk, and how it is seen that somebody else was there before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from backend.config.problems import Problem, UserError
from backend.data.filesystems import LocalFiles
from backend.data.picture_edits import EDIT_SUFFIX
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import stem_of
from backend.editing.actions import Change
from backend.editing.blobs import Blobs, find_bytes
from backend.editing.files import (
    CERTAIN,
    CaptionText,
    decode,
    delete_caption,
    encode,
    find_caption,
    is_same_text,
    unwritable,
    with_line_ends,
    write_bytes,
    write_caption,
)
from backend.editing.moves import is_left_behind, move_file


class Changer:
    """Makes the changes of one folder.

    Args:
        folder: The folder.
        blobs: The contents that changes name.
        alone: Keeps other processes out while it is seen what is in a file and this is changed.
        tell_form: Is told how a caption was written before that cannot be seen any more.
    """

    def __init__(
        self,
        folder: Path,
        blobs: Blobs,
        alone: Callable[[], AbstractContextManager[None]],
        tell_form: Callable[[str, CaptionText], None],
    ) -> None:
        self.folder = folder
        self.blobs = blobs
        self._alone = alone
        self._tell_form = tell_form
        # How captions were written that do not show it any more, such as Chinese ones that have only English in them by
        # now: by path, with an empty text. Undo brings the same bytes back.
        self.forms: dict[str, CaptionText] = {}
        # Captions that had to become UTF-8, by path, with the encoding that they were in.
        self.converted: dict[str, str] = {}

    def path(self, location: str) -> str:
        """Return where a file is that a change names."""
        return location if Path(location).is_absolute() else f"{self.folder}{os.sep}{location}"

    def make(self, change: Change, *, force: bool = False, flush: bool = True) -> str | Problem:
        """Make one change, unless it is made already.

        Args:
            change: What is to be done.
            force: Even if somebody else has changed the file; another file is never replaced by a move.
            flush: Wait for the disk.

        Returns:
            The stamp of the file, empty where it is gone; or why it was not done.
        """
        try:
            with self._alone():
                if change.kind == "move":
                    return self._move(change)
                write = self._write_bytes if change.kind == "bytes" else self._write_text
                return write(change, force=force, flush=flush)
        except UserError as error:
            return error.problem
        except OSError as error:
            return unwritable(self.path(change.path), error).problem

    def can_make(self, change: Change) -> bool:
        """Tell whether nobody else was there: the file is as before the change, or as after it already."""
        if change.kind == "text":
            found = find_caption(self.path(change.path))
            text = found.text if found else None
            return is_same_text(text, change.before) or is_same_text(text, change.after)
        if change.kind == "bytes":
            return self._name_of(change.path) in (change.before, change.after)
        assert change.before and change.after, "a moved file is somewhere"
        is_here, is_there = (os.path.lexists(self.path(place)) for place in (change.before, change.after))
        return is_here != is_there

    def _write_text(self, change: Change, *, force: bool, flush: bool) -> str | Problem:
        path = self.path(change.path)
        found = find_caption(path)
        text = found.text if found else None
        if is_same_text(text, change.after):
            return LocalFiles().stamp(path) if found else ""
        if text is None and (gone := self._gone()):
            return gone
        if not is_same_text(text, change.before) and not force:
            return changed_outside(change)
        if change.after is None:
            delete_caption(path)
            return ""
        form, after = self._form(change, found), change.after
        if form is not None and "\r" in after:  # a text of several kinds of line ends, as a file had them
            form = replace(form, newline="", has_final_newline=False)
        elif found is not None and not found.newline:
            after = with_line_ends(after, found.text)
        if form is not None and is_lost(form, after):
            self._remember(change.path, replace(form, text=""))
        if form is not None and is_converted(form, after):
            self.converted[change.path] = form.encoding
        return write_caption(path, after, form, flush=flush)

    def _remember(self, path: str, form: CaptionText) -> None:
        """Have the journal know how a caption is written, before that is lost."""
        if self.forms.get(path) != form:
            self._tell_form(path, form)
            self.forms[path] = form

    def _form(self, change: Change, found: CaptionText | None) -> CaptionText | None:
        """Return how a caption is written, or was when that could be seen; others may have written it anew since."""
        known = self.forms.get(change.path)
        if known is None or found is None:
            return found
        texts = (found.text, change.before or "")
        return known if encode(found) in [encode(replace(known, text=text)) for text in texts] else found

    def _write_bytes(self, change: Change, *, force: bool, flush: bool) -> str | Problem:
        path = self.path(change.path)
        name = self._name_of(change.path)
        if name == change.after:
            return LocalFiles().stamp(path) if name else ""
        if name is None and (gone := self._gone()):
            return gone
        if name != change.before and not force:
            return changed_outside(change)
        if change.after is None:
            delete_caption(path)
            return ""
        data = self.blobs.read(change.after)
        make_folder(Path(path).parent)
        return write_bytes(path, data, flush=flush)

    def _name_of(self, path: str) -> str | None:
        data = find_bytes(self.path(path))
        return None if data is None else hashlib.sha256(data).hexdigest()

    def _move(self, change: Change) -> str | Problem:
        assert change.before and change.after, "a moved file is somewhere"
        if gone := self._gone():
            return gone
        source, target = Path(self.path(change.before)), Path(self.path(change.after))
        if not os.path.lexists(source):
            return _stamp(target) if os.path.lexists(target) else _problem("move_source_gone", change.before)
        make_folder(target.parent)
        try:
            if not os.path.lexists(target):
                move_file(source, target)
                return _stamp(target)
            if is_left_behind(source, target):
                source.unlink()
                return _stamp(target)
        except FileExistsError:  # since we looked
            pass
        except OSError as error:
            raise unwritable(str(target), error) from error
        return Problem("error", "move_target_taken", "", {"value": change.before, "target": change.after})

    def _gone(self) -> Problem | None:
        # Of a disk that is gone nothing can be asked: not even this, with Path.is_dir.
        is_there = os.path.isdir(self.folder)  # noqa: PTH112
        return None if is_there else _problem("caption_folder_gone", str(self.folder))


def is_lost(form: CaptionText, text: str) -> bool:
    """Tell whether a file with a text does not show any more that it is written in this form."""
    is_usual = (form.encoding, form.newline, form.has_final_newline) == ("utf-8", "\n", False)
    if is_usual and not text.endswith("\n"):
        return False
    fresh = replace(form, text=text)
    return decode(encode(fresh)) != fresh


def is_converted(form: CaptionText, text: str) -> bool:
    """Tell whether a text has to be UTF-8 in a file of another encoding: that lacks a sign, or would not be known."""
    if form.encoding in CERTAIN or text.isascii():
        return False
    return decode(encode(replace(form, text=text))).encoding == "utf-8"


def changed_outside(change: Change) -> Problem:
    """Return the problem of a file that somebody else has changed."""
    if change.kind == "move":
        return Problem("error", "move_not_possible", "", {"value": change.before, "target": change.after})
    is_caption = change.kind == "text" and not change.path.endswith(EDIT_SUFFIX)
    return _problem("caption_changed_outside" if is_caption else "picture_file_changed", change.path)


def together(change: Change) -> str:
    """Return what changes have in common that are moves of a picture and of what belongs to it; empty for others."""
    if change.kind != "move":
        return ""
    path = change.path.removesuffix(EDIT_SUFFIX)
    return path.removesuffix(MASK_SUFFIX) if path.endswith(MASK_SUFFIX) else stem_of(path)


def net(changes: Sequence[Change]) -> list[Change]:
    """Return changes with those of one file made into one: from before the first to behind the last."""
    first: dict[tuple[str, bool], Change] = {}
    last: dict[tuple[str, bool], Change] = {}
    for change in changes:
        key = (change.path, change.kind == "move")
        first.setdefault(key, change)
        last[key] = change
    return [Change(each.path, first[key].before, each.after, each.kind) for key, each in last.items()]


def _problem(code: str, value: str) -> Problem:
    return Problem("error", code, "", {"value": value})


def _stamp(path: Path) -> str:
    status = path.lstat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in.

    Raises:
        UserError: `file_unwritable` or `no_space`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(str(folder), error) from error
