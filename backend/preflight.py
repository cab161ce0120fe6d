"""Look before the launch: what a configuration will do, what it needs, and everything that keeps it from working."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path

from backend.config import paths
from backend.config.checks import check
from backend.config.problems import Problem, UserError
from backend.config.root import TrainConfig
from backend.data import plan as data_plan
from backend.data.buckets import Size
from backend.data.plan import Placement, StepCount
from backend.data.scan import Scan, scan
from backend.families import specs
from backend.families.detect import verify_base_model
from backend.families.specs import FamilySpec
from backend.formats.header import read_header
from backend.runs.events import EventReader
from backend.runs.layout import list_runs

GIB = 1024**3
# Bytes a trained parameter takes beside its value and its gradient.
OPTIMIZER_BYTES = {"adamw": 8, "adamw8bit": 2, "lion": 4, "prodigy": 16, "adafactor": 0.1}
# A LoRA's parameters per rank, as a share of the component's: measured on SD 1.5 (2.3e-4) and SDXL (5.6e-4).
LORA_SHARE = 5e-4
CHECKPOINTING_SHARE = 0.25
CONTEXT_BYTES = 0.7 * GIB
# An estimate is off by some tenths: only what is clearly beyond the card is refused.
REFUSED_ABOVE = 1.4
WARNED_ABOVE = 0.95
HISTORY_RUNS = 20
TAIL_BYTES = 32 * 1024
PREFIXES = {
    "denoiser": ("unet/", "model.diffusion_model."),
    "vae": ("vae/", "first_stage_model."),
    "text_encoder": ("text_encoder/", "cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("text_encoder_2/", "conditioner.embedders.1."),
}


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on the device that trains, by what takes them; an estimate within some tenths."""

    weights: float
    training: float
    activations: float
    context: float

    @property
    def total(self) -> float:
        return self.weights + self.training + self.activations + self.context


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. `seconds` is None until a run like it was made on this machine."""

    count: StepCount
    memory: MemoryEstimate
    seconds: float | None
    disk_bytes: float
    buckets: Mapping[Size, int]


def _tensors(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every tensor's name, with its file's folder in front, and its number of elements."""
    files = [path] if path.is_file() else sorted(path.glob("*/*.safetensors"))
    for file in files:
        if file.suffix != ".safetensors":
            continue
        prefix = f"{file.parent.name}/" if path.is_dir() else ""
        try:
            header = read_header(file)
        except UserError:
            continue  # told by the check of the base model
        yield from ((prefix + name, prod(info.shape)) for name, info in header.tensors.items())


@lru_cache(maxsize=32)
def _counts(path: Path, _modified: int) -> Mapping[str, float]:
    counts: Counter[str] = Counter()
    for name, size in _tensors(path):
        for component, prefixes in PREFIXES.items():
            if name.startswith(prefixes):
                counts[component] += size
                break
    return dict(counts)


def parameter_counts(config: TrainConfig, spec: FamilySpec) -> dict[str, float]:
    """Return the parameters of each component: counted in the file's header, else those of the released model."""
    released = dict(zip(spec.text_encoders, spec.text_encoder_parameters, strict=True))
    counts = {"denoiser": spec.denoiser_parameters, "vae": spec.vae_parameters, **released}
    path = paths.resolve(config.model.base_model) if config.model.base_model.strip() else None
    if path is not None and path.exists():
        counts |= {name: num for name, num in _counts(path, path.stat().st_mtime_ns).items() if name in counts}
    return counts


def _trained(config: TrainConfig, spec: FamilySpec) -> list[str]:
    training = config.training
    wanted = {
        "denoiser": training.train_denoiser,
        "text_encoder": training.train_text_encoder,
        "text_encoder_2": training.train_text_encoder_2,
    }
    return [name for name in ("denoiser", *spec.text_encoders) if wanted[name]]


def estimate_memory(config: TrainConfig, spec: FamilySpec, *, on_card: bool = True) -> MemoryEstimate:
    """Estimate the memory of the training device in its dearest phase, the training step."""
    counts = parameter_counts(config, spec)
    half = config.training.mixed_precision != "no"
    trained = _trained(config, spec)
    full = config.adapter.kind == "full"
    resident = set(counts)
    if config.cache.text_embeddings:
        resident -= set(spec.text_encoders)
    if config.cache.latents and not config.sampling.prompts:
        resident -= {"vae"}
    weights = training = 0.0
    for name in resident:
        trains_whole = full and name in trained
        weights += counts[name] * (4 if not half or trains_whole or name == "vae" else 2)
    for name in trained:
        num = counts[name] if full else counts[name] * LORA_SHARE * config.adapter.rank
        training += num * (
            4 + OPTIMIZER_BYTES[config.optimizer.kind] + (0 if full else 4) + (2 if half and full else 0)
        )
    pixels = config.data.width * config.data.height * config.training.batch_size
    size = (counts["denoiser"] / spec.denoiser_parameters) ** 0.5
    activations = pixels * spec.activation_bytes_per_pixel * size * (1 if half else 2)
    if config.training.gradient_checkpointing:
        activations *= CHECKPOINTING_SHARE
    return MemoryEstimate(weights, training, activations, CONTEXT_BYTES if on_card else 0.3 * GIB)


