from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config.problems import UserError
from backend.runs.layout import RunFolder, create_run, list_runs, slug


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my cat", "my-cat"),
        ("水墨 画风", "水墨-画风"),
        ("🔥", "🔥"),
        ('a/b\\c:d*e?"<>|', "a-b-c-d-e"),
        ("../../etc", "etc"),
        ("con", "run-con"),
        ("COM1.v2", "run-COM1.v2"),
        ("name. ", "name"),
        ("", "run-"),
        ("...", "run-"),
    ],
)
def test_a_name_becomes_one_that_every_system_takes(name: str, expected: str) -> None:
    assert slug(name) == expected


@given(st.text())
def test_no_name_is_too_long_or_leaves_the_folder(name: str) -> None:
    text = slug(name)
    assert text and len(text.encode()) <= 190
    assert not set(text) & set('<>:"/\\|?*\n\t\0') and not text.endswith((".", " ")) and not text.startswith(".")


def test_a_new_run_has_its_folders_and_its_configuration(tmp_path) -> None:
    run = create_run(tmp_path / "not yet" / "runs", "水墨 画风", "# 注释\n")
    assert run.name == "水墨-画风" and run.created is not None
    assert run.config_path.read_text(encoding="utf-8") == "# 注释\n"
    for folder in (run.control_dir, run.models_dir, run.checkpoints_dir, run.samples_dir, run.logs_dir):
        assert folder.is_dir() and folder.parent == run.path


def test_runs_of_one_name_made_at_once_never_share_a_folder(tmp_path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda index: create_run(tmp_path, "cat", f"# {index}"), range(24)))
    assert len({run.path for run in runs}) == 24
    assert [run.config_path.read_text() for run in runs] == [f"# {index}" for index in range(24)]


def test_runs_are_listed_newest_first_and_rubbish_is_passed_over(tmp_path) -> None:
    for name in ("20250101-000000-old", "20260101-000000-new", "my own folder"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text("")
    (tmp_path / "20270101-000000-empty").mkdir()
    (tmp_path / ".trash").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert [run.name for run in list_runs(tmp_path)] == ["my own folder", "new", "old"]
    assert RunFolder(tmp_path / "20269999-000000-x").created is None
    assert list_runs(tmp_path / "missing") == []


def test_a_runs_folder_that_is_a_file_is_told_with_its_path(tmp_path) -> None:
    path = tmp_path / "runs"
    path.write_text("")
    with pytest.raises(UserError) as caught:
        create_run(path, "cat", "")
    assert caught.value.problem.code == "runs_dir_unwritable" and str(path) in str(caught.value)
