"""What the caption page tells of tags and pictures beyond captions: which tags go together, what is alike, scores."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.data import scan
from backend.editing.commas import COMMAS
from backend.editing.filter import And, Compare, Everything, FilterError, Flag, Node, Not, Or, Term, parse
from backend.editing.matching import evaluate
from backend.editing.operations import Commas, Context
from backend.editing.patterns import Pattern
from backend.editing.spellings import other_spellings
from backend.editing.tag_statistics import implications, implied_by, together_with
from backend.editing.tags import Mask
from backend.runs.layout import RunFolder
from taggers import models
from taggers.config import parse as tagging_config
from taggers.launching import new_run, to_download
from ui import background, captions_view, tagging_runs, wording
from ui.background import Cancelled, Job, Progress, Slot
from ui.captions_desk import Desk
from ui.captions_requests import at_desk
from ui.captions_words import Words, folder

if TYPE_CHECKING:
    from ui.context import AppContext

Data = dict[str, Any]
NUM_TAGS = 300
NUM_COMMON = 200
NUM_TOGETHER = 30
NUM_HINTS = 100
# Locale keys behind "captionpage.".
TEXTS = (
    "together", "together.none", "together.open", "together.both", "together.always", "tags.fewer",
    "tags.fewer.label", "tags.fewer.pictures", "tags.fewer.show", "tags.fewer.show.help", "tags.choose_listed",
    "instead.take",
    "unseen", "look", "look.rest", "looking", "stop", "score.open", "likeness", "likeness.looks", "likeness.scorer",
    "likeness.embedding", "likeness.model", "known.looks", "known.scorer", "known.embedding", "start.scorer",
    "start.embedding", "show.dup", "similar", "sort.unusual", "sort.rating", "sort.score", "lists", "lists.open",
    "lists.found", "lists.folder", "lists.usual", "lists.tag_list", "lists.tag_list.help", "lists.tag_translations",
    "lists.tag_translations.help",
)  # fmt: skip
# Models that look at pictures without writing captions.
LOOKERS = ("scorer", "embedding")
# Problems of a filter that looking at the pictures solves.
LOOKED_FOR = frozenset({"dup", "similar", "score"})
TO_LOOK = {"filter_not_looked": "looks", "filter_not_scored": "scorer"}


def rows_of(context: AppContext, desk: Desk, text: str) -> tuple[Mask | None, Data | None]:
    """Return which rows a filter takes (None: all), or what is wrong with it, where, and what would help."""
    try:
        node = parse(text)
        if isinstance(node, Everything):
            return None, None
        counter = captions_view.counter_of(context.draft.data)

        def find() -> Mask:
            return evaluate(node, desk.library, counter)

        if _asks_for_looks(node):  # what is known of pictures changes without any change of the folder
            return find(), None
        return desk.remembered(text, (desk.version, id(counter.tokenizer), counter.is_weighted), find), None
    except FilterError as error:
        return None, {
            "position": error.position,
            "length": error.length,
            "text": error.problem.text(context.language),
            "remedy": TO_LOOK.get(error.code, ""),
        }


def shown_rows(context: AppContext, desk: Desk, request: Data) -> tuple[Mask | None, Data | None]:
    """Return which rows a page shows, as `rows_of`: those of its filter, among the ones that were picked out."""
    mask, problem = rows_of(context, desk, str(request["filter"]))
    if problem or not request.get("only"):
        return mask, problem
    picked = captions_view.mask_of(str(request["only"]), len(desk.library))
    return (picked if mask is None else mask & picked), None


def num_unseen(desk: Desk, text: str) -> int:
    """Return how many pictures a filter for look-alikes knows nothing of: they came after the others were looked at."""
    if not _asks_for_looks(parse(text), frozenset({"dup", "similar"})):
        return 0
    return len(desk.library) - desk.library.likeness().num_looked


def instead(context: AppContext, desk: Desk, text: str, words: Words) -> list[Data]:
    """Return what to filter by instead of tags that no caption has: where they stand, and how captions spell them."""
    found = other_spellings(parse(text), desk.library.tags, lambda tag: words.meant(desk, tag))
    return [
        {
            "position": each.term.position[0],
            "length": each.term.position[1],
            "text": context.t("captionpage.instead", tag=each.term.pattern.literal, other=each.tag, num=each.count),
            "other": each.tag,
            "filter": each.in_place(text),
        }
        for each in found
    ]


def _asks_for_looks(node: Node, keys: Set[str] = LOOKED_FOR) -> bool:
    """Tell whether a filter asks for something that looking at pictures tells."""
    match node:
        case Not(inner):
            return _asks_for_looks(inner, keys)
        case And(nodes) | Or(nodes):
            return any(_asks_for_looks(each, keys) for each in nodes)
        case Flag(key) | Term(key) | Compare(key):
            return key in keys
    return False


class Searching:
    """What the page's script asks for of tags, look-alikes and scores."""

    def __init__(self, context: AppContext, words: Words) -> None:
        self.context = context
        self.desks = context.services.desks
        self.tag_words = words
        self._looks: dict[str, Slot[bool]] = {}
        # Runs whose findings were taken over.
        self._taken: set[str] = set()

    @at_desk
    def tags(self, desk: Desk, request: Data) -> Data:
        """Return a page of the tags of the folder, with how often each is there and among those that match."""
        mask, _ = shown_rows(self.context, desk, request)
        table = desk.library.tags
        every = table.counts()
        shown = every if mask is None else table.counts(mask)
        wanted, fewer = str(request["search"]).casefold(), int(request.get("fewer") or 0)
        is_listed = every > 0 if not fewer else (every > 0) & (every < fewer)
        numbers = [int(n) for n in np.flatnonzero(is_listed) if self._means(table.folded[n], table.words[n], wanted)]
        orders = {
            "name": lambda n: table.folded[n],
            "shown": lambda n: (-shown[n], -every[n], table.folded[n]),
            "rare": lambda n: (every[n], table.folded[n]),
        }
        numbers.sort(key=orders.get(str(request["sort"]), lambda n: (-every[n], table.folded[n])))
        offset = int(request.get("offset", 0))
        page = [
            [word, int(every[n]), int(shown[n]), self.tag_words.category(word), self.tag_words.translation(word)]
            for n in numbers[offset : offset + NUM_TAGS]
            if (word := table.words[n])
        ]
        return {"tags": page, "num": int(np.count_nonzero(every)), "num_found": len(numbers)}

    def _means(self, folded: str, word: str, wanted: str) -> bool:
        """Tell whether a tag has what is searched for in it, or in its translation."""
        return wanted in folded or (bool(wanted) and wanted in self.tag_words.translation(word).casefold())

    @at_desk
    def common(self, desk: Desk, request: Data) -> Data:
        """Return the most frequent tags of the selected pictures, with how often they are there and what is known."""
        table = desk.library.tags
        counts = table.counts(captions_view.mask_of(str(request["ids"]), len(table.lengths)))
        order = np.argsort(-counts, kind="stable")[:NUM_COMMON]
        words = [(table.words[n], int(counts[n])) for n in order if counts[n]]
        return {"tags": [[word, count, self.tag_words.facts(desk, word)] for word, count in words]}

    @at_desk
    def together(self, desk: Desk, request: Data) -> Data:
        """Return what stands beside a tag: tag, in how many captions both are, their share of its own, translation."""
        tag = str(request["tag"])
        table = desk.library.tags
        implied = {each.implied for each in implied_by(table, tag)}
        found = [
            [each.tag, each.count, round(each.share, 4), self.tag_words.translation(each.tag), each.tag in implied]
            for each in together_with(table, tag, num=NUM_TOGETHER)
        ]
        return {"tag": tag, "tags": found}

    @at_desk
    def hints(self, desk: Desk, _request: Data) -> Data:
        """Return what looks forgotten: tags that nearly always go with another, and the captions where one lacks."""
        t = self.context.t
        found = [each for each in implications(desk.library.tags) if each.num_without][:NUM_HINTS]
        hints = [
            {
                "text": t("captionpage.hint", tag=each.tag, implied=each.implied, num=each.num_without),
                "filter": str(And((Term("tag", Pattern.of(each.tag)), Not(Term("tag", Pattern.of(each.implied)))))),
            }
            for each in found
        ]
        return {"hints": [*self._comma_hint(desk), *hints]}

    def _comma_hint(self, desk: Desk) -> list[Data]:
        """Return that tags are separated in a way that training does not know, with the batch that changes it."""
        separate = Commas().edit(Context())
        found = [text for text in desk.library.texts if separate(text) != text]
        if not found:
            return []
        marks = " ".join(mark for mark in COMMAS if any(mark in text for text in found))
        return [{"text": self.context.t("captionpage.hint.commas", num=len(found), marks=marks), "operation": "commas"}]

    @at_desk
    def tag_lists(self, _desk: Desk, request: Data) -> Data:
        """Return the user's lists of tags and of translations, after taking others where some are given."""
        names = ("tag_list", "tag_translations")
        change = {name: str(request[name]).strip().strip('"') for name in names if name in request}
        if change:
            self.context.settings.change(**change)
        lists, settings = self.tag_words.lists(), self.context.settings.get()
        return {
            "tag_list": settings.tag_list,
            "tag_translations": settings.tag_translations,
            "num_tags": len(lists.known.tags),
            "num_translations": len(lists.translations),
            "problems": [problem.text(self.context.language) for problem in lists.problems],
            "folder": str(folder()),
        }

    # What is alike, and what is good.

    @at_desk
    def look_closely(self, desk: Desk, request: Data) -> Data:
        """Look at the pictures that nobody has looked at yet: how far that is, or that it is done or was ended."""
        slot = self._looks.setdefault(desk.key, Slot())
        if request.get("cancel"):
            slot.cancel()
        found = slot.get(desk.generation, lambda job: _look(desk, job), wait=0.5)
        if isinstance(found, Progress):
            return {"waiting": self._waiting(found), "percent": wording.percent(found)}
        slot.forget()
        return {"ended": True, "cancelled": isinstance(found, Cancelled)}

    def _waiting(self, found: Progress) -> str:
        t = self.context.t
        if not found.num_total:
            return t("captionpage.looking")
        text = t("captionpage.looking.of", num=f"{found.num_done:,}", total=f"{found.num_total:,}")
        return wording.with_time_left(text, found, self.context.language)

    @at_desk
    def likeness(self, desk: Desk, _request: Data) -> Data:
        """Return how many pictures were looked at, scored and embedded, and the runs that do so."""
        runs = {kind: self._told_of(desk, kind) for kind in LOOKERS}
        found = desk.library.likeness()
        embedded = 0 if found.embeddings is None else int(found.embeddings.any(1).sum())
        return {
            "num": len(desk.library),
            "looks": found.num_looked,
            "scorer": int(np.isfinite(found.scores).sum()),
            "embedding": embedded,
            "runs": {kind: told for kind, told in runs.items() if told},
            "models": {kind: self._models(kind) for kind in LOOKERS},
        }

    def _told_of(self, desk: Desk, kind: str) -> Data | None:
        """Return the newest run of a kind on this folder; what an ended one has found is taken over."""
        run = self._newest(desk, kind)
        if run is None:
            return None
        told = tagging_runs.told(self.context.watch, self.context.queue, run, self.context.language)
        if not told["is_going_on"] and run.id not in self._taken:
            self._taken.add(run.id)
            desk.library.forget_likeness()
        return told

    def _newest(self, desk: Desk, kind: str) -> RunFolder | None:
        for run in self.context.watch.runs()[: tagging_runs.NUM_RUNS]:
            table = tagging_runs.table_of(self.context.watch, run)
            if not table or table.get("dry_run") or _kind(str(table.get("model") or models.DEFAULT)) != kind:
                continue
            if [str(Path(place).resolve()) for place in table.get("folders", [])] == [str(desk.library.root)]:
                return run
        return None

    def _models(self, kind: str) -> list[Data]:
        """Return the models of a kind, with what is to be downloaded first."""
        found = []
        for row in models.ROWS:
            if row.kind != kind:
                continue
            missing = to_download(row.name)
            size = wording.num_bytes(row.megabytes * 1024**2)
            note = ""
            if missing is not None:
                key = "captionpage.model.offline" if missing.is_offline else "captionpage.model.download"
                note = self.context.t(key, size=size, folder=str(missing.folder))
            found.append({"name": row.name, "title": row.title, "note": note})
        return found

    @at_desk
    def look_run(self, desk: Desk, request: Data) -> Data:
        """Start a scorer or an embedder on the folder, or end the one that runs."""
        kind = str(request["kind"])
        if request.get("stop"):
            run = self._newest(desk, kind)
            if run is not None:
                tagging_runs.stop(self.context.watch, self.context.queue, run)
            return {}
        config = tagging_config({"model": str(request["model"]), "folders": [str(desk.library.root)]})
        run = new_run(config, self.context.queue.runs_dir)
        self.context.queue.add(run)
        self.context.queue.tick()
        self.context.watch.forget(run.id)
        return {"run": run.id}


def _look(desk: Desk, job: Job) -> bool:
    try:
        desk.library.look(job.tell, lambda: job.is_stopped)
    except scan.Stopped as error:
        raise background.Stopped from error
    return True


def _kind(model: str) -> str:
    row = models.find(model)
    return row.kind if row else ""
