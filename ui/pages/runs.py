"""The Runs page: what runs, what waits, what ran; and one run in full."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from backend.config.problems import UserError
from backend.runs import supervisor
from backend.runs.layout import RunFolder
from ui import charts, run_actions, run_cards, run_detail, samples
from ui.markup import render, script
from ui.watch import RunWatch, is_live, require

if TYPE_CHECKING:
    from ui.context import AppContext

CHARTS_TEMPLATE = '<div class="charts"></div>'
CHART_SECONDS = 3.0
RESENDS = 2
PARTS = ("head", "charts", "samples", "files", "log", "config")
TABS = ("overview", "files", "log", "config")
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
STORAGE_KEY = "athanor.runs"
VIEWER_TEXTS = {
    "step": "runs.step",
    "close": "runs.samples.close",
    "compare": "runs.samples.compare_with",
    "seed": "runs.samples.seed",
    "nothing": "runs.samples.nothing",
}
State = dict[str, Any]
Outputs = list[Any]


def new_state() -> State:
    """Return what one browser tab remembers: its selection, and what of each part it has been sent."""
    return {
        "run": "",
        "tab": "overview",
        "num_history": run_cards.HISTORY_LENGTH,
        "wall_end": None,
        "undo": None,
        "message": "",
        "query": "",
        "other": "",
        "sent": {},
        "resend": 0,
    }


class RunsPage:
    """The handlers of the page. What a tab sees is sent only when it differs from what it was sent before."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.watch: RunWatch = context.watch
        self.queue = context.queue
        self._diagnoses: dict[tuple[str, int, str], dict[str, Any] | None] = {}

    def tick(self, state: State, request: gr.Request) -> Outputs:
        """Return what changed in the last second; after an action of the user's also what was sent already.

        Answers may overtake each other: an older one that arrives last would stand until something changes.
        """
        if state["resend"]:
            state["resend"] -= 1
            state["sent"].clear()
        return self._changes(state, request)

    def refresh(self, state: State, request: gr.Request) -> Outputs:
        """Return what changed with an action of the user's."""
        state["resend"] = RESENDS
        return self._changes(state, request)

    def _changes(self, state: State, request: gr.Request) -> Outputs:
        """Return every part that changed since this tab was last sent it; `gr.skip()` for the others."""
        run = self.watch.find(state["run"])
        sent = state["sent"]
        outputs: Outputs = []
        for name, mark in self._marks(state, run).items():
            fresh = mark is not None and sent.get(name) != mark
            outputs.append(self._part(name, run, state, request) if fresh else gr.skip())
            if fresh:
                sent[name] = mark
        shown = (bool(run), not run and bool(self.watch.runs()))
        if sent.get("shown") == shown:
            return [*outputs, gr.skip(), gr.skip(), state]
        sent["shown"] = shown
        return [*outputs, gr.update(visible=shown[0]), gr.update(visible=shown[1]), state]

    def _part(self, name: str, run: RunFolder | None, state: State, request: gr.Request) -> Any:
        """Return one part of the page; nothing when no run is chosen."""
        language, root = self.context.language, root_path(request, self.context.language)
        if name == "list":
            return self._list(state, language, root)
        if run is None:
            return None if name == "charts" else ""
        view = self.watch.open(run)
        match name:
            case "head":
                return self._head(run, language, request)
            case "charts":
                return self._charts(run, language)
            case "samples":
                return run_detail.samples_html(run, view, language, root=root, end=state["wall_end"])
            case "files":
                return run_detail.files_html(run, view, language, root=root)
            case "log":
                return run_detail.log_html(run, language, query=state["query"])
        return self._config(run, state, language)

    def _marks(self, state: State, run: RunFolder | None) -> dict[str, Any]:
        """Return for each part what it depends on; None where it is not on screen."""
        language = self.context.language
        listed = self._list_mark(state, language)
        if run is None:
            nothing = ("", language)
            return {"list": listed, **dict.fromkeys(PARTS, nothing)}
        view, tab = self.watch.open(run), state["tab"]
        base = (run.id, language)
        second = int(time.time() / CHART_SECONDS) if is_live(view.status) else view.num_events
        log_size = run.console_path.stat().st_size if run.console_path.exists() else 0
        overview = tab == "overview"
        return {
            "list": listed,
            "head": (*base, view.num_events, view.status, int(time.time()) if is_live(view.status) else 0),
            "charts": (*base, view.step, len(view.losses.points), second) if overview else None,
            "samples": (*base, len(view.samples), _last(view.samples), state["wall_end"]) if overview else None,
            "files": (*base, len(view.models), _last(view.models), len(view.checkpoints), _last(view.checkpoints))
            if tab == "files"
            else None,
            "log": (*base, log_size, state["query"]) if tab == "log" else None,
            "config": (*base, state["other"]) if tab == "config" else None,
        }

    def _list_mark(self, state: State, language: str) -> Any:
        views = [(run.id, self.watch.peek(run)) for run in self.watch.runs()[: state["num_history"] + 20]]
        facts = [
            (run_id, view.status, view.step, view.num_events if is_live(view.status) else 0) for run_id, view in views
        ]
        own = (state["run"], state["num_history"], state["message"], str(state["undo"]), language)
        return (tuple(facts), tuple(run.id for run in self.queue.runs()), self.queue.paused, own)

    def _list(self, state: State, language: str, root: str) -> str:
        queued = [run.id for run in self.queue.runs()]
        made, num_more = run_cards.groups(self.watch, queued, root=root, num_history=state["num_history"])
        undo = run_cards.Undo(**state["undo"]) if state["undo"] else None
        return run_cards.list_html(
            made,
            language,
            selected=state["run"],
            paused=self.queue.paused,
            num_more=num_more,
            undo=undo,
            message=state["message"],
        )

    def _head(self, run: RunFolder, language: str, request: gr.Request) -> str:
        view, facts = self.watch.open(run), self.watch.facts(run)
        key = (run.id, view.num_events, language)
        if view.status in ("failed", "crashed") and key not in self._diagnoses:
            self._diagnoses = {key: run_actions.explain(run, view, facts, language)}
        diagnosis = self._diagnoses.get(key) if view.status in ("failed", "crashed") else None
        return run_detail.head_html(run, view, facts, language, local=is_local(request), diagnosis=diagnosis)

    def _charts(self, run: RunFolder, language: str) -> dict[str, Any]:
        view = self.watch.open(run)
        rates = {name: list(curve.points) for name, curve in list(view.learning_rates.items())}
        return charts.payload(
            run.id,
            language,
            losses=list(view.losses.points),
            smooth_losses=list(view.smooth_losses.points),
            rates=rates,
            memory=list(view.memory.points) if any(value for _, value in view.memory.points) else [],
            validation={name: list(curve.points) for name, curve in list(view.validation.items())},
        )

    def _config(self, run: RunFolder, state: State, language: str) -> str:
        other = self.watch.find(state["other"])
        return run_detail.config_html(self.watch.facts(run), language, other=self.watch.facts(other) if other else None)

    def act(self, state: State, request: gr.Request, event: gr.EventData) -> Outputs:
        """Do what a button says; a refusal is shown above the list until the next press."""
        state["message"] = ""
        try:
            self._actions(state, str(event._data.get("run", "")))[event._data["action"]]()
        except UserError as error:
            state["message"] = error.problem.text(self.context.language)
        return self.refresh(state, request)

    def _actions(self, state: State, run_id: str) -> dict[str, Callable[[], Any]]:
        """Return what each button does, by its data-action."""

        def run() -> RunFolder:
            return require(self.watch, run_id)

        return {
            "open": lambda: self.select(state, run_id),
            "more": lambda: state.update(num_history=state["num_history"] + run_cards.HISTORY_LENGTH),
            "delete": lambda: self.delete(state, run()),
            "undo": lambda: self.undo(state, run_id),
            "remedy": lambda: self.select(state, run_actions.start_remedied(self.watch, self.queue, run_id).id),
            "stop": lambda: supervisor.request(run(), "stop"),
            "save": lambda: supervisor.request(run(), "save"),
            "sample": lambda: supervisor.request(run(), "sample"),
            "resume": lambda: run_actions.resume(self.watch, run()),
            "start": lambda: run_actions.start(self.watch, self.queue, run()),
            "again": lambda: self.context.draft.replace(run_actions.settings_of(self.watch.facts(run()))),
            "folder": lambda: run_actions.open_folder(run().path),
            "up": lambda: self.queue.move(run(), by=-1),
            "down": lambda: self.queue.move(run(), by=1),
            "remove": lambda: self.queue.remove(run()),
            "pause": lambda: self.queue.pause(not self.queue.paused),
            "older": lambda: self.page_wall(state, -samples.MAX_COLUMNS),
            "newer": lambda: self.page_wall(state, samples.MAX_COLUMNS),
        }

    def restore(self, state: State, run_id: str, request: gr.Request) -> Outputs:
        """Show the run that this browser looked at last; without one, what is running, or the newest."""
        runs = [run.id for run in self.watch.runs()]
        live = [run.id for run in supervisor.reattach(self.watch.runs_dir)]
        state["run"] = run_id if run_id in runs else next(iter(live + runs), "")
        return self.refresh(state, request)

    def show_tab(self, state: State, request: gr.Request, event: gr.SelectData) -> Outputs:
        """Send what the chosen tab shows; the others are not kept up to date meanwhile."""
        state["tab"] = TABS[event.index]
        return self.refresh(state, request)

    def search(self, state: State, query: str, request: gr.Request) -> Outputs:
        """Search the whole log."""
        state["query"] = query.strip()
        return self.refresh(state, request)

    def others(self, state: State) -> dict[str, Any]:
        """Offer the other runs to compare the configuration with."""
        runs = [run for run in self.watch.runs() if run.id != state["run"]]
        return gr.update(choices=[(f"{self.watch.facts(run).name} ({run.id[:15]})", run.id) for run in runs[:200]])

    def compare(self, state: State, run_id: str | None, request: gr.Request) -> Outputs:
        """Show what differs from another run."""
        state["other"] = run_id or ""
        return self.refresh(state, request)

    def select(self, state: State, run_id: str) -> None:
        """Show another run."""
        state |= {"run": run_id, "wall_end": None, "query": "", "undo": None}

    def delete(self, state: State, run: RunFolder) -> None:
        """Move a run to the trash and offer to bring it back."""
        name = self.watch.facts(run).name
        trashed = run_actions.trash(self.watch, self.queue, run)
        state |= {"undo": {"run": trashed, "name": name}, "run": ""}

    def undo(self, state: State, run_id: str) -> None:
        """Bring the run back that was just deleted."""
        run_actions.untrash(self.watch, run_id)
        state |= {"undo": None, "run": run_id}

    def page_wall(self, state: State, columns: int) -> None:
        """Move the sample wall to earlier or later steps."""
        run = require(self.watch, state["run"])
        steps = len({sample["step"] for sample in self.watch.open(run).samples})
        state["wall_end"] = max(0, (steps if state["wall_end"] is None else state["wall_end"]) + columns)
        if state["wall_end"] >= steps:
            state["wall_end"] = None


