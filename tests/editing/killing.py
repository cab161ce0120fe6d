"""Processes that are killed in the middle of their work: at a certain file, however fast the machine is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# The last argument tells at the how manieth caption or picture that is written, moved or removed.
KILLED = """
import os, signal, sys

def kill_at(num):
    def count(event, arguments):
        nonlocal num
        if event in ("os.rename", "os.link", "os.remove"):
            num -= str(arguments[event != "os.remove"]).endswith((".txt", ".png"))
            if num <= 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

kill_at(int(sys.argv.pop()))
"""


def run_and_kill(code: str, *arguments: str, at: int) -> None:
    """Run a program that is killed just before it writes, moves or removes its so manieth file."""
    done = subprocess.run([sys.executable, "-c", KILLED + code, *arguments, str(at)], cwd=PROJECT, check=False)
    assert done.returncode == -signal.SIGKILL
