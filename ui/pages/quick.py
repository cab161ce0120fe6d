"""The Quick page: base model, pictures, goal and machine, review; over the same draft as the Expert page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from backend import preflight
from backend.config import root
from backend.config.base import flatten
from backend.config.paths import resolve
from backend.config.problems import Problem, UserError
from backend.config.root import TrainConfig
from backend.data.scan import Scan
from backend.families import detect
from ui import goals, machine, picker, quick_plan, quick_view, run_actions, uploads, wording
from ui.markup import script

if TYPE_CHECKING:
    from ui.context import AppContext

Data = dict[str, Any]
NUM_RECENT = 3
