import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from run_helpers import events, make, wait_until

from backend.config.problems import UserError
from backend.runs.locks import AppLock
from backend.runs.processes import status
from backend.runs.supervisor import PROJECT_DIR

HOLDER = """
import sys
from pathlib import Path
from backend.runs import supervisor
from backend.runs.layout import RunFolder
from backend.runs.locks import AppLock
lock = AppLock(Path(sys.argv[1]))
lock.acquire(url="http://127.0.0.1:7861")
if sys.argv[2:]:
    supervisor.launch(RunFolder(Path(sys.argv[2])), trainer="fake_trainer")
print("held", flush=True)
sys.stdin.read()
"""


def hold(*arguments: object) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *map(str, arguments)],
        cwd=PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline() == b"held\n"
    return process


def test_a_second_gui_is_told_where_the_first_is(runs_dir: Path) -> None:
    first = hold(runs_dir)
    with pytest.raises(UserError) as caught:
        AppLock(runs_dir).acquire(url="http://127.0.0.1:7862")
    assert caught.value.problem.code == "already_open"
    assert caught.value.problem.params["url"] == "http://127.0.0.1:7861"
    first.kill()
    first.wait()
    second = AppLock(runs_dir)
    second.acquire(url="http://127.0.0.1:7862")
    assert second.holder() == "http://127.0.0.1:7862"
    second.announce("http://127.0.0.1:7863")
    assert second.holder() == "http://127.0.0.1:7863"
    second.release()
    second.release()
    AppLock(runs_dir).acquire(url="")


def test_a_running_training_does_not_keep_the_lock_of_a_dead_gui(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "long")
    gui = hold(runs_dir, run.path)
    wait_until(lambda: events(run, "step"))
    gui.kill()
    gui.wait()
    lock = AppLock(runs_dir)
    lock.acquire(url="http://next")
    assert status(run) == "running" and lock.holder() == "http://next"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        AppLock(tmp_path / "runs").acquire(url="")


def test_a_lock_file_of_rubbish_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".gui.lock").write_bytes(b"\xff{")
    lock = AppLock(tmp_path)
    assert lock.holder() == ""
    lock.acquire(url="http://x")
    assert lock.holder() == "http://x"
