import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from fake_trainer import HELD
from run_helpers import events, make, wait_until

from backend.config.problems import UserError
from backend.runs import supervisor
from backend.runs.control import Control
from backend.runs.events import EventWriter
from backend.runs.layout import TRASH, RunFolder
from backend.runs.processes import _milestones, find_process, process_tree, processes, read_process, status
from backend.runs.supervisor import LIVE

FORGETFUL = """
import sys
from pathlib import Path
from backend.runs import supervisor
from backend.runs.layout import RunFolder
supervisor.launch(RunFolder(Path(sys.argv[1])), trainer="fake_trainer")
print("launched", flush=True)
sys.stdin.read()
"""


def running(run: RunFolder) -> None:
    wait_until(lambda: status(run) == "running" and events(run, "step"))


def test_a_run_under_accelerate_goes_from_waiting_to_finished(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "finish")
    assert status(run) == "waiting"
    (run.path / HELD).touch()
    pid = launch.real(run)
    record = read_process(run)
    assert record["pid"] == pid and record["argv"][-2:] == ["fake_trainer", str(run.path)]
    assert "torch" in record["versions"] and record["host"]
    assert status(run) == "starting"
    (run.path / HELD).unlink()
    wait_until(lambda: status(run) not in LIVE)
    assert status(run) == "finished" and len(events(run, "step")) == 5
    assert "fake trainer []" in run.console_path.read_text(encoding="utf-8")


def test_a_trainer_killed_under_accelerate_is_crashed(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "killed")
    launch.real(run)
    wait_until(lambda: status(run) not in LIVE)
    assert status(run) == "crashed"
    assert "SIGKILL" in run.console_path.read_text(encoding="utf-8")


def test_a_run_stops_when_it_is_asked_to(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "long")
    launch.quick(run)
    running(run)
    supervisor.request(run, "save")
    wait_until(lambda: events(run, "checkpoint"))
    supervisor.request(run, "stop")
    assert status(run) in ("stopping", "stopped")
    wait_until(lambda: status(run) == "stopped")
    assert len(events(run, "checkpoint")) == 1
    with pytest.raises(UserError, match="not running"):
        supervisor.request(run, "save")


def test_a_resumed_run_goes_on_in_its_folder(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "long")
    launch.quick(run)
    running(run)
    supervisor.request(run, "stop")
    wait_until(lambda: status(run) == "stopped" and not processes(run))
    before = len(events(run))
    launch.quick(run, resume=True)
    assert status(run) in LIVE, "the end of the launch before is not ours"
    running(run)
    assert events(run)[before]["kind"] == "start" and events(run)[before]["resumed_from_step"] == 3
    assert [event["seq"] for event in events(run)] == list(range(1, len(events(run)) + 1))
    assert run.console_path.read_text(encoding="utf-8").count("fake trainer") == 2
    supervisor.request(run, "stop")
    wait_until(lambda: status(run) == "stopped")