def estimate_disk(config: TrainConfig, spec: FamilySpec, count: StepCount, placements: Sequence[Placement]) -> float:
    """Estimate the bytes that models, checkpoints and caches take."""
    counts = parameter_counts(config, spec)
    trained = sum(counts[name] for name in _trained(config, spec))
    full = config.adapter.kind == "full"
    learned = trained if full else trained * LORA_SHARE * config.adapter.rank
    output = config.output
    num_models = 1
    if output.save_every_n_epochs:
        num_models += (count.num_epochs - 1) // output.save_every_n_epochs
    if output.save_every_n_steps:
        num_models += count.total_steps // output.save_every_n_steps
    if output.keep_last_n:
        num_models = min(num_models, output.keep_last_n + 1)
    model = (sum(counts.values()) if full else learned) * (4 if output.precision == "fp32" else 2)
    checkpoint = learned * (4 + OPTIMIZER_BYTES[config.optimizer.kind])
    num_checkpoints = min(
        output.keep_last_n_checkpoints + 1, count.total_steps // max(output.checkpoint_every_n_steps, 1)
    )
    latent_pixels = sum(item.bucket[0] * item.bucket[1] for item in placements) / spec.vae_scale_factor**2
    cache = latent_pixels * spec.latent_channels * 4 * (2 if config.data.flip_augmentation else 1)
    return num_models * model + num_checkpoints * checkpoint + (cache if config.cache.latents else 0)


def typical_seconds(config: TrainConfig, runs_dir: Path) -> float | None:
    """Return the seconds of a step, from the newest run on this machine of the same family and kind of training."""
    for run in list_runs(runs_dir)[:HISTORY_RUNS]:
        past = _past_speed(run.config_path, run.events_path, config)
        if past is not None:
            return past
    return None


def _work(config: TrainConfig) -> float:
    training = config.training
    return config.data.width * config.data.height * training.batch_size * training.gradient_accumulation_steps


def _past_speed(config_path: Path, events_path: Path, config: TrainConfig) -> float | None:
    from backend.config.root import load

    try:
        past = load(config_path)
        size = events_path.stat().st_size
    except (UserError, OSError):
        return None
    same = (
        past.model.family == config.model.family
        and past.model.base_model == config.model.base_model
        and past.adapter.kind == config.adapter.kind
        and past.training.train_text_encoder == config.training.train_text_encoder
        and past.hardware == config.hardware
    )
    events = EventReader(events_path, max(0, size - TAIL_BYTES)).read() if same else []
    seconds = sorted(event["step_seconds"] for event in events if event["kind"] == "step" and event.get("step_seconds"))
    return seconds[len(seconds) // 2] * _work(config) / _work(past) if seconds else None


def make_plan(config: TrainConfig, found: Scan) -> Plan:
    """Return what a run of this configuration on these pictures will do."""
    spec = specs.get(config.model.family)
    placements = data_plan.place(found.images, config.data)
    count = data_plan.count(placements, config.training, num_processes=config.hardware.num_processes)
    per_step = typical_seconds(config, paths.runs_dir(config.output.runs_dir))
    return Plan(
        count=count,
        memory=estimate_memory(config, spec, on_card=config.hardware.device != "cpu"),
        seconds=per_step * count.total_steps if per_step is not None else None,
        disk_bytes=estimate_disk(config, spec, count, placements),
        buckets=dict(sorted(Counter(item.bucket for item in placements).items())),
    )


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / GIB:.1f}"


def _check_memory(plan: Plan, memory_bytes: int | None) -> Iterator[Problem]:
    if memory_bytes is None:
        return
    share = plan.memory.total / memory_bytes
    params = {"needed": _gib(plan.memory.total), "available": _gib(memory_bytes)}
    if share > REFUSED_ABOVE:
        yield Problem("error", "memory_too_small", "training.batch_size", params)
    elif share > WARNED_ABOVE:
        yield Problem("warning", "memory_tight", "training.batch_size", params)


def _existing_parent(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _check_folders(config: TrainConfig, plan: Plan | None) -> Iterator[Problem]:
    folders = {
        "output.runs_dir": paths.runs_dir(config.output.runs_dir),
        "cache.dir": paths.cache_dir(config.cache.dir),
    }
    for field, folder in folders.items():
        parent = _existing_parent(folder)
        if not parent.is_dir() or not os.access(parent, os.W_OK):
            yield Problem("error", "folder_unwritable", field, {"value": str(folder)})
        elif plan is not None and field == "output.runs_dir":
            free = shutil.disk_usage(parent).free
            params = {"value": str(folder), "needed": _gib(plan.disk_bytes), "available": _gib(free)}
            if plan.disk_bytes > free:
                yield Problem("error", "disk_too_small", field, params)
            elif plan.disk_bytes > 0.8 * free:
                yield Problem("warning", "disk_tight", field, params)


def preflight(
    config: TrainConfig, found: Scan | None = None, *, memory_bytes: int | None = None
) -> tuple[Plan | None, list[Problem]]:
    """Check everything that can be known before a launch.

    Args:
        config: A valid configuration.
        found: What the scan of its data found; made here when None.
        memory_bytes: The memory of the card, or of the machine, that will train; None when it is not known.

    Returns:
        The plan (None when there are no pictures or no such family), and the problems, errors first.
    """
    try:
        spec = specs.get(config.model.family)
    except UserError as error:
        return None, [error.problem]
    problems = check(config, spec.facts())
    if config.model.base_model.strip():
        model = config.model.model_copy(update={"base_model": paths.local_or_hub(config.model.base_model)})
        problems += verify_base_model(model)
    found = found if found is not None else scan(config.data)
    problems += found.problems
    plan = make_plan(config, found) if found.images else None
    if plan is not None:
        problems += _check_memory(plan, memory_bytes)
    problems += _check_folders(config, plan)
    return plan, sorted(problems, key=lambda problem: problem.level != "error")
