"""Tagging from the caption page: the form made from the taggers' own schema, a preview, a run of the open folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backend.config.base import Parameter
from backend.config.problems import ConfigError, UserError
from backend.runs.layout import RunFolder
from taggers import models
from taggers.config import TaggingConfig, parameters, parse
from taggers.launching import Download, action_name, read_preview, to_download
from ui import form, quick_plan, run_actions, tagging_runs, wording
from ui.captions_desk import Desk, Desks
from ui.captions_requests import answered, at_desk
from ui.context import AppContext
from ui.watch import require

Data = dict[str, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
# The page knows the folder and the pictures; a preview is a button.
NOT_ASKED = frozenset({"folders", "recursive", "pictures", "dry_run"})
MEGABYTE = 1024**2


def _asked() -> list[Parameter]:
    return [item for item in parameters() if item.name not in NOT_ASKED]


def fields(language: str) -> list[Data]:
    """Return the fields as the page's script lays them out; what is not basic is folded."""
    return [
        {**form.describe(item, language), "group": "main" if item.ui.tier == "basic" else "more"} for item in _asked()
    ]


def known_models() -> list[Data]:
    """Return the taggers that are offered by name."""
    return [
        {"name": row.name, "title": row.title, "size": wording.num_bytes(row.megabytes * MEGABYTE)}
        for row in models.ROWS
        if row.kind != "background"
    ]


def config_of(folder: Path, names: Sequence[str], typed: Mapping[str, Any], *, dry_run: bool = False) -> TaggingConfig:
    """Return what a run of some pictures of a folder (none: all) is asked to do, from what was typed.

    Raises:
        ConfigError: Values are refused.
    """
    items = {item.name: item for item in _asked()}
    values = {name: form.read_value(items[name], value) for name, value in typed.items() if name in items}
    given = {name: value for name, value in values.items() if value is not None}
    return parse({**given, "folders": [str(folder)], "pictures": list(names), "dry_run": dry_run})


class TaggingTools:
    """The part of the caption page that tags: what its script asks for."""

    def __init__(self, context: AppContext, scope: Callable[[Desk, Data], Mask | None]) -> None:
        """`scope` returns the rows that a request means: bool (num_rows,), None for all."""
        self.context = context
        self.desks: Desks = context.services.desks
        self._scope = scope

    @at_desk
    def tag_facts(self, _desk: Desk, request: Data) -> Data:
        """Return what the dialog says of a model, and the trigger word of the draft."""
        missing = to_download(str(request.get("model") or models.DEFAULT))
        return {
            "download": self._download_text(missing) if missing else "",
            "is_offline": missing is not None and missing.is_offline,
            "trigger_word": quick_plan.get(self.context.draft.data, "data.trigger_word").strip(),
        }

    def _download_text(self, missing: Download) -> str:
        """Return what has to be downloaded for a model, or why that cannot be."""
        t, size = self.context.t, wording.num_bytes(missing.megabytes * MEGABYTE) if missing.megabytes else "?"
        if missing.is_offline:
            return t("captionpage.tagging.offline", title=missing.title, folder=missing.folder)
        return t("captionpage.tagging.download", title=missing.title, size=size)

    @at_desk
    def tag(self, desk: Desk, request: Data) -> Data:
        """Start a tagger on the folder, what the filter shows, or the selected pictures; or a preview of that."""
        mask, library = self._scope(desk, request), desk.library
        if mask is not None and not mask.any():
            return {"error": self.context.t("captionpage.tagging.nothing")}
        names = [] if mask is None or mask.all() else [library.names[row] for row in np.flatnonzero(mask)]
        try:
            config = config_of(library.root, names, request["values"], dry_run=bool(request.get("preview")))
            return {"run": tagging_runs.start(self.context.watch, self.context.queue, config).id}
        except UserError as error:
            return {"error": self._refused(error)}

    def _refused(self, error: UserError) -> str:
        """Return all that is wrong, each behind the name of its field: there are many of them in the dialog."""
        language = self.context.language
        labels = {item.path: form.label(item, language) for item in _asked()}
        problems = error.problems if isinstance(error, ConfigError) else [error.problem]
        texts = {problem.path: problem.text(language) for problem in problems}
        named = [
            self.context.t("captionpage.tagging.refused", field=labels[path], text=text) if path in labels else text
            for path, text in texts.items()
        ]
        return " ".join(named)

    @at_desk
    def tagging_state(self, desk: Desk, request: Data) -> Data:
        """Return how far the newest run on this folder is; what it wrote is taken over when it has ended."""
        watch = self.context.watch
        run = tagging_runs.newest(watch, [desk.library.root])
        if run is None:
            return {"state": None}
        state = tagging_runs.told(watch, self.context.queue, run, self.context.language)
        if request.get("was_going_on") == run.id and not state["is_going_on"]:
            desk.looked = 0.0
            desk.look()
        return {"state": {**state, "can_undo": self._is_last(desk, run)}}

    def _is_last(self, desk: Desk, run: RunFolder) -> bool:
        """Tell whether an undo takes back what a run wrote."""
        standing = (action for action in desk.library.journal.history(20) if not action.is_undone)
        last = next(standing, None)
        return last is not None and last.name == action_name(run)

    @at_desk
    def tag_preview(self, desk: Desk, request: Data) -> Data:
        """Return how far a preview is, and what it found when it has ended."""
        watch, library = self.context.watch, desk.library
        run = require(watch, str(request["run"]))
        state = tagging_runs.told(watch, self.context.queue, run, self.context.language)
        if state["is_going_on"]:
            return {"state": state}
        rows: list[Data] = []
        for found in read_preview(run.path):
            if (row := library.row(found["name"])) is not None:
                rows.append({**found, "id": row, "stamp": desk.stamp(row)})
        return {"state": state, "rows": rows}

    @answered
    def tag_stop(self, request: Data) -> Data:
        """End a run; a preview also goes to the trash, for nobody needs it any more."""
        watch, queue = self.context.watch, self.context.queue
        run = watch.find(str(request["run"]))
        if run is None:
            return {}
        if tagging_runs.is_going_on(watch.peek(run).status):
            tagging_runs.stop(watch, queue, run)
        elif request.get("preview"):
            run_actions.trash(watch, queue, run)
        return {}
