"""The Expert page: every parameter, with plan, problems, TOML and command beside it; over the same draft as Quick."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from backend import preflight
from backend.config import paths, presets, root
from backend.config.base import Parameter, flatten
from backend.config.messages import has
from backend.config.problems import Problem, UserError
from backend.config.reference import label
from backend.config.root import TrainConfig, by_path
from backend.runs.supervisor import display
from ui import form, machine, quick_view, run_actions
from ui.background import Progress
from ui.findings import Findings
from ui.markup import plain, script
from ui.memory import memory_bar
from ui.wording import going_on

if TYPE_CHECKING:
    from ui.context import AppContext

Data = dict[str, Any]
PRESETS_DIR = paths.PROJECT_DIR / "presets"
MAX_HISTORY = 30
TEXTS = (
    "search", "changed_only", "tier", "preset", "history", "open", "save", "reset", "reset_confirm", "start", "queue",
    "plan", "problems", "toml", "command", "help", "copy", "copied", "no_problems", "add", "remove", "reset_field",
    "default", "range", "at_least", "at_most", "more_than", "aliases", "path", "needs", "not_here", "applies_to",
    "toml_apply", "toml_help", "started", "queued", "nothing", "none", "browse",
    "as_general", "own", "empty", "on", "off", "more", "rules", "rules_hint", "list_hint", "topic.geometry",
    "topic.captions", "error", "warning", "path_hint", "reference", "saved", "loaded", "unset", "unreachable",
    "tier_hides",
)  # fmt: skip


class ExpertPage:
    """What the page's script asks for. Every answer that changes the draft is a whole snapshot of it."""

    def __init__(self, context: AppContext) -> None:
        self.context = context

    def snapshot(self, _request: Any = None) -> Data:
        """Return the draft as the page shows it: values, changes, problems, plan, TOML, command."""
        data = self.context.draft.data
        findings = self.context.finder.find(data)
        values = {item.path: _shape(item, _get(data, item.path)) for item in by_path().values()}
        defaults = form.defaults()
        shown = {path: defaults[path] if value is None else value for path, value in values.items()}
        return {
            "revision": self.context.draft.revision,
            "values": shown,
            "changed": [path for path, value in shown.items() if value != defaults[path]],
            "problems": [self._problem(problem) for problem in findings.problems],
            "waiting": isinstance(findings.waiting, Progress),
            "plan": self._plan(findings),
            "toml": self.context.draft.text,
            "command": self._command(),
            "presets": self._presets(),
            "history": self._history(),
        }

    def set_value(self, change: Data) -> Data:
        """Set one field as typed; null takes it back to its default."""
        path, typed = str(change["path"]), change["value"]
        value = None if typed is None else form.read_value(by_path()[path], typed)
        self.context.draft.set(path, value)
        return self.snapshot()

    def set_toml(self, text: str) -> Data:
        """Set the whole draft from TOML."""
        return self._change(lambda: self.context.draft.replace_text(text))

    def load_preset(self, name: str) -> Data:
        """Lay a preset over the draft: what it does not name stays."""

        def load() -> None:
            path = (PRESETS_DIR / name).resolve()
            assert path.is_relative_to(PRESETS_DIR), "a preset of ours"
            self.context.draft.replace(presets.merge(self.context.draft.data, presets.read(path)))

        return self._change(load)

    def load_run(self, run_id: str) -> Data:
        """Take over the configuration of a past run."""

        def load() -> None:
            run = self.context.watch.find(run_id)
            if run is None:
                raise UserError("file_not_found", value=run_id)
            self.context.draft.replace(_sparse(presets.read(run.config_path)))

        return self._change(load)

    def reset(self, _request: Any = None) -> Data:
        """Begin anew."""
        self.context.draft.replace({})
        return self.snapshot()

    def start(self, request: Data) -> Data:
        """Make a run of the draft and start it, or let it wait its turn; warnings have to be confirmed."""
        return {**self.snapshot(), **run_actions.start_draft(self.context, request)}

    def _change(self, action: Callable[[], None]) -> Data:
        try:
            action()
        except UserError as error:
            return {**self.snapshot(), "message": error.problem.text(self.context.language), "failed": True}
        return self.snapshot()

    def _problem(self, problem: Problem) -> Data:
        text = problem.text(self.context.language)
        title = self._title(problem.path)
        return {"level": problem.level, "path": problem.path, "title": title, "text": text}

    def _title(self, path: str) -> str:
        item = by_path().get(path.split("[", 1)[0])
        return label(item, self.context.language) if item else path

    def _plan(self, findings: Findings) -> str:
        plan, config, scan = findings.plan, findings.config, findings.scan
        return quick_view.review_html(
            preflight.sentence(config, plan, scan, self.context.language) if plan and config and scan else "",
            memory=memory_bar(plan, machine.find(), self.context.language) if plan else None,
            waiting=going_on(findings.waiting, self.context.language, kind=findings.stage) if findings.waiting else "",
            seconds=plan.seconds if plan else None,
            problems=(),
            language=self.context.language,
        )

    def _command(self) -> str:
        return display(["python", "-m", "backend", "train", str(self.context.draft.path)])

    def _presets(self) -> list[Data]:
        names = sorted(path.relative_to(PRESETS_DIR).as_posix() for path in PRESETS_DIR.glob("*/*.toml"))
        keys = {name: "preset." + name.removesuffix(".toml").replace("/", ".") for name in names}
        return [{"value": name, "label": self.context.t(key) if has(key) else name} for name, key in keys.items()]

    def _history(self) -> list[Data]:
        watch = self.context.watch
        runs = watch.runs()[:MAX_HISTORY]
        return [{"value": run.id, "label": f"{watch.facts(run).name} ({run.id[:15]})"} for run in runs]


