"""A new run has everything it needs in its folder, the user's code among it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.config.root import TrainConfig, load, parse
from backend.data.user_code import hash_of, is_trusted, trust
from backend.launching import new_run


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def configured(*codes: str) -> TrainConfig:
    rows = [{"path": f"pictures{number}", "code_path": code} for number, code in enumerate(codes)]
    config, problems = parse({"data": {"datasets": rows}, "output": {"name": "with code"}})
    assert config is not None, problems
    return config


def test_paths_are_absolute_and_code_comes_along(tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text("def caption(img_info, **kwargs): return 'x'\n", encoding="utf-8")
    digest = trust(code)
    run = new_run(configured("mine.py", "", "mine.py"), tmp_path / "runs")
    rows = load(run.config_path).data.datasets
    copy = run.path / "code" / f"{digest[:12]}.py"
    assert [row.path for row in rows] == [str(tmp_path / f"pictures{number}") for number in range(3)]
    assert [row.code_path for row in rows] == [str(copy), "", str(copy)]
    # The file may change or go: the run has what was confirmed.
    code.unlink()
    assert hash_of(copy) == digest
    assert is_trusted(copy)


def test_code_that_was_not_confirmed_is_not_taken_along(tmp_path: Path) -> None:
    code = tmp_path / "theirs.py"
    code.write_text("def caption(img_info, **kwargs): return 'x'\n", encoding="utf-8")
    run = new_run(configured("theirs.py"), tmp_path / "runs")
    assert load(run.config_path).data.datasets[0].code_path == str(code)
    assert not (run.path / "code").exists()


def test_a_run_without_code_has_no_folder_for_it(tmp_path: Path) -> None:
    run = new_run(configured(""), tmp_path / "runs")
    assert not (run.path / "code").exists()
    assert run.path.name.endswith("with-code") or "with code" in run.path.name
