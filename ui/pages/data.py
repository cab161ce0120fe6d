"""The Data page: the data sets of the draft, and everything that can be told of their pictures before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr

from backend.config import paths
from backend.config.problems import Problem, UserError
from backend.config.root import by_path
from backend.data import user_code
from backend.data.captions import preview
from backend.data.datasets import Dataset
from backend.data.fixes import exclude
from backend.data.records import ImageRecord, Scan
from backend.data.report import Report
from backend.families.tokens import TokenCounter
from ui import changes, data_view, form, quick_plan, run_actions, wording
from ui.background import Cancelled, Progress
from ui.findings import Findings
from ui.markup import plain, script
from ui.pages import expert

if TYPE_CHECKING:
    from ui.context import AppContext

Data = dict[str, Any]
NUM_PICTURES = 24
NUM_DRAWS = 12
TEXTS = (
    "all", "add", "duplicate", "remove", "up", "down", "in_use", "off", "images", "samples", "undo", "tab.findings",
    "tab.numbers", "tab.captions", "tab.settings", "level.error", "level.warning", "level.info", "no_findings",
    "look_closely", "look_closely.help", "looked", "look_again", "cancel", "names", "more", "previous", "next",
    "megapixels", "aspects", "buckets", "bucket.batches", "bucket.repeated", "bucket.dropped", "crops", "crops.help",
    "crops.none", "crop", "captions.missing", "captions.empty", "captions.long", "captions.duplicated",
    "captions.without_trigger", "captions.tokens", "tags", "tags.search", "pictures.search", "pictures.none",
    "preview", "preview.help", "preview.tokens", "preview.as_written", "preview.description", "close", "exclude",
    "start", "queue", "empty", "empty.help", "example", "unreachable", "code", "code.help", "code.trusted",
    "code.trust", "code.hash", "go", "general",
)  # fmt: skip


class DataPage:
    """What the page's script asks for. `selected` is "all", the number of a row, or "row.part" of a data set file."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.finder = context.finder

    def snapshot(self, request: Data | None = None) -> Data:
        """Return the page as it is: cards, numbers and findings of what is selected, and what is going on."""
        data, language = self.context.draft.data, self.context.language
        # First of all: what looking closely found out is in the findings once it is done.
        looking = self.finder.looking(self.finder.find(data))
        findings, rows = self.finder.find(data), quick_plan.datasets(data)
        selected = _selected(str((request or {}).get("selected", "all")), len(rows))
        report, waiting = self._report(findings, looking)
        return {
            "selected": selected,
            "number": findings.number,
            "rows": rows,
            "values": self._values(data),
            "cards": data_view.cards(rows, findings, report, language),
            "level": data_view.worst(report.findings) if report else "",
            "waiting": waiting,
            "problems": [self._problem(problem) for problem in findings.problems] if report is None else [],
            "view": self._view(findings, report, selected) if report else None,
            "code": self._code(rows, selected),
        }

    def _report(self, findings: Findings, looking: Progress | Cancelled | None) -> tuple[Report | None, Data | None]:
        """Return the report, and what goes on in the background."""
        language = self.context.language
        if findings.waiting:
            return None, _waiting(findings.waiting, findings.stage, language)
        report = self.finder.report(findings)
        if isinstance(report, Progress | Cancelled):
            return None, _waiting(report, "report", language)
        return report, _waiting(looking, "closely", language) if isinstance(looking, Progress) else None

    def _view(self, findings: Findings, report: Report, selected: str) -> Data:
        found, language = findings.scan, self.context.language
        assert found is not None
        parts = self._parts(found, selected)
        numbers = report.total if parts is None else next((report.datasets[part.index] for part in parts), None)
        return {
            "numbers": data_view.numbers_of(numbers, found, language) if numbers else None,
            "arithmetic": data_view.arithmetic(findings, report, language),
            "findings": data_view.finding_rows(report, parts, found, language),
            "num_images": len(found.images),
            "num_looked": report.num_looked,
        }

    def _parts(self, found: Scan, selected: str) -> list[Dataset] | None:
        """Return the data sets that are selected; None for all."""
        if selected == "all":
            return None
        row, _, part = selected.partition(".")
        parts = data_view.parts_of(found, int(row))
        return parts[int(part) : int(part) + 1] if part else parts

    def _values(self, data: Data) -> Data:
        """Return the flat values of the whole draft, which the conditions of a data set's fields look at."""
        defaults = form.defaults()
        values = {path: changes.get(data, path) for path in by_path()}
        return {path: defaults[path] if value is None else value for path, value in values.items()}

    def _problem(self, problem: Problem) -> Data:
        return {"level": problem.level, "path": problem.path, "text": problem.text(self.context.language)}

    def _code(self, rows: Sequence[Data], selected: str) -> Data | None:
        """Return the Python file of the selected data set: where it is, its hash, whether it may run."""
        row = rows[int(selected.partition(".")[0])] if selected != "all" else {}
        path = str(row.get("code_path") or "").strip()
        if not path:
            return None
        place = paths.resolve(path)
        try:
            sha256 = user_code.hash_of(place)
            return {"path": str(place), "sha256": sha256, "trusted": user_code.is_trusted(place), "error": ""}
        except UserError as error:
            return {
                "path": str(place),
                "sha256": "",
                "trusted": False,
                "error": error.problem.text(self.context.language),
            }

    # What changes the draft. `undo` in an answer is what to hand to `undo`.

    def set_row(self, request: Data) -> Data:
        """Take over the form of a data set."""
        rows = quick_plan.datasets(self.context.draft.data)
        rows[int(request["index"])] = form.read_row("datasets", request["row"])
        return self._with_rows(rows, request)

    def set_general(self, request: Data) -> Data:
        """Take over the form of the rules for all data sets: what is as before stays as it is written."""
        data = self.context.draft.data
        values, wanted = self._values(data), []
        for name, typed in request["values"].items():
            item = by_path()[f"data.{name}"]
            value = form.read_value(item, typed)
            if value != values[item.path]:
                wanted.append((item.path, value))
        self.context.draft.replace(changes.applied(data, wanted))
        return self.snapshot(request)

    def add(self, request: Data) -> Data:
        """Add a data set, or a copy of one behind it, and select it."""
        rows = quick_plan.datasets(self.context.draft.data)
        index = len(rows)
        row: Data = {"path": ""}
        if "copy" in request:
            index, row = int(request["copy"]) + 1, dict(rows[int(request["copy"])])
            title = data_view.title_of(row, self.context.language)
            row["name"] = self.context.t("dataroom.copy", name=title)
        rows.insert(index, row)
        return self._with_rows(rows, {"selected": str(index)})

    def remove(self, request: Data) -> Data:
        """Take a data set out; its pictures stay where they are."""
        rows, index = quick_plan.datasets(self.context.draft.data), int(request["index"])
        row = rows.pop(index)
        text = self.context.t("dataroom.removed", name=data_view.title_of(row, self.context.language))
        return {**self._with_rows(rows, {"selected": "all"}), "done": [text], "undo": {"row": row, "index": index}}

    def move(self, request: Data) -> Data:
        """Move a data set up (by -1) or down (by 1)."""
        rows, index = quick_plan.datasets(self.context.draft.data), int(request["index"])
        target = min(max(index + int(request["by"]), 0), len(rows) - 1)
        rows.insert(target, rows.pop(index))
        return self._with_rows(rows, {"selected": str(target)})

    def fix(self, request: Data) -> Data:
        """Apply a fix of a finding, and say what it changed."""
        findings = self.finder.find(self.context.draft.data)
        report = self.finder.report(findings)
        finding = _finding(report, request)
        if finding is None or request["fix"] >= len(finding.fixes):
            return self.snapshot(request)
        return self._changed(finding.fixes[request["fix"]].changes, request)

    def exclude(self, request: Data) -> Data:
        """Leave one picture out."""
        found = self.finder.find(self.context.draft.data).scan
        record = _record(found, request)
        if found is None or record is None:
            return self.snapshot(request)
        return self._changed(exclude(found, [int(request["record"])]).changes, request)

    def undo(self, request: Data) -> Data:
        """Take back a removal, or a change."""
        if "row" in request:
            rows = quick_plan.datasets(self.context.draft.data)
            rows.insert(min(int(request["index"]), len(rows)), request["row"])
            return self._with_rows(rows, {"selected": str(request["index"])})
        pairs = [(str(path), value) for path, value in request["values"]]
        self.context.draft.replace(changes.applied(self.context.draft.data, pairs))
        return self.snapshot(request)

    def _changed(self, wanted: Sequence[changes.Change], request: Data) -> Data:
        data, language = self.context.draft.data, self.context.language
        before = changes.before(data, wanted)
        self.context.draft.replace(changes.applied(data, wanted))
        lines = [
            changes.in_words(path, old, new, language) for (path, new), (_, old) in zip(wanted, before, strict=True)
        ]
        return {
            **self.snapshot(request),
            "done": lines,
            "undo": {"values": before, "selected": request.get("selected")},
        }

    def _with_rows(self, rows: Sequence[Data], request: Data) -> Data:
        self.context.draft.replace(changes.applied(self.context.draft.data, [("data.datasets", list(rows) or None)]))
        return self.snapshot(request)

    def example(self, _request: Any = None) -> Data:
        """Take the embedded demo as the draft."""
        self.context.draft.replace(quick_plan.demo())
        return self.snapshot()

    # What looks at pictures.

    def look_closely(self, request: Data) -> Data:
        """Begin to decode every picture in the background."""
        self.finder.look_closely(self.finder.find(self.context.draft.data))
        return self.snapshot(request)

    def look_again(self, request: Data) -> Data:
        """Look through the folders anew."""
        self.finder.look_again()
        return self.snapshot(request)

    def cancel(self, request: Data) -> Data:
        """End what goes on in the background."""
        self.finder.cancel()
        return self.snapshot(request)

    def names(self, request: Data) -> Data:
        """Return a page of the names of a finding."""
        finding = _finding(self.finder.report(self.finder.find(self.context.draft.data)), request)
        return data_view.names_of(finding, int(request["offset"])) if finding else {"num": 0, "offset": 0, "names": []}

    def pictures(self, request: Data) -> Data:
        """Return a page of the pictures that match a text, a tag or a bar of a histogram."""
        found = self.finder.find(self.context.draft.data).scan
        if found is None:
            return {"num": 0, "offset": 0, "pictures": []}
        parts = self._parts(found, str(request.get("selected", "all")))
        members = data_view.members_of(found)
        numbers = [index for part in (found.datasets if parts is None else parts) for index in members[part.index]]
        wanted = request.get("wanted") or {}
        if wanted:
            rules = {dataset.index: dataset.rules for dataset in found.datasets}
            images = found.images
            numbers = [at for at in numbers if data_view.matches(images[at], wanted, rules[images[at].dataset])]
        offset = int(request.get("offset", 0))
        page = numbers[offset : offset + NUM_PICTURES]
        shown = [{"record": at, "name": found.images[at].name, "text": found.images[at].text} for at in page]
        return {"num": len(numbers), "offset": offset, "pictures": shown}

    def captions(self, request: Data) -> Data:
        """Return twelve draws of a picture's caption as the model would see them, with their tokens."""
        findings = self.finder.find(self.context.draft.data)
        record = _record(findings.scan, request)
        if record is None or findings.scan is None or findings.config is None:
            return {"error": self.context.t("start.looking")}
        config, dataset = findings.config, findings.scan.datasets[record.dataset]
        try:
            counter = TokenCounter.of(config.model, is_weighted=config.data.weighted_captions)
            mates = (each for each in findings.images if each.dataset == record.dataset)
            draws = preview(
                record,
                dataset.rules,
                seed=config.training.seed,
                num=NUM_DRAWS,
                total_steps=findings.plan.count.total_steps if findings.plan else 1000,
                code=user_code.open_code(dataset, mates),
            )
        except UserError as error:
            return {"error": error.problem.text(self.context.language)}
        return {
            "name": record.name,
            "title": dataset.title,
            "size": f"{record.width} x {record.height}",
            "written": list(record.captions),
            "description": record.description,
            "draws": [{"text": text, "tokens": num} for text, num in zip(draws, counter.counts(draws), strict=True)],
            "limit": counter.limit,
        }

    def trust(self, request: Data) -> Data:
        """Let a Python file run whose content the user has confirmed, unless it has changed since it was shown."""
        path = paths.resolve(str(request["path"]))
        if user_code.hash_of(path) == request["sha256"]:
            user_code.trust(path)
            self.finder.look_again()
        return self.snapshot(request)

    def start(self, request: Data) -> Data:
        """Make a run of the draft, unless something speaks against it."""
        return run_actions.start_draft(self.context, request)


