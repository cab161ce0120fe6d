import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_trainer import HELD
from run_helpers import events, make, wait_until

from backend.config.problems import UserError
from backend.runs import supervisor
from backend.runs.caretaker import Caretaker
from backend.runs.layout import RunFolder
from backend.runs.processes import processes, status
from backend.runs.queue import Queue, start_run
from backend.runs.supervisor import LIVE
from backend.runs.view import RunView, fold

OTHER_GUI = """
import sys
from pathlib import Path
from backend.runs import supervisor
from backend.runs.queue import Queue
queue = Queue(Path(sys.argv[1]), start=lambda run: supervisor.launch(run, trainer="fake_trainer"))
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    queue.tick()
"""


@pytest.fixture
def queue(runs_dir: Path, launch: SimpleNamespace) -> Queue:
    return Queue(runs_dir, start=launch.quick)


def names(queue: Queue) -> list[str]:
    return [run.name for run in queue.runs()]


def add(queue: Queue, *behaviours: str) -> list[RunFolder]:
    runs = [make(queue.runs_dir, behaviour) for behaviour in behaviours]
    for run in runs:
        queue.add(run)
    return runs


def test_the_order_is_that_of_adding_and_can_be_changed(queue: Queue) -> None:
    first, second, third = add(queue, "finish-c", "finish-a", "finish-b")
    assert queue.runs() == [first, second, third]
    queue.move(third, by=-1)
    queue.move(first, by=99)
    assert queue.runs() == [third, second, first]
    queue.move(second, by=-99)
    assert Queue(queue.runs_dir).runs() == [second, third, first], "another window, or the next start"
    queue.add(second)
    assert queue.runs() == [third, first, second], "added again, it goes to the end"
    queue.remove(first)
    queue.remove(first)
    queue.move(first, by=-1)
    assert queue.runs() == [third, second] and status(first) == "waiting"


def test_runs_are_started_one_after_the_other(queue: Queue) -> None:
    first, second = add(queue, "finish-1", "finish-2")
    (first.path / HELD).touch()
    assert queue.tick() == first and names(queue) == ["finish-2"]
    assert queue.tick() is None, "one is running"
    with pytest.raises(UserError, match="is running"):
        queue.add(first)
    (first.path / HELD).unlink()
    wait_until(lambda: status(first) == "finished" and not processes(first))
    assert queue.tick() == second and names(queue) == []
    wait_until(lambda: status(second) == "finished" and not processes(second))
    assert queue.tick() is None
    assert events(second, "start")[0]["t"] > events(first, "end")[0]["t"]


def test_the_next_run_waits_until_the_last_one_has_given_its_memory_back(queue: Queue) -> None:
    first, _ = add(queue, "lingers", "finish")
    queue.tick()
    wait_until(lambda: status(first) == "finished")
    assert queue.tick() is None and names(queue) == ["finish"]


def test_a_run_that_cannot_be_started_says_why_and_holds_up_nobody(queue: Queue) -> None:
    broken, fine = add(queue, "finish-broken", "finish-fine")
    broken.config_path.write_text("[hardware]\nnum_processes = 'many'\n", encoding="utf-8")
    real = Queue(queue.runs_dir, start=lambda run: start_run(run) if run == broken else queue._start(run))
    assert real.tick() == broken and status(broken) == "failed"
    error = fold(RunView(), events(broken)).error
    assert error and error["path"] == "hardware.num_processes"
    assert real.tick() == fine
    wait_until(lambda: status(fine) == "finished")


def test_a_paused_queue_starts_nothing(queue: Queue) -> None:
    (run,) = add(queue, "finish")
    queue.pause(True)
    assert Queue(queue.runs_dir).paused and queue.tick() is None
    queue.pause(False)
    assert queue.tick() == run


def test_two_guis_start_a_run_once_and_one_at_a_time(queue: Queue) -> None:
    runs = add(queue, "long-1", "long-2")
    command = [sys.executable, "-c", OTHER_GUI, str(queue.runs_dir)]
    guis = [
        subprocess.Popen(command, cwd=supervisor.PROJECT_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for gui in guis:
        assert gui.stdout and gui.stdout.readline() == b"ready\n"
    for gui in guis:
        assert gui.stdin
        gui.stdin.write(b"\n")
        gui.stdin.flush()
    for gui in guis:
        assert gui.wait(60) == 0
    wait_until(lambda: status(runs[0]) == "running")
    assert len(events(runs[0], "start")) == 1 and status(runs[1]) == "waiting" and names(queue) == ["long-2"]


@pytest.mark.parametrize("text", ["", "{}", '{"position": null}', "[1]", '{"position": "x"}'])
def test_a_damaged_marker_is_behind_the_others(queue: Queue, text: str) -> None:
    first, second = add(queue, "finish-1", "finish-2")
    first.queued_path.write_text(text, encoding="utf-8")
    assert queue.runs() == [second, first]
    queue.add(make(queue.runs_dir, "finish-3"))
    queue.move(first, by=-2)
    assert names(queue) == ["finish-1", "finish-2", "finish-3"]
    assert json.loads(first.queued_path.read_text(encoding="utf-8"))["position"] == 0


def test_a_deleted_run_does_not_come_back_into_the_queue(queue: Queue) -> None:
    (run,) = add(queue, "finish")
    supervisor.restore(queue.runs_dir, supervisor.delete(run))
    assert run.path.exists() and queue.runs() == []


def test_the_queue_goes_on_with_no_page_open(queue: Queue) -> None:
    runs = add(queue, "finish-1", "finish-2")
    with Caretaker(queue, seconds=0.1):
        wait_until(lambda: all(status(run) == "finished" for run in runs))


def test_the_caretaker_survives_what_goes_wrong(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = add(queue, "finish-1", "finish-2")
    calls = []

    def start(run: RunFolder) -> None:
        calls.append(run)
        if len(calls) == 1:
            raise OSError("the drive is gone")
        queue._start(run)

    with Caretaker(Queue(queue.runs_dir, start=start), seconds=0.05):
        wait_until(lambda: status(first) == "finished" and status(second) == "finished")
    assert "the drive is gone" in capsys.readouterr().err
    assert status(first) not in LIVE
