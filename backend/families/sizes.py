"""How many parameters a base model has, read from headers only: what the memory estimate is made of."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path

from backend.config.problems import UserError
from backend.families.specs import FamilySpec
from backend.formats.header import Header, read_header

# Beginnings of tensor names in single files of the original layout.
SINGLE_FILE_PARTS = (
    ("model.diffusion_model.", "denoiser"),
    ("first_stage_model.", "vae"),
    ("cond_stage_model.", "text_encoder"),
    ("conditioner.embedders.0.", "text_encoder"),
    ("conditioner.embedders.1.", "text_encoder_2"),
)


def released(spec: FamilySpec) -> dict[str, float]:
    """Return the parameters of the released model by component."""
    encoders = dict(zip(spec.text_encoders, spec.text_encoder_parameters, strict=True))
    return {"denoiser": spec.denoiser_parameters, **encoders, "vae": spec.vae_parameters}


def parameter_counts(path: Path, spec: FamilySpec) -> dict[str, float]:
    """Return the parameters by component; those of the released model where the files do not tell."""
    counts = released(spec)
    try:
        found = _folder(path, spec) if path.is_dir() else _single_file(path)
    except (UserError, OSError):  # not there, or on the hub: the check of the base model says so
        found = {}
    return counts | {name: number for name, number in found.items() if number and name in counts}


def _count(headers: Iterable[Header], prefix: str = "") -> float:
    return float(
        sum(prod(info.shape) for header in headers for name, info in header.tensors.items() if name.startswith(prefix))
    )


def _folder(path: Path, spec: FamilySpec) -> dict[str, float]:
    counts = {}
    for name in ("denoiser", *spec.text_encoders, "vae"):
        folder = path / ("unet" if name == "denoiser" else name)
        files = [file for file in folder.glob("*.safetensors") if ".fp16" not in file.suffixes]
        counts[name] = _count(map(read_header, files or folder.glob("*.safetensors")))
    return counts


def _single_file(path: Path) -> dict[str, float]:
    header = read_header(path)
    counts: dict[str, float] = {}
    for prefix, name in SINGLE_FILE_PARTS:
        counts[name] = counts.get(name, 0.0) + _count([header], prefix)
    return counts
