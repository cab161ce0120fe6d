"""A tagging is a run like any other: started, watched, stopped, resumed and queued by the same means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_taggers
from runs.run_helpers import wait_until

from backend.config.problems import UserError
from backend.runs import supervisor
from backend.runs.diagnosis import diagnose
from backend.runs.events import Event, EventReader
from backend.runs.layout import RunFolder
from backend.runs.processes import processes, status
from backend.runs.queue import Queue, start_run
from backend.runs.view import RunView, fold
from backend.runs.works import TRAINING, WORKS, work_of_run
from taggers.config import TaggingConfig, load
from taggers.launching import NUM_IN_CONFIG, config_of, new_run, read_preview

MakePictures = Callable[..., Path]


@pytest.fixture
def make_run(model: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    def make(folder: Path, **options: Any) -> RunFolder:
        config = TaggingConfig(**{"folders": [str(folder)], "model": str(model), "device": "cpu", **options})
        return new_run(config, tmp_path / "runs")

    return make


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Return a tagger that needs some tenths of a second for each white picture."""
    return tiny_taggers.wd(tmp_path / "slow", work=300)


def white(num: int) -> dict[str, int]:
    return {f"p{number:03}": 255 for number in range(num)}


def view_of(run: RunFolder) -> RunView:
    return fold(RunView(), EventReader(run.events_path).read())


def events(run: RunFolder, kind: str) -> list[Event]:
    return [event for event in EventReader(run.events_path).read() if event["kind"] == kind]


def finish(run: RunFolder) -> RunView:
    wait_until(lambda: not processes(run))
    return view_of(run)


def test_a_run_tags_and_tells_of_it(make_run: Callable[..., RunFolder], make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2, c=3)
    (folder / "b.txt").write_text("mine")
    run = make_run(folder)
    assert work_of_run(run).module == "taggers.worker"
    start_run(run)
    view = finish(run)
    assert status(run) == "finished", run.console_path.read_text()
    assert (folder / "a.txt").read_text().startswith("1girl")
    assert (view.phase, view.unit, view.step, view.total) == ("tagging", "pictures", 2, 2)
    assert view.tagged == {"written": 2, "skipped": 1, "failed": 0}
    assert view.device == "CPU" and "onnxruntime" in view.versions
    assert view.fraction == 1.0
    argv = " ".join(supervisor.command(run, trainer="taggers.worker", is_distributed=False))
    assert "accelerate" not in argv


def test_its_configuration_can_be_read_again(make_run: Callable[..., RunFolder], make_pictures: MakePictures) -> None:
    folder = make_pictures()
    run = make_run(folder, excluded_tags=["*background*"], general_threshold=0.5)
    config = load(run.config_path)
    assert config.folders == [str(folder)] and config.general_threshold == 0.5
    assert config.excluded_tags == ["*background*"]
    assert run.name == "pictures-tiny-wd"


def test_progress_speed_and_time_left_are_seen() -> None:
    made = [
        {"seq": 1, "t": 100.0, "kind": "start"},
        {"seq": 2, "t": 101.0, "kind": "phase", "phase": "tagging"},
        {"seq": 3, "t": 101.0, "kind": "progress", "phase": "tagging", "done": 0, "total": 100, "unit": "pictures"},
        {"seq": 4, "t": 106.0, "kind": "progress", "phase": "tagging", "done": 20, "total": 100, "unit": "pictures"},
    ]
    view = fold(RunView(), made)
    assert view.fraction == 0.2
    assert view.speed == pytest.approx(4.0)
    assert view.eta_seconds == pytest.approx(20.0)


def test_a_run_stops_when_asked_and_goes_on_when_resumed(
    make_run: Callable[..., RunFolder], make_pictures: MakePictures, slow: Path
) -> None:
    number = 80
    folder = make_pictures(**white(number))
    run = make_run(folder, batch_size=1, on_existing="append", model=str(slow))
    start_run(run)
    wait_until(lambda: view_of(run).step > 0)
    supervisor.request(run, "stop")
    view = finish(run)
    assert view.status == "stopped"
    tagged = list(folder.glob("*.txt"))
    assert 0 < len(tagged) < number and view.step == len(tagged)
    make_pictures(**dict.fromkeys(white(number), 0))  # the rest takes no time
    start_run(run, resume=True)
    assert finish(run).status == "finished"
    texts = {path.read_text() for path in folder.glob("*.txt")}
    assert len(list(folder.glob("*.txt"))) == number
    assert texts == {"1girl, saber (fate), fate (series), long hair, ^_^, simple background"}, "none was tagged twice"


