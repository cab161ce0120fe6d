"""What the machine has: graphics cards by their drivers' tools, memory and processor. No torch."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass

import psutil

MIB = 1024**2
QUERY = "index,name,memory.total,memory.used,driver_version"


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


def gpus() -> list[Gpu]:
    """Return the NVIDIA cards; empty when there is no driver or it does not answer within five seconds."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_nvidia(done.stdout) if done.returncode == 0 else []


def system() -> System:
    """Return the processor and the memory in use."""
    memory = psutil.virtual_memory()
    name = platform.processor() or platform.machine()
    return System(name, psutil.cpu_count() or 1, memory.total, memory.total - memory.available)
