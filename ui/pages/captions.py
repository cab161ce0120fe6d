"""The caption page: a folder of pictures to read, tag, filter and correct; every change is saved and undoable."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from backend.config import paths
from backend.config.problems import UserError
from backend.editing.journal import FilesChangedOutside
from backend.editing.library import Applied
from backend.editing.operations import context_of, edits
from taggers.config import TABLE
from ui import captions_many, captions_search, captions_tagging, captions_view, quick_plan
from ui.captions_batch import described, name_of, operation_of
from ui.captions_desk import SORTS, Desk, Edit
from ui.captions_lines import line_rule, with_line_rule
from ui.captions_many import ManyPictures
from ui.captions_requests import answered, at_desk
from ui.captions_search import Searching, instead, num_unseen, shown_rows
from ui.captions_texts import EXAMPLES, TEXTS, TOOL_TEXTS
from ui.captions_words import Words, chosen_places
from ui.markup import plain, script
from ui.pages import expert

if TYPE_CHECKING:
    from ui.context import AppContext

Data = dict[str, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
# The captions that a batch changes, by row, and all as they were before.
Planned = tuple[dict[int, str], list[str]]
NUM_SUGGESTED = 12
NUM_EXAMPLES = 20
# Captions that are named when they became UTF-8.
NUM_CONVERTED = 3
# No window shows more; the others are looked at in turns.
NUM_SEEN = 500
# Nobody writes more tags into one caption; looking for misspelt ones takes its time.
NUM_TOLD = 300
ALL_TEXTS = (*TEXTS, *TOOL_TEXTS, *captions_many.TEXTS, *captions_search.TEXTS)


class CaptionsPage(ManyPictures):
    """What the page's script asks for. A request names the folder and the generation of its rows."""

    def __init__(self, context: AppContext) -> None:
        super().__init__()
        self.context = context
        self.desks = context.services.desks
        self.tag_words = Words(lambda: chosen_places(context.settings.get()), context.language)
        # The batch that was previewed last, and what it was asked for: what is done was previewed just before.
        self._planned: tuple[tuple[Any, ...], Planned] | None = None

    @answered
    def places(self, _request: Data) -> Data:
        """Return the folders that one may want to open: those of the draft's data sets."""
        found = []
        for row in quick_plan.datasets(self.context.draft.data):
            path = str(row.get("path") or "").strip()
            if path and not paths.is_address(path) and paths.resolve(path).is_dir():
                found.append(
                    {"path": str(paths.resolve(path)), "title": row.get("name") or Path(path).name, "note": ""}
                )
        return {"folders": found}

    @answered
    def open(self, request: Data) -> Data:
        """Open a folder, or tell how far opening it is."""
        found = self.desks.open(str(request["folder"]), again=bool(request.get("again")))
        if not isinstance(found, Desk):
            return {"waiting": captions_view.opening(found, self.context.language)}
        library = found.library
        found.warm(captions_view.counter_of(self.context.draft.data))
        problems = [*library.folder_problems, *library.problems.values()]
        return {
            "key": found.key,
            "folder": str(library.root),
            "num": len(library),
            "generation": found.generation,
            "notes": [captions_view.told(problem, library.root, self.context.language) for problem in problems[:3]],
            **self._told(found),
        }

    @at_desk
    def view(self, desk: Desk, request: Data) -> Data:
        """Return the rows that match the filter, in the wanted order."""
        mask, problem = self._mask(desk, request)
        if problem:
            return {"problem": problem}
        rows = desk.order(mask, str(request["sort"]))
        text = str(request["filter"])
        return {
            "ids": captions_view.packed(rows),
            "version": desk.version,
            "problem": None,
            "unseen": num_unseen(desk, text),
            "instead": instead(self.context, desk, text, self.tag_words),
        }

    @at_desk
    def rows(self, desk: Desk, request: Data) -> Data:
        """Return some rows as they are shown."""
        return {"rows": self._rows(desk, [int(row) for row in request["ids"]])}

    @at_desk
    def edit(self, desk: Desk, request: Data) -> Data:
        """Save captions as typed; those that somebody else changed meanwhile are conflicts."""
        wanted = [Edit(int(each["row"]), str(each["text"]), str(each["before"])) for each in request["edits"]]
        names = [desk.library.names[each.row] for each in wanted]
        t = self.context.t
        one = len(wanted) == 1
        name = t("captionpage.action.edit", name=names[0]) if one else t("captionpage.action.edits", num=len(wanted))
        desk.edit(name, wanted)
        return {"rows": self._rows(desk, [each.row for each in wanted]), "touched": [], **self._told(desk)}

    @at_desk
    def settle(self, desk: Desk, request: Data) -> Data:
        """Leave a caption as it is in the file: the user has seen that it was changed outside."""
        desk.conflicts.pop(desk.library.names[int(request["row"])], None)
        return self._told(desk)

    @at_desk
    def retry(self, desk: Desk, _request: Data) -> Data:
        """Try again to write what could not be written."""
        desk.library.retry(self.context.t("captionpage.action.retry"))
        desk.library.journal.wait()
        return self._told(desk)

    @at_desk
    def undo(self, desk: Desk, request: Data) -> Data:
        """Take back the last change."""
        return self._travel(desk, desk.library.undo, "undo", request)

    @at_desk
    def redo(self, desk: Desk, request: Data) -> Data:
        """Do again what was taken back."""
        return self._travel(desk, desk.library.redo, "redo", request)

    def _travel(self, desk: Desk, turn: Callable[..., Applied | None], kind: str, request: Data) -> Data:
        about = request["about"] if request.get("about") in ("skip", "overwrite") else "refuse"
        try:
            applied = turn(about)
        except FilesChangedOutside as error:
            return {"external": True, "text": error.problem.text(self.context.language)}
        t = self.context.t
        if applied is None or applied.action is None:
            key = "captionpage.nothing_to_undo" if kind == "undo" else "captionpage.nothing_to_redo"
            return {"done": t(key), "touched": [], **self._told(desk)}
        key = "captionpage.undone" if kind == "undo" else "captionpage.redone"
        at = applied.came[0] if applied.came else ""
        left = [each.problem.text(self.context.language) for each in applied.skipped[:3]]
        if about == "skip" and (kept := [each.path for each in applied.action.skipped]):
            left = [t("captionpage.undo.skipped", num=len(kept), names=", ".join(kept[:3]))]
        done = "\n".join([t(key, name=applied.action.name), *left])
        return {"done": done, "at": at, **self._touched(applied.rows), **self._told(desk)}

    @at_desk
    def find(self, desk: Desk, request: Data) -> Data:
        """Return the rows of pictures by name."""
        found = {str(name): desk.library.row(str(name)) for name in request["names"]}
        return {"ids": {name: row for name, row in found.items() if row is not None}}

    @at_desk
    def names(self, desk: Desk, request: Data) -> Data:
        """Return the names of pictures by their rows."""
        return {"names": [desk.library.names[row] for row in self._asked(desk, request)]}

    @at_desk
    def poll(self, desk: Desk, request: Data) -> Data:
        """Look for changes from outside, and tell what the page does not know yet."""
        t = self.context.t
        found = desk.look([int(row) for row in request.get("seen", ())][:NUM_SEEN])
        if request["generation"] != desk.generation:
            return {"renumbered": True}
        notes = []
        # What a tagger of ours writes is told where the run is.
        if found is not None and found.changed and not request.get("is_tagged"):
            notes.append(t("captionpage.outside", num=len(found.changed)))
        if desk.num_tabs(str(request["tab"])) > 1:
            notes.append(t("captionpage.other_tab"))
        if found is not None and desk.library.visitors():
            notes.append(t("captionpage.other_program"))
        for name, encoding in itertools.islice(desk.library.journal.converted().items(), NUM_CONVERTED):
            notes.append(t("captionpage.converted", name=name, encoding=encoding))
        return {"notes": notes, "touched": None, **self._told(desk)}

    @at_desk
    def preview(self, desk: Desk, request: Data) -> Data:
        """Return how many captions an operation would change, and how it changes the first of them."""
        (found, _), total = self._edits(desk, request)
        library = desk.library
        examples = [
            {"id": row, "name": library.names[row], "before": library.texts[row], "after": text}
            for row, text in itertools.islice(found.items(), NUM_EXAMPLES)
        ]
        return {"num": len(found), "total": total, "examples": examples}

    @at_desk
    def apply(self, desk: Desk, request: Data) -> Data:
        """Do an operation over many captions, as one change that can be undone."""
        (found, before), _ = self._edits(desk, request)
        name = name_of(str(request["operation"]), request["values"], self.context.t)
        applied = desk.apply(name, found, before) if found else None
        self._planned = None
        rows = applied.rows if applied else ()
        done = self.context.t("captionpage.done", name=name, num=f"{len(rows):,}")
        return {"done": done, "num": len(rows), **self._touched(rows), **self._told(desk)}

    def _edits(self, desk: Desk, request: Data) -> tuple[Planned, int]:
        """Return the captions that an operation changes, and how many it looks at."""
        library, mask = desk.library, self._scope(desk, request)
        operation = operation_of(str(request["operation"]), request["values"])
        counter = captions_view.counter_of(self.context.draft.data)
        lists = chosen_places(self.context.settings.get())
        rows = None if mask is None else mask.tobytes()
        key = (desk.key, desk.version, operation, rows, counter.tokenizer, counter.is_weighted, lists)
        planned = self._planned
        if planned is None or planned[0] != key:
            context = context_of(library, categories=self.tag_words.categories(library.tags.words), counter=counter)
            texts = list(library.texts)
            planned = self._planned = (key, (edits(library, operation, mask, context), texts))
        total = len(library) if mask is None else int(np.count_nonzero(mask))
        return planned[1], total

    def _scope(self, desk: Desk, request: Data) -> Mask | None:
        """Return the rows that are meant: bool (num_rows,); None for all."""
        if request["scope"] == "all":
            return None
        if request["scope"] == "selected":
            return captions_view.mask_of(str(request["ids"]), len(desk.library))
        mask, problem = self._mask(desk, request)
        if problem:
            raise UserError("caption_filter_wrong", value=str(problem["text"]))
        return mask

    # What the other methods share.

    def _told(self, desk: Desk) -> Data:
        """Return what every change is answered with."""
        root, language, saving = desk.library.root, self.context.language, desk.library.saving()
        desk.take(saving.conflicts)
        actions = desk.library.journal.history(captions_view.NUM_ACTIONS)
        return {
            "version": desk.version,
            "generation": desk.generation,
            "conflicts": captions_view.conflict_data(desk.open_conflicts()),
            "history": captions_view.history_data(actions, language),
            "pending": saving.num_pending,
            "failed": [captions_view.told(each.problem, root, language) for each in saving.unsaved[:1]],
            "num_failed": len(saving.unsaved),
        }

    def _touched(self, rows: Sequence[int]) -> Data:
        return {"touched": list(rows) if len(rows) <= captions_view.NUM_TOUCHED else None}

    def _mask(self, desk: Desk, request: Data) -> tuple[Mask | None, Data | None]:
        """Return which rows the filter takes (None: all), or what is wrong with it and where."""
        return shown_rows(self.context, desk, request)

    def _rows(self, desk: Desk, rows: Sequence[int]) -> list[Data]:
        library = desk.library
        wanted = [row for row in rows if 0 <= row < len(library)]
        data = self.context.draft.data
        counter, triggers = captions_view.counter_of(data), captions_view.trigger_words(data)
        lines = [library.texts[row].split("\n") for row in wanted]
        counts = iter(counter.counts([line for some in lines for line in some]))
        tokens = [max(next(counts) for _ in some) for some in lines]
        facts = [self._facts(desk, row, triggers) for row in wanted]
        found = [
            captions_view.row_data(desk, row, num, counter.limit, fact)
            for row, num, fact in zip(wanted, tokens, facts, strict=True)
        ]
        for row in found:
            # Only of captions that have several: to find the data set of each picture takes a while.
            row["lines"] = line_rule(data, Path(row["path"])) if "\n" in row["text"].strip() else ""
        return captions_view.with_problems(found, desk, self.context.language)

    @at_desk
    def part_lines(self, desk: Desk, request: Data) -> Data:
        """Let training draw one of the lines of a caption each time, in the data set of a picture."""
        picture, draft = desk.library.path(int(request["row"])), self.context.draft
        draft.replace(with_line_rule(draft.data, picture, "random"))
        return {"touched": None, **self._told(desk)}

    def _facts(self, desk: Desk, row: int, triggers: frozenset[str]) -> dict[str, Data]:
        """Return what is to be told of the tags of a caption, by tag."""
        told = {}
        for tag in desk.library.tags.of(row)[:NUM_TOLD]:
            found = {"trigger": True} if tag.lower() in triggers else self.tag_words.facts(desk, tag)
            if found:
                told[tag] = found
        return told

    @at_desk
    def complete(self, desk: Desk, request: Data) -> Data:
        """Return what a typed beginning may mean, the most frequent first."""
        return {"tags": self.tag_words.complete(desk, str(request["text"]).strip(), NUM_SUGGESTED)}


