"""Say in plain words why a run ended as it did, from its last event and the end of its console."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psutil

from backend.config.messages import has, translate
from backend.config.presets import read
from backend.config.problems import Problem, UserError
from backend.runs.layout import RunFolder
from backend.runs.processes import read_process, status
from backend.runs.view import RunView
from backend.runs.works import work_of

TAIL_BYTES = 48 * 1024
EVIDENCE_LINES = 12
# The first that matches wins: special causes before the general ones that they drag along.
PATTERNS: tuple[tuple[str, str], ...] = (
    ("gpu_out_of_memory", r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED|MPS backend out of memory"),
    (
        "out_of_memory",
        r"MemoryError|DefaultCPUAllocator: (can't|not enough)|Cannot allocate memory|std::bad_alloc|WinError 1455\b"
        r"|paging file is too small|out of shared memory|killed by signal: Killed",
    ),
    (
        "disk_full",
        r"No space left on device|\[Errno 28\]|not enough space on the disk|WinError 112\b|Disk quota exceeded",
    ),
    (
        "cuda_driver",
        r"driver .*too old|no kernel image is available|CUDA driver version is insufficient"
        r"|CUDA error: (?!out of memory)",
    ),
    ("no_gpu", r"Torch not compiled with CUDA|No CUDA GPUs are available|Found no NVIDIA driver"),
    ("port_in_use", r"Address already in use|EADDRINUSE|\[Errno 98\]|WinError 100(48|13)\b"),
    ("hub_gated", r"GatedRepoError|401 Client Error|403 Client Error|is gated"),
    (
        "hub_offline",
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|Max retries exceeded|ConnectionError|Temporary failure in name",
    ),
    ("missing_package", r"ModuleNotFoundError|ImportError|No module named"),
    ("permission", r"PermissionError|\[Errno 13\]|Access is denied|WinError 5\b|Read-only file system"),
    ("missing_file", r"FileNotFoundError|\[Errno 2\]|WinError [23]\b"),
    ("wrong_model", r"size mismatch for|Error\(s\) in loading state_dict|SafetensorError|HeaderTooLarge|InvalidHeader"),
    ("corrupt_image", r"UnidentifiedImageError|image file is truncated|DecompressionBomb"),
    ("nan_loss", r"loss is (nan|inf)"),
)
# How a process was ended, as accelerate, torchrun or a shell tell it.
SIGNALS: tuple[tuple[str, str], ...] = (
    ("killed", r"SIGKILL|Signal 9\b|exitcode *: -9\b|^Killed$|oom-kill"),
    ("native_crash", r"SIGSEGV|SIGABRT|SIGBUS|SIGILL|SIGFPE|exitcode *: -(4|6|7|8|11)\b|\b(3221225477|3221226505)\b"),
    ("terminated", r"died with <Signals\.(SIGTERM|SIGINT|SIGHUP)|SignalException|Received Signals\.SIG(TERM|INT|HUP)"),
)
OUR_SIGNALS = ("killed", "killed_early", "terminated")  # what ending an overdue run looks like
# What runs that do not train say instead.
OF_TAGGING = {
    "tagging_ended": (
        *("killed", "killed_early", "terminated", "native_crash"),
        *("vanished", "did_not_start", "restarted", "ended_by_stop"),
    ),
    "tagging_out_of_memory": ("gpu_out_of_memory", "out_of_memory"),
}
TRACEBACK = "Traceback (most recent call last)"
# What the launchers add of their own, which tells nothing, or tells it of processes that they ended themselves.
LAUNCHER = re.compile(r"accelerate[/\\.]commands|torch[/\\]distributed[/\\](run|launcher|elastic)|CalledProcessError")
NOISE = re.compile(
    r"CalledProcessError|returned non-zero exit status|accelerate[/\\]commands|ChildFailedError|forcefully exiting"
    r"|died with <Signals"
)
LAST_LINES = 40


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
    """Return the end of what the processes of the last launch printed."""
    begin = int(read_process(run).get("console_bytes", 0))
    try:
        with run.console_path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(begin if begin <= size else 0, size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").replace("\r", "\n")
    except FileNotFoundError:
        return ""


def without_launcher(text: str) -> str:
    """Cut off the traceback of the launcher itself, which follows that of the trainer."""
    before, mark, last = text.rpartition(TRACEBACK)
    return before if mark and LAUNCHER.search(last) else text


def evidence(text: str, pattern: str = "") -> tuple[str, ...]:
    """Return the lines around the last one that matches, without the launcher's own epilogue."""
    lines = [line.rstrip() for line in without_launcher(text).splitlines() if line.strip() and not NOISE.search(line)]
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
        (cache.get("latents", "disk") == "off", "cache.latents", "disk"),
        (config.get("data", {}).get("num_workers", 0) > 0 and code == "out_of_memory", "data.num_workers", 0),
    ]
    return tuple(Remedy(path, value) for applies, path, value in wanted if applies)


