"""Loads a diffusers pipeline from a folder, a single file or the hub, and puts what goes wrong into plain words."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.loaders.single_file_utils import SingleFileComponentError
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from backend.config.model import ModelSection
from backend.config.problems import UserError
from backend.families import detect
from backend.families.clip import load_tokenizer
from backend.families.specs import FamilySpec
from backend.formats.header import read_header

CONFIGS_DIR = Path(__file__).parent / "data" / "configs"
EARLY_CLIP = "cond_stage_model.transformer."
# Where diffusers says which part has no weights: "text_encoder = CLIPTextModel.from_pretrained('...')".
COMPONENT = re.compile(r"^(\w+) = \w+\.from_pretrained", re.MULTILINE)
# What an error of the libraries means wherever in its chain of causes it stands.
CAUSES: dict[type[Exception], str] = {
    RepositoryNotFoundError: "base_model_hub_denied",
    RevisionNotFoundError: "base_model_hub_denied",
    SafetensorError: "not_safetensors",
    pickle.UnpicklingError: "checkpoint_not_tensors",
}


def load_pipeline(
    model: ModelSection,
    pipeline_class: type[DiffusionPipeline],
    spec: FamilySpec,
    *,
    dtype: torch.dtype,
    skip: Sequence[str] = (),
) -> DiffusionPipeline:
    """Load all parts of a base model on the CPU in eval mode, without gradients; parts named in `skip` stay out.

    The VAE is kept in fp32 where the rest is fp16: the one of SDXL overflows in half precision.

    Raises:
        UserError: Missing, corrupt, of another family, incomplete, or not to be had from the hub.
    """
    check(model)
    vae_dtype = torch.float32 if dtype == torch.float16 else dtype
    parts: dict[str, Any] = dict.fromkeys(skip)
    with _plain_words(model.base_model, spec, "model.base_model"):
        if model.vae and "vae" not in skip:
            parts["vae"] = _separate_vae(model, spec, vae_dtype)
        path = Path(model.base_model).expanduser()
        if path.is_file():
            pipeline = _load_single_file(path, model, pipeline_class, spec, parts, dtype, vae_dtype)
        else:
            source = str(path) if path.is_dir() else model.base_model
            pipeline = _load_folder(source, model, pipeline_class, parts, dtype, vae_dtype)
    for name, module in pipeline.components.items():
        if isinstance(module, nn.Module):
            _check_weights(module, name, model)
            module.eval().requires_grad_(False)
    return pipeline


def check(model: ModelSection) -> None:
    """Refuse what can be seen to be wrong without loading.

    Raises:
        UserError: The first of the problems.
    """
    if not model.base_model:
        raise UserError("base_model_empty", "model.base_model")
    for problem in detect.verify_base_model(model):
        raise UserError(problem.code, problem.path, **problem.params)


def _load_folder(
    source: str,
    model: ModelSection,
    pipeline_class: type[DiffusionPipeline],
    parts: dict[str, Any],
    dtype: torch.dtype,
    vae_dtype: torch.dtype,
) -> DiffusionPipeline:
    """Load a diffusers folder or a hub id; only .safetensors weights are read."""
    unused = {
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    }
    extras = {name: value for name, value in unused.items() if _takes(pipeline_class, name)}
    return pipeline_class.from_pretrained(
        source,
        revision=model.revision or None,
        variant=model.variant or None,
        dtype={"default": dtype, "vae": vae_dtype},
        use_safetensors=True,
        **extras,
        **parts,
    )


def _load_single_file(
    path: Path,
    model: ModelSection,
    pipeline_class: type[DiffusionPipeline],
    spec: FamilySpec,
    parts: dict[str, Any],
    dtype: torch.dtype,
    vae_dtype: torch.dtype,
) -> DiffusionPipeline:
    """Load a file of the original layout with configurations and vocabulary from here, never from the network."""
    config_dir = _config_dir(model, spec)
    if "vae" not in parts:
        with _plain_words(model.base_model, spec, "model.base_model", component="vae"):
            parts["vae"] = _vae_from_file(path, config_dir, vae_dtype)
    if (
        path.suffix not in detect.PICKLE_SUFFIXES
        and f"{EARLY_CLIP}final_layer_norm.weight" in read_header(path).tensors
    ):
        parts["text_encoder"] = _early_text_encoder(path, config_dir, dtype)
    for name in ("tokenizer", "tokenizer_2"):
        if _takes(pipeline_class, name):
            parts[name] = _tokenizer(config_dir / name, pads_with_end=spec.name != "sd2" and name == "tokenizer")
    return pipeline_class.from_single_file(
        str(path), config=str(config_dir), dtype=dtype, local_files_only=True, **parts
    )


def _early_text_encoder(path: Path, config_dir: Path, dtype: torch.dtype) -> CLIPTextModel:
    """Read the text encoder of early SD 1.x merges, whose names lack the `text_model.` that diffusers looks for."""
    encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(config_dir / "text_encoder"))
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(EARLY_CLIP) and "position_ids" not in name]  # noqa: SIM118
        encoder.load_state_dict({name.removeprefix(EARLY_CLIP): file.get_tensor(name) for name in names})
    return encoder.to(dtype)


def _config_dir(model: ModelSection, spec: FamilySpec) -> Path:
    return Path(model.config_dir).expanduser() if model.config_dir else CONFIGS_DIR / spec.name


def _tokenizer(folder: Path, *, pads_with_end: bool) -> CLIPTokenizer:
    if folder.is_dir():
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    return load_tokenizer() if pads_with_end else load_tokenizer(pad_token="!")


def _takes(pipeline_class: type[DiffusionPipeline], name: str) -> bool:
    required, optional = pipeline_class._get_signature_keys(pipeline_class)
    return name in required or name in optional


def _separate_vae(model: ModelSection, spec: FamilySpec, dtype: torch.dtype) -> AutoencoderKL:
    """Load the separate VAE: a file, a VAE's folder, the folder of a whole model, or a hub id."""
    path = Path(model.vae).expanduser()
    with _plain_words(model.vae, spec, "model.vae", component="vae"):
        if path.is_file():
            return _vae_from_file(path, _config_dir(model, spec), dtype)
        source = str(path) if path.is_dir() else model.vae
        subfolder = "vae" if (path / "vae").is_dir() else None
        return AutoencoderKL.from_pretrained(source, subfolder=subfolder, dtype=dtype, use_safetensors=True)


