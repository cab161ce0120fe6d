"""Look at the machine and the installation and say in plain words what is there and what is missing.

Standard library only: it has to work when nothing else does.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backend.config.messages import system_language, translate

Level = Literal["ok", "info", "warning", "error"]
MARKS: dict[Level, str] = {"ok": "[ ok ]", "info": "[    ]", "warning": "[ !  ]", "error": "[ !! ]"}
PORT = 7861
GIB = 1024**3
MINIMUM_FREE_GIB = 15
PROJECT_FILES = (
    "pyproject.toml",
    "constraints.txt",
    "gui.py",
    "backend/cli.py",
    "locales/en.json",
    "locales/zh-CN.json",
)
# Runs inside the environment: which pinned packages are missing or of another version, and what torch sees.
PROBE = """
import importlib.metadata as m, json, sys
wanted = json.loads(sys.argv[1])
found = {name: None for name in wanted}
for name in wanted:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
answer = {"packages": found}
try:
    import torch
    answer["torch"] = torch.__version__
    answer["cuda"] = torch.version.cuda or getattr(torch.version, "hip", None)
    answer["devices"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    answer["mps"] = torch.backends.mps.is_available()
except Exception as error:
    answer["torch_error"] = f"{type(error).__name__}: {error}"[:300]
print(json.dumps(answer))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: `key` is a text `doctor.<key>`."""

    level: Level
    key: str
    params: dict[str, Any]


def _finding(level: Level, key: str, **params: Any) -> Finding:
    return Finding(level, key, params)


def run(command: list[str], *, seconds: float) -> str:
    """Return what a command prints; empty when it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def total_memory() -> int:
    """Return the machine's memory in bytes; 0 when the system does not tell."""
    if sys.platform == "win32":
        status = (ctypes.c_ulonglong * 8)()
        ctypes.cast(status, ctypes.POINTER(ctypes.c_ulong))[0] = ctypes.sizeof(status)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(status)
        return int(status[1])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def machine() -> Iterator[Finding]:
    """Report on Python, memory and the graphics card."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield _finding("ok", "python", version=version, path=sys.executable, system=platform.platform(terse=True))
    yield _finding("info", "memory", gib=round(total_memory() / GIB), cores=os.cpu_count() or 1)
    card = run(["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"], seconds=20)
    for row in card.splitlines():
        yield _finding("ok", "gpu", card=row)
    if not card:
        yield _finding("info", "no_gpu")


def folder(root: Path) -> Iterator[Finding]:
    """Report on the project's files, the right to write and the room left."""
    missing = [name for name in PROJECT_FILES if not (root / name).is_file()]
    if missing:
        yield _finding("error", "files_missing", files=", ".join(missing))
    try:
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        yield _finding("error", "not_writable", path=root, reason=error.strerror)
    free = shutil.disk_usage(root).free / GIB
    level: Level = "ok" if free >= MINIMUM_FREE_GIB else "warning"
    yield _finding(level, "disk" if level == "ok" else "disk_low", gib=round(free, 1), wanted=MINIMUM_FREE_GIB)


def pins(root: Path) -> dict[str, str]:
    """Return the versions in constraints.txt that hold on every platform."""
    try:
        lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    plain = [line.strip() for line in lines if "==" in line and ";" not in line and not line.startswith("#")]
    return dict(line.split("==", 1) for line in plain)


def environment(root: Path, python: Path) -> Iterator[Finding]:
    """Report on the virtual environment, its packages and what torch sees."""
    if not python.exists():
        yield _finding("error", "venv_missing")
        return
    wanted = pins(root)
    answer = run([str(python), "-c", PROBE, json.dumps(list(wanted))], seconds=120)
    if not answer:
        yield _finding("error", "venv_broken", path=python)
        return
    report = json.loads(answer.splitlines()[-1])
    yield from packages(root, wanted, report["packages"])
    yield from torch_findings(report)


def packages(root: Path, wanted: dict[str, str], found: dict[str, str | None]) -> Iterator[Finding]:
    """Report what the project names and the environment lacks, or has in another version."""
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [requirement.split(">")[0].split("<")[0].split("=")[0].strip() for requirement in project["dependencies"]]
    missing = [name for name in ["torch", *names] if name in wanted and not found.get(name)]
    other = [
        f"{name} {version}"
        for name, version in found.items()
        if version and version.partition("+")[0] != wanted[name].partition("+")[0]
    ]
    if missing:
        yield _finding("error", "packages_missing", packages=", ".join(missing))
    if other:
        yield _finding("warning", "packages_other", packages=", ".join(other))
    if not missing and not other:
        yield _finding("ok", "packages", num=sum(1 for version in found.values() if version))


def torch_findings(report: dict[str, Any]) -> Iterator[Finding]:
    """Report the torch build and the devices that it can use."""
    if "torch_error" in report:
        yield _finding("error", "torch_broken", reason=report["torch_error"])
        return
    devices = ", ".join(report["devices"]) or ("Apple MPS" if report["mps"] else "")
    yield _finding("ok", "torch", version=report["torch"], devices=devices or "CPU")
    if not devices and run(["nvidia-smi", "-L"], seconds=20):
        yield _finding("warning", "torch_without_gpu", version=report["torch"])


def network(port: int) -> Iterator[Finding]:
    """Report whether the app's port is free."""
    with socket.socket() as probe:
        probe.settimeout(1)
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    yield _finding("info" if taken else "ok", "port_taken" if taken else "port", port=port)


def examine(root: Path, python: Path, browser: str) -> int:
    """Print the report.

    Args:
        root: The project's folder.
        python: The interpreter of its environment, there or not.
        browser: The browser that the tests would use; empty when there is none.

    Returns:
        0, or 1 when something keeps Athanor from running.
    """
    language = system_language()
    print(translate("doctor.title", language))
    worst = 0
    checks = (machine(), folder(root), environment(root, python), network(PORT))
    for finding in (item for check in checks for item in check):
        print(f"{MARKS[finding.level]} {translate('doctor.' + finding.key, language, **finding.params)}", flush=True)
        worst = max(worst, int(finding.level == "error"))
    browser_text = translate("doctor.browser" if browser else "doctor.no_browser", language, path=browser)
    print(f"{MARKS['info']} {browser_text}")
    print(translate("doctor.bad" if worst else "doctor.good", language))
    return worst
