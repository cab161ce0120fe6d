"""Runs on pictures that are recorded as turned and cut: as on pictures cut by hand, and only those are cached anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from runner import events, make_run, train, write_pictures
from safetensors.torch import load_file

from backend.data.picture_edits import EDIT_SUFFIX, PictureEdit, edit_text
from backend.runs import supervisor
from backend.runs.layout import RunFolder

Tiny = Callable[[str], Path]
# Of picture 1, which is 96 x 64: turned it is 64 x 96.
EDIT = PictureEdit(rotate=90, crop=(0, 20, 64, 64), size=(64, 96))


def record(folder: Path, edit: PictureEdit) -> None:
    (folder / f"picture 1.png{EDIT_SUFFIX}").write_text(edit_text(edit) or "", encoding="utf-8")


def half_masked(folder: Path) -> None:
    mask = Image.new("L", (96, 64), 255)
    mask.paste(0, (0, 0, 40, 64))
    mask.save(folder / "picture 1-masklabel.png")


def cut_by_hand(folder: Path) -> None:
    for name in ("picture 1.png", "picture 1-masklabel.png"):
        with Image.open(folder / name) as image:
            cut = image.transpose(Image.Transpose.ROTATE_270).crop((0, 20, 64, 84))
        cut.save(folder / name)


def num_encoded(run: RunFolder) -> int:
    told = [event for event in events(run, "progress") if event.get("unit") == "latents"]
    return told[-1]["done"] if told else 0


def weights(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.models_dir / "tiny.safetensors")


def test_a_run_on_recorded_cuts_is_a_run_on_cut_pictures(tmp_path: Path, tiny_folder: Tiny) -> None:
    model, folders = tiny_folder("sd15"), [write_pictures(tmp_path / name / "set", 3) for name in ("recorded", "cut")]
    for folder in folders:
        half_masked(folder)
    record(folders[0], EDIT)
    cut_by_hand(folders[1])

    def run_on(folder: Path) -> RunFolder:
        overlay: dict[str, Any] = {"data": {"datasets": [{"path": str(folder), "mask": "file"}]}}
        return train(make_run(tmp_path, model, overlay))

    recorded, by_hand = (run_on(folder) for folder in folders)
    assert num_encoded(recorded) == 3
    one, two = weights(recorded), weights(by_hand)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    record(folders[0], PictureEdit(rotate=90, crop=(0, 30, 64, 64), size=(64, 96), rating=3))
    assert num_encoded(run_on(folders[0])) == 1


def test_check_tells_sizes_as_shown(tmp_path: Path, tiny_folder: Tiny) -> None:
    folder = write_pictures(tmp_path / "pictures", 3)
    record(folder, EDIT)
    half_masked(folder)
    run = make_run(tmp_path, tiny_folder("sd15"))
    command = [sys.executable, "-m", "backend", "check", str(run.config_path), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(supervisor.PROJECT_DIR), "ATHANOR_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=200)
    told = json.loads(done.stdout)
    (row,) = told["datasets"]
    assert [bucket["size"] for bucket in row["buckets"]] == [[64, 64]]
    (finding,) = [each for each in told["findings"] if each["code"] == "masks_unused"]
    assert finding["fixes"][0]["changes"] == [{"path": "data.datasets[0].mask", "value": "file"}]