def test_a_double_click_starts_one_trainer(runs_dir: Path, launch: SimpleNamespace) -> None:
    run, refused = make(runs_dir, "long"), []

    def click() -> None:
        try:
            launch.quick(run)
        except UserError as error:
            refused.append(error.problem.code)

    clicks = [threading.Thread(target=click) for _ in range(4)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    running(run)
    assert len(refused) == 3 and set(refused) <= {"run_starting", "run_running"}
    assert len(events(run, "start")) == 1


def test_the_run_outlives_a_killed_gui_and_the_next_one_stops_it(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "long")
    gui = subprocess.Popen(
        [sys.executable, "-c", FORGETFUL, str(run.path)],
        cwd=supervisor.PROJECT_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert gui.stdout and gui.stdout.readline() == b"launched\n"
    running(run)
    gui.kill()
    gui.wait()
    seen = len(events(run, "step"))
    wait_until(lambda: len(events(run, "step")) > seen + 5)
    assert supervisor.reattach(runs_dir) == [run]
    supervisor.request(run, "stop")
    wait_until(lambda: status(run) == "stopped" and not supervisor.reattach(runs_dir))


def test_the_trainer_counts_when_its_launcher_is_killed(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "long")
    launcher = launch.quick(run)
    running(run)
    os.kill(launcher, signal.SIGKILL)
    wait_until(lambda: launcher not in [process.pid for process in processes(run)])
    assert status(run) == "running"
    supervisor.request(run, "stop")
    wait_until(lambda: status(run) == "stopped")


def test_a_trainer_that_does_not_listen_is_ended_after_the_grace(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "deaf")
    launch.quick(run)
    wait_until(lambda: events(run, "phase"))
    assert not supervisor.end_overdue(run, grace_seconds=0), "nobody asked"
    supervisor.request(run, "stop")
    assert not supervisor.end_overdue(run, grace_seconds=60), "it has its time"
    assert supervisor.end_overdue(run, grace_seconds=0)
    (trainer,) = [process for process in process_tree(run) if process.pid == events(run, "start")[0]["pid"]]
    assert trainer.is_running(), "it ignores the polite signal"
    past = time.time() - 100
    os.utime(run.control_dir / "stop", (past, past))
    assert supervisor.end_overdue(run, grace_seconds=0)
    wait_until(lambda: status(run) == "crashed")
    assert not process_tree(run)


def test_a_process_that_hangs_after_its_end_is_ended(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "lingers")
    launch.quick(run)
    wait_until(lambda: status(run) == "finished")
    assert processes(run) and not supervisor.end_overdue(run, grace_seconds=60)
    wait_until(lambda: supervisor.end_overdue(run, grace_seconds=0) or not processes(run))
    wait_until(lambda: not processes(run))
    assert status(run) == "finished"


def test_another_process_with_our_number_is_not_ours(runs_dir: Path) -> None:
    run = make(runs_dir, "long")
    mine = psutil.Process()
    assert find_process(run, mine.pid, mine.create_time()) == mine
    assert find_process(run, mine.pid, mine.create_time() - 60) is None
    record = {"pid": mine.pid, "create_time": mine.create_time() - 60, "argv": ["python", "-m", "x", str(run.path)]}
    run.process_path.write_text(json.dumps(record), encoding="utf-8")
    assert status(run) == "crashed"


def test_a_clock_that_jumped_does_not_lose_a_run(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "long")
    launch.quick(run)
    running(run)
    record = read_process(run)
    record["create_time"] -= 3600
    run.process_path.write_text(json.dumps(record), encoding="utf-8")
    assert record["pid"] in [process.pid for process in processes(run)]


def test_a_zombie_is_not_alive(runs_dir: Path) -> None:
    run = make(runs_dir, "long")
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    created = psutil.Process(child.pid).create_time()
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert find_process(run, child.pid, created) is None
    child.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "create_time": null}'])
def test_a_damaged_process_file_is_no_living_run(runs_dir: Path, text: str) -> None:
    run = make(runs_dir, "long")
    run.process_path.write_text(text, encoding="utf-8")
    assert status(run) not in LIVE


def test_the_status_of_a_long_log_reads_only_what_is_new(runs_dir: Path) -> None:
    run = make(runs_dir, "long")
    writer = EventWriter(run.events_path)
    me = psutil.Process()
    writer.emit("start", pid=me.pid, create_time=me.create_time())
    for step in range(5_000):
        writer.emit("step", step=step, total=20_000, loss=0.1, loss_ema=0.1, lrs={"unet": 1e-4}, step_seconds=0.1)
    assert status(run) == "running"
    reader = _milestones[run.events_path].reader
    assert reader.offset == run.events_path.stat().st_size
    assert status(run) == "running" and _milestones[run.events_path].reader is reader
    writer.emit("end", status="stopped", step=20_000, error=None)
    assert status(run) == "stopped"


def test_deleted_runs_go_to_the_trash_and_come_back(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "long")
    launch.quick(run)
    running(run)
    with pytest.raises(UserError, match="is running"):
        supervisor.delete(run)
    supervisor.request(run, "stop")
    wait_until(lambda: status(run) == "stopped")
    trashed = supervisor.delete(run)
    assert trashed.parent == runs_dir / TRASH and not run.path.exists()
    with pytest.raises(UserError):
        launch.quick(run)
    assert supervisor.restore(runs_dir, trashed) == run and status(run) == "stopped"
    supervisor.delete(run)
    supervisor.empty_trash(runs_dir)
    supervisor.empty_trash(runs_dir)
    assert not (runs_dir / TRASH).exists()
    with pytest.raises(UserError):
        supervisor.restore(runs_dir, trashed)


def test_a_python_that_is_not_there_is_told(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "finish")
    with pytest.raises(UserError) as caught:
        launch.quick(run, python=str(runs_dir / "no" / "python"))
    assert caught.value.problem.code == "launch_failed" and status(run) == "waiting"


def test_requests_of_an_earlier_launch_do_not_stop_the_next(runs_dir: Path, launch: SimpleNamespace) -> None:
    run = make(runs_dir, "finish")
    (run.control_dir / "stop").touch()
    launch.quick(run)
    wait_until(lambda: status(run) not in LIVE)
    assert status(run) == "finished"


def test_the_command_says_what_is_wanted(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(runs_dir, "a b")
    one = supervisor.command(run, device="cpu", resume=True)
    assert "--cpu" in one and one[-4:] == ["--module", "backend.training", str(run.path), "--resume"]
    several = supervisor.command(run, num_processes=2, port=29555)
    assert several[several.index("--main_process_port") + 1] == "29555" and "--multi_gpu" in several
    assert ("'" if os.name != "nt" else '"') in supervisor.display(one)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert supervisor.num_threads(10_000) == 1 <= supervisor.num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert supervisor.num_threads(1) == 3


def test_the_environment_keeps_the_users_and_adds_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    variables = supervisor.environment()
    assert variables["HTTPS_PROXY"] == "http://proxy:1" and "CUDA_VISIBLE_DEVICES" not in variables
    assert variables["PYTHONUNBUFFERED"] == variables["PYTHONUTF8"] == "1"
    assert supervisor.environment(gpu_ids="0,2")["CUDA_VISIBLE_DEVICES"] == "0,2"


def test_control_gives_each_request_once_and_stop_until_it_is_cleared(tmp_path: Path) -> None:
    control = Control(tmp_path / "control")
    assert control.poll() == set()
    for name in ("save", "sample", "stop", "something else"):
        (tmp_path / "control" / name).touch()
    assert control.poll() == {"save", "sample", "stop"}
    assert control.poll() == {"stop"}
    control.clear()
    assert control.poll() == set()
