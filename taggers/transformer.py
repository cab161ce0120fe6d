"""What models of transformers have in common: where they work, how they are loaded, and what goes wrong in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from backend.config.problems import UserError
from taggers.config import TABLE, TaggingConfig
from taggers.files import model_type
from taggers.grids import GridProcessor

# How many times longer than wide a picture may be, and its least side in pixels.
LONGEST, LEAST_SIDE = 50, 28
DEVICES = ("cuda", "mps", "cpu")
# What the devices of onnxruntime are called by torch.
NAMES = {"coreml": "mps"}
TOKENIZER = "tokenizer_config.json"
# Models whose own processor wants torchvision, though only for films.
OF_GRIDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")


def fitted(image: Image.Image) -> Image.Image:
    """Return a picture in a shape that every model of transformers takes: no narrower strip, and no smaller.

    Strips are laid on white. A side of one or three pixels would be taken for colours.
    """
    least = -(-max(image.size) // LONGEST)
    if min(image.size) < least:
        padded = Image.new("RGB", (max(image.width, least), max(image.height, least)), (255, 255, 255))
        padded.paste(image, ((padded.width - image.width) // 2, (padded.height - image.height) // 2))
        image = padded
    if min(image.size) < LEAST_SIDE:
        scale = LEAST_SIDE / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return image


def choose_device(asked: str) -> str:
    """Return the torch device for that of the configuration.

    Raises:
        UserError: It is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [name for name in DEVICES if there[name]]
    wanted = NAMES.get(asked, asked)
    if wanted == "auto":
        return found[0]
    if wanted not in found:
        asked_as = {device: name for name, device in NAMES.items()}
        names = ", ".join(asked_as.get(device, device) for device in found)
        raise UserError("device_missing", f"{TABLE}.device", value=asked, found=names)
    return wanted


def load(path: Path, processor_class: Any, model_class: Any, config: TaggingConfig) -> tuple[Any, Any, str]:
    """Return processor, model and device.

    Raises:
        UserError: The files are damaged or of a model that transformers does not know, one is missing, or 4-bit is not
            possible.
    """
    import torch

    device = choose_device(config.device)
    options: dict[str, Any] = {"dtype": torch.float32 if device == "cpu" else torch.bfloat16}
    if config.quantization == "4bit":
        options["quantization_config"] = _four_bits(device)
    with plain_words(path):
        processor = _processor(path, processor_class)
        # Without it a tokenizer does not know what its first and last signs are.
        if hasattr(processor, "tokenizer") and not (path / TOKENIZER).is_file():
            raise UserError("tagger_incomplete", f"{TABLE}.model", value=str(path), missing=TOKENIZER)
        model = model_class.from_pretrained(path, local_files_only=True, use_safetensors=True, **options)
    if "quantization_config" not in options:
        model = model.to(device)
    return processor, model.eval(), device


def _processor(path: Path, processor_class: Any) -> Any:
    try:
        return processor_class.from_pretrained(path, local_files_only=True)
    except ImportError:
        if not model_type(path).startswith(OF_GRIDS):
            raise
        return GridProcessor.from_pretrained(path, local_files_only=True)


def _four_bits(device: str) -> Any:
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if device != "cuda" or not is_bitsandbytes_available():
        raise UserError("captioner_four_bits", f"{TABLE}.quantization", value=device)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)


@contextmanager
def plain_words(path: Path) -> Iterator[None]:
    """Say in our words what transformers raises about files: it has no classes of its own for that."""
    from safetensors import SafetensorError

    try:
        yield
    except UserError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError("tagger_damaged", f"{TABLE}.model", value=str(path), reason=reason) from error