def _last(items: list[dict[str, Any]]) -> Any:
    return items[-1].get("seq") if items else None


def root_path(request: gr.Request, language: str) -> str:
    """Return the path that a reverse proxy puts in front of the app: what is left without the language's own path."""
    return str(request.request.scope.get("root_path", "")).rstrip("/").removesuffix(f"/{language}")


def is_local(request: gr.Request) -> bool:
    """Tell whether the browser runs on this machine, so that a folder opened here is seen there."""
    forwarded = request.headers.get("x-forwarded-for")
    return not forwarded and bool(request.client) and request.client.host in ("127.0.0.1", "::1")


def build(context: AppContext) -> None:
    """Lay out the page."""
    page = RunsPage(context)
    t = context.t
    state = gr.State(new_state())
    kept = gr.BrowserState("", storage_key=STORAGE_KEY, secret=STORAGE_KEY)
    widget = partial(gr.HTML, js_on_load=script("actions.js"), elem_classes="flush")
    with gr.Row(elem_id="runs-page"):
        with gr.Column(scale=1, min_width=300):
            listing = widget(elem_id="runs-list")
        with gr.Column(scale=3, min_width=560):
            nothing = gr.HTML(
                render("runs/nothing.html", context.language),
                visible=False,
                elem_id="runs-nothing",
                elem_classes="flush",
            )
            with gr.Column(visible=False, elem_id="runs-detail") as detail:
                head = widget(elem_id="runs-head")
                with gr.Tabs() as tabs:
                    with gr.Tab(t("runs.tab.overview"), id="overview"):
                        chart = gr.HTML(
                            html_template=CHARTS_TEMPLATE,
                            js_on_load=script("charts.js"),
                            elem_id="runs-charts",
                            elem_classes="flush",
                        )
                        texts = {name: t(key) for name, key in VIEWER_TEXTS.items()}
                        wall = gr.HTML(
                            js_on_load=script("actions.js") + script("samples.js"),
                            texts=texts,
                            elem_id="runs-samples",
                            elem_classes="flush",
                        )
                    with gr.Tab(t("runs.tab.files"), id="files"):
                        files = widget(elem_id="runs-files")
                    with gr.Tab(t("runs.tab.log"), id="log"):
                        query = gr.Textbox(label=t("runs.log.search"), elem_id="runs-log-search")
                        log = gr.HTML(elem_id="runs-log", elem_classes="flush")
                    with gr.Tab(t("runs.tab.config"), id="config"):
                        other = gr.Dropdown(label=t("runs.config.compare"), elem_id="runs-compare")
                        config = widget(elem_id="runs-config")
    outputs = [listing, head, chart, wall, files, log, config, detail, nothing, state]
    for part in (listing, head, wall):
        part.action(page.act, state, outputs, **QUIET).then(lambda kept_state: kept_state["run"], state, kept, **QUIET)
    tabs.select(page.show_tab, state, outputs, **QUIET)
    query.change(page.search, [state, query], outputs, **{**QUIET, "trigger_mode": "always_last"})
    other.focus(page.others, state, other, **QUIET)
    other.input(page.compare, [state, other], outputs, **QUIET)
    timer = gr.Timer(1)
    timer.tick(page.tick, state, outputs, **QUIET)
    context.on_load(page.restore, [state, kept], outputs, **QUIET)