def _config(run: RunFolder) -> Mapping[str, Any]:
    try:
        return read(run.config_path)
    except UserError:
        return {}


def _from_text(run: RunFolder, text: str) -> Diagnosis | None:
    """Look for a known cause: in the last traceback, and then in the last lines."""
    told = without_launcher(text)
    last_lines = "\n".join(told.splitlines()[-LAST_LINES:])
    for where in (told.rpartition(TRACEBACK)[2] if TRACEBACK in told else "", last_lines):
        for code, pattern in PATTERNS:
            if re.search(pattern, where, re.IGNORECASE):
                return Diagnosis(code, remedies=remedies(code, _config(run)), evidence=evidence(text, pattern))
    return None


def _from_signal(run: RunFolder, text: str, step: int, *, had_begun: bool) -> Diagnosis | None:
    """Look for the signal that ended the trainer."""
    lines = "\n".join(line for line in text.splitlines()[-LAST_LINES:] if "forcefully exiting" not in line)
    for code, pattern in SIGNALS:
        if re.search(pattern, lines, re.MULTILINE):
            changes = remedies("out_of_memory", _config(run)) if code == "killed" else ()
            name = "killed_early" if code == "killed" and not had_begun else code
            return Diagnosis(name, {"step": step}, changes, evidence(text))
    return None


def _from_error(run: RunFolder, error: Mapping[str, Any]) -> Diagnosis:
    """Diagnose a failure that the trainer itself reported."""
    code, params = str(error.get("code", "")), dict(error.get("params") or {})
    traceback = str(error.get("traceback") or "")
    if code != "unknown" and has(f"diagnosis.{code}.what"):
        return Diagnosis(code, params, remedies(code, _config(run)), evidence(traceback or tail(run)))
    if has(f"problem.{code}"):
        problem = Problem("error", code, str(error.get("path") or ""), params)
        return Diagnosis("user_error", params, problem=problem)
    found = _from_text(run, traceback or str(params.get("reason", "")))
    return found or Diagnosis("unknown", params, evidence=evidence(traceback or tail(run)))


def diagnose(run: RunFolder, view: RunView) -> Diagnosis | None:
    """Explain a run that failed or crashed; None for any other."""
    state = status(run)
    if state not in ("failed", "crashed"):
        return None
    found = _from_error(run, view.error or {}) if state == "failed" else _crash(run, view)
    return found if work_of(_config(run)).is_training else _of_tagging(found)


def _of_tagging(found: Diagnosis) -> Diagnosis:
    """Say it in words that fit runs without steps, checkpoints and samples."""
    code = next((code for code, codes in OF_TAGGING.items() if found.code in codes), "")
    return Diagnosis(code, found.params, evidence=found.evidence) if code else found


def _crash(run: RunFolder, view: RunView) -> Diagnosis:
    """Explain processes that went without a word, from the strongest sign to the weakest."""
    text, params, had_begun = tail(run), {"step": view.step}, bool(view.phase)
    found = _from_signal(run, text, view.step, had_begun=had_begun) or _from_text(run, text)
    if (run.control_dir / "stop").exists() and (found is None or found.code in OUR_SIGNALS):
        return Diagnosis("ended_by_stop", params, evidence=evidence(text))
    if found is not None:
        return found
    if re.search(rf"{re.escape(TRACEBACK)}|^\S*error\b", without_launcher(text), re.IGNORECASE | re.MULTILINE):
        return Diagnosis("vanished" if had_begun else "did_not_start", params, evidence=evidence(text))
    if view.last_event_at is not None and view.last_event_at < psutil.boot_time():
        return Diagnosis("restarted", params, evidence=evidence(text))
    return Diagnosis("killed" if had_begun else "killed_early", params, evidence=evidence(text))
