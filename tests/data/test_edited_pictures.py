"""A picture that is recorded as turned and cut is trained, reported and shown as if it had been cut by hand."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from looking import codes, look, only, picture, shard
from PIL import Image

from backend.config.data import DataSection
from backend.config.root import TrainConfig
from backend.data import plan, quality
from backend.data.cache import LatentCache, MemoryStore
from backend.data.findings import Finding
from backend.data.fixes import apply_fix
from backend.data.images import read_mask
from backend.data.index import Index
from backend.data.picture_edits import EDIT_SUFFIX, PictureEdit, apply_edit, edit_text, side_before, stamped
from backend.data.pictures import Pictures
from backend.data.report import make_report
from backend.data.samples import load_pixels
from backend.data.scan import scan
from ui.pictures import Thumbnails

EDIT = PictureEdit(rotate=90, crop=(8, 16, 64, 48), size=(80, 120))
# (width, height) of the whole pictures.
WHOLE = (120, 80)


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def record(path: Path, edit: PictureEdit) -> None:
    text = edit_text(edit)
    assert text
    path.with_name(path.name + EDIT_SUFFIX).write_text(text, encoding="utf-8")


def write(folder: Path, image: Image.Image, mask: Image.Image, pair: Image.Image) -> Path:
    (folder / "pairs").mkdir(parents=True)
    image.save(folder / "cat.png")
    mask.save(folder / "cat-masklabel.png")
    pair.save(folder / "pairs" / "cat.png")
    (folder / "cat.txt").write_text("a cat", encoding="utf-8")
    return folder / "cat.png"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A picture with its mask, a pair of twice its size, and how it is cut."""
    folder = tmp_path / "recorded"
    path = write(folder, noise(WHOLE, 1), noise(WHOLE, 2).convert("L"), noise((240, 160), 3))
    record(path, EDIT)
    return folder


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """The same, cut with another program."""
    folder = tmp_path / "by hand"

    def cut(image: Image.Image, scale: int = 1) -> Image.Image:
        left, top, width, height = (scale * value for value in (8, 16, 64, 48))
        return image.transpose(Image.Transpose.ROTATE_270).crop((left, top, left + width, top + height))

    write(folder, cut(noise(WHOLE, 1)), cut(noise(WHOLE, 2).convert("L")), cut(noise((240, 160), 3), scale=2))
    return folder


def section(folder: Path, **own: Any) -> DataSection:
    rules = {"width": 64, "height": 64, "min_bucket_resolution": 16, "bucket_step": 8, "crop": "random"}
    return DataSection.model_validate({**rules, "datasets": [{"path": str(folder), **own}]})


def tensors(folder: Path, **own: Any) -> dict[str, torch.Tensor]:
    found = scan(section(folder, **own))
    (placement,) = plan.place(found).placements
    pictures = Pictures(found.datasets, Index(folder.parent / "cache"))
    return load_pixels(placement, pictures, random.Random(5), flip=True, scale_factor=8)


@pytest.mark.parametrize("conditioning", ["none", "folder", "canny", "random_mask"])
@pytest.mark.parametrize("mask", ["none", "file"])
def test_training_sees_what_it_would_see_of_a_picture_cut_by_hand(
    recorded: Path, by_hand: Path, mask: str, conditioning: str
) -> None:
    own: dict[str, Any] = {"mask": mask, "conditioning": conditioning}

    def of(folder: Path) -> dict[str, torch.Tensor]:
        return tensors(folder, **own, conditioning_dir=str(folder / "pairs") if conditioning == "folder" else "")

    one, two = of(recorded), of(by_hand)
    assert set(one) == set(two)
    assert ("mask" in one, "conditioning" in one) == (mask != "none", conditioning != "none")
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def test_transparency_is_cut_as_the_picture_is(tmp_path: Path) -> None:
    image = Image.new("RGBA", WHOLE, (200, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 60, 80))
    (tmp_path / "set").mkdir()
    image.save(tmp_path / "set" / "cat.png")
    record(tmp_path / "set" / "cat.png", PictureEdit(crop=(60, 0, 60, 80), size=WHOLE))
    assert tensors(tmp_path / "set", mask="alpha")["mask"].min() == 1


def test_sizes_are_those_as_shown_and_ratings_change_nothing(recorded: Path) -> None:
    (before,) = look(recorded).images
    assert (before.width, before.height, before.edit) == (64, 48, EDIT)
    record(recorded / "cat.png", PictureEdit(rating=4))
    (rated,) = look(recorded).images
    assert (rated.width, rated.height, rated.edit.rating) == (*WHOLE, 4)
    assert rated.shown_stamp == rated.stamp == before.stamp != before.shown_stamp


