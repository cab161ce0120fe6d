"""The command line through the real thing: processes, exit codes, words."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from backend import console, demo
from backend.config import paths, presets
from backend.config.root import load, parameters
from backend.runs import supervisor
from backend.runs.events import EventReader
from backend.runs.layout import RunFolder, create_run, list_runs
from backend.runs.queue import start_run

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Run:
    """Return a function that runs `python -m backend` in tmp_path, with a home of its own."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "ATHANOR_HOME": str(tmp_path / "home"),
        "LANG": "C",
        "LC_ALL": "en_US.UTF-8",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "backend", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, encoding="utf-8", timeout=200)

    return run


@pytest.fixture
def config_path(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> Path:
    """A configuration of a few steps on the tiny model, with a relative folder of pictures."""
    for number, color in enumerate(("red", "green", "blue", "yellow")):
        path = tmp_path / "my 图片" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), color).save(path)
        path.with_suffix(".txt").write_text(f"{color} square", encoding="utf-8")
    data = {
        "model": {"base_model": str(tiny_folder("sd15"))},
        "data": {
            "datasets": [{"path": "my 图片", "num_repeats": 3}],
            "width": 64,
            "height": 64,
            "enable_bucket": False,
        },
        "adapter": {"rank": 2},
        "training": {"num_epochs": 2, "batch_size": 2},
        "sampling": {"prompts": [{"prompt": "a square"}], "num_inference_steps": 1},
        "hardware": {"device": "cpu"},
        "output": {"name": "few steps"},
    }
    path = tmp_path / "few.toml"
    presets.save(path, data)
    return path


def test_check_says_what_the_run_comes_to(cli: Run, config_path: Path) -> None:
    done = cli("check", config_path.name)
    assert done.returncode == 0, done.stderr
    assert "4 images x 3 repeats x 2 epochs / batch 2 = 12 steps" in done.stdout
    done = cli("check", config_path.name, "--lang", "zh-CN", "--set", "training.batch_size=5")
    assert "4 张图" in done.stdout
    assert "= 6 步" in done.stdout
    written = {path.name for path in (config_path.parent / "home").rglob("*") if path.is_file()}
    assert {name.partition("-")[0] for name in written} == {"index.sqlite"}, "checking writes nothing else"


def test_check_lists_every_problem_with_its_path(cli: Run, config_path: Path) -> None:
    done = cli("check", config_path.name, "--set", "training.bach_size=3", "--set", "network_dim=4")
    assert done.returncode == 1
    assert "training.bach_size" in done.stderr
    assert "'batch_size'" in done.stderr
    assert "'adapter.rank'" in done.stderr
    done = cli("check", config_path.name, "--set", "data.crop=random", "--set", "data.width=63")
    assert done.returncode == 1
    assert "data.crop" in done.stderr
    assert "data.width" in done.stderr


@pytest.fixture
def flawed_path(config_path: Path) -> Path:
    """The configuration with a caption missing, a copy, a picture cut short, and code of the user's."""
    folder = config_path.parent / "my 图片"
    noise = Image.effect_noise((64, 64), 80)
    noise.save(folder / "0.png")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    noise.save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:600])
    (folder / "cut.txt").write_text("cut", encoding="utf-8")
    return config_path


def test_check_tells_of_the_pictures_and_how_to_mend_it(cli: Run, flawed_path: Path) -> None:
    done = cli("check", flawed_path.name)
    assert done.returncode == 0, done.stderr
    assert "my 图片 [training]: 6 pictures, 18 samples in the first epoch" in done.stdout
    assert "buckets (1): 64x64: 6" in done.stdout
    assert "captions: 1 missing or empty" in done.stdout
    assert "red square 1" in done.stdout
    assert "WARNING data.datasets[0].path: 1 picture has no caption: copy.png." in done.stderr
    assert "can be mended: Leave out 1 (data.datasets[0].exclude)" in done.stderr
    assert "exact cop" not in done.stderr
    done = cli("check", flawed_path.name, "--look", "--lang", "zh-CN")
    assert "1 个文件与别的图完全相同" in done.stderr
    assert "my 图片/copy.png" in done.stderr
    assert "已损坏" in done.stderr
    assert "cut.png" in done.stderr
    # What was seen stays known.
    assert "1 file is an exact copy of another" in cli("check", flawed_path.name).stderr


def test_check_speaks_json(cli: Run, flawed_path: Path) -> None:
    done = cli("check", flawed_path.name, "--json", "--look")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["version"], told["ok"], told["num_looked"]) == (1, True, 6)
    assert told["plan"]["total_steps"] == 18
    assert told["plan"]["epoch_steps"] == [9, 9]
    (row,) = told["datasets"]
    assert (row["title"], row["num_images"], row["num_samples"]) == ("my 图片", 6, 18)
    assert row["buckets"][0]["size"] == [64, 64]
    findings = {finding["code"]: finding for finding in told["findings"]}
    assert findings["images_duplicated"]["level"] == "warning"
    (fix,) = findings["images_duplicated"]["fixes"]
    assert fix["changes"] == [{"path": "data.datasets[0].exclude", "value": ["copy.png"]}]
    assert {problem["code"] for problem in told["problems"]} >= {"images_duplicated", "images_damaged"}
    # A fix is a change of the configuration, that can be given back.
    exclude = json.dumps(["copy.png", "cut.png"])
    data = presets.read(flawed_path)
    data["data"]["datasets"][0]["exclude"] = json.loads(exclude)
    presets.save(flawed_path, data)
    told = json.loads(cli("check", flawed_path.name, "--json").stdout)
    assert not {"images_duplicated", "images_damaged"} & {finding["code"] for finding in told["findings"]}
    assert told["total"]["num_images"] == 4
    refused = cli("check", flawed_path.name, "--json", "--set", "training.bach_size=3")
    assert refused.returncode == 1
    told = json.loads(refused.stdout)
    assert (told["ok"], told["plan"], told["problems"][0]["path"]) == (False, None, "training.bach_size")