def props(context: AppContext) -> Data:
    """Return what the page's script needs once."""
    t = context.t
    return {
        # What fields.js needs for the form of the taggers.
        "texts": {name: t(f"expert.{name}") for name in expert.TEXTS},
        "schema": {"facts": {}},
        "words": {name: t(f"captionpage.{name}") for name in ALL_TEXTS},
        "tagging": {
            "table": TABLE,
            "fields": captions_tagging.fields(context.language),
            "models": captions_tagging.known_models(),
        },
        "language": context.language,
        "operations": described(t),
        "sorts": SORTS,
        "examples": [(text, t(f"captionpage.example.{name}")) for text, name in EXAMPLES],
    }


def build(context: AppContext) -> None:
    """Lay out the page: one widget, filled by its script."""
    page = CaptionsPage(context)
    search = Searching(context, page.tag_words)
    tagging = captions_tagging.TaggingTools(context, page._scope)
    methods: tuple[Callable[..., Data], ...] = (
        page.places, page.open, page.view, page.rows, page.edit, page.settle, page.retry, page.undo, page.redo,
        page.find, page.names, page.poll, page.part_lines, page.complete, page.preview, page.apply,
        tagging.tag, tagging.tag_facts, tagging.tag_preview, tagging.tag_stop, tagging.tagging_state,
        search.tags, search.common, search.hints, search.together, search.tag_lists, search.look_closely,
        search.likeness, search.look_run,
        page.picture_facts, page.crop_fate, page.edit_picture, page.rate_pictures, page.turn_pictures,
        page.crops_shown, page.masks_shown, page.many, page.copy_pictures, page.save_mask, page.use_masks,
        page.trash_pictures, page.move_pictures, page.background_facts, page.remove_background,
    )  # fmt: skip
    scripts = (
        "conditions.js", "fields.js", "texts.js", "captions_store.js", "captions_grid.js", "captions_editor.js",
        "captions_tags.js", "captions_likeness.js", "captions_batch.js", "captions_tagging.js",
        "captions_pictures.js", "captions_crop_box.js", "captions_crop.js", "captions_many.js",
        "captions_mask_pixels.js", "captions_mask_edges.js", "captions_mask_view.js", "captions_mask_tools.js",
        "captions_mask.js", "captions.js",
    )  # fmt: skip
    gr.HTML(
        props(context),
        html_template='<div class="captions-root"></div>',
        js_on_load="".join(script(name) for name in scripts),
        server_functions=[plain(method) for method in methods],
        elem_id="captions-page",
        elem_classes="flush",
    )
