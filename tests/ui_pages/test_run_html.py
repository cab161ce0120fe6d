import re

import pytest
from fake_runs import config, make_run

from backend.config.messages import languages
from backend.config.problems import UserError
from backend.runs.queue import Queue
from ui import run_actions, run_cards, run_detail
from ui import watch as watch_module
from ui.watch import RunWatch

EVIL = "<script>alert('x')</script> & \"q\" `${alert(1)}` {{value}}"


@pytest.fixture(autouse=True)
def look_every_time(monkeypatch) -> None:
    monkeypatch.setattr(watch_module, "MIN_SECONDS", 0.0)


def every_part(runs: RunWatch, run, language: str) -> str:
    view, facts = runs.open(run), runs.facts(run)
    made, _ = run_cards.groups(runs, [], root="", num_history=30)
    return "".join(
        [
            run_cards.list_html(made, language, selected=run.id, paused=True),
            run_detail.head_html(
                run, view, facts, language, local=True, diagnosis=run_actions.explain(run, view, facts, language)
            ),
            run_detail.samples_html(run, view, language, root="", end=None),
            run_detail.files_html(run, view, language, root=""),
            run_detail.log_html(run, language, query=""),
            run_detail.log_html(run, language, query="<script>"),
            run_detail.config_html(facts, language, other=facts),
        ]
    )


@pytest.mark.parametrize("language", languages())
def test_what_users_write_is_never_markup(tmp_path, language: str) -> None:
    error = {"code": "base_model_missing", "params": {"value": EVIL}, "path": "model.base_model", "traceback": EVIL}
    run = make_run(tmp_path, EVIL, prompts=(EVIL, EVIL), end="failed", error=error, console=EVIL)
    html = every_part(RunWatch(tmp_path), run, language)
    assert "<script" not in html and "alert(" in html
    assert not re.search(r'="[^"<>]*"q"', html)


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("end", ["finished", "stopped", "failed", None])
def test_every_text_of_every_state_has_a_translation(tmp_path, language: str, end: str | None) -> None:
    run = make_run(tmp_path, "cat", end=end)
    html = every_part(RunWatch(tmp_path), run, language)
    assert not re.search(r">\s*(runs|diagnosis|problem|unit)\.[a-z_.]+", html)


def test_actions_fit_the_state(tmp_path) -> None:
    def names(run) -> list[str]:
        return [action.name for action in run_detail.actions(runs.open(run), can_resume=True, local=False)]

    runs = RunWatch(tmp_path)
    assert names(make_run(tmp_path, "a", alive=True)) == ["stop", "save", "sample"]
    assert names(make_run(tmp_path, "b", end="stopped")) == ["resume", "again", "delete"]
    assert names(make_run(tmp_path, "c", end="finished")) == ["again", "delete"]


def test_the_phase_bar_counts_the_current_phase(tmp_path) -> None:
    view = RunWatch(tmp_path).open(make_run(tmp_path, "a", num_steps=25, total=100, alive=True))
    states = {phase.name: (phase.state, phase.percent) for phase in run_detail.phases(view)}
    assert states["caching"] == ("done", 100) and states["training"] == ("current", 25)
    assert states["saving"] == ("future", 0)


def test_a_crash_for_lack_of_memory_offers_a_remedy_that_starts_a_new_run(tmp_path, monkeypatch) -> None:
    run = make_run(tmp_path, "cat", console="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n")
    run.config_path.write_text(config("cat", training={"batch_size": 4}), encoding="utf-8")
    runs, started = RunWatch(tmp_path), []
    found = run_actions.explain(run, runs.open(run), runs.facts(run), "en")
    assert found and "memory" in found["what"] and found["lines"]
    assert {"title": "Batch size", "before": "4", "after": "2"} in found["changes"]
    queue = Queue(tmp_path, start=started.append)
    fresh = run_actions.start_remedied(runs, queue, run.id)
    assert started == [fresh] and runs.facts(fresh).data["training"]["batch_size"] == 2


def test_a_run_goes_to_the_trash_and_comes_back(tmp_path) -> None:
    run = make_run(tmp_path, "cat", end="finished")
    runs, queue = RunWatch(tmp_path), Queue(tmp_path)
    trashed = run_actions.trash(runs, queue, run)
    assert runs.runs() == [] and runs.find(run.id) is None
    run_actions.untrash(runs, trashed)
    assert runs.runs() == [run]


def test_a_run_is_not_resumed_beside_another(tmp_path) -> None:
    stopped = make_run(tmp_path, "stopped", end="stopped")
    make_run(tmp_path, "busy", alive=True)
    with pytest.raises(UserError, match="busy"):
        run_actions.resume(RunWatch(tmp_path), stopped)


def test_differences_name_the_parameters(tmp_path) -> None:
    here = {"training": {"batch_size": 2, "num_epochs": 10}, "old": {"gone": 1}}
    changes = run_detail.differences(here, {"training": {"batch_size": 4, "num_epochs": 10}}, "en")
    assert [(change.title, change.here, change.there) for change in changes] == [
        ("Batch size", "2", "4"),
        ("old.gone", "1", "-"),
    ]


def test_a_waiting_run_keeps_its_place_in_the_list(tmp_path) -> None:
    first, second = (make_run(tmp_path, name, end="stopped") for name in ("one", "two"))
    queue = Queue(tmp_path)
    queue.add(second)
    queue.add(first)
    made, _ = run_cards.groups(RunWatch(tmp_path), [run.id for run in queue.runs()], root="", num_history=30)
    assert [(group.name, [card.name for card in group.cards]) for group in made] == [("waiting", ["two", "one"])]
    assert {card.status for card in made[0].cards} == {"waiting"}


def test_a_long_history_shows_its_newest_part(tmp_path) -> None:
    for index in range(12):
        make_run(tmp_path, f"run {index}", num_steps=1, sample_every=0, end="finished")
    made, num_more = run_cards.groups(RunWatch(tmp_path), [], root="/proxy", num_history=5)
    assert len(made[0].cards) == 5 and num_more == 7
