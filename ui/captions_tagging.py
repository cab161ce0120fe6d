"""The form that starts a tagging run on the open folder, made from the taggers' own schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.config.base import Parameter
from backend.runs.layout import RunFolder
from backend.runs.queue import Queue
from taggers import models
from taggers.config import parameters, parse
from taggers.launching import new_run
from ui import form, wording

Data = dict[str, Any]
# The page knows the folder; what is only shown in a terminal is not asked for.
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
    ]


def start(queue: Queue, folder: Path, typed: Mapping[str, Any]) -> RunFolder:
    """Make a tagging run of a folder from what was typed, and start it when nothing else runs.

    Raises:
        ConfigError: Values are refused.
        UserError: The folder is gone, or the run cannot be made.
    """
    items = {item.name: item for item in _asked()}
    values = {name: form.read_value(items[name], value) for name, value in typed.items() if name in items}
    given = {name: value for name, value in values.items() if value is not None}
    run = new_run(parse({**given, "folders": [str(folder)]}), queue.runs_dir)
    queue.add(run)
    queue.tick()
    return run