def test_code_is_executed_only_once_confirmed(cli: Run, config_path: Path) -> None:
    code = config_path.with_name("code.py")
    code.write_text("def num_repeats(img_key, img_md, **kwargs):\n    return 5\n", encoding="utf-8")
    data = presets.read(config_path)
    data["data"]["datasets"][0]["code_path"] = "code.py"
    presets.save(config_path, data)
    done = cli("check", config_path.name)
    assert done.returncode == 1
    assert "data.datasets[0].code_path" in done.stderr
    assert "sha256" in done.stderr
    assert cli("train", config_path.name).returncode == 2
    done = cli("check", config_path.name, "--trust-code")
    assert done.returncode == 0, done.stderr
    assert "20 samples in the first epoch" in done.stdout
    assert cli("check", config_path.name).returncode == 0


def test_what_cannot_be_read_is_told_without_a_traceback(cli: Run, config_path: Path) -> None:
    config_path.with_name("broken.toml").write_text("[data\nwidth = 3", encoding="utf-8")
    for arguments in (
        ("check", "none.toml"),
        ("check", "broken.toml"),
        ("check", config_path.name, "--set", "nonsense"),
        ("check", config_path.name, "--set", "model.base_model=./nothing"),
    ):
        done = cli(*arguments)
        assert done.returncode == 1, arguments
        assert "ERROR" in done.stderr
        assert "Traceback" not in done.stderr


def test_train_refuses_with_code_2_and_starts_nothing(cli: Run, config_path: Path) -> None:
    done = cli("train", config_path.name, "--set", "data.datasets=[]")
    assert done.returncode == 2
    assert "data.datasets" in done.stderr
    assert list_runs(config_path.parent / "home" / "runs") == []
    for arguments in (
        ("train",),
        ("train", "none.toml"),
        ("train", "--resume", "none"),
        ("check", "a", "--lang", "fr"),
    ):
        assert cli(*arguments).returncode == 2, arguments


def test_training_to_the_end(cli: Run, config_path: Path) -> None:
    done = cli("train", config_path.name, "--runs-dir", "my runs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Finished at step 12" in done.stdout
    (run,) = list_runs(config_path.parent / "my runs")
    assert len(list(run.models_dir.glob("*.safetensors"))) == 2
    frozen = load(run.config_path)
    assert frozen.data.datasets[0].path == str(config_path.parent / "my 图片")
    results = demo.results(run)
    assert results.model is not None
    assert results.model.is_file()
    assert results.comparison is not None
    with Image.open(results.comparison) as sheet:
        assert sheet.width > 2 * demo.TILE


class Presses(io.StringIO):
    """A console on which Ctrl+C is pressed once, when the first step is shown."""

    pressed = False

    def write(self, text: str) -> int:
        if "step " in text and not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_stops_and_saves_and_resume_goes_on(
    config_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    config = paths.absolute(
        load(config_path, ["training.max_steps=60", "training.num_epochs=10", "sampling.prompts=[]"])
    )
    run = create_run(tmp_path / "runs", "stopped", presets.to_toml(presets.plain(config)))
    start_run(run)
    stream = Presses()
    assert console.follow(run, "en", stream=stream)
    assert "Stopping after this step" in stream.getvalue()
    assert supervisor.status(run) == "stopped", run.console_path.read_text(encoding="utf-8")
    stopped_at = _end(run)["step"]
    assert 0 < stopped_at < 60
    offset = run.events_path.stat().st_size
    start_run(run, resume=True)
    stream = io.StringIO()
    assert console.follow(run, "zh-CN", offset=offset, stream=stream)
    assert "训练完成，共 60 步" in stream.getvalue()


def _end(run: RunFolder) -> dict[str, object]:
    return [event for event in EventReader(run.events_path).read() if event["kind"] == "end"][-1]


def test_a_run_that_fails_is_diagnosed(config_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    config = load(config_path, ["model.base_model=nobody/nothing"])
    run = create_run(tmp_path / "runs", "failing", presets.to_toml(presets.plain(config)))
    start_run(run)
    stream = io.StringIO()
    assert not console.follow(run, "en", stream=stream)
    assert "Failed at step 0" in stream.getvalue()
    assert stream.getvalue().count("\n") > 1


def test_schema_as_json_and_markdown(cli: Run) -> None:
    table = json.loads(cli("schema", "--json").stdout)
    assert [item["path"] for item in table["parameters"]] == [item.path for item in parameters()]
    chinese = cli("schema", "--markdown", "--lang", "zh-CN").stdout
    assert chinese == (ROOT / "docs" / "parameters.zh-CN.md").read_text(encoding="utf-8")
    assert cli("schema").returncode == 2
