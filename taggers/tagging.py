"""Tags the pictures of a configuration: the work of a run, without its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.config.problems import Problem, UserError
from backend.data.picture_edits import read_edited
from taggers import pictures
from taggers.base import Described, Picture, Tagger
from taggers.config import TaggingConfig
from taggers.findings import Findings
from taggers.masks import Masks, read_turned
from taggers.models import Kind
from taggers.output import Output, Written
from taggers.pipeline import describe
from taggers.tags import Rules, choose, confidences, make_rules, sentence, words

PREVIEW_NUMBER = 10
# Files are written in batches of about so many seconds; the one file of a folder after these, and ever less often.
FLUSH_SECONDS = 1.0
WHOLE_SECONDS = 20.0


@dataclass(slots=True)
class Counts:
    """What became of the pictures."""

    written: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass(slots=True)
class Listener:
    """What is called while pictures are tagged."""

    progress: Callable[[int, int], None] = lambda _done, _total: None
    warn: Callable[[Problem], None] = lambda _problem: None
    stopping: Callable[[], bool] = lambda: False
    # What a caption will be, when it is known; and those that are safe: in the journal.
    found: Callable[[Written], None] = lambda _written: None
    saved: Callable[[Sequence[Written]], None] = lambda _written: None


@dataclass(slots=True)
class Task:
    """A tagging: which pictures, and what is to be written."""

    config: TaggingConfig
    name: str
    # What an earlier process wrote under this name is not done again.
    is_resumed: bool = False
    kind: Kind = "onnx"
    counts: Counts = field(default_factory=Counts)
    # Pictures that were asked for and are not there any more.
    gone: list[str] = field(default_factory=list)

    def pictures(self, output: Output, findings: Findings | None = None) -> list[Picture]:
        """Return the pictures that are to be described, less those that are skipped.

        Raises:
            UserError: As `pictures.find`.
        """
        found = pictures.find(self.config)
        self.gone = pictures.gone(self.config, found)
        if findings is not None:
            return self._first(self._unknown(found, findings))
        num_done = 0
        if self.is_resumed:
            left = output.left(found)
            num_done, found = len(found) - len(left), left
        if self.config.on_existing == "skip":
            wanted = [picture for picture in found if not _has_caption(output, picture)]
            self.counts.skipped += len(found) - len(wanted)
            found = wanted
        return self._first(found, num_done)

    def _unknown(self, found: list[Picture], findings: Findings) -> list[Picture]:
        if self.config.on_existing != "skip":
            return found
        wanted = findings.unknown(found)
        self.counts.skipped += len(found) - len(wanted)
        return wanted

    def _first(self, found: list[Picture], num_done: int = 0) -> list[Picture]:
        """Return no more than are wanted, less those that an earlier process has done."""
        limit = self.config.limit
        if self.config.dry_run:
            limit = min(limit, PREVIEW_NUMBER) or PREVIEW_NUMBER
        return found[: max(0, limit - num_done)] if limit else found


def _has_caption(output: Output, picture: Picture) -> bool:
    with suppress(UserError):  # told when it is its turn
        return bool(output.caption(picture))
    return False


def tag(task: Task, tagger: Tagger, listener: Listener) -> None:
    """Describe the pictures of a task and write what was found.

    Raises:
        UserError: The folders cannot be read, or nothing can be written any more.
    """
    of_kind = Masks if task.kind == "background" else Output
    with of_kind(task.config, task.name) as output:
        _Tagging(task, tagger, listener, output).run()


class _Tagging:
    """The state of `tag`."""

    def __init__(self, task: Task, tagger: Tagger, listener: Listener, output: Output) -> None:
        self.task = task
        self.tagger = tagger
        self.listener = listener
        self.output = output
        looks_only = not tagger.writes_captions and task.kind != "background"
        self.findings = Findings(task.config.model, task.kind) if looks_only else None
        self.rules = make_rules(task.config)
        self._unsaved: list[Written] = []
        # Pictures of which the model had nothing to say.
        self._wordless: list[str] = []
        self._flushed_at = time.monotonic()
        self._pause = WHOLE_SECONDS if task.config.output == "jsonl" else FLUSH_SECONDS

    def run(self) -> None:
        chosen = self.task.pictures(self.output, self.findings)
        if self.tagger.note is not None:
            self.listener.warn(self.tagger.note)
        if gone := self.task.gone:
            self.task.counts.failed += len(gone)
            self.listener.warn(Problem("warning", "tagging_pictures_gone", "", {"num": len(gone), "name": gone[0]}))
        self.listener.progress(0, len(chosen))
        try:
            self._describe(chosen)
        except BaseException:
            with suppress(UserError):  # what is found is kept; the error at hand is the one to tell
                self._save(self.output.close)
            raise
        self._save(self.output.close)
        if names := self._wordless:
            self.listener.warn(Problem("warning", "tagging_wordless", "", {"num": len(names), "name": names[0]}))

    def _describe(self, chosen: Sequence[Picture]) -> None:
        config, done = self.task.config, 0
        for batch in describe(
            self.tagger,
            chosen,
            batch_size=config.batch_size,
            num_workers=config.num_workers,
            stopping=self.listener.stopping,
            read=read_turned if self.task.kind == "background" else read_edited,
        ):
            for picture, described in batch:
                self._put(picture, described)
            done += len(batch)
            if time.monotonic() - self._flushed_at >= self._pause:
                self._save(self.output.flush)
                self._flushed_at = time.monotonic()
                self._pause *= 2 if config.output == "jsonl" else 1
            self.listener.progress(done, len(chosen))

    def _put(self, picture: Picture, described: Described | UserError) -> None:
        counts = self.task.counts
        try:
            if isinstance(described, UserError):
                raise described
            written = self._noted(picture, described)
        except UserError as error:
            counts.failed += 1
            self.listener.warn(_warning(error.problem))
            return
        counts.written += written.is_new
        counts.skipped += not written.is_new
        self._unsaved.append(written)
        self.listener.found(written)

    def _noted(self, picture: Picture, described: Described) -> Written:
        if described.scores is not None and np.isnan(described.scores).any():
            raise UserError("tagger_not_a_number", value=picture.name)
        if self.findings is not None:
            return Written(picture, "", self.findings.put(picture, described))
        if described.mask is not None:
            assert isinstance(self.output, Masks), "models that make masks have an output of their own"
            return self.output.put_mask(picture, described.mask)
        found, details = _words(described, self.tagger, self.rules)
        if not found:
            self._wordless.append(picture.name)
        return self.output.put(picture, found, details)

    def _save(self, write: Callable[[], list[Problem]]) -> None:
        """Write what is not written yet; a dry run forgets it."""
        if self.task.config.dry_run:
            return
        if self.findings is not None:
            self.findings.flush()
        for problem in write():
            self.task.counts.written -= 1
            self.task.counts.failed += 1
            self.listener.warn(_warning(problem))
        self.listener.saved(self._unsaved)
        self._unsaved = []


def _warning(problem: Problem) -> Problem:
    return Problem("warning", problem.code, problem.path, problem.params)


def _words(described: Described, tagger: Tagger, rules: Rules) -> tuple[list[str], dict[str, Any]]:
    """Return the words of a caption, and the confidences for files that programs read."""
    if described.scores is None or tagger.tags is None:
        return sentence(described.text, rules), {}
    tags = choose(described.scores, tagger.tags, rules)
    return words(tags, rules), confidences(tags)


def preview_row(written: Written) -> dict[str, str]:
    """Return one line of a preview as plain data."""
    picture = written.picture
    return {"path": str(picture.path), "name": picture.name, "before": written.before, "after": written.after}
