"""Taggers as ONNX files, in the layouts of the WD taggers and of cl_tagger."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from backend.config.problems import Problem, UserError
from taggers.base import Described, Picture
from taggers.config import TABLE
from taggers.models import Layout
from taggers.tags import TagList

# What onnxruntime calls the devices of the configuration, best first where the best is asked for.
PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider"),
    "directml": ("DmlExecutionProvider",),
    "coreml": ("CoreMLExecutionProvider",),
    "cpu": ("CPUExecutionProvider",),
}
CPU = "CPUExecutionProvider"
SUFFIX = "ExecutionProvider"
# Comes with the driver of every NVIDIA card.
NVIDIA = "nvidia-smi"
WHITE = (255, 255, 255)
# So much of a picture in its white square is scaled at once: that of a comic strip may be of billions of pixels.
STRIP_PIXELS = 64_000_000
# So far from a picture that is made smaller, in pixels of the result, all is white.
REACH = 3
USUAL_SIDE = 448
# So far beyond 0 and 1 a confidence of half precision may be.
ROUNDING = 1e-3
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model takes: side of the square in pixels, whether channels come first, fixed batch size or 0."""

    side: int
    channels_first: bool
    batch: int
    dtype: Any

    def blank(self) -> Array:
        """Return a batch as the model takes it, as small as it may be, of black pictures."""
        size = (3, self.side, self.side) if self.channels_first else (self.side, self.side, 3)
        return np.zeros((self.batch or 1, *size), self.dtype)


