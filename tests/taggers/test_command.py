"""python -m taggers: every parameter of the schema is an option, and a run comes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.config.problems import ConfigError
from backend.runs.layout import list_runs
from backend.runs.processes import status
from taggers import command, models
from taggers.config import TaggingConfig, load, parameters, parse

ROOT = Path(__file__).resolve().parents[2]
MakePictures = Callable[..., Path]


def call(*arguments: object, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "taggers", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_folder_is_tagged_and_the_run_is_kept(model: Path, make_pictures: MakePictures, tmp_path: Path) -> None:
    folder = make_pictures(a=1, b=2)
    told = call(folder, "--model", model, "--general-threshold", 0.5, "--runs-dir", tmp_path / "runs", "--lang", "en")
    assert "Tagging ..." in told
    assert (folder / "a.txt").read_text() == "1girl, saber (fate), fate (series), long hair"
    (run,) = list_runs(tmp_path / "runs")
    assert status(run) == "finished"
    assert load(run.config_path).general_threshold == 0.5


def test_a_preview_is_printed_and_nothing_written(model: Path, make_pictures: MakePictures, tmp_path: Path) -> None:
    folder = make_pictures(a=1)
    told = call(folder, "--model", model, "--dry-run", "--trigger-word", "zkz", "--lang", "zh-CN", "--device", "cpu")
    assert "a.png" in told and "+ zkz, 1girl" in told and "没有写入" in told
    assert not list(folder.glob("*.txt"))


def test_what_is_wrong_is_told_in_words(make_pictures: MakePictures, tmp_path: Path) -> None:
    told = call(tmp_path / "no", "--runs-dir", tmp_path / "runs", "--lang", "en", expect=2)
    assert "tagging.folders" in told and "There is no folder" in told
    assert "general_threshold" in call(make_pictures(), "--general-threshold", 1.5, "--lang", "en", expect=2)
    assert not list_runs(tmp_path / "runs")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_parameter_is_an_option(language: str) -> None:
    text = " ".join(command.parser(language).format_help().split())
    for item in parameters():
        assert f"--{item.name.replace('_', '-')}" in text
    assert all(name in text.replace(" ", "") for name in models.MODELS)


def test_options_become_values() -> None:
    given = ["a", "b", "--no-recursive", "--excluded-tags", "x*", "y", "--rating", "last", "--batch-size", "8"]
    options = vars(command.parser("en").parse_args(given))
    assert options["folder"] == ["a", "b"]
    for name in ("folder", "runs_dir", "lang"):
        options.pop(name)
    config = parse(options)
    assert (config.recursive, config.excluded_tags, config.rating, config.batch_size) == (False, ["x*", "y"], "last", 8)


def test_other_programs_names_are_understood_in_refusals() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"undesired_tags": "a"})
    assert caught.value.problem.params["suggestion"] == "tagging.excluded_tags"
    with pytest.raises(ConfigError) as caught:
        parse({"folder": "a"})
    assert caught.value.problem.params["suggestion"] == "folders"


def test_names_of_models_are_unique_and_found_by_repository() -> None:
    assert len(models.MODELS) == len(models.ROWS)
    assert models.find("SmilingWolf/wd-vit-tagger-v3") == models.MODELS["wd-vit-tagger-v3"]
    assert models.find("cella110n/cl_tagger") is None  # two versions: which is meant is not known
    assert TaggingConfig().model in models.MODELS == {row.name: row for row in models.ROWS}
