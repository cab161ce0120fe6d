"""What the machine has: graphics cards by their drivers' tools, memory and processor. No torch."""

from __future__ import annotations

import json
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1024**2
QUERY = "index,name,memory.total,memory.used,driver_version"
TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card; memory in bytes."""

    index: int
    name: str
    total_bytes: int
    used_bytes: int
    driver: str


@dataclass(frozen=True, slots=True)
class System:
    """The processor and the main memory; bytes."""

    processor: str
    num_cores: int
    total_bytes: int
    used_bytes: int


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0


def parse_nvidia(table: str) -> list[Gpu]:
    """Read `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`; rows of another shape are passed over."""
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    return [
        Gpu(int(row[0]), row[1], _number(row[2]) * MIB, _number(row[3]) * MIB, row[4])
        for row in rows
        if len(row) == 5 and row[0].isdigit()
    ]


def parse_rocm(text: str) -> list[Gpu]:
    """Read `rocm-smi --showproductname --showmeminfo vram --showdriverversion --json`; other text has no cards."""
    try:
        table = json.loads(text)
    except ValueError:
        return []
    rows = {key: row for key, row in table.items() if isinstance(row, dict)} if isinstance(table, dict) else {}
    driver = str(rows.get("system", {}).get("Driver version", ""))
    return [
        Gpu(
            int(key[len("card") :]),
            str(row.get("Card Series") or row.get("Card series") or "AMD"),
            _number(str(row["VRAM Total Memory (B)"])),
            _number(str(row.get("VRAM Total Used Memory (B)", ""))),
            driver,
        )
        for key, row in rows.items()
        if key.startswith("card") and key[len("card") :].isdigit() and "VRAM Total Memory (B)" in row
    ]


def _ask(*command: str) -> str:
    """Return what a driver's tool says; nothing when there is none, it fails, or it hangs."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def gpus() -> list[Gpu]:
    """Return the NVIDIA cards, or else the AMD ones; empty when there is no driver or it does not answer."""
    cards = parse_nvidia(_ask("nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"))
    rocm = ("rocm-smi", "--showproductname", "--showmeminfo", "vram", "--showdriverversion", "--json")
    return cards or parse_rocm(_ask(*rocm))


def processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()


def system() -> System:
    """Return the processor and the memory in use."""
    memory = psutil.virtual_memory()
    return System(processor(), psutil.cpu_count() or 1, memory.total, memory.total - memory.available)