def _selected(wanted: str, num_rows: int) -> str:
    row = wanted.partition(".")[0]
    return wanted if row.isdigit() and int(row) < num_rows else "all"


def _waiting(found: Progress | Cancelled, kind: str, language: str) -> Data:
    total = found.num_total if isinstance(found, Progress) else 0
    return {
        "kind": kind,
        "text": wording.going_on(found, language, kind=kind),
        "percent": round(100 * found.num_done / total) if isinstance(found, Progress) and total else None,
        "is_cancelled": isinstance(found, Cancelled),
        "can_cancel": isinstance(found, Progress) and kind in ("scan", "closely"),
    }


def _finding(report: Any, request: Data) -> Any:
    """Return the finding that a page names, unless the report has changed since."""
    number = int(request["finding"])
    if not isinstance(report, Report) or number >= len(report.findings):
        return None
    finding = report.findings[number]
    return finding if finding.problem.code == request["code"] else None


def _record(found: Scan | None, request: Data) -> ImageRecord | None:
    index = int(request["record"])
    return found.images[index] if found is not None and 0 <= index < len(found.images) else None


def props(context: AppContext) -> Data:
    """Return what the page's script needs once: the fields of a data set and the words."""
    schema = form.schema(context.language)
    return {
        "schema": {"items": {"datasets": schema["items"]["datasets"]}, "facts": schema["facts"]},
        "general": form.general_members(context.language),
        "texts": {
            **{name: context.t(f"expert.{name}") for name in expert.TEXTS},
            **expert.start_texts(context),
            **{f"data.{name}": context.t(f"dataroom.{name}") for name in TEXTS},
        },
    }


def build(context: AppContext) -> None:
    """Lay out the page: one widget, filled by its script."""
    page = DataPage(context)
    methods: tuple[Callable[..., Data], ...] = (
        page.snapshot, page.set_row, page.set_general, page.add, page.remove, page.move, page.fix, page.exclude,
        page.undo, page.example, page.look_closely, page.look_again, page.cancel, page.names, page.pictures,
        page.captions, page.trust, page.start,
    )  # fmt: skip
    scripts = ("conditions.js", "fields.js", "texts.js", "start.js", "plots.js", "data_view.js", "data.js")
    gr.HTML(
        props(context),
        html_template='<div class="data-root"></div>',
        js_on_load="".join(script(name) for name in scripts),
        server_functions=[plain(method) for method in methods],
        elem_id="data-page",
        elem_classes="flush",
    )