def _get(data: Data, path: str) -> Any:
    value: Any = data
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _shape(item: Parameter, value: Any) -> Any:
    """Return a value as its control can show it: a list of rows where one belongs, never a table elsewhere."""
    if item.kind in form.LISTS:
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else None
    if item.kind in form.PLAIN_LISTS and isinstance(value, list):
        return value
    return str(value) if isinstance(value, (dict, list)) else value


def _sparse(data: Data) -> Data:
    """Return what a run's full configuration sets beside the defaults."""
    config, _ = root.parse(data)
    return presets.diff(config) if config is not None else data


def props(context: AppContext) -> Data:
    """Return what the page's script needs once: the schema, the words, the tier to begin with."""
    return {
        "schema": form.schema(context.language),
        "language": context.language,
        "texts": {**{name: context.t(f"expert.{name}") for name in TEXTS}, **start_texts(context)},
        "tiers": [
            {"value": name, "label": context.t(f"settings.tier.{name}")}
            for name in ("basic", "advanced", "experimental")
        ],
        "tier": context.settings.get().tier,
        "defaults": _json_defaults(),
    }


def start_texts(context: AppContext) -> Data:
    """Return the words of the dialog before a start."""
    return {f"start.{name}": context.t(f"start.{name}") for name in ("title", "back", "anyway")}


def _json_defaults() -> Data:
    return {path: value for path, value in flatten(TrainConfig()).items() if path != "version"}


def build(context: AppContext) -> None:
    """Lay out the page: one widget, whose script makes a control for every field of the schema."""
    page = ExpertPage(context)
    gr.HTML(
        props(context),
        html_template='<div class="expert-root"></div>',
        js_on_load=script("conditions.js") + script("fields.js") + script("start.js") + script("expert.js"),
        server_functions=[
            plain(method)
            for method in (
                page.snapshot,
                page.set_value,
                page.set_toml,
                page.load_preset,
                page.load_run,
                page.reset,
                page.start,
            )
        ],
        elem_id="expert",
        elem_classes="flush",
    )
