"""TensorBoard inside the app: started when it is asked for, on the logs of one run or of all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gradio as gr

from backend.config.problems import UserError
from ui.markup import render
from ui.pages.runs import root_path

if TYPE_CHECKING:
    from ui.context import AppContext

ALL = ""


class TensorBoardPage:
    """The handlers of the page."""

    def __init__(self, context: AppContext) -> None:
        self.context = context

    def frame(self, *, address: str = "", error: str = "", starting: bool = False) -> str:
        """Return what stands under the choice: the frame, a wait, an error, or an explanation."""
        return render("tensorboard/frame.html", self.context.language, address=address, error=error, starting=starting)

    def choices(self) -> dict[str, Any]:
        """Offer every run, newest first."""
        watch = self.context.watch
        runs = [(f"{watch.facts(run).name} ({run.id[:15]})", run.id) for run in watch.runs()[:200]]
        return gr.update(choices=[(self.context.t("tensorboard.all"), ALL), *runs])

    def open(self, run_id: str | None, request: gr.Request) -> Iterator[str]:
        """Start TensorBoard on the logs of a run, or of all, and show it."""
        yield self.frame(starting=True)
        run = self.context.watch.find(run_id or ALL)
        log_dir: Path = run.logs_dir if run else self.context.watch.runs_dir
        if run and not (log_dir.is_dir() and any(log_dir.rglob("events.out.*"))):
            yield self.frame(error=self.context.t("tensorboard.no_logs"))
            return
        try:
            self.context.tensorboard.ensure(log_dir, log_path=self.context.tensorboard_log_path)
        except UserError as error:
            yield self.frame(error=error.problem.text(self.context.language))
            return
        # Another address for each choice, so that the frame loads anew.
        name = quote(run.id) if run else "all"
        yield self.frame(address=f"{root_path(request, self.context.language)}/tensorboard/?run={name}")


def build(context: AppContext) -> None:
    """Lay out the page."""
    page = TensorBoardPage(context)
    with gr.Row(elem_id="tensorboard-page"):
        run = gr.Dropdown(
            label=context.t("tensorboard.choose"),
            choices=[(context.t("tensorboard.all"), ALL)],
            value=ALL,
            elem_id="tensorboard-run",
            scale=3,
        )
        start = gr.Button(
            context.t("tensorboard.start"), variant="primary", elem_id="tensorboard-start", scale=0, min_width=200
        )
    frame = gr.HTML(page.frame(), elem_id="tensorboard-frame", elem_classes="flush")
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    run.focus(page.choices, None, run, queue=False, **quiet)
    start.click(page.open, run, frame, trigger_mode="once", **quiet)
