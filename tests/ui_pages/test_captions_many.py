"""What the caption page does to many pictures at once: cuts to a shape, masks of a folder; on real folders."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from ui.captions_many import TrainedSizes
from ui.context import AppContext, Services
from ui.pages.captions import CaptionsPage

Data = dict[str, Any]
CENTRE = {"anchor": [0.5, 0.5], "existing": "keep"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures 图片"
    folder.mkdir()
    for name, size in {"a": (900, 600), "b": (600, 900), "c": (512, 512), "d": (300, 100)}.items():
        Image.new("RGB", size, (200, 30, 30)).save(folder / f"{name}.png")
    (folder / "e.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def ask(services: Services, folder: Path) -> Any:
    page = CaptionsPage(AppContext(services, "en", gr.Blocks()))
    while "waiting" in page.open({"folder": str(folder)}):
        time.sleep(0.05)

    def call(method: str, **request: Any) -> Data:
        answer = getattr(page, method)({"folder": str(folder), "filter": "", **request})
        json.dumps(answer)  # as it is sent
        return answer

    return call


def ids(*rows: int) -> str:
    return base64.b64encode(np.array(rows, "<i4").tobytes()).decode()


def finished(ask: Any, **request: Any) -> Data:
    request |= {"token": f"{time.monotonic()}"}
    answer = ask("many", generation=ask("open")["generation"], **request)
    while "waiting" in answer:
        answer = ask("many", **request)
    return answer


def edit_of(folder: Path, name: str) -> Data:
    path = folder / f"{name}.athanor.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def test_a_cut_of_many_is_shown_before_it_is_made_and_is_one_step(ask: Any, services: Services, folder: Path) -> None:
    services.draft.replace({"data": {"width": 512, "height": 512}})
    ask("edit_picture", row=1, rotate=0, crop=[0, 0, 600, 600], size=[600, 900])
    request = {"scope": "all", "shape": [1, 1], **CENTRE}
    shown = ask("crops_shown", **request)
    assert shown["num"] == 2 and shown["lines"] == [
        "2 of 5 pictures are cropped.",
        "1 is cropped already and keeps its crop.",
        "1 has this shape already.",
        "1 cannot be read.",
    ]
    assert shown["warning"].startswith("1 is smaller than the training size") and shown["warning"].endswith("d.png")
    assert [(each["name"], each["size"], each["crop"]) for each in shown["examples"]] == [
        ("d.png", (300, 100), (100, 0, 100, 100)),
        ("a.png", (900, 600), (150, 0, 600, 600)),
    ], "those first that lose most"
    answer = finished(ask, do="crops", **request)
    assert answer["done"] == "2 pictures are cropped." and answer["history"]["undo"] == "Crop 5 pictures"
    assert edit_of(folder, "a.png")["crop"] == [150, 0, 600, 600] and edit_of(folder, "b.png")["crop"][1] == 0
    anew = {**request, "anchor": [1, 1], "existing": "replace"}
    assert ask("crops_shown", **anew)["num"] == 3
    finished(ask, do="crops", **anew)
    assert edit_of(folder, "b.png")["crop"] == [0, 300, 600, 600]
    ask("undo")
    ask("undo")
    assert not edit_of(folder, "a.png") and edit_of(folder, "b.png")["crop"] == [0, 0, 600, 600]


def test_the_nearest_bucket_is_that_of_the_data_set_of_each_picture(ask: Any, services: Services, folder: Path) -> None:
    rows = [{"path": str(folder), "width": 768, "height": 768}]
    services.draft.replace({"data": {"width": 512, "height": 512, "datasets": rows}})
    sizes = TrainedSizes(services.draft.data, folder)
    bucket = sizes.choice("a.png", (900, 600)).bucket
    assert (
        bucket == (896, 640) and not sizes.is_enlarged("a.png", (900, 643)) and sizes.is_enlarged("d.png", (300, 100))
    )
    finished(ask, do="crops", scope="selected", ids=ids(0), shape=None, **CENTRE)
    assert edit_of(folder, "a.png")["crop"] == [30, 0, 840, 600]


def test_copies_are_cut_and_the_pictures_stay(ask: Any, folder: Path) -> None:
    answer = finished(ask, do="crop_copies", scope="selected", ids=ids(0, 3), shape=[1, 1], **CENTRE)
    assert answer["done"] == "Written as new pictures: a-edited.png, d-edited.png"
    with Image.open(folder / "a-edited.png") as copy:
        assert copy.size == (600, 600)
    assert not edit_of(folder, "a.png")


def test_masks_of_a_folder_are_counted_taken_and_taken_away(ask: Any, folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, size in {"a_mask.png": (90, 60), "b.png": (60, 60), "c.mask.png": (64, 64), "z.png": (5, 5)}.items():
        Image.new("L", size, 128).save(masks / name)
    Image.new("L", (512, 512), 7).save(folder / "c-masklabel.png")
    ask("open", again=True)
    while "waiting" in ask("open"):
        time.sleep(0.05)
    request = {"scope": "all", "from": str(masks), "existing": "keep"}
    shown = ask("masks_shown", **request)
    assert shown["num"] == 1 and shown["lines"] == [
        "3 of 5 pictures have a mask there.",
        "1 has one already, which stays.",
        "1 file belongs to none of these pictures: z.png",
    ]
    assert shown["warning"] == "1 mask has another shape than its picture and is left out: b.png"
    assert shown["examples"] == ["a.png ← a_mask.png"]
    answer = finished(ask, do="masks_imported", **request)
    assert answer["done"] == "1 picture has the imported mask." and "b.png" in answer["problem"]
    assert finished(ask, do="masks_imported", **{**request, "existing": "replace"})["done"].startswith("1 picture")
    with Image.open(folder / "c-masklabel.png") as mask:
        assert mask.size == (512, 512) and mask.getpixel((0, 0)) == 128
    answer = finished(ask, do="masks_removed", scope="all")
    assert answer["done"] == "2 pictures have no masks any more: all of each counts."
    assert not list(folder.glob("*-masklabel.png"))
    assert finished(ask, do="masks_removed", scope="all")["done"] == "Nothing was changed."
    assert "nowhere" in ask("masks_shown", **{**request, "from": str(tmp_path / "nowhere")})["error"]


def test_work_of_rows_of_another_time_is_not_begun(ask: Any, folder: Path) -> None:
    request = {"do": "crops", "scope": "all", "shape": [1, 1], "token": "1", **CENTRE}
    assert ask("many", generation=1, **request) == {"renumbered": True}
    assert not list(folder.glob("*.athanor.json"))
