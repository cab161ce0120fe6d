"""The Quick page: base model, pictures, goal and machine, review; over the same draft as the Expert page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from backend import preflight
from backend.config import paths, root
from backend.config.base import flatten
from backend.config.problems import UserError
from backend.config.reference import help_text, label
from backend.data.fixes import apply_fix
from backend.data.plan import place
from backend.estimates import estimate_memory
from backend.families.detect import is_hub_id
from ui import form, goals, machine, picker, quick_plan, quick_view, run_actions, uploads, wording
from ui.findings import Findings
from ui.folders import PickKind
from ui.markup import render, script
from ui.quick_tagging import QuickTagging

if TYPE_CHECKING:
    from ui.context import AppContext

Data = dict[str, Any]
Outputs = list[Any]
NUM_RECENT = 3
NUM_OUTPUTS = 10
TAGGING = 6  # the place of the part that tags among the outputs
KINDS: dict[str, PickKind] = {"folder": "folder", "model": "model", "file": "model"}
STANDARD = 2
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}


class QuickPage:
    """The handlers of the page. The four text fields come first in the inputs and outputs of each."""

    def __init__(self, context: AppContext) -> None:
        self.context = context
        self.finder = context.finder
        # A folder whose pictures were still being looked through when it was chosen.
        self._unseen = ""
        self._last_quality = STANDARD
        self.tagging = QuickTagging(context)
        # Captions were written that the sample prompts have not been made from yet.
        self._has_new_captions = False

    def show(self) -> Outputs:
        """Return the fields and views of the draft as it is, also when it was changed on another page."""
        data = self.context.draft.data
        return [*self._fields(data), *self._views(data), ""]

    def show_changed(self, revision: int) -> Outputs:
        """Show the draft again when it was changed elsewhere since this tab was last on the page."""
        fresh = self.context.draft.revision
        return [*([gr.skip()] * NUM_OUTPUTS if revision == fresh else self.show()), fresh]

    def update(self, *fields: str) -> Outputs:
        """Take over what was typed."""
        return self._answer(self._typed(*fields), fields, gr.skip())

    def act(self, base_model: str, folder: str, trigger_word: str, name: str, event: gr.EventData) -> Outputs:
        """Do what a card, the slider or a button of a problem says."""
        fields = (base_model, folder, trigger_word, name)
        data = self._typed(*fields)
        data = self._actions(data, event._data)[event._data["action"]]()
        self.context.draft.replace(data)
        return self._answer(data, fields, "")

    def upload(self, files: Sequence[str] | None, *fields: str) -> Outputs:
        """Copy dropped files into a folder of the app's own and choose it; more files go to the same folder."""
        data, uploads_dir = self._typed(*fields), paths.home() / "uploads"
        folder = Path(quick_plan.folder_of(data))
        try:
            own = folder.parent == uploads_dir and folder.is_dir()
            target = folder if own else uploads.new_folder(uploads_dir)
            done = uploads.store([(Path(file).name, Path(file)) for file in files or ()], target)
        except UserError as error:
            return self._answer(data, fields, self._note(error.problem.text(self.context.language), error=True))
        if done.stored:
            data = self._with_folder(data, str(target))
            self.context.draft.replace(data)
        words = quick_view.upload_words(done, self.context.language)
        return self._answer(data, fields, self._note(words, error=bool(done.refused)))

    def tag(self, base_model: str, folder: str, trigger_word: str, name: str, event: gr.EventData) -> Outputs:
        """Tag what has no caption, end that, or tell how far it is; at its end, take over what was written."""
        fields = (base_model, folder, trigger_word, name)
        is_asking, outputs = event._data["action"] == "poll", [gr.skip()] * NUM_OUTPUTS
        if is_asking and self.tagging.is_going_on():  # the pictures are not looked through at every new caption
            outputs[TAGGING] = self.tagging.look(None).html
            return outputs
        data = self.context.draft.data if is_asking else self._typed(*fields)
        findings = self.finder.find(data)
        if self.tagging.act(event._data, findings):
            self.finder.look_again()
            self._has_new_captions = True
            return self._answer(self._taken_over(data), fields, gr.skip())
        outputs[TAGGING] = self.tagging.look(findings).html
        return outputs

    def _taken_over(self, data: Data) -> Data:
        """Make the sample prompts from captions that were written since, once they are known."""
        if not self._has_new_captions or not self.finder.find(data).images:
            return data
        self._has_new_captions = False
        data = self._with_prompts(data)
        self.context.draft.replace(data)
        return data

    def start(self, queue_only: bool, *fields: str) -> Outputs:
        """Start unless something cannot work; what may go wrong has to be confirmed first."""
        data, t = self._typed(*fields), self.context.t
        problems = self.finder.review(data)
        if problems is None:
            return self._answer(data, fields, self._note(t("start.looking"), error=True))
        if any(problem.level == "error" for problem in problems):
            return self._answer(data, fields, self._note(t("quick.fix_first"), error=True))
        warnings = [problem.text(self.context.language) for problem in problems if problem.level == "warning"]
        if warnings:
            dialog = render("quick/confirm.html", self.context.language, problems=warnings, queue_only=queue_only)
            return self._answer(data, fields, dialog)
        return self._launch(data, fields, queue_only)

    def start_anyway(self, base_model: str, folder: str, trigger_word: str, name: str, event: gr.EventData) -> Outputs:
        """Start with the warnings that were confirmed."""
        fields = (base_model, folder, trigger_word, name)
        return self._launch(self._typed(*fields), fields, event._data["action"] == "queue")

    def _launch(self, data: Data, fields: Sequence[str], queue_only: bool) -> Outputs:
        """Make a run of the draft; it starts at once, or waits its turn when another runs."""
        t = self.context.t
        try:
            run = run_actions.launch_config(self.context.queue, data, start=not queue_only)
        except UserError as error:
            note = self._note(error.problem.text(self.context.language), error=True)
        else:
            shown = "" if queue_only else run.id
            note = self._note(t("quick.queued" if queue_only else "quick.started"), link=True, run=shown)
        return self._answer(data, fields, note)

    def _answer(self, data: Data, typed: Sequence[str], note: Any) -> Outputs:
        """Return all outputs. A field that stands as it was typed is left alone: its user may be typing on."""
        fields = self._fields(data)
        kept = [gr.skip() if value == before.strip() else value for value, before in zip(fields, typed, strict=True)]
        return [*kept, *self._views(data), note]

    def _typed(self, base_model: str, folder: str, trigger_word: str, name: str) -> Data:
        """Return the draft with the text fields in it, and what follows from a new model or folder."""
        before = self.context.draft.data
        data = quick_plan.with_values(
            before, {"model.base_model": base_model.strip(), "data.trigger_word": trigger_word.strip()}
        )
        if name.strip():
            data = quick_plan.with_values(data, {"output.name": name.strip()})
        if folder.strip() != quick_plan.folder_of(before):
            data = self._with_folder(data, folder.strip())
        elif trigger_word.strip() != quick_plan.get(before, "data.trigger_word"):
            data = self._with_prompts(data)
        if base_model.strip() != quick_plan.get(before, "model.base_model"):
            data = self._with_base_model(data)
        if data != before:
            self.context.draft.replace(data)
        return data

    def _with_base_model(self, data: Data) -> Data:
        return self._with_tier(quick_plan.with_base_model(data, self.finder.find(data).detection), "auto")

    def _with_folder(self, data: Data, folder: str) -> Data:
        """Choose a folder; the quality that was chosen stays, so its steps are dealt out anew."""
        quality = self._quality(self.finder.find(data))
        data = quick_plan.with_folder(data, folder)
        findings = self.finder.find(data)
        self._unseen = folder if findings.waiting and not findings.images else ""
        return self._with_tier(self._with_quality(self._with_prompts(data), quality), "auto")

    def _with_prompts(self, data: Data) -> Data:
        return quick_plan.with_prompts(data, self.finder.find(data).images)

    def _with_quality(self, data: Data, quality: int) -> Data:
        findings = self.finder.find(data)
        if findings.config is None or findings.scan is None or not findings.images:
            return data
        return quick_plan.with_quality(data, findings.config, findings.scan, quality)

    def _with_goal(self, data: Data, name: str) -> Data:
        """Choose a goal; its usual number of steps at the quality that was chosen."""
        quality = self._quality(self.finder.find(data))
        goal = next(goal for goal in goals.GOALS if goal.name == name)
        return self._with_quality(quick_plan.with_values(data, goal.values), quality)

    def _with_tier(self, data: Data, name: str) -> Data:
        """Choose a memory tier, by itself the fastest that fits; precision follows the machine."""
        marks = self._tiers(data)
        if name == "auto":
            name = next(
                (mark.name for mark in marks if mark.fits), marks[-1].name if self.finder.find(data).images else ""
            )
        chosen = next((tier.values for tier in goals.MEMORY_TIERS if tier.name == name), {})
        quality = self._quality(self.finder.find(data))
        precision = {"training.mixed_precision": "bf16" if machine.find().has_gpu else "no"}
        return self._with_quality(quick_plan.with_values(data, {**chosen, **precision}), quality)

    def _actions(self, data: Data, event: Data) -> dict[str, Callable[[], Data]]:
        """Return what each button does to the draft, by its data-action."""
        return {
            "demo": quick_plan.demo,
            "recent": lambda: self._with_base_model(quick_plan.with_values(data, {"model.base_model": event["path"]})),
            "goal": lambda: self._with_goal(data, event["name"]),
            "quality": lambda: self._with_quality(data, int(event["value"])),
            "tier": lambda: self._with_tier(data, event["name"]),
            "fix": lambda: self._fixed(data, event["fix"]),
            "look": lambda: self._looked(data),
            "cancel_look": lambda: self._after(self.finder.cancel, data),
            "look_again": lambda: self._after(self.finder.look_again, data),
        }

    def _after(self, action: Callable[[], None], data: Data) -> Data:
        action()
        return data

    def _looked(self, data: Data) -> Data:
        """Do what choosing a folder does, once its pictures are known."""
        data = self._taken_over(data)
        folder = quick_plan.folder_of(data)
        if self._unseen != folder or not self.finder.find(data).images:
            return data
        return self._with_folder(data, folder)

    def _fixed(self, data: Data, fix: str) -> Data:
        """Mend a problem that has one obvious remedy."""
        if fix == "family":
            return quick_plan.with_base_model(data, self.finder.find(data).detection)
        if fix == "prompt":
            return self._with_prompts(data)
        if fix == "tag":
            return self._after(lambda: self.tagging.start(self.finder.find(data)), data)
        if fix == "masks":
            findings = self.finder.find(data).findings
            fixes = [each.fixes[0] for each in findings if each.problem.code == "masks_unused" and each.fixes]
            return reduce(apply_fix, fixes, data)
        return self._with_tier(data, "auto")

    def _quality(self, findings: Findings) -> int:
        """Return the quality that the plan comes nearest to; the last one while a plan is being made."""
        if findings.waiting:
            return self._last_quality
        if findings.config is None or findings.plan is None or not findings.plan.count.total_steps:
            return STANDARD
        self._last_quality = goals.nearest_quality(
            findings.plan.count.total_steps,
            usual=self._goal(findings).num_steps,
            batch_size=quick_plan.pictures_per_step(findings.config),
        )
        return self._last_quality

    def _goal(self, findings: Findings) -> goals.Goal:
        name = goals.matching(goals.GOALS, flatten(findings.config)) if findings.config else ""
        return next((goal for goal in goals.GOALS if goal.name == name), goals.GOALS[0])

    def _fields(self, data: Data) -> list[str]:
        return [
            quick_plan.get(data, "model.base_model"),
            quick_plan.folder_of(data),
            quick_plan.get(data, "data.trigger_word"),
            quick_plan.get(data, "output.name") or root.by_path()["output.name"].default,
        ]

    def _views(self, data: Data) -> Outputs:
        findings, language = self.finder.find(data), self.context.language
        value, num_datasets = quick_plan.get(data, "model.base_model"), len(quick_plan.datasets(data))
        # How much of a caption is read is a matter of the captions.
        about_model = [each for each in findings.about("model.") if each.path != "model.max_token_length" and value]
        about_pictures = findings.about("data.", "model.max_token_length") if num_datasets else []
        tagging = self.tagging.look(findings)
        if tagging.is_shown:  # it says the same, with a button
            about_pictures = [each for each in about_pictures if each.code != "captions_missing"]
        replaces = bool(value or num_datasets) and value != quick_plan.demo()["model"]["base_model"]
        return [
            quick_view.base_model_html(
                value, findings.detection, about_model, self._recent(), language, replaces=replaces
            ),
            quick_view.pictures_html(findings, num_datasets, about_pictures, language),
            tagging.html,
            self._goal_view(data, findings),
            self._review(findings, can_tag=tagging.can_start),
        ]

    def _recent(self) -> list[str]:
        """Return the base models of the latest runs."""
        watch = self.context.watch
        values = [quick_plan.get(watch.facts(run).data, "model.base_model") for run in watch.runs()[:50]]
        demo = paths.resolve(quick_plan.demo()["model"]["base_model"])
        others = [value for value in dict.fromkeys(values) if value and paths.resolve(value) != demo]
        return [value for value in others if _is_there(value)][:NUM_RECENT]

    def _goal_view(self, data: Data, findings: Findings) -> str:
        flat = flatten(findings.config) if findings.config else {}
        quality = self._quality(findings)
        return quick_view.goal_html(
            goals.matching(goals.GOALS, flat),
            self._quality_marks(findings, quality),
            quality,
            self._tiers(data),
            goals.matching(goals.MEMORY_TIERS, flat),
            machine.find().text(self.context.language),
            self.context.language,
        )

    def _quality_marks(self, findings: Findings, chosen: int) -> list[quick_view.QualityMark]:
        """Return steps and time of each quality; the chosen one's are those of the plan."""
        plan, config = findings.plan, findings.config
        usual, batch = self._goal(findings).num_steps, quick_plan.pictures_per_step(config) if config else 1
        per_step = plan.seconds / plan.count.total_steps if plan and plan.seconds and plan.count.total_steps else None
        steps = [round(usual * quality.factor / batch) for quality in goals.QUALITIES]
        if plan and plan.count.total_steps:
            steps[chosen] = plan.count.total_steps
        return [
            quick_view.QualityMark(quality.name, num, per_step * num if per_step else None)
            for quality, num in zip(goals.QUALITIES, steps, strict=True)
        ]

    def _tiers(self, data: Data) -> list[quick_view.TierMark]:
        """Return what each memory tier would need with these settings; unknown until there are pictures."""
        found, scan = machine.find(), self.finder.find(data).scan
        marks, placements = [], place(scan).placements if scan and scan.images else []
        for tier in goals.MEMORY_TIERS:
            config, _ = root.parse(quick_plan.with_values(data, tier.values))
            need = None
            if config is not None and placements:
                need = estimate_memory(config, placements).total
            fits = None if need is None else need <= found.total_bytes
            marks.append(quick_view.TierMark(tier.name, need, int(tier.values["training.batch_size"]), fits))
        return marks

    def _review(self, findings: Findings, *, can_tag: bool) -> str:
        plan, config = findings.plan, findings.config
        return quick_view.review_html(
            preflight.sentence(config, plan, findings.scan, self.context.language)
            if config and plan and findings.scan
            else "",
            memory=self._memory(plan),
            seconds=plan.seconds if plan else None,
            problems=findings.problems,
            waiting=wording.going_on(findings.waiting, self.context.language, kind=findings.stage)
            if findings.waiting
            else "",
            language=self.context.language,
            can_tag=can_tag,
        )

    def _memory(self, plan: preflight.Plan | None) -> dict[str, Any] | None:
        if plan is None:
            return None
        need, total = plan.memory.total, machine.find().total_bytes
        text = self.context.t("quick.review.memory.of", need=wording.num_bytes(need), total=wording.num_bytes(total))
        return {"text": text, "percent": round(100 * need / total)}

    def _note(self, text: str, *, error: bool = False, link: bool = False, run: str = "") -> str:
        return render("quick/note.html", self.context.language, text=text, error=error, link=link, run=run)


