"""Say in plain words why a run ended as it did, from its last event and the end of its console."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.config.messages import has, translate
from backend.config.presets import read
from backend.config.problems import Problem, UserError
from backend.runs import supervisor
from backend.runs.layout import RunFolder
from backend.runs.view import RunView

TAIL_BYTES = 48 * 1024
EVIDENCE_LINES = 12
# The first that matches wins: special causes before the general ones that they drag along.
PATTERNS: tuple[tuple[str, str], ...] = (
    ("gpu_out_of_memory", r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|MPS backend out of memory"),
    (
        "out_of_memory",
        r"MemoryError|DefaultCPUAllocator: (can't|not enough)|Cannot allocate memory|std::bad_alloc|ArrayMemoryError",
    ),
    ("disk_full", r"No space left on device|\[Errno 28\]|not enough space on the disk|Disk quota exceeded"),
    (
        "cuda_driver",
        r"driver .*too old|no kernel image is available|CUDA driver version is insufficient"
        r"|CUDA error: (?!out of memory)",
    ),
    ("no_gpu", r"Torch not compiled with CUDA|No CUDA GPUs are available|Found no NVIDIA driver"),
    ("port_in_use", r"Address already in use|EADDRINUSE|\[Errno 98\]|WinError 10048"),
    ("hub_gated", r"GatedRepoError|401 Client Error|403 Client Error|is gated"),
    (
        "hub_offline",
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|Max retries exceeded|ConnectionError|Temporary failure in name",
    ),
    ("missing_package", r"ModuleNotFoundError|ImportError|No module named"),
    ("permission", r"PermissionError|\[Errno 13\]|Access is denied|WinError 5\b|Read-only file system"),
    ("missing_file", r"FileNotFoundError|\[Errno 2\]"),
    ("wrong_model", r"size mismatch for|Error\(s\) in loading state_dict|SafetensorError|HeaderTooLarge|InvalidHeader"),
    ("corrupt_image", r"UnidentifiedImageError|image file is truncated|DecompressionBomb"),
    ("nan_loss", r"loss is (nan|inf)"),
)
KILLED = re.compile(r"SIGKILL|Signal 9|exitcode: -9|exit code -9|died with .*9|\bKilled\b|oom-kill")
# What tells nothing by itself: accelerate's own epilogue.
NOISE = re.compile(r"CalledProcessError|returned non-zero exit status|accelerate/commands|ChildFailedError")


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change of the configuration that would help."""

    path: str
    value: Any


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What happened. The words are `diagnosis.<code>.what`, `.why` and `.do`; a user's mistake brings its problem."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()
    evidence: tuple[str, ...] = ()
    problem: Problem | None = None

    def text(self, part: str, language: str) -> str:
        """Return one part ("what", "why", "do") in a language."""
        return translate(f"diagnosis.{self.code}.{part}", language, **self.params)


def tail(run: RunFolder) -> str:
    """Return the end of what the processes printed."""
    try:
        with run.console_path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").replace("\r", "\n")
    except OSError:
        return ""


def evidence(text: str, pattern: str = "") -> tuple[str, ...]:
    """Return the lines around the last one that matches, without the launcher's own epilogue."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not NOISE.search(line)]
    hits = [index for index, line in enumerate(lines) if pattern and re.search(pattern, line, re.IGNORECASE)]
    end = hits[-1] + 1 if hits else len(lines)
    return tuple(line[:400] for line in lines[max(0, end - EVIDENCE_LINES) : end])


def remedies(code: str, config: Mapping[str, Any]) -> tuple[Remedy, ...]:
    """Return the changes that would honestly help and that are not made yet."""
    if code not in ("gpu_out_of_memory", "out_of_memory"):
        return ()
    training, cache = config.get("training", {}), config.get("cache", {})
    wanted = [
        (training.get("batch_size", 1) > 1, "training.batch_size", max(1, training.get("batch_size", 1) // 2)),
        (not training.get("gradient_checkpointing", False), "training.gradient_checkpointing", True),
        (not cache.get("latents", True), "cache.latents", True),
        (config.get("data", {}).get("num_workers", 0) > 0 and code == "out_of_memory", "data.num_workers", 0),
    ]
    return tuple(Remedy(path, value) for applies, path, value in wanted if applies)


def _config(run: RunFolder) -> Mapping[str, Any]:
    try:
        return read(run.config_path)
    except UserError:
        return {}


def _from_text(run: RunFolder, text: str) -> Diagnosis | None:
    for code, pattern in PATTERNS:
        if re.search(pattern, text, re.IGNORECASE):
            return Diagnosis(code, remedies=remedies(code, _config(run)), evidence=evidence(text, pattern))
    return None


def _from_error(run: RunFolder, error: Mapping[str, Any]) -> Diagnosis:
    """Diagnose a failure that the trainer itself reported."""
    code, params = str(error.get("code", "")), dict(error.get("params") or {})
    traceback = str(error.get("traceback") or "")
    if has(f"diagnosis.{code}.what"):
        return Diagnosis(code, params, remedies(code, _config(run)), evidence(traceback or tail(run)))
    if has(f"problem.{code}"):
        problem = Problem("error", code, str(error.get("path") or ""), params)
        return Diagnosis("user_error", params, problem=problem)
    found = _from_text(run, traceback or str(params.get("reason", "")))
    return found or Diagnosis("unknown", params, evidence=evidence(traceback or tail(run)))


def diagnose(run: RunFolder, view: RunView) -> Diagnosis | None:
    """Explain a run that failed or crashed; None for any other."""
    status = supervisor.status(run)
    if status == "failed":
        return _from_error(run, view.error or {})
    if status != "crashed":
        return None
    text = tail(run)
    if KILLED.search(text) or not text.strip():
        code = "killed" if view.phase else "killed_early"
        return Diagnosis(code, {"step": view.step}, remedies("out_of_memory", _config(run)), evidence(text))
    found = _from_text(run, text)
    if found is not None:
        return found
    code = "vanished" if view.phase else "did_not_start"
    return Diagnosis(code, {"step": view.step}, evidence=evidence(text))
