"""The draft and the settings: nothing that was typed is lost, whatever happens to the files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from backend.config.problems import UserError
from ui.settings import SettingsFile
from ui.state import Draft

TYPED = """# my best settings
version = 2

[adapter]
rank = 24 # not more
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "主页 home" / "draft.toml"


def test_what_was_set_is_there_after_a_restart(path: Path) -> None:
    Draft(path).set("output.name", "猫 🐱")
    assert Draft(path).data == {"version": 2, "output": {"name": "猫 🐱"}}


def test_what_is_not_valid_is_kept_as_typed(path: Path) -> None:
    Draft(path).set("optimizer.learning_rate", "fast")
    assert Draft(path).data["optimizer"] == {"learning_rate": "fast"}


def test_comments_stay_when_the_form_changes_a_value(path: Path) -> None:
    draft = Draft(path)
    draft.replace_text(TYPED)
    draft.set("adapter.rank", 32)
    draft.set("output.name", "cat")
    assert "# my best settings" in draft.text and "rank = 32" in draft.text
    assert Draft(path).text == draft.text


def test_taking_a_value_back_leaves_no_empty_section(path: Path) -> None:
    draft = Draft(path)
    draft.set("adapter.rank", 32)
    draft.set("adapter.rank", None)
    assert draft.data == {"version": 2}
    assert "adapter" not in draft.text


OLD = """# my best settings
version = 1

[data]
random_crop = true

[cache]
latents = false # no room
"""


def test_a_draft_of_an_older_version_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(OLD, encoding="utf-8")
    draft = Draft(path)
    assert draft.data == {"version": 2, "data": {"crop": "random"}, "cache": {"latents": "off"}}
    assert "random_crop" not in draft.text and "# my best settings" in draft.text


def test_an_older_file_that_is_opened_shows_no_old_value(path: Path) -> None:
    draft = Draft(path)
    draft.replace_text(OLD)
    assert draft.data["data"] == {"crop": "random"} and "random_crop" not in Draft(path).text
    draft.set("data.crop", "center")
    draft.replace({**draft.data, "version": 1, "data": {**draft.data["data"], "random_crop": True}})
    assert draft.data["data"] == {"crop": "random"}, "a preset of an older version, laid over the draft"


@pytest.mark.parametrize("version", ["99", '"new"'])
def test_a_version_that_nobody_knows_stays_for_the_check_to_refuse(path: Path, version: str) -> None:
    draft = Draft(path)
    draft.replace_text(f"version = {version}\n")
    assert f"version = {version}" in draft.text


def test_broken_toml_is_refused_and_the_draft_stays(path: Path) -> None:
    draft = Draft(path)
    draft.set("adapter.rank", 32)
    before, revision = path.read_bytes(), draft.revision
    with pytest.raises(UserError):
        draft.replace_text("[adapter\nrank = ")
    assert (path.read_bytes(), draft.revision) == (before, revision)


def test_a_section_typed_as_something_else_can_still_be_set(path: Path) -> None:
    draft = Draft(path)
    draft.replace_text("version = 1\nadapter = 3\n")
    draft.set("adapter.rank", 8)
    assert draft.data["adapter"] == {"rank": 8}


@pytest.mark.parametrize("damage", [b"[adapter\nrank", b"\xff\xfe\x00", b"\x00" * 40])
def test_a_damaged_draft_is_put_aside_not_overwritten(path: Path, damage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    draft = Draft(path)
    draft.set("adapter.rank", 8)
    assert draft.data == {"version": 2, "adapter": {"rank": 8}}
    assert path.with_suffix(".damaged.toml").read_bytes() == damage


def test_two_tabs_at_once_lose_nothing(path: Path) -> None:
    draft = Draft(path)
    names = [f"n{number}" for number in range(20)]

    def change(name: str) -> None:
        draft.set(f"output.{name}", name)

    threads = [threading.Thread(target=change, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Draft(path).data["output"]) == set(names)


def test_settings_are_kept_and_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    SettingsFile(path).change(theme="dark", runs_dir="D:/训练 runs")
    found = SettingsFile(path).get()
    assert (found.theme, found.runs_dir) == ("dark", "D:/训练 runs")
    path.write_bytes(b'{"theme": "da')
    assert SettingsFile(path).get().theme == "system"
    assert path.with_suffix(".damaged.json").read_bytes() == b'{"theme": "da'


def test_settings_of_a_newer_version_open(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"theme": "light", "something_new": 1}', encoding="utf-8")
    assert SettingsFile(path).get().theme == "light"
