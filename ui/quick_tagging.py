"""Tagging with one click on the Quick page: what lacks captions, the run that writes them, and what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from backend.config import paths
from backend.config.problems import UserError
from backend.data.datasets import Dataset
from backend.data.records import Scan
from backend.data.sources import kind_of
from backend.runs.layout import RunFolder
from taggers.config import TaggingConfig
from taggers.launching import to_download
from ui import quick_plan, tagging_runs, wording
from ui.captions_tagging import MEGABYTE
from ui.findings import Findings
from ui.markup import render

if TYPE_CHECKING:
    from ui.context import AppContext


# What came of a run is shown for so long, unless it is closed before.
OUTCOME_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Wanted:
    """Pictures without captions: names from their folders; one run has one ending and one trigger word."""

    folders: tuple[Path, ...]
    names: tuple[str, ...]
    num_pictures: int
    caption_extension: str
    trigger_word: str


@dataclass(frozen=True, slots=True)
class Part:
    """The part of the page: `can_start` with the button, `is_shown` when it tells of pictures without captions."""

    html: Markup
    can_start: bool
    is_shown: bool


def wanted(found: Scan | None) -> Wanted | None:
    """Return which pictures a tagger could give captions; None when there are none."""
    if found is None:
        return None
    datasets = [dataset for dataset in found.datasets if _is_taggable(dataset)]
    without = {dataset.index: _without(dataset, found) for dataset in datasets}
    datasets = [dataset for dataset in datasets if without[dataset.index]]
    if not datasets:
        return None
    rules = datasets[0].rules
    alike = [each for each in datasets if _written_as(each) == _written_as(datasets[0])]
    names = [name for dataset in alike for name in without[dataset.index]]
    return Wanted(
        tuple(paths.resolve(dataset.config.path) for dataset in alike),
        tuple(dict.fromkeys(names)),
        len(found.images),
        rules.caption_extension,
        rules.trigger_word,
    )


def _is_taggable(dataset: Dataset) -> bool:
    """Tell whether captions of a data set are files beside its pictures, on this machine."""
    config = dataset.config
    is_here = not paths.is_address(config.path) and paths.resolve(config.path).is_dir()
    # Those of a data set file are known by another name than the draft's.
    return (
        is_here
        and config.source != "sd_scripts"
        and kind_of(config) == "folder"
        and dataset.rules.caption_source == "file"
    )


def _written_as(dataset: Dataset) -> tuple[str, str]:
    return dataset.rules.caption_extension, dataset.rules.trigger_word


def _without(dataset: Dataset, found: Scan) -> list[str]:
    """Return the pictures of a data set that have nothing to be learned with, by their names below its folder."""
    root = str(paths.resolve(dataset.config.path)).rstrip(os.sep) + os.sep
    records = [record for record in found.images if record.dataset == dataset.index and not record.text.strip()]
    places = [record.location for record in records if record.location.startswith(root)]
    return [place[len(root) :].replace(os.sep, "/") for place in places]


class QuickTagging:
    """The part of the Quick page between the pictures and their trigger word."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        # Runs whose outcome the user has read, and those whose captions were taken over.
        self._read: set[str] = set()
        self._taken: set[str] = set()
        self._problem = ""

    def _run(self) -> RunFolder | None:
        """Return the newest run on the draft's folders, unless its outcome was read."""
        rows = [row for row in quick_plan.datasets(self.context.draft.data) if row.get("enabled", True)]
        places = [str(row.get("path") or "").strip() for row in rows]
        folders = [paths.resolve(place) for place in places if place and not paths.is_address(place)]
        run = tagging_runs.newest(self.context.watch, folders, writes_captions=True) if folders else None
        if run is None or run.id in self._read:
            return None
        ended_at = self.context.watch.peek(run).ended_at
        return run if ended_at is None or time.time() - ended_at < OUTCOME_SECONDS else None

    def start(self, findings: Findings) -> None:
        """Tag what has no caption; what is wrong when that cannot be is in the next look."""
        pictures = wanted(findings.scan)
        if pictures is None or self.is_going_on():
            return
        config = TaggingConfig(
            folders=[str(folder) for folder in pictures.folders],
            pictures=list(pictures.names),
            caption_extension=pictures.caption_extension,
            trigger_word=pictures.trigger_word,
        )
        with self._telling():
            tagging_runs.start(self.context.watch, self.context.queue, config)

    def stop(self) -> None:
        """End the run; what is wrong when that cannot be is in the next look."""
        run = self._run()
        with self._telling():
            if run is not None and self.is_going_on():
                tagging_runs.stop(self.context.watch, self.context.queue, run)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        self._problem = ""
        try:
            yield
        except UserError as error:
            self._problem = error.problem.text(self.context.language)

    def act(self, event: Mapping[str, Any], findings: Findings) -> bool:
        """Do what a button says; returns, once, that a run has ended whose captions are to be taken over."""
        action = event["action"]
        if action == "tag":
            self.start(findings)
        elif action == "stop":
            self.stop()
        elif action == "dismiss":  # what came of it has been read
            self._read.add(str(event["run"]))
        return action == "poll" and self._has_ended()

    def _has_ended(self) -> bool:
        run = self._run()
        if run is None or run.id in self._taken or self.is_going_on():
            return False
        self._taken.add(run.id)
        return True

    def is_going_on(self) -> bool:
        """Tell whether pictures of the draft are being tagged, or will be."""
        run = self._run()
        return run is not None and tagging_runs.is_going_on(self.context.watch.peek(run).status)

    def look(self, findings: Findings | None) -> Part:
        """Return how many pictures have no caption, with the button; or how far tagging them is, whatever is found."""
        run, language = self._run(), self.context.language
        is_going_on = self.is_going_on()
        pictures = wanted(findings.scan) if findings and not is_going_on else None
        state = tagging_runs.told(self.context.watch, self.context.queue, run, language) if run else None
        html = render(
            "quick/tagging.html",
            language,
            state=state,
            wanted=pictures,
            folder=str(self._folder(pictures, run) or ""),
            download=self._download() if pictures else "",
            problem=self._problem,
        )
        return Part(html, can_start=pictures is not None, is_shown=is_going_on or pictures is not None)

    def _folder(self, pictures: Wanted | None, run: RunFolder | None) -> Path | None:
        """Return whose captions are worth a look."""
        tagged: Sequence[str] = tagging_runs.table_of(self.context.watch, run).get("folders", []) if run else []
        if tagged:
            return Path(tagged[0])
        return pictures.folders[0] if pictures else None

    def _download(self) -> str:
        """Return what will be downloaded first, or why that cannot be; empty when the tagger is there."""
        missing = to_download(TaggingConfig().model)
        if missing is None:
            return ""
        key = "quick.tagging.offline" if missing.is_offline else "quick.tagging.download"
        return self.context.t(
            key, title=missing.title, size=wording.num_bytes(missing.megabytes * MEGABYTE), folder=missing.folder
        )