def square(image: Image.Image, side: int) -> Array:
    """Return a picture in the middle of a white square and scaled: (side, side, 3) BGR bytes."""
    longest = max(image.size)
    if image.width != image.height:
        narrow = _narrowed(image, longest, side)
        image = Image.new("RGB", (side, longest), WHITE)
        image.paste(narrow, (0, (longest - narrow.height) // 2))
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)[:, :, ::-1]


def _narrowed(image: Image.Image, longest: int, side: int) -> Image.Image:
    """Return a picture between white edges, as wide as `longest`, scaled to `side` pixels across and as high as it was.

    Pillow scales rows first, then columns: done by rows, the result is the same to the bit. Of long strips only the
    columns are made that are not white, which may round one pixel in a thousand the other way.
    """
    scale, left = longest / side, (longest - image.width) // 2
    first, last, rows = 0, side, max(1, STRIP_PIXELS // longest)
    if rows < image.height:
        first = max(0, int(left / scale) - REACH)
        last = min(side, math.ceil((left + image.width) / scale) + REACH)
    made = Image.new("RGB", (side, image.height), WHITE)
    rows = max(1, STRIP_PIXELS // longest)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        if strip.width < longest:
            padded = Image.new("RGB", (longest, strip.height), WHITE)
            padded.paste(strip, (left, 0))
            strip = padded
        box = (first * scale, 0, min(last * scale, longest), strip.height)
        made.paste(strip.resize((last - first, strip.height), Image.Resampling.BICUBIC, box), (first, top))
    return made


def to_input(image: Image.Image, shape: Shape, layout: Layout) -> Array:
    """Return one picture as the model takes it.

    Returns:
        (side, side, 3) or (3, side, side), BGR: 0 to 255 in the layout wd, -1 to 1 in cl.
    """
    array = square(image, shape.side).astype(np.float32)
    if layout == "cl":
        array = array / np.float32(127.5) - np.float32(1)
    if shape.channels_first:
        array = array.transpose(2, 0, 1)
    return np.ascontiguousarray(array, dtype=shape.dtype)


def providers(device: str, available: Sequence[str]) -> list[str]:
    """Return the providers for a device, with the processor for what they cannot do.

    Raises:
        UserError: The device is not there, or the installed onnxruntime cannot use it.
    """
    wanted = [name for kind, names in PROVIDERS.items() if device in (kind, "auto") for name in names]
    found = [name for name in wanted if name in available]
    if not found:
        there = ", ".join(kind for kind, names in PROVIDERS.items() if not set(names).isdisjoint(available))
        raise UserError("tagger_device_missing", f"{TABLE}.device", value=device, found=there)
    return list(dict.fromkeys((*found[:1], CPU)))


def shape_of(dimensions: Sequence[Any], kind: str) -> Shape:
    """Return what the model's input says: (batch, side, side, 3) or (batch, 3, side, side); names are any number.

    Raises:
        ValueError: It is no input for square pictures.
    """
    if len(dimensions) != 4 or kind not in TYPES:
        raise ValueError(f"{kind} {list(dimensions)}")
    batch, second, third, fourth = (size if isinstance(size, int) and size > 0 else 0 for size in dimensions)
    channels_first = second == 3 and fourth != 3
    height, width = (third, fourth) if channels_first else (second, third)
    if (not channels_first and fourth not in (0, 3)) or (height and width and height != width):
        raise ValueError(f"{kind} {list(dimensions)}")
    return Shape(height or width or USUAL_SIDE, channels_first, batch, TYPES[kind])


class OnnxTagger:
    """A loaded ONNX model with its list of tags."""

    tags: TagList | None
    note: Problem | None
    writes_captions = True

    def __init__(self, path: Path, tags: TagList, layout: Layout, *, device: str = "auto") -> None:
        """Load a model.

        Raises:
            UserError: onnxruntime is missing, the file is none of its models, or it does not fit its list.
        """
        self.tags = tags
        self.layout = layout
        self._session, self.note = start_session(path, device)
        given, *more = self._session.get_inputs()
        try:
            self.shape = shape_of(given.shape, given.type)
        except ValueError as error:
            raise UserError("tagger_input", f"{TABLE}.model", value=str(path), found=str(error)) from error
        if more:
            found = ", ".join(each.name for each in (given, *more))
            raise UserError("tagger_input", f"{TABLE}.model", value=str(path), found=found)
        self._path, self._input = path, given.name
        self._output = _output_of(self._session, len(tags.names), path)
        self.fixed_batch = self.shape.batch
        self.device = self._session.get_providers()[0].removesuffix(SUFFIX)

    def prepare(self, image: Image.Image, picture: Picture) -> Array:  # noqa: ARG002 - other taggers ask who it is
        """Return a picture as the model takes it."""
        return to_input(image, self.shape, self.layout)

    def describe(self, prepared: Sequence[Array]) -> list[Described]:
        """Return the confidences of a batch; one that is too short for the model is filled up.

        Raises:
            UserError: The device cannot do it, for want of memory most of all, or there is not a number for each tag.
        """
        batch = [*prepared, *[prepared[-1]] * max(0, self.fixed_batch - len(prepared))]
        try:
            (found,) = self._session.run([self._output], {self._input: np.stack(batch)})
        except Exception as error:  # onnxruntime's errors have no common class of their own
            params = {"value": self.device, "reason": _first_line(error), "num": len(batch)}
            raise UserError("tagger_broke", f"{TABLE}.batch_size", **params) from error
        scores: NDArray[Any] = np.asarray(found, np.float32)
        num_tags = len(self.tags.names) if self.tags else 0
        if scores.shape != (len(batch), num_tags):  # the file did not say
            params = {"value": str(self._path), "num_tags": num_tags, "found": " x ".join(map(str, scores.shape[1:]))}
            raise UserError("tagger_mismatch", f"{TABLE}.model", **params)
        scores = scores[: len(prepared)]
        if self.layout == "cl" or _are_logits(scores):
            scores = np.float32(0.5) * (np.tanh(scores / np.float32(2)) + 1)  # the sigmoid, without overflow
        return [Described(scores=row) for row in scores]


def start_session(path: Path, device: str) -> tuple[Any, Problem | None]:
    """Open an ONNX file on a device, or on the processor where the device is there but does not start.

    Returns:
        The session, and what is to be told of where it works; None where there is nothing to tell.

    Raises:
        UserError: As `open_session`.
    """
    wanted = providers(device, _runtime().get_available_providers())[0]
    session, reason = _started(path, wanted)
    if session.get_providers()[0] != wanted:
        params = {"value": wanted.removesuffix(SUFFIX), "reason": reason or "-"}
        return session, Problem("warning", "tagger_device_failed", f"{TABLE}.device", params)
    if device == "auto" and wanted == CPU and shutil.which(NVIDIA):
        return session, Problem("warning", "tagger_card_idle", f"{TABLE}.device")
    return session, None


def _started(path: Path, wanted: str) -> tuple[Any, str]:
    """Return a session that has worked once, and nothing; or one on the processor, and why."""
    if wanted == CPU:
        return open_session(path, "cpu"), ""
    runtime = _runtime()
    if wanted.startswith("CUDA") and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()  # those that came with torch
    try:
        session = runtime.InferenceSession(str(path), providers=[wanted, CPU])
        given = session.get_inputs()[0]
        session.run(None, {given.name: shape_of(given.shape, given.type).blank()})
    except Exception as error:  # onnxruntime's errors have no common class of their own
        return open_session(path, "cpu"), _first_line(error)
    return session, ""


def open_session(path: Path, device: str) -> Any:
    """Open an ONNX file with onnxruntime.

    Raises:
        UserError: onnxruntime is missing, the device is not there, or the file is damaged.
    """
    runtime = _runtime()
    chosen = providers(device, runtime.get_available_providers())
    try:
        return runtime.InferenceSession(str(path), providers=chosen)
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise UserError("tagger_damaged", f"{TABLE}.model", value=str(path), reason=_first_line(error)) from error


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("onnxruntime_missing", f"{TABLE}.model", reason=str(error)) from error
    onnxruntime.set_default_logger_severity(3)  # what it warns of while it optimizes is of no use to a user
    return onnxruntime


def _are_logits(scores: NDArray[Any]) -> bool:
    """Tell whether numbers cannot be confidences: some exports of WD's layout end before the sigmoid."""
    return bool((scores < -ROUNDING).any() or (scores > 1 + ROUNDING).any())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _output_of(session: Any, num_tags: int, path: Path) -> str:
    """Return the name of the output that has a number for each tag."""
    outputs = session.get_outputs()
    sizes = [each.shape[-1] if each.shape else 0 for each in outputs]
    for each, size in zip(outputs, sizes, strict=True):
        if size == num_tags:
            return str(each.name)
    named = [size for size in sizes if isinstance(size, int)]
    if len(named) < len(sizes):  # the file does not say; the first batch will
        return str(outputs[next(place for place, size in enumerate(sizes) if not isinstance(size, int))].name)
    found = ", ".join(str(size) for size in named)
    raise UserError("tagger_mismatch", f"{TABLE}.model", value=str(path), num_tags=num_tags, found=found)
