"""How a worker tells why it failed: any exception as the `end` event carries it."""

from __future__ import annotations

import traceback
from typing import Any

from backend.config.problems import UserError


def describe(error: BaseException) -> dict[str, Any]:
    """Return an error as the `end` event carries it."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, UserError):
        problem = error.problem
        return {"code": problem.code, "params": problem.params, "path": problem.path, "traceback": ""}
    if type(error).__name__ == "OutOfMemoryError":
        return {"code": "gpu_out_of_memory", "params": {}, "path": "", "traceback": text}
    if isinstance(error, MemoryError):
        return {"code": "out_of_memory", "params": {}, "path": "", "traceback": text}
    return {"code": "unknown", "params": {"reason": str(error)}, "path": "", "traceback": text}
