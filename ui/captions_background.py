"""Taking away backgrounds from the caption page: a run that makes masks of some pictures of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backend.config.messages import translate
from backend.runs.layout import RunFolder
from backend.runs.queue import Queue
from taggers import models
from taggers.config import parse
from taggers.launching import new_run, to_download
from ui import wording

Data = dict[str, Any]
KIND = "background"
MEGABYTE = 1024**2


def facts(language: str) -> Data:
    """Return the models that know what is background, and in words what has to be installed for them."""
    found = [_told(row, language) for row in models.ROWS if row.kind == KIND]
    is_there = bool(found) and find_spec("rembg") is not None
    return {"models": found, "missing": "" if is_there else translate("captionpage.background.missing", language)}


def _told(row: models.TaggerModel, language: str) -> Data:
    """Return a model as it is offered; `note`: what has to be downloaded first, and where it may be put by hand."""
    size, missing = wording.num_bytes(row.megabytes * MEGABYTE), to_download(row.name)
    note = ""
    if missing is not None:
        key = "captionpage.background.offline" if missing.is_offline else "captionpage.background.download"
        note = translate(key, language, size=size, folder=str(missing.folder), file=row.files[0])
    return {"name": row.name, "title": row.title, "size": size, "note": note}


def start(queue: Queue, folder: Path, names: Sequence[str], *, model: str, overwrite: bool) -> RunFolder:
    """Make a run for pictures of a folder, and start it when nothing else runs.

    Args:
        queue: Where the run goes.
        folder: The folder that is open.
        names: The pictures, by their paths below it with /.
        model: One of `facts`.
        overwrite: Make masks anew where there are some.

    Raises:
        UserError: The folder is gone, or the run cannot be made.
    """
    values = {
        "folders": [str(folder)],
        "pictures": list(names),
        "model": model,
        "on_existing": "overwrite" if overwrite else "skip",
    }
    run = new_run(parse(values), queue.runs_dir)
    queue.add(run)
    queue.tick()
    return run
