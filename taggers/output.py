"""Where captions are written: a file beside each picture, or one for a folder; always through the journal."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from backend.config.problems import Problem, UserError
from backend.editing.files import CaptionText, find_caption
from backend.editing.journal import Change, Journal, Recording
from taggers.base import Picture
from taggers.config import TaggingConfig
from taggers.tags import joined

LINES_NAME = "captions.jsonl"
NOT_UTF8 = re.compile("[\ud800-\udfff]")
CAPTION, DETAILS, FILE_NAME = "caption", "confidences", "file_name"


# How far back a run looks for what it did before it was interrupted.
HISTORY = 10_000
# Problems that every further file would have, too.
FATAL = ("no_space", "caption_folder_gone")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one picture's caption. `is_new` is false where nothing had to be written."""

    picture: Picture
    before: str
    after: str
    is_new: bool = True


class Output:
    """Collects captions and writes them in batches, through the journal of their folder, as one action that is undone
    at once. To be used in a with statement."""

    def __init__(self, config: TaggingConfig, name: str) -> None:
        """`name` is what the history calls the changes."""
        self.config = config
        self.name = name
        self._changes: dict[str, list[Change]] = defaultdict(list)
        self._lines: dict[str, dict[str, str]] = {}
        # What the files of folders hold as far as we know; they are written by a thread.
        self._whole: dict[str, str | None] = {}
        # Pictures of one stem, as cat.png and cat.jpg, share a caption file: the first of them writes it.
        self._put: set[tuple[str, str]] = set()
        self._recordings: dict[str, Recording] = {}
        self._journals: dict[str, Journal] = {}
        self._num_told: dict[str, int] = defaultdict(int)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def left(self, pictures: Sequence[Picture]) -> list[Picture]:
        """Return the pictures whose captions have not been written under our name yet: the journals know.

        Raises:
            UserError: A journal cannot be read.
        """
        done: set[tuple[str, str]] = set()
        for folder in dict.fromkeys(picture.folder for picture in pictures):
            with Journal(Path(folder)) as journal:
                ours = [action for action in journal.history(HISTORY) if action.name == self.name]
                standing = [action.id for action in ours if not action.is_undone]
                for change in (change for action in standing for change in journal.changes(action)):
                    done |= {(folder, name) for name in _written_by(change)}
        return [picture for picture in pictures if (picture.folder, self._target(picture)) not in done]

    def caption(self, picture: Picture) -> str:
        """Return the caption that a picture has; empty when it has none.

        Raises:
            UserError: The file cannot be read.
        """
        return _caption_in(self._found(picture), self.config.output)

    def put(self, picture: Picture, words: Sequence[str], details: Mapping[str, Any]) -> Written:
        """Note what was found of a picture; `flush` writes it.

        Raises:
            UserError: The file that it has cannot be read, or is one of another program.
        """
        found = self._found(picture)
        before = _caption_in(found, self.config.output)
        file = (picture.folder, os.path.normcase(self._target(picture)))
        is_theirs = bool(before) and self.config.on_existing == "skip"  # somebody wrote it meanwhile
        if is_theirs or file in self._put:
            return Written(picture, before, before, is_new=False)
        after = joined(before, words, self.config) if words or self.config.trigger_word.strip() else ""
        if not after:  # an empty file says nothing, and what stands there is better than nothing
            return Written(picture, before, before, is_new=False)
        text = after
        if self.config.output != "txt":
            text = self._with_caption(picture, found, {CAPTION: after, DETAILS: dict(details)})
        self._put.add(file)
        if self.config.output == "jsonl":
            self._lines_of(picture.folder)[picture.name] = text
        elif found is None or text != found.text:
            change = Change(self._file_of(picture), found.text if found else None, text)
            self._changes[picture.folder].append(change)
        return Written(picture, before, after, is_new=after != before)

    def _with_caption(self, picture: Picture, found: CaptionText | None, values: Mapping[str, Any]) -> str:
        """Return what is in a file or line of JSON with other values; all else that is told there is kept."""
        is_line = self.config.output == "jsonl"
        old = _object(found.text) if found is not None and found.text.strip() else {}
        if old is None:
            raise UserError("caption_json_foreign", value=self._file_of(picture))
        first = {FILE_NAME: picture.name} if is_line else {}
        return _as_json({**first, **old, **values}, indent=None if is_line else 1)

    def flush(self) -> list[Problem]:
        """Write what was put since the last time, a file that holds a whole folder anew; a thread writes the files.

        Returns:
            What is wrong with files that could not be written, as far as is known by now; each is told once.

        Raises:
            UserError: The journal cannot be written, the disk is full, or a folder is gone.
        """
        for folder, lines in self._lines.items():
            text, before = "\n".join(lines.values()), self._whole[folder]
            if text != (before or ""):
                self._changes[folder].append(Change(LINES_NAME, before, text))
                self._whole[folder] = text
        changes, self._changes = self._changes, defaultdict(list)
        for folder, some in changes.items():
            self._recording(folder).write(some)
        return self._problems()

    def close(self) -> list[Problem]:
        """Write the rest, and wait until all is written.

        Returns:
            As `flush`.

        Raises:
            UserError: As `flush`.
        """
        found_problems = self.flush()
        self._open.close()
        return found_problems + self._problems()

    def _recording(self, folder: str) -> Recording:
        if folder not in self._recordings:
            recording = self._journal(folder).recording(self.name, wait=False, at_once=True)
            self._recordings[folder] = self._open.enter_context(recording)
        return self._recordings[folder]

    def _journal(self, folder: str) -> Journal:
        if folder not in self._journals:
            self._journals[folder] = self._open.enter_context(Journal(Path(folder)))
        return self._journals[folder]

    def _problems(self) -> list[Problem]:
        new: list[Problem] = []
        for folder, recording in self._recordings.items():
            skipped = recording.action.skipped
            new += [each.problem for each in skipped[self._num_told[folder] :]]
            self._num_told[folder] = len(skipped)
        for problem in new:
            if problem.code in FATAL:
                raise UserError(problem.code, problem.path, **problem.params)
        return new

    def _file_of(self, picture: Picture) -> str:
        ending = self.config.caption_extension if self.config.output == "txt" else f".{self.config.output}"
        return picture.name.rpartition(".")[0] + ending

    def _target(self, picture: Picture) -> str:
        """Return what a picture's caption is known by: its file, or the picture in the file of a folder."""
        return picture.name if self.config.output == "jsonl" else self._file_of(picture)

    def _found(self, picture: Picture) -> CaptionText | None:
        if self.config.output == "jsonl":
            line = self._lines_of(picture.folder).get(picture.name)
            return CaptionText(line) if line is not None else None
        return find_caption(Path(picture.folder) / self._file_of(picture))

    def _lines_of(self, folder: str) -> dict[str, str]:
        """Return the lines of a folder's file by the names of their pictures, others by numbers; read once."""
        if folder not in self._lines:
            found = find_caption(Path(folder) / LINES_NAME)
            self._whole[folder] = found.text if found else None
            self._lines[folder] = _by_name(found.text if found else "")
        return self._lines[folder]