def test_a_recut_picture_has_a_new_place_in_the_cache_and_the_others_keep_theirs(recorded: Path) -> None:
    noise(WHOLE, 9).save(recorded / "dog.png")

    def keys() -> dict[str, str]:
        found = scan(section(recorded))
        cache = LatentCache(
            MemoryStore(), vae_identity="a", pictures=Pictures(found.datasets, Index(recorded.parent / "cache"))
        )
        return {each.record.name: cache.key(each, flip=False) for each in plan.place(found).placements}

    before = keys()
    record(recorded / "cat.png", PictureEdit(rotate=90, crop=(9, 16, 64, 48), size=(80, 120)))
    moved = keys()
    assert moved["dog.png"] == before["dog.png"]
    assert moved["cat.png"] != before["cat.png"]
    record(recorded / "cat.png", PictureEdit(rotate=90, crop=(9, 16, 64, 48), size=(80, 120), rating=5))
    assert keys() == moved
    record(recorded / "dog.png", PictureEdit(rating=1))
    assert keys() == moved
    record(recorded / "cat.png", EDIT)
    assert keys() == before


@pytest.mark.parametrize(
    "text",
    [
        "{not json",
        '{"version": 99}',
        json.dumps({"version": 1, "crop": [0, 0, 32, 32], "size": [64, 64]}),
    ],
    ids=["damaged", "of a later version", "of a picture of another size"],
)
def test_pictures_whose_edits_cannot_be_used_are_left_out(draw: Any, tmp_path: Path, text: str) -> None:
    draw("a.png", caption="a").with_name("a.png" + EDIT_SUFFIX).write_text(text, encoding="utf-8")
    draw("b.png", caption="b")
    found = look(tmp_path / "pictures")
    assert [item.name for item in found.images] == ["b.png"]
    problem = only(found)
    assert (problem.level, problem.code) == ("warning", "edits_unusable")
    assert problem.params["names"] == "a.png"
    (problem,) = look(tmp_path / "pictures", strict=True).problems
    assert problem.level == "error"


def test_what_cannot_be_used_can_be_left_out_for_good(draw: Any, tmp_path: Path) -> None:
    draw("a.png", caption="a").with_name("a.png" + EDIT_SUFFIX).write_text("?", encoding="utf-8")
    draw("b.png", caption="b")
    config, finding = _found(tmp_path / "pictures", "edits_unusable")
    again = TrainConfig.model_validate(apply_fix(config.model_dump(), finding.fixes[0]))
    assert codes(scan(again.data)) == set()


def _found(folder: Path, code: str, **own: Any) -> tuple[TrainConfig, Finding]:
    config = TrainConfig.model_validate({"data": {"datasets": [{"path": str(folder), **own}]}})
    findings = make_report(config, scan(config.data)).findings
    (finding,) = [each for each in findings if each.problem.code == code]
    return config, finding


