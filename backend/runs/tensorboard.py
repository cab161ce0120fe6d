"""TensorBoard on demand: one child on a local port, on the log folder that is looked at; it ends with us."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from backend.config.problems import UserError
from backend.runs.supervisor import PROJECT_DIR, free_port

PATH_PREFIX = "/tensorboard"
START_SECONDS = 60.0


class TensorBoard:
    """Starts TensorBoard when it is asked for, keeps it while the folder stays the same, ends it with us."""

    def __init__(self, *, python: str = sys.executable) -> None:
        self._python = python
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_dir: Path | None = None
        self.port: int | None = None

    def ensure(self, log_dir: Path, *, log_path: Path) -> int:
        """Return the port of a TensorBoard that shows `log_dir`, starting one if need be; takes some seconds.

        Raises:
            UserError: It is not installed, or did not start.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None and self._log_dir == log_dir and self.port:
                return self.port
            self._end()
            self.port = self._start(log_dir, log_path)
            return self.port

    def stop(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._process, self.port = None, None

    def _start(self, log_dir: Path, log_path: Path) -> int:
        port = free_port()
        command = [self._python, "-m", "backend.runs.tied", "tensorboard.main", "--logdir", str(log_dir.absolute())]
        command += ["--host", "127.0.0.1", "--port", str(port), "--path_prefix", PATH_PREFIX, "--reload_interval", "5"]
        try:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            with log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    command, cwd=PROJECT_DIR, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
                )
        except OSError as error:
            raise UserError("tensorboard_failed", reason=error.strerror or str(error)) from error
        self._log_dir = log_dir
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if _answers(port):
                return port
            time.sleep(0.2)
        self._end()
        last = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise UserError("tensorboard_failed", reason=last[0] if last else "")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH_PREFIX}/", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
