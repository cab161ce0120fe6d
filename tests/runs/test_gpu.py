import os
import sys
from pathlib import Path

import pytest

from backend.runs import gpu

NVIDIA = """0, NVIDIA GeForce RTX 4090, 24564, 1234, 572.16
1, NVIDIA Graphics Device, [N/A], [N/A], 572.16
Failed to initialize NVML
"""


def program(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / name
    script = folder / f"{name}.py"
    script.write_text(body, encoding="utf-8")
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n', encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_cards_are_read_from_the_drivers_table() -> None:
    first, second = gpu.parse_nvidia(NVIDIA)
    assert (first.index, first.name, first.driver) == (0, "NVIDIA GeForce RTX 4090", "572.16")
    assert (first.total_bytes, first.used_bytes) == (24564 * 2**20, 1234 * 2**20)
    assert (second.total_bytes, second.used_bytes) == (0, 0)


def test_no_driver_no_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.gpus() == []


@pytest.mark.skipif(os.name == "nt", reason="a script as a program")
@pytest.mark.parametrize(
    ("body", "num_cards"),
    [
        (f"print({NVIDIA!r})", 2),
        ("raise SystemExit(9)", 0),
        ("import sys; sys.stdout.buffer.write(b'0, \\xff\\xfe card, 1, 1, 5')", 1),
    ],
)
def test_what_the_drivers_tool_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, num_cards: int) -> None:
    program(tmp_path, "nvidia-smi", body, monkeypatch)
    assert len(gpu.gpus()) == num_cards


def test_amd_cards_are_read_from_rocm() -> None:
    text = (
        '{"card0": {"VRAM Total Memory (B)": "25753026560", "VRAM Total Used Memory (B)": "27570176", '
        '"Card Series": "Radeon RX 7900 XTX", "Card Model": "0x744c"}, "card1": {}, '
        '"system": {"Driver version": "6.10.5"}}'
    )
    (card,) = gpu.parse_rocm(text)
    assert (card.index, card.name, card.driver) == (0, "Radeon RX 7900 XTX", "6.10.5")
    assert (card.total_bytes, card.used_bytes) == (25753026560, 27570176)
    assert gpu.parse_rocm("WARNING: no cards") == gpu.parse_rocm("[]") == []


def test_the_machine_has_a_name_and_memory() -> None:
    system = gpu.system()
    assert system.processor and system.num_cores >= 1 and 0 < system.used_bytes < system.total_bytes
