"""What the caption page does to pictures, on real folders: cuts, stars, masks, copies, trash, moves; and addresses."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.config.messages import languages
from ui.app import make_app
from ui.captions_tools import dataset_of, rules_of
from ui.context import AppContext, Services
from ui.pages.captions import CaptionsPage

Data = dict[str, Any]
RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of four pictures: red at the left, blue at the right; the third is larger than the editor's."""
    folder = tmp_path / "pictures 图片"
    folder.mkdir()
    for number, size in enumerate(((60, 40), (60, 40), (3001, 1000), (40, 60))):
        image = Image.new("RGB", size, RED)
        image.paste(BLUE, (size[0] // 2, 0, *size))
        image.save(folder / f"{number}.png")
    (folder / "1.txt").write_text("one", encoding="utf-8")
    return folder


@pytest.fixture
def page(services: Services) -> CaptionsPage:
    return CaptionsPage(AppContext(services, "en", gr.Blocks()))


@pytest.fixture
def ask(page: CaptionsPage, folder: Path) -> Any:
    """Return a function that asks as the script does, of the rows as they are now."""
    while "waiting" in page.open({"folder": str(folder)}):
        time.sleep(0.05)

    def call(method: str, **request: Any) -> Data:
        answer = getattr(page, method)({"folder": str(folder), **request})
        json.dumps(answer)  # as it is sent
        return answer

    return call


def ids(*rows: int) -> str:
    return base64.b64encode(np.array(rows, "<i4").tobytes()).decode()


def finished(ask: Any, do: str, *rows: int, **request: Any) -> Data:
    """Do something to many pictures and wait for what becomes of it."""
    request |= {"do": do, "token": f"{time.monotonic()}", "scope": "selected", "ids": ids(*rows)}
    answer = ask("many", generation=ask("open")["generation"], **request)
    while "waiting" in answer:
        answer = ask("many", **request)
    return answer


def rows_of(ask: Any, *rows: int) -> list[Data]:
    return ask("rows", ids=list(rows))["rows"]


def png_of(array: np.ndarray[Any, Any]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).convert("RGBA").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def with_dataset(services: Services, folder: Path, **values: Any) -> None:
    services.draft.replace({"data": {"width": 512, "height": 512, "datasets": [{"path": str(folder), **values}]}})


def test_editors_are_told_what_they_need(ask: Any, services: Services, folder: Path) -> None:
    with_dataset(services, folder, width=768, height=768, name="Mine")
    facts = ask("picture_facts", row=3)
    assert (facts["size"], facts["rotate"], facts["crop"], facts["mask"]) == ((40, 60), 0, None, "")
    assert facts["nearest"] == (640, 896) and facts["nearest_turned"] == (896, 640), "the data set's own size"
    assert facts["nearest"] in facts["buckets"] and all(width * height <= 768**2 for width, height in facts["buckets"])
    ratios = [width / height for width, height in facts["buckets"]]
    assert ratios == sorted(ratios)
    assert facts["masks"] == {
        "text": "Data set “Mine” does not use its masks yet: its setting “Masks” has to be “-masklabel.png beside it”.",
        "can_use": True,
    }
    assert "uses its masks" in ask("use_masks", row=3)["text"]
    assert services.draft.data["data"]["datasets"][0]["mask"] == "file"
    assert not ask("picture_facts", row=3)["masks"]["can_use"]


def test_a_cut_is_told_its_training_size_and_when_it_is_too_small(ask: Any, services: Services, folder: Path) -> None:
    with_dataset(services, folder)
    small = ask("crop_fate", name="0.png", size=[60, 40])
    assert small["is_small"] and "640 × 384" in small["text"] and "10.67 times" in small["text"]
    large = ask("crop_fate", name="2.png", size=[1000, 1000])
    assert not large["is_small"] and large["text"] == "Trained at 512 × 512"


def test_the_nearest_data_set_of_a_draft_counts_and_a_draft_that_is_not_valid_does_no_harm(tmp_path: Path) -> None:
    inner = tmp_path / "all" / "cats"
    rows = [{"path": str(tmp_path / "all")}, {"path": str(inner), "width": 256}, {"path": "s3://bucket/x"}, {}]
    data = {"data": {"datasets": rows}}
    assert dataset_of(data, inner / "1.png") == 1
    assert dataset_of(data, tmp_path / "all" / "2.png") == 0
    assert dataset_of(data, tmp_path / "3.png") is None
    assert rules_of(data, inner / "1.png").width == 256
    assert rules_of({"data": {"width": "wide", "datasets": rows}}, inner / "1.png").width == 512


def test_cuts_stars_and_turns_are_recorded_named_and_undone(ask: Any, folder: Path) -> None:
    answer = ask("edit_picture", row=0, rotate=90, crop=[0, 0, 40, 30], size=[40, 60])
    assert answer["touched"] == [0] and answer["history"]["undo"] == "Crop 0.png" and not answer["problem"]
    ask("rate_pictures", ids=ids(0, 1), rating=4)
    ask("turn_pictures", ids=ids(0, 1), degrees=-90)
    first, second = rows_of(ask, 0, 1)
    assert (first["width"], first["height"], first["rating"], first["rotate"], first["cropped"]) == (30, 40, 4, 0, True)
    assert (second["width"], second["height"], second["rotate"]) == (40, 60, 270)
    assert ask("view", filter="", sort="rating")["ids"] == ids(0, 1, 2, 3)
    assert ask("view", filter="cropped rated", sort="name")["ids"] == ids(0)
    assert ask("edit_picture", row=0, rotate=0, crop=[50, 0, 60, 10], size=[60, 40])["error"]
    assert finished(ask, "reset", 0, 1, 2)["done"] == "2 pictures are as their files again."
    assert [row["rating"] for row in rows_of(ask, 0, 1, 2)] == [4, 4, 0]
    names = []
    while (answer := ask("undo"))["touched"]:
        names.append(answer["done"])
    assert names == [
        "Undone: Take back crop and rotation of 3 pictures",
        "Undone: Rotate 2 pictures",
        "Undone: Rate 2 pictures: 4 stars",
        "Undone: Crop 0.png",
    ]
    assert not list(folder.glob("*.athanor.json"))


def test_records_that_cannot_be_used_are_told_at_the_picture_and_can_be_reset(ask: Any, folder: Path) -> None:
    record = {"version": 1, "crop": [0, 0, 10, 10], "size": [99, 99], "rating": 2}
    (folder / "0.png.athanor.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "1.png.athanor.json").write_text("{", encoding="utf-8")
    ask("open", again=True)
    while "waiting" in ask("open"):
        time.sleep(0.05)
    told = [row["problem"] for row in rows_of(ask, 0, 1, 2)]
    assert "another size" in told[0] and "cannot be read" in told[1] and told[2] == ""
    assert finished(ask, "reset", 0, 1, 2, 3)["done"] == "2 pictures are as their files again."
    assert [row["problem"] for row in rows_of(ask, 0, 1)] == ["", ""]
    assert json.loads((folder / "0.png.athanor.json").read_text(encoding="utf-8")) == {"version": 1, "rating": 2}
    assert not (folder / "1.png.athanor.json").exists()
    ask("undo")
    assert json.loads((folder / "0.png.athanor.json").read_text(encoding="utf-8")) == record


def test_a_mask_of_any_working_size_gets_the_size_of_its_picture(ask: Any, folder: Path) -> None:
    painted = np.full((682, 2048), 255)
    painted[:, :1024] = 0
    assert not ask("save_mask", row=2, png=png_of(painted)).get("error")
    with Image.open(folder / "2-masklabel.png") as mask:
        assert (mask.size, mask.mode) == ((3001, 1000), "L")
        assert (mask.getpixel((10, 10)), mask.getpixel((2990, 990))) == (0, 255)
    assert rows_of(ask, 2)[0]["mask"]
    assert "cannot be used" in ask("save_mask", row=2, png="bm90IGEgcGljdHVyZQ==")["error"]
    assert "cannot be used" in ask("save_mask", row=2, png="!")["error"]
    assert ask("save_mask", row=2, png=None)["done"] and not (folder / "2-masklabel.png").exists()


def test_what_leaves_the_folder_says_where_to_go_on(ask: Any, folder: Path, tmp_path: Path) -> None:
    answer = ask("trash_pictures", ids=ids(1), next=2)
    assert answer["at"] == "2.png" and answer["done"] == "In the trash (folder .trash): 1.png"
    assert (folder / ".trash" / "1.txt").is_file()
    back = ask("undo")
    assert back["at"] == "1.png" and back["generation"] != answer["generation"]
    target = tmp_path / "another" / "place"
    moved = ask("move_pictures", ids=ids(0, 1), next=2, target=str(target))
    assert moved["at"] == "2.png" and {path.name for path in target.iterdir()} == {"0.png", "1.png", "1.txt"}
    assert "in" in ask("move_pictures", ids=ids(0), next=None, target=str(folder))["error"]
    assert ask("move_pictures", ids=ids(0), next=None, target=str(folder / "2.png"))["error"]
    assert ask("trash_pictures", ids=ids(0), next=None, generation=1) == {"renumbered": True}


def test_copies_are_written_of_what_is_cut_or_is_about_to_be(ask: Any, folder: Path) -> None:
    assert "nothing to copy" in ask("copy_pictures", ids=ids(0, 1))["done"]
    answer = ask("edit_picture", row=1, rotate=0, crop=[0, 0, 30, 40], size=[60, 40], copy=True)
    assert answer["at"] == "1.png" and "1-edited.png" in answer["done"]
    with Image.open(folder / "1-edited.png") as copy:
        assert copy.size == (30, 40) and copy.getcolors() == [(1200, RED)]
    assert (folder / "1-edited.txt").read_text(encoding="utf-8") == "one"
    assert not list(folder.glob("*.athanor.json"))


@pytest.fixture
def client(services: Services) -> Iterator[TestClient]:
    with TestClient(make_app(services)) as client:
        yield client


def picture_at(client: TestClient, address: str) -> tuple[Image.Image, str]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content)), answer.headers["cache-control"]


def test_pictures_and_masks_are_shown_as_edited_and_addresses_of_another_time_are_not_kept(
    ask: Any, services: Services, client: TestClient, folder: Path
) -> None:
    key = services.desks.get(str(folder)).key
    old = rows_of(ask, 0)[0]["stamp"]
    painted = np.full((40, 60), 255)
    painted[20:] = 0
    ask("save_mask", row=0, png=png_of(painted))
    ask("edit_picture", row=0, rotate=90, crop=[0, 0, 40, 30], size=[40, 60])
    row = rows_of(ask, 0)[0]
    picture, kept = picture_at(client, f"/captions/pictures/{key}/0?size=192&v={row['stamp']}")
    assert picture.size == (40, 30) and "immutable" in kept
    assert picture_at(client, f"/captions/pictures/{key}/0?size=192&v={old}")[1] != "no-store", "of the whole picture"
    assert picture_at(client, f"/captions/pictures/{key}/0?size=192&v=older")[1] == "no-store"
    whole, _ = picture_at(client, f"/captions/pictures/{key}/0?form=painted&v={old}")
    assert whole.size == (60, 40) and whole.convert("RGB").getpixel((2, 2)) == RED, "without loss"
    sizes = {
        form: picture_at(client, f"/captions/pictures/{key}/0?form={form}")[0].size for form in ("whole", "original")
    }
    assert sizes == {"whole": (40, 60), "original": (60, 40)}
    tint, kept = picture_at(client, f"/captions/masks/{key}/0?size=192&v={row['stamp']}-{row['mask']}")
    alpha = np.asarray(tint.convert("RGBA"))[:, :, 3]
    assert alpha.shape == (30, 40) and "immutable" in kept
    assert alpha[15, 5] > 120 and alpha[15, 35] == 0, "the lower half is at the left once it is turned"
    mask, kept = picture_at(client, f"/captions/masks/{key}/0?form=painted&v=other")
    assert mask.mode == "L" and np.array_equal(np.asarray(mask), painted) and kept == "no-store"
    assert client.get(f"/captions/masks/{key}/1").status_code == 404
    (folder / "0-masklabel.png").write_bytes(b"damaged")
    assert client.get(f"/captions/masks/{key}/0").status_code == 404


@pytest.mark.parametrize("language", languages())
def test_what_takes_backgrounds_away_is_offered_or_said_to_be_missing(services: Services, language: str) -> None:
    facts = CaptionsPage(AppContext(services, language, gr.Blocks())).background_facts({})
    assert all(each["name"] and each["size"] for each in facts["models"])
    assert not facts["missing"] or "start add masks" in facts["missing"]


def test_a_run_that_takes_backgrounds_away_is_of_the_pictures_that_were_asked_for(
    ask: Any, services: Services, folder: Path
) -> None:
    run = ask("remove_background", ids=ids(1, 3), model="u2netp", overwrite=True)["run"]
    config = (services.queue.runs_dir / run / "config.toml").read_text(encoding="utf-8")
    assert '"1.png"' in config and '"3.png"' in config and '"0.png"' not in config
    assert 'model = "u2netp"' in config and 'on_existing = "overwrite"' in config