def _is_there(base_model: str) -> bool:
    return is_hub_id(base_model) or paths.resolve(base_model).exists()


def build(context: AppContext) -> None:
    """Lay out the page."""
    page = QuickPage(context)
    widget = partial(gr.HTML, js_on_load=script("actions.js"), elem_classes="flush")

    def heading(number: int, step: str) -> None:
        html = render("quick/heading.html", context.language, number=number, step=step)
        gr.HTML(html, elem_id=f"quick-step-{step}", elem_classes="flush")

    with gr.Row(elem_id="quick-page"):
        with gr.Column(scale=3, min_width=460):
            with gr.Column(elem_classes="quick-card"):
                heading(1, "model")
                base_model = _field(context, "model.base_model")
                model_view = widget(elem_id="quick-model")
            with gr.Column(elem_classes="quick-card"):
                heading(2, "pictures")
                folder = _field(context, "data.datasets.path")
                drop = render("quick/drop.html", context.language)
                gr.HTML(drop, js_on_load=script("drop.js"), elem_id="quick-drop", elem_classes="flush")
                files = gr.File(file_count="multiple", visible="hidden", elem_id="quick-upload")
                scripts = script("actions.js") + script("scanning.js")
                pictures_view = widget(elem_id="quick-pictures", js_on_load=scripts)
                scripts = script("actions.js") + script("quick_tagging.js")
                tagging_view = widget(elem_id="quick-tagging", js_on_load=scripts)
                trigger_word = _field(context, "data.trigger_word")
            with gr.Column(elem_classes="quick-card"):
                heading(3, "goal")
                goal_view = widget(elem_id="quick-goal")
        with gr.Column(scale=2, min_width=340, elem_id="quick-right", elem_classes="quick-card"):
            heading(4, "review")
            review = widget(elem_id="quick-review")
            name = _field(context, "output.name")
            with gr.Row():
                start = gr.Button(context.t("quick.start"), variant="primary", elem_id="quick-start", min_width=120)
                queue = gr.Button(context.t("quick.queue"), elem_id="quick-queue", min_width=120)
            note = widget(js_on_load=script("actions.js") + script("quick.js"), elem_id="quick-note")
    revision = gr.State(0)
    fields = [base_model, folder, trigger_word, name]
    outputs = [*fields, model_view, pictures_view, tagging_view, goal_view, review, note]
    triggers = [event for field in fields for event in (field.blur, field.submit)]
    gr.on(triggers, page.update, fields, outputs, trigger_mode="always_last", **QUIET)
    for part in (model_view, pictures_view, goal_view, review):
        part.action(page.act, fields, outputs, trigger_mode="once", **QUIET)
    tagging_view.action(page.tag, fields, outputs, trigger_mode="once", **QUIET)
    # An event of its own: a click that comes while one is asked how far it is must not be lost.
    tagging_view.poll(page.tag, fields, outputs, trigger_mode="once", **QUIET)
    note.action(page.start_anyway, fields, outputs, trigger_mode="once", **QUIET)
    note.shown(page.show_changed, revision, [*outputs, revision], **QUIET)
    files.upload(page.upload, [files, *fields], outputs, **QUIET).then(lambda: None, None, files, **QUIET)
    start.click(partial(page.start, False), fields, outputs, trigger_mode="once", **QUIET)
    queue.click(partial(page.start, True), fields, outputs, trigger_mode="once", **QUIET)
    context.on_load(page.show, None, outputs, **QUIET)


def _field(context: AppContext, path: str) -> gr.Textbox:
    """Return the text box of a parameter, with the words of the schema; a path box has the folder picker beside it."""
    in_list = path.startswith("data.datasets.")
    members = {f"data.datasets.{item.path}": item for item in root.item_parameters("datasets")}
    item, prefix = (members[path], "datasets.") if in_list else (root.by_path()[path], "")
    words = label(item, context.language, prefix=prefix), help_text(item, context.language, prefix=prefix)
    if in_list:  # of all that a path can be, only what most people need
        words = words[0], context.t("quick.folder.help")
    field_id = f"quick-{form.element_id(path)}"
    kind: PickKind | None = "data" if in_list else KINDS.get(item.ui.widget)
    gr.HTML(
        render("quick/label.html", context.language, label=words[0], help=words[1], path=path), elem_classes="flush"
    )
    with gr.Row(elem_classes="path-row"):
        # Without a container there is no frame around the box, and the label stands above both box and button.
        field = gr.Textbox(label=words[0], show_label=False, container=False, elem_id=field_id, scale=1)
        if kind:
            gr.HTML(picker.browse_html(field_id, kind, context.language), elem_classes=["flush", "path-browse"])
    return field
