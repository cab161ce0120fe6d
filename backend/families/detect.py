"""Tells what a model file or folder is from its header alone, without torch and without running anything in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from backend.config.model import ModelSection
from backend.config.problems import Problem, UserError
from backend.families import specs
from backend.formats.header import Header, read_header

Layout = Literal["diffusers", "single_file", "lora", "pickle", "unknown", "missing"]
PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
LORA_MARKS = (
    ".lora_down.",
    ".lora_up.",
    ".lora_A.",
    ".lora_B.",
    ".hada_w1_a",
    ".lokr_w1",
    ".oft_blocks",
    "_lora.down.",
)
# Prefixes of tensor names, each with what they mean; the first that occurs decides.
SINGLE_FILES = (
    ("edm_", "EDM"),
    ("conditioner.embedders.1.model.", "sdxl"),
    ("conditioner.embedders.0.model.", "Stable Diffusion XL Refiner"),
    ("control_model.", "ControlNet"),
    ("controlnet_", "ControlNet"),
    ("cond_stage_model.model.", "sd2"),
    ("cond_stage_model.transformer.", "sd15"),
    ("model.diffusion_model.double_blocks.", "Flux"),
    ("double_blocks.", "Flux"),
    ("model.diffusion_model.joint_blocks.", "Stable Diffusion 3"),
    ("joint_blocks.", "Stable Diffusion 3"),
    ("model.diffusion_model.", "UNet"),
    ("input_blocks.", "UNet"),
    ("down_blocks.", "UNet"),
    ("first_stage_model.", "VAE"),
    ("encoder.", "VAE"),
    ("text_model.", "text encoder"),
    ("emb_params", "embedding"),
    ("clip_g", "embedding"),
    ("clip_l", "embedding"),
)
# Where the parts of a whole model stand in a single file.
SINGLE_FILE_PARTS = {
    "unet": ("model.diffusion_model.",),
    "vae": ("first_stage_model.",),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
}
INPUT_CONVOLUTION = "model.diffusion_model.input_blocks.0.0.weight"


@dataclass(frozen=True, slots=True)
class Detection:
    """What a path holds. `title` names it even when it is nothing that can be trained ("VAE", "ControlNet", ...)."""

    family: str | None
    layout: Layout
    prediction_type: str | None
    title: str
    num_bytes: int


def detect(path: Path) -> Detection:
    """Look at a model file or folder; a broken one is `unknown`, and `verify_base_model` says why."""
    try:
        return _detect(path)
    except (UserError, OSError):
        return Detection(None, "unknown", None, "", _num_bytes(path))


def is_hub_id(value: str) -> bool:
    """Tell whether a base model is meant as author/name on the Hugging Face hub and not as a path."""
    return bool(HUB_ID.fullmatch(value)) and not Path(value).exists() and not _looks_like_file(value)


def verify_base_model(model: ModelSection, *, field: str = "model.base_model") -> list[Problem]:
    """Return what speaks against training on this model, found without loading it.

    A hub id is accepted unseen: looking would need the network. That it is empty is for the configuration's check.
    """
    problems = [] if not model.base_model or is_hub_id(model.base_model) else _verify(model, field)
    return problems + _verify_extras(model)


def _verify(model: ModelSection, field: str) -> list[Problem]:
    path = Path(model.base_model).expanduser()
    value = {"value": model.base_model}
    try:
        found = _detect(path)
    except UserError as error:
        return [replace(error.problem, path=field, params={**error.problem.params, **value})]
    except OSError as error:
        return [Problem("error", "file_unreadable", field, {**value, "reason": error.strerror or str(error)})]
    if found.layout == "missing":
        return [Problem("error", "base_model_missing", field, value)]
    if found.layout == "pickle":
        trusted = model.trusted_checkpoint == path.name
        return [] if trusted else [Problem("error", "base_model_pickle", field, {**value, "name": path.name})]
    if found.layout == "lora":
        return [Problem("error", "base_model_lora", field, value)]
    if found.family is None:
        code = "base_model_other" if found.title else "base_model_unknown"
        return [Problem("error", code, field, {**value, "title": found.title})]
    if found.family != model.family:
        asked = specs.get(model.family).title
        return [Problem("error", "base_model_family", field, {**value, "title": found.title, "family": asked})]
    return _verify_folder(path, model, field) if found.layout == "diffusers" else _verify_file(path, model, field)


def _verify_file(path: Path, model: ModelSection, field: str) -> list[Problem]:
    """Check that the weights of every part are in a single file."""
    names = read_header(path).tensors.keys()
    missing = [part for part, prefixes in SINGLE_FILE_PARTS.items() if not any(n.startswith(prefixes) for n in names)]
    return [
        Problem("error", "base_model_incomplete", field, {"value": str(path), "component": part})
        for part in missing
        if not (part == "vae" and model.vae)
    ]


def _verify_folder(folder: Path, model: ModelSection, field: str) -> list[Problem]:
    """Check that every part is there, with weights that carry no programs, and that no weight file is cut short."""
    encoders = specs.get(model.family).text_encoders
    parts = {f"{name}/*.safetensors" for name in ("unet", "vae", *encoders) if not (name == "vae" and model.vae)}
    parts |= {f"{name.replace('text_encoder', 'tokenizer')}/*.json" for name in encoders} | {"scheduler/*.json"}
    problems = [
        Problem("error", "folder_component_missing", field, {"value": str(folder), "component": pattern})
        for pattern in sorted(parts)
        if not any(folder.glob(pattern))
    ]
    for path in sorted(folder.glob("*/*.safetensors")):
        try:
            read_header(path)
        except UserError as error:
            problems.append(replace(error.problem, path=field))
    return problems


def _verify_extras(model: ModelSection) -> list[Problem]:
    problems = []
    vae = Path(model.vae).expanduser()
    if model.vae and not is_hub_id(model.vae):
        if not vae.exists():
            problems.append(Problem("error", "file_not_found", "model.vae", {"value": model.vae}))
        elif vae.suffix in PICKLE_SUFFIXES:
            problems.append(Problem("error", "vae_pickle", "model.vae", {"value": model.vae}))
    if model.config_dir and not (Path(model.config_dir).expanduser() / "model_index.json").is_file():
        problems.append(Problem("error", "config_dir_invalid", "model.config_dir", {"value": model.config_dir}))
    return problems


def _detect(path: Path) -> Detection:
    if not path.exists():
        return Detection(None, "missing", None, "", 0)
    if path.is_dir():
        return _detect_folder(path)
    if path.suffix.lower() in PICKLE_SUFFIXES or _starts_like_pickle(path):
        return Detection(None, "pickle", None, "checkpoint", path.stat().st_size)
    return _detect_file(read_header(path), path.stat().st_size)


def _detect_file(header: Header, num_bytes: int) -> Detection:
    names = header.tensors.keys()
    if any(mark in name for name in names for mark in LORA_MARKS):
        return Detection(None, "lora", None, "LoRA", num_bytes)
    kind = next((kind for prefix, kind in SINGLE_FILES if any(name.startswith(prefix) for name in names)), "")
    if kind not in specs.FAMILIES:
        return Detection(None, "unknown", None, kind, num_bytes)
    num_inputs = header.tensors[INPUT_CONVOLUTION].shape[1] if INPUT_CONVOLUTION in names else 4
    title = specs.get(kind).title
    if num_inputs != specs.get(kind).latent_channels:
        return Detection(None, "unknown", None, f"{title} ({num_inputs} channels)", num_bytes)
    return Detection(kind, "single_file", _file_prediction_type(header), title, num_bytes)


def _file_prediction_type(header: Header) -> str | None:
    """Read the prediction type from a marker tensor (NoobAI) or from metadata (sd-scripts, modelspec)."""
    if "v_pred" in header.tensors:
        return "v_prediction"
    said = header.metadata.get("modelspec.prediction_type") or header.metadata.get("modelspec.predict_key") or ""
    if header.metadata.get("ss_v_parameterization", header.metadata.get("ss_v_prediction")) == "True":
        said = "v"
    return {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon"}.get(said)


def _detect_folder(folder: Path) -> Detection:
    """Tell the family by structure: widths say nothing about small models."""
    index = _read_json(folder / "model_index.json")
    num_bytes = sum(_num_bytes(path) for path in folder.glob("*/*.safetensors"))
    if not index:
        config = _read_json(folder / "config.json")
        title = "LoRA" if (folder / "adapter_config.json").is_file() else str(config.get("_class_name", ""))
        return Detection(None, "unknown", None, title, num_bytes)
    unet = _read_json(folder / "unet" / "config.json")
    class_name = str(index.get("_class_name", ""))
    if not class_name.startswith("StableDiffusion") or "StableDiffusion3" in class_name:
        return Detection(None, "unknown", None, class_name, num_bytes)
    if unet.get("in_channels", 4) != 4:
        return Detection(None, "unknown", None, f"{class_name} ({unet['in_channels']} channels)", num_bytes)
    if "text_encoder_2" in index or unet.get("addition_embed_type") == "text_time":
        family = "sdxl"
    else:
        family = "sd2" if unet.get("use_linear_projection") else "sd15"
    prediction_type = _read_json(folder / "scheduler" / "scheduler_config.json").get("prediction_type")
    return Detection(family, "diffusers", prediction_type, specs.get(family).title, num_bytes)


def _read_json(path: Path) -> Mapping[str, Any]:
    """Return the object in a JSON file; empty when there is no such file.

    Raises:
        UserError: The file is not JSON.
    """
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError("json_invalid", value=str(path)) from error
    return data if isinstance(data, dict) else {}


def _starts_like_pickle(path: Path) -> bool:
    """Tell a zip archive or a bare pickle, whatever the file is called."""
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or start[:2] in {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"}


def _looks_like_file(value: str) -> bool:
    return Path(value).suffix.lower() in {".safetensors", *PICKLE_SUFFIXES}


def _num_bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