def test_masks_that_are_not_used_are_told_and_used_with_one_click(draw: Any, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        draw(name, caption=name)
    for name in ("a-masklabel.png", "b-masklabel.png", "c-masklabel.png"):
        draw(name, color="white")
    config, finding = _found(tmp_path / "pictures", "masks_unused", exclude=["c.png"])
    assert (finding.problem.level, finding.problem.path) == ("warning", "data.datasets[0].mask")
    assert finding.problem.params["num"] == 2
    assert finding.names == ("pictures/a.png", "pictures/b.png")
    (fix,) = finding.fixes
    again = TrainConfig.model_validate(apply_fix(config.model_dump(), fix))
    assert again.data.datasets[0].mask == "file"
    found = scan(again.data)
    assert codes(found) == set()
    assert all(item.mask for item in found.images)


@pytest.mark.parametrize("mask", ["alpha", "folder"])
def test_masks_are_not_told_of_where_the_data_set_has_others(draw: Any, tmp_path: Path, mask: str) -> None:
    draw("a.png", caption="a")
    draw("a-masklabel.png", color="white")
    draw("../masks/a.png", color="white")
    found = look(tmp_path / "pictures", mask=mask, mask_dir=str(tmp_path / "masks"))
    assert "masks_unused" not in codes(found)


@pytest.mark.parametrize("kind", ["metadata", "table"])
def test_pictures_that_a_file_names_are_cut_and_masked_too(draw: Any, tmp_path: Path, kind: str) -> None:
    for name in ("a.png", "sub/b.png", "c.png"):
        draw(name, size=WHOLE)
    record(tmp_path / "pictures" / "sub" / "b.png", EDIT)
    draw("c-masklabel.png", color="white")
    path = tmp_path / "pictures" / ("meta.json" if kind == "metadata" else "meta.csv")
    if kind == "metadata":
        path.write_text(json.dumps({name: name for name in ("a.png", "sub/b.png", "c.png")}), encoding="utf-8")
    else:
        rows = "".join(f"{name},{name},120,80\n" for name in ("a.png", "sub/b.png", "c.png"))
        path.write_text(f"file_name,caption,width,height\n{rows}", encoding="utf-8")
    found = look(path)
    assert [(item.width, item.height) for item in found.images] == [WHOLE, (64, 48), WHOLE]
    assert codes(found) == {"masks_unused"}
    found = look(path, mask="file")
    assert [bool(item.mask) for item in found.images] == [False, False, True]


def test_pictures_in_shards_keep_their_edits(tmp_path: Path) -> None:
    members = {
        "a.png": picture(kind="PNG", size=WHOLE),
        "a.txt": b"a cat",
        f"a.png{EDIT_SUFFIX}": (edit_text(EDIT) or "").encode(),
        "b.png": picture(kind="PNG", size=WHOLE),
        "b.json": b'{"caption": "a dog"}',
    }
    path = shard(tmp_path / "set.tar", members)
    for _ in range(2):  # the second time from the index
        found = look(path)
        assert codes(found) == set()
        assert [(item.width, item.height, item.text) for item in found.images] == [(64, 48, "a cat"), (*WHOLE, "a dog")]


def test_the_file_of_an_edit_is_no_caption_and_no_metadata(draw: Any, tmp_path: Path) -> None:
    record(draw("a.png", size=WHOLE), EDIT)
    (tmp_path / "pictures" / "a.json").write_text("from json", encoding="utf-8")
    (item,) = look(tmp_path / "pictures", caption_extension=".json").images
    assert (item.captions, item.edit) == (("from json",), EDIT)


def test_a_look_judges_what_is_cut_out(tmp_path: Path) -> None:
    """Half of the picture is grey: cut to it, it is blurry; cut to the other half, it is not. Copies differ."""
    image = Image.new("RGB", (128, 64), "grey")
    image.paste(noise((64, 64), 4), (0, 0))
    (tmp_path / "set").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        image.save(tmp_path / "set" / name)
    record(tmp_path / "set" / "b.png", PictureEdit(crop=(64, 0, 64, 64), size=(128, 64)))
    found = look(tmp_path / "set")
    with Index(tmp_path / "cache") as index:
        seen = quality.look(found, index)
        assert quality.known(found, index) == seen
    assert [quality.is_blurry(looks) for looks in seen.looks] == [False, True, False]
    assert quality.same_content(seen.contents, range(3)) == [[0, 2]]
    assert quality.near_duplicates(seen.looks, range(3)) == [[0, 2]]


def test_small_versions_show_the_picture_as_it_is_trained(recorded: Path) -> None:
    thumbnails = Thumbnails()
    found = look(recorded)
    small = thumbnails.get(found, found.images[0], 320)
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (64, 48)
    (recorded / f"cat.png{EDIT_SUFFIX}").unlink()
    whole = look(recorded)
    with Image.open(io.BytesIO(thumbnails.get(whole, whole.images[0], 320))) as image:
        assert image.size == WHOLE


def test_a_jpeg_is_decoded_large_enough_for_what_is_cut_out(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    noise((1600, 1200), 6).save(tmp_path / "set" / "a.jpg")
    record(tmp_path / "set" / "a.jpg", PictureEdit(crop=(0, 0, 400, 300), size=(1600, 1200)))
    found = look(tmp_path / "set")
    with Image.open(io.BytesIO(Thumbnails().get(found, found.images[0], 320))) as image:
        assert image.size == (320, 240)


def test_sides_and_stamps() -> None:
    assert side_before(PictureEdit(rotate=90), 320) == 320
    assert side_before(EDIT, 64) == 120
    assert stamped("", EDIT) == ""
    assert stamped("1", PictureEdit(rating=3)) == "1"
    assert len({stamped("1", each) for each in (EDIT, PictureEdit(90), PictureEdit(180), PictureEdit())}) == 4


def test_masks_are_in_the_coordinates_of_the_whole_picture(recorded: Path) -> None:
    whole = read_mask(recorded / "cat-masklabel.png")
    assert (whole.size, apply_edit(whole, EDIT).size) == (WHOLE, (64, 48))
