"""The app as a user starts it, for the tests that look at it in a browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
# For what comes of itself in a moment on a quick machine, and on one that is slow and has other work to do as well.
PATIENCE_SECONDS = 120
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train_for_long(page: Page) -> None:
    """Give the training of the draft so many epochs that it never ends while a test looks at it, and quick samples."""
    page.evaluate("location.hash = 'train/expert'")
    page.locator("#expert-search").fill("num_")
    for parameter, value in (("training-num_epochs", 2000), ("sampling-num_inference_steps", 2)):
        box = page.locator(f"#{parameter}-input")
        box.fill(str(value))
        box.press("Tab")
        setting = f"{parameter.partition('-')[2]} = {value}\n"
        page.wait_for_function("setting => document.querySelector('#expert-toml').value.includes(setting)", arg=setting)


@dataclass
class App:
    """The app as a user starts it: `python gui.py`."""

    home: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    # What the app finds in its environment beyond what every test needs.
    variables: dict[str, str] = field(default_factory=dict)
    # What the app is started by, such as a program that takes rights from it.
    starter: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / "gui.log").read_text(encoding="utf-8", errors="replace")

    def start(self, *options: str) -> None:
        environment = {**os.environ, "ATHANOR_HOME": str(self.home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment |= self.variables
        command = [*self.starter, sys.executable, "gui.py", "--no-browser", "--port", str(self.port), *options]
        with (self.home / "gui.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 2 * PATIENCE_SECONDS
        while not self.answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """End the app as a crash would; what it started stays."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def close(self) -> None:
        """End the app and every training that it left."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for process in psutil.process_iter(["cmdline"]):
            if str(self.home) in " ".join(process.info["cmdline"] or []):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
