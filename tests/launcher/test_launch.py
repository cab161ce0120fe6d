"""The launcher, run for real: a small copy of the project in a folder with a difficult name, and a folder of wheels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import launch

REPOSITORY = Path(__file__).resolve().parents[2]


def make_wheel(folder: Path, name: str, version: str) -> None:
    """Write an installable wheel with one empty module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tags)
        wheel.writestr(f"{info}/RECORD", "")


def write_project(root: Path, *, pin: str) -> None:
    (root / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["lamp"]\n[project.optional-dependencies]\nwick = ["oil"]\n'
        '[dependency-groups]\ntest = ["oil"]\n',
        encoding="utf-8",
    )
    (root / "constraints.txt").write_text(f"lamp=={pin}\noil==1.0\ntorch==2.13.0\n", encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the real launcher, in a folder with spaces and Chinese characters."""
    root = tmp_path / "my 炼丹 炉"
    root.mkdir()
    for name in ("launch.py", "start.sh"):
        shutil.copy(REPOSITORY / name, root / name)
    shutil.copytree(REPOSITORY / "locales", root / "locales")
    for name in (
        "backend/__init__.py",
        "backend/doctor.py",
        "backend/config/__init__.py",
        "backend/config/messages.py",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, version in (("torch", "2.13.0"), ("lamp", "1.0"), ("lamp", "2.0"), ("oil", "1.0")):
        make_wheel(wheels, name, version)
    write_project(root, pin="1.0")
    return root


def start(project: Path, *arguments: str, language: str = "en_US.UTF-8") -> subprocess.CompletedProcess[str]:
    """Run the launcher with a pip that is set up to know our folder of wheels only."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    environment |= {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(project.parent / "wheels"),
        "PIP_CONFIG_FILE": os.devnull,
        "LC_ALL": language,
    }
    command = [sys.executable, str(project / "launch.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300)


def installed(project: Path) -> dict[str, str]:
    python = launch.venv_python(project / ".venv")
    done = subprocess.run(
        [python, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True, timeout=60
    )
    return {row["name"]: row["version"] for row in json.loads(done.stdout)}


def test_installs_once_then_only_when_the_pins_change(project: Path) -> None:
    first = start(project, "install")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Your pip is set up" in first.stdout  # the user's own pip settings are respected
    assert installed(project).items() >= {"lamp": "1.0", "torch": "2.13.0"}.items()
    assert "oil" not in installed(project)
    again = start(project, "install")
    assert (again.returncode, again.stdout) == (0, "")
    write_project(project, pin="2.0")
    assert start(project, "install").returncode == 0
    assert installed(project)["lamp"] == "2.0"


def test_extras_are_added_and_stay(project: Path) -> None:
    refused = start(project, "add", "sword")
    assert refused.returncode == 1 and "sword" in refused.stderr and "wick" in refused.stderr
    assert start(project, "add", "wick").returncode == 0
    assert installed(project).items() >= {"lamp": "1.0", "oil": "1.0"}.items()
    assert start(project, "install").stdout == ""
    shutil.rmtree(project / ".venv")
    assert start(project, "install").returncode == 0
    assert "oil" in installed(project)


def test_a_failed_first_installation_leaves_nothing_behind(project: Path) -> None:
    write_project(project, pin="9.9")
    failed = start(project, "install")
    assert failed.returncode == 1
    assert "does not have a version that fits" in failed.stderr
    assert not (project / ".venv").exists()
    write_project(project, pin="1.0")
    assert start(project, "install").returncode == 0


def test_a_failed_update_keeps_the_environment_and_is_taken_up_again(project: Path) -> None:
    assert start(project, "install").returncode == 0
    write_project(project, pin="9.9")
    assert start(project, "install").returncode == 1
    assert installed(project)["lamp"] == "1.0"
    write_project(project, pin="2.0")
    assert start(project, "install").returncode == 0
    assert installed(project)["lamp"] == "2.0"


def test_an_interrupted_or_moved_environment_is_made_anew(project: Path) -> None:
    assert start(project, "install").returncode == 0
    moved = project.parent / "moved"
    project.rename(moved)
    remade = start(moved, "install", language="zh_CN.UTF-8")
    assert remade.returncode == 0
    assert "正在重建" in remade.stdout
    (moved / ".venv" / "athanor.json").write_text('{"state": "building"}', encoding="utf-8")
    assert "making it anew" in start(moved, "install").stdout
    assert installed(moved)["lamp"] == "1.0"


@pytest.mark.skipif(os.name == "nt", reason="holds the lock with fcntl")
def test_two_installations_at_once_do_not_mix(project: Path) -> None:
    import fcntl

    with (project / ".venv-lock").open("a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = start(project, "install")
    assert second.returncode == 1
    assert "Another window is installing" in second.stderr
    assert not (project / ".venv").exists()


def test_doctor_works_without_and_with_a_broken_environment(project: Path) -> None:
    before = start(project, "doctor")
    assert before.returncode == 1
    assert "Not installed yet" in before.stdout
    python = launch.venv_python(project / ".venv")
    python.parent.mkdir(parents=True)
    python.write_text("not a program", encoding="utf-8")
    broken = start(project, "doctor", language="zh_CN.UTF-8")
    assert broken.returncode == 1
    assert "环境已损坏" in broken.stdout


def test_start_script_finds_a_python_and_refuses_an_unknown_command(project: Path) -> None:
    environment = {**os.environ, "ATHANOR_PYTHON": sys.executable, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["sh", str(project / "start.sh"), "paint"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "Not known: paint" in done.stdout


def test_a_python_that_does_not_fit_is_refused_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    with pytest.raises(SystemExit):
        launch.check_python()
    assert "this one is 3.9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "build"),
    [
        ("580.95.05, 8.9\n", "cu130"),
        ("581.15, 12.0", "cu130"),
        ("560.35.03, 8.6", "cu126"),
        ("580.95.05, 6.1", "cu126"),  # Pascal: CUDA 13 no longer runs on it
        ("580.95.05, 8.9\n580.95.05, 7.0\n", "cu126"),  # the oldest of several cards decides
        ("470.199, 8.6", ""),
        ("No devices were found", ""),
    ],
)
def test_the_driver_and_the_card_choose_the_cuda_build(table: str, build: str) -> None:
    assert launch.nvidia_build(table) == build


@pytest.mark.parametrize(
    ("config", "environment", "expected"),
    [
        ("", {}, False),
        ("global.timeout='60'\n:env:.cert='x'", {}, False),
        ("global.index-url='https://mirror.example/simple'", {}, True),
        ("install.find-links='wheels'", {}, True),
        ("", {"PIP_EXTRA_INDEX_URL": "https://mirror.example/simple"}, True),
    ],
)
def test_pip_settings_of_the_user_are_recognised(config: str, environment: dict[str, str], expected: bool) -> None:
    assert launch.pip_is_configured(config, environment) is expected


def test_torch_index_wins_over_everything() -> None:
    arguments, reason = launch.torch_arguments("https://x.example/cu999", "global.index-url='y'", {})
    assert arguments == ["--extra-index-url", "https://x.example/cu999"]
    assert "https://x.example/cu999" in reason
    assert launch.take_option(["gui", "--torch-index=U", "--port", "1"], "--torch-index") == (
        "U",
        ["gui", "--port", "1"],
    )
