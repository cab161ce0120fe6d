"""python -m taggers: every parameter of the schema is an option, and a run comes of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_taggers

from backend.config.problems import ConfigError
from backend.runs.layout import list_runs
from backend.runs.processes import processes, status
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
        timeout=240,
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
    assert "There is no tagger" in call(make_pictures(), "--model", "no-such", "--lang", "en", expect=2)
    eaten = call("--additional-tags", "a", make_pictures(), "--lang", "en", expect=2)
    assert "No folder is chosen" in eaten and "before the options" in eaten
    assert not list_runs(tmp_path / "runs")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_parameter_is_an_option(language: str) -> None:
    text = " ".join(command.parser(language).format_help().split())
    for item in parameters():
        assert f"--{item.name.replace('_', '-')}" in text
    assert all(name in text.replace(" ", "") for name in models.MODELS)


def test_the_help_tells_what_holds_when_nothing_is_said() -> None:
    text = " ".join(command.parser("en").format_help().split())
    assert "1 leaves the kind out. (Default: 0.35)" in text
    assert "(Default: --underscore-to-space)" in text and "(Default: --no-mcut)" in text
    assert "(Default: )" not in text


def test_options_become_values() -> None:
    given = ["a", "b", "--no-recursive", "--excluded-tags", "x*", "y", "--rating", "last", "--batch-size", "8"]
    options = vars(command.parser("en").parse_args(given))
    assert options["folder"] == ["a", "b"]
    for name in ("folder", "runs_dir", "lang", "resume"):
        options.pop(name)
    config = parse(options)
    assert (config.recursive, config.excluded_tags, config.rating, config.batch_size) == (False, ["x*", "y"], "last", 8)


def test_an_ending_may_lack_its_dot() -> None:
    assert parse({"caption_extension": "caption"}).caption_extension == ".caption"
    assert parse({"caption_extension": " .txt "}).caption_extension == ".txt"
    with pytest.raises(ConfigError) as caught:
        parse({"caption_extension": "../x"})
    assert caught.value.problem.code == "tagging_extension"


def test_numbers_of_cards_that_are_none_are_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"gpu_ids": "cuda:0"})
    assert caught.value.problem.code == "tagging_cards"


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


def test_a_killed_run_is_gone_on_with(make_pictures: MakePictures, tmp_path: Path) -> None:
    white = {f"p{number:02}": 255 for number in range(60)}
    folder = make_pictures(**white)
    slow = tiny_taggers.wd(tmp_path / "slow", work=500, batch=1)
    options = ("--model", slow, "--on-existing", "append", "--batch-size", 1, "--runs-dir", tmp_path / "runs")
    command_line = [sys.executable, "-m", "taggers", *map(str, (folder, *options)), "--lang", "en"]
    with subprocess.Popen(command_line, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8") as running:
        deadline = time.monotonic() + 240
        while not list(folder.glob("*.txt")):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        (run,) = list_runs(tmp_path / "runs")
        for process in processes(run):
            process.kill()
        told = running.communicate(timeout=240)[0]
    assert "Interrupted" in told and "--resume" in told and running.returncode == 1
    assert "Tagging was interrupted from outside." in told and "checkpoint" not in told
    assert 0 < len(list(folder.glob("*.txt"))) < 60
    tiny_taggers.wd(tmp_path / "slow", batch=1)  # the rest may be quick
    told = call("--resume", run.id, "--runs-dir", tmp_path / "runs", "--lang", "en")
    assert "Finished: " in told and "0 failed" in told
    assert [path.read_text().count("1girl") for path in folder.glob("*.txt")] == [1] * 60
    assert "There is no run" in call("--resume", "none", "--lang", "en", expect=2)
