import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import psutil
import pytest
from run_helpers import wait_until

from backend.config.problems import UserError
from backend.runs.supervisor import PROJECT_DIR
from backend.runs.tensorboard import PATH_PREFIX, TensorBoard

TIED = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "backend.runs.tied", "http.server", "0"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


def get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH_PREFIX}/{path}", timeout=30) as response:
        return response.read()


def test_it_serves_the_folder_under_its_prefix_is_kept_and_comes_back(tmp_path: Path) -> None:
    board = TensorBoard()
    folder, log = tmp_path / "日志 logs", tmp_path / "tensorboard.log"
    folder.mkdir()
    try:
        ports: list[int] = []
        askers = [threading.Thread(target=lambda: ports.append(board.ensure(folder, log_path=log))) for _ in range(2)]
        for thread in askers:
            thread.start()
        for thread in askers:
            thread.join()
        assert ports[0] == ports[1], "two tabs share one"
        assert b"TensorBoard" in get(ports[0], "") and folder.name in get(ports[0], "data/environment").decode(
            "unicode-escape"
        )
        assert board._process is not None
        first = board._process.pid
        psutil.Process(first).kill()
        board._process.wait()
        port = board.ensure(folder, log_path=log)
        assert board._process.pid != first and b"TensorBoard" in get(port, "")
        last = board._process.pid
    finally:
        board.stop()
    assert board.port is None and not psutil.pid_exists(last)


def test_why_it_does_not_start_is_told(tmp_path: Path) -> None:
    shim = tmp_path / "python"
    shim.write_text("#!/bin/sh\necho 'No module named tensorboard' >&2\nexit 1\n", encoding="utf-8")
    shim.chmod(0o755)
    with pytest.raises(UserError, match="No module named tensorboard"):
        TensorBoard(python=str(shim)).ensure(tmp_path, log_path=tmp_path / "log")
    with pytest.raises(UserError) as caught:
        TensorBoard(python=str(tmp_path / "missing")).ensure(tmp_path, log_path=tmp_path / "log")
    assert caught.value.problem.code == "tensorboard_failed"


def test_a_tied_process_ends_with_its_killed_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", TIED], cwd=PROJECT_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    wait_until(lambda: child.net_connections())
    parent.kill()
    parent.wait()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
