"""The memory that a plan needs against what the machine has."""

from __future__ import annotations

from typing import Any

from backend.config.messages import translate
from backend.preflight import Plan
from ui import wording
from ui.machine import Machine


def memory_bar(plan: Plan, found: Machine, language: str) -> dict[str, Any]:
    """Return the bar's text and its length in percent of the machine's memory."""
    need, total = plan.memory.total, found.total_bytes
    text = translate("quick.review.memory.of", language, need=wording.num_bytes(need), total=wording.num_bytes(total))
    return {"text": text, "percent": round(100 * need / total) if total else 0}
