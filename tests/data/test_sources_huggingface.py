"""Data sets of Hugging Face, saved to disk by the library itself."""

from __future__ import annotations

import sys
from pathlib import Path

import datasets
import pytest
from looking import codes, look, only, told
from PIL import Image

from backend.data.images import read_rgb
from backend.data.stores import open_store

COLORS = ["red", "lime", "blue"]


def saved(folder: Path, *, splits: bool = False) -> Path:
    pictures = [Image.new("RGB", (50, 40 + place), color) for place, color in enumerate(COLORS)]
    rows = {"image": pictures, "text": COLORS, "score": [1, 2, 3]}
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string"), "score": datasets.Value("int64")}
    )
    data = datasets.Dataset.from_dict(rows, features=features)
    (datasets.DatasetDict(train=data, test=data.select([2])) if splits else data).save_to_disk(str(folder))
    return folder


@pytest.mark.parametrize("source", ["auto", "huggingface"])
def test_a_saved_data_set(tmp_path: Path, source: str) -> None:
    found = look(saved(tmp_path / "set"), source=source)
    assert told(found) == [(f"train/{row}", (COLORS[row],), "") for row in range(3)]
    assert [(item.width, item.height) for item in found.images] == [(50, 40), (50, 41), (50, 42)]
    assert all(item.stamp for item in found.images)
    assert found.problems == ()
    store = open_store(found.datasets[0])
    assert [read_rgb(store.read(item.location)).getpixel((1, 1)) for item in found.images] == [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    ]


def test_splits_and_columns(tmp_path: Path) -> None:
    folder = saved(tmp_path / "set", splits=True)
    assert told(look(folder, split="test", caption_columns=["score", "text"])) == [("test/0", ("3", "blue"), "")]
    problem = only(look(folder, split="validation"))
    assert problem.code == "split_missing"
    assert "train, test" in problem.text()
    assert only(look(folder, caption_columns=["nowhere"])).code == "column_missing"


def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    assert codes(look("nobody/nothing", source="huggingface")) == {"hub_data_unreadable"}
    folder = saved(tmp_path / "set")
    (folder / "state.json").write_text("{", encoding="utf-8")
    assert codes(look(folder)) == {"hub_data_unreadable"}


def test_without_the_library_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "set")
    monkeypatch.setitem(sys.modules, "datasets", None)
    problem = only(look(folder))
    assert (problem.code, problem.params["package"]) == ("package_missing", "datasets")
