"""What a path in a configuration means, from any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.config import paths
from backend.config.root import parse


def test_relative_paths_count_from_here_and_then_from_the_project(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.resolve("mine") == tmp_path / "mine"
    assert paths.resolve("presets/demo") == paths.PROJECT_DIR / "presets" / "demo"
    (tmp_path / "presets" / "demo").mkdir(parents=True)
    assert paths.resolve("presets/demo") == tmp_path / "presets" / "demo"
    assert paths.resolve(f' "{tmp_path}" ') == tmp_path


def test_a_frozen_configuration_means_the_same_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    config, _ = parse(
        {
            "model": {"base_model": "model", "vae": "author/vae"},
            "data": {"datasets": [{"path": "图片 a"}, {"path": ""}]},
        }
    )
    assert config is not None
    frozen = paths.absolute(config)
    assert frozen.model.base_model == str(tmp_path / "model")
    assert frozen.model.vae == "author/vae"
    assert frozen.model.config_dir == ""
    assert [item.path for item in frozen.data.datasets] == [str(tmp_path / "图片 a"), ""]
    assert frozen.cache.dir == ""
    assert paths.absolute(frozen) == frozen


def test_every_path_of_a_data_set_is_frozen_and_addresses_and_ids_are_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved").mkdir()
    rows = [
        {"path": "s3://bucket/a b", "mask_dir": "s3://bucket/masks", "image_dir": "", "source": "folder"},
        {"path": "table.csv", "image_dir": "x", "mask_dir": "y", "conditioning_dir": "z", "code_path": "code.py"},
        {"path": "author/pictures", "source": "huggingface"},
        {"path": "saved", "source": "huggingface"},
        {"path": "shards/{000..012}.tar"},
    ]
    config, problems = parse({"data": {"datasets": rows}})
    assert config is not None, problems
    frozen = paths.absolute(config)
    one, two, three, four, five = frozen.data.datasets
    assert (one.path, one.mask_dir, one.image_dir) == ("s3://bucket/a b", "s3://bucket/masks", "")
    assert [two.image_dir, two.mask_dir, two.conditioning_dir, two.code_path] == [
        str(tmp_path / name) for name in ("x", "y", "z", "code.py")
    ]
    assert (three.path, four.path) == ("author/pictures", str(tmp_path / "saved"))
    assert five.path == str(tmp_path / "shards" / "{000..012}.tar")
    assert paths.absolute(frozen) == frozen


def test_the_home_can_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path))
    assert paths.runs_dir() == tmp_path / "runs"
    assert paths.cache_dir() == tmp_path / "cache"
    assert paths.runs_dir(str(tmp_path / "x")) == tmp_path / "x"
