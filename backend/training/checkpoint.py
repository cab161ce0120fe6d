"""The state of a run on disk, from which it goes on exactly.

Everything random is derived from (seed, step), so no generator's state has to be kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.optim import Optimizer

from backend.config.base import flatten
from backend.config.problems import UserError
from backend.config.root import TrainConfig
from backend.data.datasets import Dataset
from backend.data.plan import Placement
from backend.formats.manifest import complete_folders, newest_complete, publishing, remove_leftovers
from backend.runs.layout import RunFolder
from backend.training.adapters import Trainable

STATE = "state.json"
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.pt"
VERSION = 1
BOUND_SECTIONS = ("model", "data", "adapter", "training", "optimizer", "noise", "loss")
# Longer or shorter, with more threads or less memory: the state is the same. Models and pictures may have moved.
FREE_SETTINGS = {
    "model.base_model",
    "data.datasets",
    "data.num_workers",
    "data.strict",
    "training.num_epochs",
    "training.max_steps",
    "training.gradient_checkpointing",
}
# Where a data set is and what it is called has no part in what is learned.
FREE_DATASET_SETTINGS = {"path", "name", "image_dir", "mask_dir", "conditioning_dir", "code_path", "endpoint_url"}


@dataclass(slots=True)
class LoopState:
    """Where the loop stands, between two steps."""

    step: int = 0
    epoch: int = 0
    batches_done: int = 0
    loss_ema: float | None = None
    num_bad_steps: int = 0
    started_at: float = 0.0
    data: str = ""
    num_processes: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that the saved state hangs on; with others it would not be the same run."""
    return {
        path: value
        for path, value in flatten(config).items()
        if path.split(".")[0] in BOUND_SECTIONS and path not in FREE_SETTINGS
    }


def fingerprint(placements: Sequence[Placement], datasets: Sequence[Dataset]) -> str:
    """Return a hash of which pictures are trained, how, at which size and how often: the batches hang on it."""
    digest = hashlib.sha256()
    for dataset in datasets:
        own = dataset.config.model_dump(exclude=FREE_DATASET_SETTINGS)
        digest.update(json.dumps([own, dataset.rules.model_dump()], sort_keys=True).encode())
    for item in placements:
        digest.update(
            f"{item.record.dataset} {item.record.name} {item.record.num_repeats} {item.bucket} {item.resized}".encode(
                "utf-8", "surrogatepass"
            )
        )
    return digest.hexdigest()[:16]


def folder_of(run: RunFolder, step: int) -> Path:
    """Return where the checkpoint of a step is."""
    return run.checkpoints_dir / f"step-{step:08d}"


def save(
    run: RunFolder,
    state: LoopState,
    *,
    parameters: Trainable,
    optimizer: Optimizer,
    scaler: torch.amp.GradScaler,
    keep_last_n: int,
) -> Path:
    """Write a checkpoint, whole or not at all, and remove the oldest beyond `keep_last_n`.

    Raises:
        UserError: `disk_full` or `file_unwritable`; the checkpoints before it are whole.
    """
    folder = folder_of(run, state.step)
    with publishing(folder) as partial:
        save_file({name: tensor.contiguous() for name, tensor in parameters.state().items()}, partial / WEIGHTS)
        torch.save({"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}, partial / OPTIMIZER)
        text = json.dumps({"version": VERSION, **asdict(state)}, indent=1)
        (partial / STATE).write_text(text, encoding="utf-8")
    for old in complete_folders(run.checkpoints_dir)[:-keep_last_n]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def find(run: RunFolder) -> Path | None:
    """Return the newest whole checkpoint; what a killed writer left is removed."""
    for folder in (run.checkpoints_dir, run.models_dir):
        remove_leftovers(folder)
    return newest_complete(run.checkpoints_dir)


def read_state(folder: Path) -> LoopState:
    """Return where the loop stood.

    Raises:
        UserError: A newer version wrote it.
    """
    data = json.loads((folder / STATE).read_text(encoding="utf-8"))
    if data.pop("version") > VERSION:
        raise UserError("checkpoint_newer", value=str(folder))
    known = {item.name for item in fields(LoopState)}
    return LoopState(**{name: value for name, value in data.items() if name in known})


def restore(folder: Path, *, parameters: Trainable, optimizer: Optimizer, scaler: torch.amp.GradScaler) -> None:
    """Set weights, optimizer and scaler to what they were."""
    parameters.load_state(load_file(folder / WEIGHTS))
    states = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
    optimizer.load_state_dict(states["optimizer"])
    scaler.load_state_dict(states["scaler"])


def check_same(state: LoopState, *, settings: dict[str, Any], data: str, num_processes: int) -> None:
    """Refuse to go on with other settings, pictures or number of processes: it would not be the same run.

    Raises:
        UserError: `resume_settings_changed`, `resume_data_changed` or `resume_processes_changed`.
    """
    changed = [path for path, before in state.settings.items() if settings.get(path) != before]
    if changed:
        raise UserError(
            "resume_settings_changed",
            changed[0],
            names=", ".join(changed),
            value=settings.get(changed[0]),
            before=state.settings[changed[0]],
        )
    if state.data != data:
        raise UserError("resume_data_changed", "data.datasets")
    if state.num_processes != num_processes:
        raise UserError(
            "resume_processes_changed", "hardware.num_processes", value=num_processes, before=state.num_processes
        )
