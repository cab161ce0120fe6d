"""A tagging run on the page of the runs: its phases, numbers and buttons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.config.messages import languages
from backend.runs.events import EventWriter
from backend.runs.layout import RunFolder, create_run
from taggers.config import TaggingConfig, to_toml
from ui import run_cards, run_detail
from ui import watch as watch_module
from ui.watch import RunWatch


@pytest.fixture(autouse=True)
def look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MIN_SECONDS", 0.0)


def make(runs_dir: Path) -> RunFolder:
    run = create_run(runs_dir, "cats", to_toml(TaggingConfig(folders=["cats"]), "cats"))
    writer = EventWriter(run.events_path)
    writer.emit("start", pid=2**22 + 1, create_time=0.0, versions={}, device="", resumed_from_step=None)
    writer.emit("phase", phase="tagging")
    writer.emit("progress", phase="tagging", done=30, total=40, unit="pictures")
    writer.emit("tagged", written=28, skipped=1, failed=1, device="CPU")
    writer.emit("end", status="stopped", step=30, error=None)
    writer.close()
    return run


@pytest.mark.parametrize("language", languages())
def test_it_is_shown_in_its_own_words(tmp_path: Path, language: str) -> None:
    runs, run = RunWatch(tmp_path), make(tmp_path)
    made, _ = run_cards.groups(runs, [], root="", num_history=9)
    view, facts = runs.open(run), runs.facts(run)
    html = run_cards.list_html(made, language, selected=run.id, paused=False)
    html += run_detail.head_html(run, view, facts, language, local=True, diagnosis=None)
    assert not re.search(r">\s*(runs|units)\.[a-z_.]+", html)
    assert "wd-vit-tagger-v3" in html and "30" in html and "28" in html
    assert ("pictures" if language == "en" else "张图片") in html


def test_it_can_be_resumed_and_offers_nothing_of_trainings(tmp_path: Path) -> None:
    runs, run = RunWatch(tmp_path), make(tmp_path)
    html = run_detail.head_html(run, runs.open(run), runs.facts(run), "en", local=False, diagnosis=None)
    assert re.findall(r'data-action="(\w+)"', html) == ["resume", "delete"]
    assert [phase.name for phase in run_detail.phases(runs.open(run), runs.facts(run).work)] == [
        "downloading",
        "loading",
        "tagging",
    ]
    assert "Loss" not in html
