"""Finished weights: a LoRA under kohya's keys, or the whole model; numbered on the way, plain at the end."""

from __future__ import annotations

import shutil
import time
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

import torch

from backend.formats.files import prepare, save_safetensors
from backend.formats.metadata import TrainingFacts, legacy_hash, lora_metadata, modelspec, tag_frequency
from backend.runs.layout import slug
from backend.training.adapters import lora_state
from backend.training.session import Session

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def facts(session: Session) -> TrainingFacts:
    """Return what the file tells of the run: names of folders, never their paths."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    folders: dict[str, tuple[float, int]] = {}
    buckets: Counter[tuple[int, int]] = Counter()
    seen: set[tuple[int, str]] = set()
    schedule = session.feed.stream.schedule
    num_regularizing = schedule.regularization_samples(0)
    for item, samples in zip(schedule.placements, schedule.sample_counts(0).tolist(), strict=True):
        record = item.record
        buckets[item.bucket] += samples
        if (record.dataset, record.name) in seen:  # the same picture at another resolution
            continue
        seen.add((record.dataset, record.name))
        folder = PurePosixPath(record.name).parent.name or session.feed.pictures.datasets[record.dataset].title
        by_folder[folder].append(record.text)
        repeats = int(record.num_repeats) if record.num_repeats == int(record.num_repeats) else record.num_repeats
        folders[folder] = (repeats, len(by_folder[folder]))
    base_model = Path(session.config.model.base_model).expanduser()
    return TrainingFacts(
        base_model_name=session.base_model_name,
        prediction_type=session.family.prediction_type,
        num_images=session.count.samples_per_epoch - num_regularizing,
        num_reg_images=num_regularizing,
        batches_per_epoch=session.count.batches_per_epoch,
        total_steps=session.count.total_steps,
        step=session.loop.step,
        epoch=session.loop.epoch,
        started_at=session.loop.started_at,
        finished_at=time.time(),
        base_model_hash=legacy_hash(base_model) if base_model.is_file() else "",
        folders=folders,
        tag_frequency=tag_frequency(by_folder, session.config.data.caption_separator),
        buckets=sorted(buckets.items()),
    )


def save_model(session: Session, suffix: str) -> None:
    """Write the weights as they are now to models/{name}{suffix} and tell of it.

    Raises:
        UserError: `disk_full` or `file_unwritable`.
    """
    if not session.state.is_main_process:
        return
    session.reporter.phase("saving")
    stem = session.run.models_dir / f"{slug(session.config.output.name)}{suffix}"
    write = _save_lora if session.config.adapter.kind == "lora" else _save_full
    for path in write(session, stem):
        num_bytes = size_of(path)
        session.reporter.emit(
            "model", step=session.loop.step, epoch=session.loop.epoch, path=str(path), num_bytes=num_bytes
        )
    keep_last(session)


def _save_lora(session: Session, stem: Path) -> list[Path]:
    dtype = DTYPES[session.config.output.precision]
    state = prepare(lora_state(session.family, session.parameters), dtype)
    metadata = lora_metadata(session.config, session.family.spec, facts(session), state)
    path = stem.with_name(stem.name + ".safetensors")
    save_safetensors(path, state, metadata)
    return [path]


def _save_full(session: Session, stem: Path) -> list[Path]:
    dtype = DTYPES[session.config.output.precision]
    metadata = modelspec(session.config, session.family.spec, facts(session))
    wanted = session.config.output.full_format
    paths = []
    for layout, path in (("single_file", stem.with_name(stem.name + ".safetensors")), ("diffusers", stem)):
        if wanted in (layout, "both"):
            session.family.save(path, layout=layout, dtype=dtype, metadata=metadata)
            paths.append(path)
    return paths


def size_of(path: Path) -> int:
    """Return the bytes of a file or of a folder's files."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(item.stat().st_size for item in files if item.is_file())


def keep_last(session: Session) -> None:
    """Remove the oldest numbered models beyond `output.keep_last_n`; 0 keeps all."""
    keep = session.config.output.keep_last_n
    name = slug(session.config.output.name)
    numbered = [path for path in session.run.models_dir.iterdir() if path.name.startswith(f"{name}-")]
    stems = sorted(
        {path.name.removesuffix(".safetensors") for path in numbered}, key=lambda stem: _newest(numbered, stem)
    )
    for stem in stems[:-keep] if keep else []:
        for path in numbered:
            if path.name.removesuffix(".safetensors") == stem:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _newest(paths: list[Path], stem: str) -> int:
    return max(path.stat().st_mtime_ns for path in paths if path.name.removesuffix(".safetensors") == stem)
