"""A training with code of the user's: confirmed it decides repeats and captions; unconfirmed it is never executed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from runner import events, make_run, train, write_pictures

from backend.config.root import load
from backend.data.user_code import trust
from backend.launching import new_run

CODE = """
import json, pathlib

def num_repeats(img_key, img_md, **kwargs):
    return 0 if img_key == "picture 0" else 2

def caption(img_info, *, rng, flip_aug, **kwargs):
    drawn = {"key": img_info.key, "bucket": img_info.bucket_size, "flip": flip_aug, "caption": img_info.caption}
    with open(FILE, "a", encoding="utf-8") as file:
        file.write(json.dumps(drawn | {"draw": rng.random()}) + "\\n")
    return "(" + img_info.caption + ":1.2)"
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))


def test_training_with_code_of_the_users(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    seen = tmp_path / "seen.jsonl"
    code = tmp_path / "mine.py"
    code.write_text(CODE.replace("FILE", repr(str(seen))), encoding="utf-8")
    rows = [{"path": str(write_pictures(tmp_path / "pictures", 3)), "code_path": str(code)}]
    overlay = {"data": {"datasets": rows, "flip_augmentation": True, "weighted_captions": True}}
    draft = make_run(tmp_path, tiny_folder("sd15"), overlay)
    refused = train(new_run(load(draft.config_path), tmp_path / "runs"), code=1)
    assert events(refused, "end")[-1]["error"]["code"] == "code_untrusted"
    assert not seen.exists()

    trust(code)
    run = train(new_run(load(draft.config_path), tmp_path / "runs"))
    # Two of three pictures, twice in each of two epochs.
    drawn = [json.loads(line) for line in seen.read_text(encoding="utf-8").splitlines()]
    assert sorted(draw["key"] for draw in drawn) == ["picture 1"] * 4 + ["picture 2"] * 4
    assert {tuple(draw["bucket"]) for draw in drawn} == {(64, 64), (80, 48)}
    assert {draw["flip"] for draw in drawn} == {True, False}
    assert len({draw["draw"] for draw in drawn}) == 8
    assert drawn[0]["caption"].startswith("a thing, number ")
    assert events(run, "step")[-1]["step"] == 4
