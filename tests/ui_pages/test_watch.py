import pytest
from fake_runs import make_run, write_step

from backend.config.problems import UserError
from backend.runs.events import EventWriter
from ui import watch as watch_module
from ui.job_pill import running_job
from ui.watch import RunWatch, require


@pytest.fixture(autouse=True)
def look_every_time(monkeypatch) -> None:
    monkeypatch.setattr(watch_module, "MIN_SECONDS", 0.0)


def test_an_opened_run_is_read_on_and_never_again_from_the_start(tmp_path) -> None:
    run = make_run(tmp_path, "cat", num_steps=50, alive=True)
    runs = RunWatch(tmp_path)
    view = runs.open(run)
    assert (view.step, view.status, len(view.losses.points)) == (50, "running", 50)
    offset = runs._opened[run.id].reader.offset
    writer = EventWriter(run.events_path)
    write_step(writer, 51, total=100)
    writer.close()
    assert runs.open(run) is view and view.step == 51
    assert runs._opened[run.id].reader.offset - offset < 400


def test_a_card_needs_only_the_end_of_the_events(tmp_path) -> None:
    run = make_run(tmp_path, "cat", num_steps=3000, total=3000, end="finished", sample_every=0)
    runs = RunWatch(tmp_path)
    view = runs.peek(run)
    assert (view.step, view.total, view.status) == (3000, 3000, "finished")
    assert view.num_events < 500 < run.events_path.stat().st_size / 300


def test_statuses_of_ended_and_dead_runs(tmp_path) -> None:
    runs = RunWatch(tmp_path)
    assert runs.peek(make_run(tmp_path, "a", end="stopped")).status == "stopped"
    assert runs.peek(make_run(tmp_path, "b", end="failed")).status == "failed"
    assert runs.peek(make_run(tmp_path, "c")).status == "crashed", "a dead trainer is never shown as finished"


def test_the_pill_shows_what_runs(tmp_path) -> None:
    runs = RunWatch(tmp_path)
    make_run(tmp_path, "done", end="finished")
    assert running_job(runs) is None
    make_run(tmp_path, "猫", num_steps=20, total=100, alive=True)
    job = running_job(runs, num_waiting=2)
    assert job and (job.name, job.phase, job.percent, job.num_waiting) == ("猫", "training", 20, 2)
    assert job.eta_seconds == pytest.approx(40)


def test_runs_are_found_only_in_their_folder(tmp_path) -> None:
    run = make_run(tmp_path / "runs", "cat", end="finished")
    make_run(tmp_path / "other", "secret", end="finished")
    runs = RunWatch(tmp_path / "runs")
    assert require(runs, run.id) == run
    for name in ("", ".", "..", "../other", run.id + "/models", str(tmp_path / "other"), "gone"):
        with pytest.raises(UserError):
            require(runs, name)


def test_a_damaged_configuration_does_not_take_the_list_down(tmp_path) -> None:
    run = make_run(tmp_path, "cat", end="finished")
    run.config_path.write_bytes(b"\xff\xfe not toml = = ")
    facts = RunWatch(tmp_path).facts(run)
    assert facts.error and facts.name == "cat"
