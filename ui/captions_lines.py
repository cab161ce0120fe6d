"""What training makes of captions of several lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backend.config.captions import CaptionRules
from ui import quick_plan
from ui.captions_tools import dataset_of

Data = dict[str, Any]


def line_rule(data: Data, picture: Path) -> str:
    """Return how the draft's data set of a picture reads several lines: "join", "first" or "random"."""
    index = dataset_of(data, picture)
    of_row = quick_plan.datasets(data)[index].get("caption_lines") if index is not None else None
    usual = CaptionRules.model_fields["caption_lines"].default
    return str(of_row or data.get("data", {}).get("caption_lines") or usual)


def with_line_rule(data: Data, picture: Path, rule: str) -> Data:
    """Return plain data whose data set of a picture reads several lines by a rule; all do where it is in none."""
    index, rows = dataset_of(data, picture), quick_plan.datasets(data)
    if index is None:
        return quick_plan.with_values(data, {"data.caption_lines": rule})
    rows[index]["caption_lines"] = rule
    return quick_plan.with_values(data, {"data.datasets": rows})
