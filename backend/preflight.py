"""What a run will be and what speaks against it, found out before anything is launched. Torch-free."""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.config import paths, presets
from backend.config.checks import check
from backend.config.messages import translate
from backend.config.problems import Problem, UserError
from backend.config.root import TrainConfig
from backend.data import plan as batches
from backend.data.buckets import Size
from backend.data.findings import Finding, find
from backend.data.index import Index
from backend.data.plan import StepCount
from backend.data.report import survey
from backend.data.scan import Scan, scan
from backend.data.statistics import View
from backend.estimates import GIB, DiskEstimate, MemoryEstimate, estimate_disk, estimate_memory
from backend.families import specs
from backend.families.detect import verify_base_model
from backend.runs.events import EventReader
from backend.runs.layout import list_runs

# A training that is estimated to need this much more than there is will not fit; the estimate may be off by less.
MEMORY_MARGIN = 1.3
MEMORY_TIGHT = 0.9
EARLIER_RUNS = 20
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What a configuration comes to. `buckets` counts the pictures of each size; `seconds` is None without a basis."""

    count: StepCount
    memory: MemoryEstimate
    disk: DiskEstimate
    seconds: float | None
    problems: list[Problem]
    buckets: dict[Size, int]


def plan(
    config: TrainConfig,
    found: Scan,
    *,
    runs_dir: Path | None = None,
    memory_bytes: int | None = None,
    seconds_per_step: float | None = None,
    shown: View | None = None,
) -> Plan:
    """Count the steps and estimate memory, disk and time.

    Args:
        config: A configuration without errors of its own.
        found: Its pictures; at least one.
        runs_dir: Where the run will be kept; the default folder when None.
        memory_bytes: The memory of the card (or of the machine) when it is known.
        seconds_per_step: What a step took in an earlier run like this.
        shown: What `survey` returned for them, when it is at hand.
    """
    shown = survey(config, found) if shown is None else shown
    placements = shown.placed.placements
    count = batches.count(shown.schedule, config.training)
    memory = estimate_memory(config, placements)
    disk = estimate_disk(config, placements, count)
    return Plan(
        count=count,
        memory=memory,
        disk=disk,
        seconds=None if seconds_per_step is None else seconds_per_step * count.total_steps,
        problems=[
            *_memory_problems(config, memory, memory_bytes),
            *_disk_problems(config, disk, runs_dir or paths.runs_dir()),
        ],
        buckets=dict(sorted(Counter(item.bucket for item in placements).items())),
    )


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known before a launch. `plan` and `shown` are None where they cannot be made.

    `problems` are all errors and warnings, errors first; `findings` are those about the pictures again, with their
    names and fixes, and what is only worth knowing.
    """

    plan: Plan | None
    problems: list[Problem]
    findings: tuple[Finding, ...] = ()
    shown: View | None = None


def examine(
    config: TrainConfig,
    found: Scan | None = None,
    *,
    runs_dir: Path | None = None,
    memory_bytes: int | None = None,
    seconds_per_step: float | None = None,
) -> Examined:
    """Check a configuration with its files and folders, and plan it when its pictures can be planned.

    Args:
        config: The configuration.
        found: The scan of its pictures, when it was made already.
        runs_dir: Where the run will be kept; the default folder when None.
        memory_bytes: As for `plan`.
        seconds_per_step: As for `plan`.
    """
    try:
        facts = specs.get(config.model.family).facts()
    except UserError as error:
        return Examined(None, [error.problem])
    found = scan(config.data) if found is None else found
    own = check(config, facts)
    problems = [*own, *verify_base_model(paths.absolute(config).model)]
    problems += _output_problems(config, runs_dir or paths.runs_dir())
    planned, findings, shown = None, tuple(Finding(problem) for problem in found.problems), None
    if found.images and not any(problem.level == "error" and problem.path.startswith("data.") for problem in own):
        try:
            with Index(paths.cache_dir()) as index:
                shown = survey(config, found, index=index)
            findings = find(shown)
        except UserError as error:
            problems.append(error.problem)
    if shown is not None and shown.placed.placements:
        planned = plan(
            config,
            found,
            runs_dir=runs_dir,
            memory_bytes=memory_bytes,
            seconds_per_step=seconds_per_step,
            shown=shown,
        )
        problems += planned.problems
    problems += [finding.problem for finding in findings if finding.problem.level != "info"]
    return Examined(planned, sorted(problems, key=lambda problem: problem.level != "error"), findings, shown)


def preflight(
    config: TrainConfig,
    found: Scan | None = None,
    *,
    runs_dir: Path | None = None,
    memory_bytes: int | None = None,
    seconds_per_step: float | None = None,
) -> tuple[Plan | None, list[Problem]]:
    """Return the plan, or None when it cannot be made, and every problem, errors first; arguments as `examine`."""
    examined = examine(config, found, runs_dir=runs_dir, memory_bytes=memory_bytes, seconds_per_step=seconds_per_step)
    return examined.plan, examined.problems


