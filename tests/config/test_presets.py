"""Sparse TOML: merged, compared, and saved with the user's comments."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config import presets
from backend.config.problems import UserError
from backend.config.root import TrainConfig, parse

COMMENTED = """\
# my settings
version = 1

[training]  # how long
num_epochs = 10  # enough
batch_size = 2

# where
[[data.datasets]]
path = "a"
"""


def config_of(data: dict) -> TrainConfig:
    config, problems = parse(data)
    assert config is not None, problems
    return config


def test_merging_lays_tables_over_tables_and_replaces_the_rest() -> None:
    base = {"a": {"x": 1, "y": 2}, "list": [1, 2], "z": {"k": 1}}
    overlay = {"a": {"y": 3, "w": 4}, "list": [9], "z": 5}
    assert presets.merge(base, overlay) == {"a": {"x": 1, "y": 3, "w": 4}, "list": [9], "z": 5}
    assert base == {"a": {"x": 1, "y": 2}, "list": [1, 2], "z": {"k": 1}}


@given(st.integers(1, 99), st.floats(1e-6, 1), st.text(max_size=30), st.booleans())
def test_the_difference_from_the_defaults_is_the_whole_configuration(
    epochs: int, rate: float, word: str, flip: bool
) -> None:
    config = config_of(
        {
            "training": {"num_epochs": epochs},
            "optimizer": {"learning_rate": rate, "denoiser_learning_rate": rate},
            "data": {"trigger_word": word, "flip_augmentation": flip, "datasets": [{"path": word, "num_repeats": 2}]},
        }
    )
    sparse = presets.diff(config)
    assert config_of(sparse) == config
    assert config_of(tomllib.loads(presets.to_toml(sparse))) == config
    assert config_of(tomllib.loads(presets.to_toml(presets.plain(config)))) == config


def test_the_difference_is_sparse() -> None:
    assert presets.diff(TrainConfig()) == {"version": 2}
    assert presets.diff(config_of({"training": {"seed": 1337, "batch_size": 2}})) == {
        "version": 2,
        "training": {"batch_size": 2},
    }


def test_saving_keeps_comments_and_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(COMMENTED, encoding="utf-8")
    data = presets.read(path)
    data["training"] = {"num_epochs": 20, "batch_size": 2, "seed": 5}
    presets.save(path, data)
    text = path.read_text(encoding="utf-8")
    assert presets.read(path) == data
    for comment in ("# my settings", "# how long", "# enough", "# where"):
        assert comment in text
    assert list(tmp_path.iterdir()) == [path]


def test_saving_what_is_there_changes_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(COMMENTED, encoding="utf-8")
    presets.save(path, presets.read(path))
    assert path.read_text(encoding="utf-8") == COMMENTED


def test_removed_values_and_new_sections(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(COMMENTED, encoding="utf-8")
    data = {"version": 1, "training": {"num_epochs": 10}, "adapter": {"rank": 8}}
    presets.save(path, data)
    assert presets.read(path) == data


def test_a_broken_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[[[", encoding="utf-8")
    presets.save(path, {"version": 1})
    assert presets.read(path) == {"version": 1}


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "file_not_found"), (b"\xff\xfe\x00", "not_utf8"), (b"a = ", "toml_invalid"), (b"a=1\na=2", "toml_invalid")],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        presets.read(path)
    assert caught.value.problem.code == code


def test_a_folder_that_cannot_be_made_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        presets.save(tmp_path / "file" / "mine.toml", {"version": 1})
    assert caught.value.problem.code == "file_unwritable"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_long_lists_are_written_quickly_and_one_entry_in_each_line() -> None:
    def seconds(num: int) -> float:
        names = [f'picture "{number}" of 图\\{number}.png' for number in range(num)]
        data = {"version": 2, "data": {"datasets": [{"path": "a", "exclude": names}]}}
        begun = time.process_time()
        text = presets.rewrite("# mine\nversion = 2\n\n[[data.datasets]]\npath = 'a'\n", data)
        assert presets.parse(text) == presets.parse(presets.to_toml(data)) == data
        assert text.startswith("# mine") and text.count("\n") > num
        return time.process_time() - begun

    few, many = (min(seconds(num) for _ in range(3)) for num in (1000, 8000))
    assert many < 24 * few, "in the square of their number it is 64 times as long"