def _vae_from_file(path: Path, config_dir: Path, dtype: torch.dtype) -> AutoencoderKL:
    return AutoencoderKL.from_single_file(
        str(path), config=str(config_dir), subfolder="vae", dtype=dtype, local_files_only=True
    )


def _check_weights(module: nn.Module, name: str, model: ModelSection) -> None:
    """Refuse a part some of whose weights the file did not have: they were left without storage."""
    if any(tensor.is_meta for tensor in module.state_dict().values()):
        raise UserError("base_model_incomplete", "model.base_model", value=model.base_model, component=name)


@contextmanager
def _plain_words(value: str, spec: FamilySpec, field: str, *, component: str = "unet") -> Iterator[None]:
    """Turn the errors of the libraries into ours, where they are a mistake in what was chosen.

    `component` is the part that is meant where a library finds weights missing and does not say of what.
    """
    try:
        yield
    except UserError:
        raise
    except (*CAUSES, SingleFileComponentError, OSError, ValueError, RuntimeError) as error:
        code, reason = _explain(error, value, field)
        if not code:
            raise
        named = COMPONENT.search(str(error))
        part = named[1] if named else component
        raise UserError(code, field, value=value, title=spec.title, component=part, reason=reason) from error


def _explain(error: Exception, value: str, field: str) -> tuple[str, str]:
    """Return the code and the reason of a library's error; an empty code where the mistake is not the user's."""
    for link in _chain(error):
        for kind, code in CAUSES.items():
            if isinstance(link, kind):
                return code, _first_line(link)
    reason = _first_line(error)
    if isinstance(error, SingleFileComponentError) or "meta tensor" in reason or "Missing key" in str(error):
        return "base_model_incomplete", reason
    if isinstance(error, OSError) and detect.is_hub_id(value):
        return "base_model_hub_offline", _first_line(list(_chain(error))[-1])
    if isinstance(error, OSError):
        return "base_model_unreadable", reason
    if "shape" in reason or "size mismatch" in str(error):
        return "vae_shapes" if field == "model.vae" else "base_model_shapes", reason
    return "", ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of: the libraries hide the cause under several of their own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
