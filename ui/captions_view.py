"""What the caption page is told: rows, history and progress, in the words of a language."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from backend.config.messages import translate
from backend.config.model import ModelSection
from backend.config.problems import Problem
from backend.editing.journal import Action
from backend.editing.library import Conflict
from backend.editing.tags import Mask
from backend.families.tokens import TokenCounter
from ui import quick_plan, wording
from ui.background import Cancelled, Progress
from ui.captions_desk import Desk

Data = dict[str, Any]
NUM_ACTIONS = 200
# More rows than this are not named one by one: the page asks anew for those in sight.
NUM_TOUCHED = 2000


def packed(ids: Iterable[int] | np.ndarray[Any, Any]) -> str:
    """Return rows as base64 of little-endian int32: a hundred thousand of them are half a megabyte."""
    numbers = ids if isinstance(ids, np.ndarray) else np.fromiter(ids, np.int32)
    return base64.b64encode(numbers.astype("<i4").tobytes()).decode("ascii")


def told(problem: Problem, root: Path, language: str) -> str:
    """Return a problem in words; a file below the open folder is named as the page names it."""
    path = Path(str(problem.params.get("value", "")))
    if path == root or not path.is_relative_to(root):
        return problem.text(language)
    short = path.relative_to(root).as_posix()
    return replace(problem, params={**problem.params, "value": short}).text(language)


def mask_of(text: str, num_rows: int) -> Mask:
    """Return the rows that a page names: bool (num_rows,); those that do not exist are left out."""
    numbers = np.frombuffer(base64.b64decode(text), dtype="<i4")
    mask = np.zeros(num_rows, bool)
    mask[numbers[(numbers >= 0) & (numbers < num_rows)]] = True
    return mask


def counter_of(data: Data) -> TokenCounter:
    """Return what counts tokens as the draft's base model does; as SD 1.5 where the draft is not valid."""
    try:
        model = ModelSection.model_validate(data.get("model", {}))
    except ValidationError:
        model = ModelSection()
    return TokenCounter.of(model, is_weighted=bool(data.get("data", {}).get("weighted_captions")))


def trigger_words(data: Data) -> frozenset[str]:
    """Return the trigger words of the draft, in small letters."""
    rows = quick_plan.datasets(data)
    words = [data.get("data", {}).get("trigger_word"), *(row.get("trigger_word") for row in rows)]
    return frozenset(str(word).strip().lower() for word in words if word and str(word).strip())


def row_data(desk: Desk, row: int, num_tokens: int, limit: int, facts: Mapping[str, Data]) -> Data:
    """Return one row as the page shows it. `facts`: what is to be told of its tags, by tag."""
    library = desk.library
    return {
        "id": row,
        "name": library.names[row],
        "path": str(library.path(row)),
        "width": int(library.widths[row]),
        "height": int(library.heights[row]),
        "text": library.texts[row],
        "tokens": num_tokens,
        "limit": limit,
        "stamp": desk.stamp(row),
        "facts": dict(facts),
        "rating": int(library.ratings[row]),
        "rotate": library.edit(row).rotate,
        "cropped": library.edit(row).crop is not None,
        "mask": library.masks.get(row, ""),
    }


def with_problems(rows: Sequence[Data], desk: Desk, language: str) -> list[Data]:
    """Return rows with what is wrong with their pictures, captions or edits, in words; empty where nothing is."""
    library, problems = desk.library, desk.library.problems
    found = []
    for row in rows:
        files = (row["name"], library.caption_name(row["id"]), library.edit_name(row["id"]))
        texts = [problems[name].text(language) for name in files if name in problems]
        found.append({**row, "problem": "\n".join(texts)})
    return found


def conflict_data(conflicts: Iterable[Conflict]) -> list[Data]:
    """Return captions that were changed here and elsewhere."""
    return [
        {"id": each.row, "name": each.name, "text": each.theirs, "mine": each.ours, "gone": not each.theirs}
        for each in conflicts
    ]


def history_data(actions: Sequence[Action], language: str) -> Data:
    """Return the history, newest first, and what undo and redo would do."""
    standing = [action.name for action in actions if not action.is_undone]
    undone = [action.name for action in actions if action.is_undone]
    items = [
        {
            "name": action.name,
            "num": action.num_changes,
            "when": wording.when(action.time),
            "is_undone": action.is_undone,
            "skipped": [each.problem.text(language) for each in action.skipped[:3]],
        }
        for action in actions
    ]
    return {"undo": standing[0] if standing else "", "redo": undone[-1] if undone else "", "items": items}


def opening(found: Progress | Cancelled, language: str) -> str:
    """Return how far the opening of a folder is."""
    if isinstance(found, Progress) and found.num_total:
        return translate("captionpage.opening.of", language, num=f"{found.num_done:,}", total=f"{found.num_total:,}")
    if isinstance(found, Progress) and found.num_done:
        return translate("captionpage.opening.num", language, num=f"{found.num_done:,}")
    return translate("captionpage.opening", language)