def _caption_in(found: CaptionText | None, output: str) -> str:
    if found is None or not found.text.strip():
        return ""
    return found.text if output == "txt" else str((_object(found.text) or {}).get(CAPTION) or "")


def _by_name(text: str) -> dict[str, str]:
    """Return the lines of a file by the names of their pictures; others by what is no name."""
    lines: dict[str, str] = {}
    for number, line in enumerate(text.split("\n")):
        name = (_object(line) or {}).get(FILE_NAME)
        lines[name if isinstance(name, str) and name not in lines else f"\n{number}"] = line
    return {name: line for name, line in lines.items() if line.strip()}


def _written_by(change: Change) -> Iterator[str]:
    """Yield what was written by a change: its file, or the pictures whose lines are others since."""
    if change.path != LINES_NAME:
        yield change.path
        return
    before = _by_name(change.before or "")
    yield from (name for name, line in _by_name(change.after or "").items() if line != before.get(name))


def _as_json(content: Mapping[str, Any], indent: int | None) -> str:
    """Return JSON in plain signs; names of files that are no UTF-8 can only be told by numbers."""
    text = json.dumps(content, ensure_ascii=False, indent=indent)
    return json.dumps(content, indent=indent) if NOT_UTF8.search(text) else text


def _object(text: str) -> dict[str, Any] | None:
    """Return the JSON object of a text; None where it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