def test_a_killed_run_loses_nothing_that_it_told_and_can_be_resumed(
    make_run: Callable[..., RunFolder], make_pictures: MakePictures, slow: Path
) -> None:
    number = 80
    folder = make_pictures(**white(number))
    run = make_run(folder, batch_size=1, on_existing="append", model=str(slow))
    start_run(run)
    wait_until(lambda: next(folder.glob("*.txt"), None))
    for process in processes(run):
        process.kill()
    wait_until(lambda: not processes(run))
    assert status(run) == "crashed" and len(list(folder.glob("*.txt"))) < number
    make_pictures(**dict.fromkeys(white(number), 0))  # the rest takes no time
    start_run(run, resume=True)
    assert finish(run).status == "finished"
    assert {path.read_text().count("1girl") for path in folder.glob("*.txt")} == {1}
    assert len(list(folder.glob("*.txt"))) == number


def test_the_queue_starts_it_in_its_turn(make_run: Callable[..., RunFolder], make_pictures: MakePictures) -> None:
    run = make_run(make_pictures(a=1))
    queue = Queue(run.path.parent)
    queue.add(run)
    assert queue.tick() == run
    assert finish(run).status == "finished"


def test_a_preview_is_left_in_the_run(make_run: Callable[..., RunFolder], make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2)
    run = make_run(folder, dry_run=True)
    start_run(run)
    assert finish(run).status == "finished"
    assert [(row["name"], row["before"]) for row in read_preview(run.path)] == [("a.png", ""), ("b.png", "")]
    assert read_preview(run.path)[0]["after"].startswith("1girl")
    assert not list(folder.glob("*.txt"))


def test_many_pictures_are_named_in_a_file_of_the_run(
    make_run: Callable[..., RunFolder], make_pictures: MakePictures
) -> None:
    folder = make_pictures(a=1, b=2, c=3)
    names = ["b.png", *(f"no such {number}.png" for number in range(NUM_IN_CONFIG))]
    run = make_run(folder, pictures=names)
    assert "b.png" not in run.config_path.read_text(encoding="utf-8")
    assert config_of(run).pictures == names
    start_run(run)
    assert finish(run).tagged == {"written": 1, "skipped": 0, "failed": NUM_IN_CONFIG}
    assert [path.name for path in folder.glob("*.txt")] == ["b.txt"]


def test_a_model_that_is_nowhere_is_told_in_words(
    make_run: Callable[..., RunFolder], make_pictures: MakePictures
) -> None:
    run = make_run(make_pictures(a=1), model="wd-vit-tagger-v3")
    start_run(run)
    view = finish(run)
    assert view.status == "failed" and view.error is not None
    assert view.error["code"] == "tagger_downloads_off"
    found = diagnose(run, view)
    assert found is not None and found.problem is not None
    assert "wd-vit-tagger-v3" in found.problem.text("zh-CN")


def test_a_folder_that_vanished_is_told(make_run: Callable[..., RunFolder], make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1)
    run = make_run(folder)
    folder.rename(folder.with_name("elsewhere"))
    start_run(run)
    view = finish(run)
    assert view.status == "failed" and view.error is not None
    assert view.error["code"] == "tagging_folder_missing"


def test_a_picture_in_the_place_of_its_folder_is_told(
    make_run: Callable[..., RunFolder], make_pictures: MakePictures
) -> None:
    with pytest.raises(UserError) as caught:
        make_run(make_pictures(a=1) / "a.png")
    assert caught.value.problem.code == "caption_folder_is_file" and caught.value.problem.path == "tagging.folders"


def test_a_run_of_damaged_pictures_fails(make_run: Callable[..., RunFolder], tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no picture")
    run = make_run(tmp_path / "bad")
    start_run(run)
    view = finish(run)
    assert view.error is not None and view.error["code"] == "tagging_all_failed"
    assert len(view.warnings) == 1


def test_trainings_are_started_as_before(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.config_path.write_text("[training]\nbatch_size = 1\n", encoding="utf-8")
    assert work_of_run(run) == TRAINING
    assert "accelerate.commands.launch" in supervisor.command(run)
    assert supervisor.command(run)[0] == sys.executable


def test_works_are_named_by_their_tables() -> None:
    assert all(name == work.name and work.main_phase in work.phases for name, work in WORKS.items())


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(
    make_run: Callable[..., RunFolder], make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_pictures()

    def denied(*, dir: Path) -> None:  # noqa: A002 - as it is called; root may write everywhere
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    with pytest.raises(UserError) as caught:
        make_run(folder)
    assert caught.value.problem.code == "file_unwritable" and caught.value.problem.path == "tagging.folders"
    make_run(folder, dry_run=True)


@pytest.mark.parametrize("ending", [".png", "JPG", ".webp"])
def test_captions_are_not_written_over_pictures(
    make_run: Callable[..., RunFolder], make_pictures: MakePictures, ending: str
) -> None:
    with pytest.raises(UserError) as caught:
        make_run(make_pictures(), caption_extension=ending, on_existing="overwrite")
    assert caught.value.problem.code == "tagging_over_pictures"
    assert caught.value.problem.path == "tagging.caption_extension"