def _memory_problems(config: TrainConfig, memory: MemoryEstimate, memory_bytes: int | None) -> Iterator[Problem]:
    if not memory_bytes:
        return
    # Processes have a card each, but share the memory of a machine without cards.
    need = memory.total * (config.hardware.num_processes if config.hardware.device == "cpu" else 1)
    params = {"need": gigabytes(need), "have": gigabytes(memory_bytes)}
    if need > memory_bytes * MEMORY_MARGIN:
        yield Problem("error", "memory_too_small", "training.batch_size", params)
    elif need > memory_bytes * MEMORY_TIGHT:
        yield Problem("warning", "memory_tight", "training.batch_size", params)


def _disk_problems(config: TrainConfig, disk: DiskEstimate, runs_dir: Path) -> Iterator[Problem]:
    """Compare what is written with what is free, summed by disk."""
    wanted = (
        (runs_dir, disk.checkpoints + disk.models, "output.name"),
        (paths.cache_dir(config.cache.dir), disk.caches, "cache.dir"),
    )
    needs: dict[int, float] = defaultdict(float)
    for folder, need, path in wanted:
        there = existing_parent(folder)
        device = there.stat().st_dev
        needs[device] += need
        free = shutil.disk_usage(there).free
        if needs[device] > free:
            params = {"value": str(folder), "need": gigabytes(needs[device]), "free": gigabytes(free)}
            yield Problem("error", "disk_small", path, params)
            return


def _output_problems(config: TrainConfig, runs_dir: Path) -> Iterator[Problem]:
    """Try to write where the run will be written."""
    wanted = [(runs_dir, "output.name")]
    if "disk" in (config.cache.latents, config.cache.text_embeddings):
        wanted.append((paths.cache_dir(config.cache.dir), "cache.dir"))
    for folder, path in wanted:
        try:
            with tempfile.TemporaryFile(dir=existing_parent(folder)):
                pass
        except OSError as error:
            params = {"value": str(folder), "reason": error.strerror or str(error)}
            yield Problem("error", "folder_unwritable", path, params)


def existing_parent(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def gigabytes(num_bytes: float) -> str:
    """Return a size as people read it."""
    return f"{num_bytes / GIB:.1f} GB" if num_bytes >= GIB / 10 else f"{num_bytes / 1024**2:.0f} MB"


def measured_seconds_per_step(config: TrainConfig, runs_dir: Path) -> float | None:
    """Return what a step took in the latest run of the same model, method and machine; None when there is none.

    Scaled by pixels and batch size.
    """
    ours = presets.plain(paths.absolute(config))
    for run in list_runs(runs_dir)[:EARLIER_RUNS]:
        try:
            theirs = presets.read(run.config_path)
            events = EventReader(run.events_path, max(0, run.events_path.stat().st_size - TAIL_BYTES)).read()
        except (UserError, OSError):
            continue
        seconds = [event["step_seconds"] for event in events if event["kind"] == "step" and event.get("step_seconds")]
        if len(seconds) >= 3 and _alike(ours, theirs):
            return statistics.median(seconds) * _work(ours) / _work(theirs)
    return None


def _alike(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Tell whether two configurations ask for the same work in each step."""
    defaults = presets.plain(TrainConfig())
    keys = (
        ("model", "base_model"),
        ("adapter", "kind"),
        ("training", "mixed_precision"),
        ("training", "gradient_checkpointing"),
        ("training", "train_text_encoder"),
        ("hardware", "device"),
    )
    return all(
        ours[section][name] == theirs.get(section, {}).get(name, defaults[section][name]) for section, name in keys
    )


def _work(data: dict[str, Any]) -> float:
    """Return what the time of a step grows with."""
    size = [data.get("data", {}).get(name, 512) for name in ("width", "height")]
    training = data.get("training", {})
    return math.prod(size) * training.get("batch_size", 1) * training.get("gradient_accumulation_steps", 1)


def sentence(config: TrainConfig, planned: Plan, found: Scan, language: str) -> str:
    """Return the arithmetic of a run in words: "24 images x 10 repeats x 10 epochs / batch 2 = 1200 steps"."""
    count, training = planned.count, config.training
    repeats = {record.num_repeats for record in found.images}
    batch = training.batch_size * training.gradient_accumulation_steps * config.hardware.num_processes
    exact = count.samples_per_epoch * count.num_epochs == count.total_steps * batch and len(repeats) == 1
    capped = count.total_steps < count.steps_per_epoch * count.num_epochs
    return translate(
        "plan.exact" if exact else "plan.capped" if capped else "plan.rounded",
        language,
        images=count.num_images,
        repeats=f"{next(iter(repeats), 1):g}",
        samples=count.samples_per_epoch,
        batches=count.batches_per_epoch,
        steps_per_epoch=count.steps_per_epoch,
        epochs=count.num_epochs,
        batch=batch,
        steps=count.total_steps,
    )
