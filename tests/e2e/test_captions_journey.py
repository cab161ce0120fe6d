"""From a folder without captions to a training on it: tagged with one click, then corrected with the keyboard only."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_taggers
from captions_in_browser import saved
from live_app import App, train_for_long
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]
SECOND = 1000
NUM_PICTURES = 12
TAGS = ["zkz", "1girl", "saber (fate)", "fate (series)", "long hair", "^_^", "simple background"]
FOLDER = "#quick-data-datasets-path textarea, #quick-data-datasets-path input"
TRIGGER = "#quick-data-trigger_word textarea, #quick-data-trigger_word input"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "my pictures 图片"
    found.mkdir()
    for number in range(NUM_PICTURES):
        image = Image.new("RGB", (96, 64), (20 * number, 120, 220 - 15 * number))
        ImageDraw.Draw(image).ellipse((30, 10, 70, 50), fill=(240, 220, 20 * number))
        image.save(found / f"{number:02}.png")
    return found


def tab_to(page: Page, selector: str) -> None:
    """Walk to an element as somebody without a mouse does."""
    for _ in range(60):
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{selector} cannot be reached with Tab")


def go_to(page: Page, number: int) -> None:
    """Go to a picture from the first one on, in the order of names."""
    page.keyboard.press("Home")
    for _ in range(number):
        page.keyboard.press("ArrowRight")
    expect(page.locator('[data-part="counts"]')).to_contain_text(re.compile(rf"no\. {number + 1}$"))


def captions(folder: Path) -> dict[str, list[str]]:
    return {path.stem: path.read_text(encoding="utf-8").split(", ") for path in sorted(folder.glob("*.txt"))}


def all_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def tag_with_one_click(page: Page, app: App, folder: Path) -> None:
    page.locator('#quick-model [data-action="demo"]').click()
    expect(page.locator("#quick-review")).to_contain_text("steps")
    page.locator(FOLDER).fill(str(folder))
    page.locator(FOLDER).press("Tab")
    page.locator(TRIGGER).fill("zkz")
    page.locator(TRIGGER).press("Tab")
    part = page.locator("#quick-tagging")
    expect(part).to_contain_text("12 of 12 pictures have no caption")
    part.get_by_role("button", name="Tag them").click()
    expect(part).to_contain_text("Captions written: 12")
    assert captions(folder) == {f"{number:02}": TAGS for number in range(NUM_PICTURES)}
    part.get_by_role("button", name="Look at the captions").click()
    expect(page.locator("#captions-folder")).to_have_value(str(folder))
    expect(page.locator(".caption-tile")).to_have_count(NUM_PICTURES)


def fix_by_batch(page: Page) -> None:
    """Take one wrong tag out of six captions, found by a filter."""
    page.keyboard.press("/")
    expect(page.locator("#captions-filter")).to_be_focused()
    page.keyboard.type('tag:"simple background" and name:0* not (name:06 or name:07 or name:08 or name:09)')
    expect(page.locator('[data-part="counts"]')).to_contain_text("6 of 12 pictures")
    page.keyboard.press("Enter")
    page.keyboard.press("b")
    page.keyboard.type("Remove tags")
    expect(page.locator("#captions-operation")).to_have_value("remove")
    tab_to(page, "#captions-batch-tags")
    page.keyboard.type("simple*")
    expect(page.locator(".batch-count")).to_have_text("Changes 6 of 6 captions")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".captions-note")).to_contain_text("6 captions changed")
    page.keyboard.press("Control+k")
    expect(page.locator("#captions-filter")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    page.keyboard.press("Enter")
    expect(page.locator('[data-part="counts"]')).to_have_text(re.compile("^12 pictures"))
    saved(page)


def fix_by_hand(page: Page) -> None:
    """Add, remove, correct and write: four captions, and the last of it undone."""
    go_to(page, 0)
    page.keyboard.press("Enter")
    page.keyboard.type("blue sky")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    saved(page)
    go_to(page, 1)
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")  # to the last chip
    page.keyboard.press("Delete")
    saved(page)
    page.keyboard.press("F2")
    page.keyboard.press("Control+a")
    page.keyboard.type("short hair")
    page.keyboard.press("Enter")
    saved(page)
    tab_to(page, "#captions-add")
    page.keyboard.press("Escape")
    go_to(page, 2)
    page.keyboard.press("t")
    expect(page.locator("#captions-text")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("zkz, a sentence by hand")
    page.keyboard.press("Escape")
    saved(page)
    go_to(page, 3)
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    page.keyboard.type("a mistake")
    page.keyboard.press("Enter")
    expect(page.locator(".chip", has_text="a mistake")).to_be_visible()
    saved(page)
    page.keyboard.press("Control+z")
    expect(page.locator(".chip", has_text="a mistake")).to_have_count(0)
    saved(page)
    page.keyboard.press("Escape")


def crop_and_mask(page: Page) -> None:
    go_to(page, 4)
    page.keyboard.press("c")
    expect(page.locator("#captions-crop-box")).to_be_focused()
    for _ in range(8):
        page.keyboard.press("Control+Shift+ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator(".caption-head small")).to_have_text("88 × 64")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("m")
    expect(page.locator("#captions-mask-canvas")).to_be_focused()
    page.keyboard.press("r")
    page.keyboard.press("Space")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator('[data-part="mask-share"]')).not_to_have_text("All of the picture counts")
    page.locator(".mask-use button").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".mask-use button")).to_have_count(0)
    page.locator("#captions-mask-canvas").focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog.tool-dialog")).to_have_count(0)
    expect(page.locator(".caption-tile", has_text="05.png").locator(".mark-mask")).to_be_visible()
    saved(page)


def found_as_left(page: Page, folder: Path) -> None:
    now = captions(folder)
    assert now["00"] == [*TAGS[:-1], "blue sky"]
    assert now["01"] == [*TAGS[:4], "short hair"]
    assert now["02"] == ["zkz", "a sentence by hand"]
    assert all(now[f"{number:02}"] == TAGS[:-1] for number in (3, 4, 5))
    assert all(now[f"{number:02}"] == TAGS for number in range(6, NUM_PICTURES))
    assert json.loads((folder / "04.png.athanor.json").read_text())["crop"] == [0, 0, 88, 64]
    with Image.open(folder / "05-masklabel.png") as mask:
        assert mask.size == (96, 64) and mask.mode == "L"
        assert sorted(np.unique(np.asarray(mask)).tolist())[0] == 0 and mask.getextrema()[1] == 255
    before = all_files(folder)
    page.reload()
    expect(page.locator("#captions-folder")).to_have_value(str(folder))
    expect(page.locator('.tag-main[data-tag="blue sky"] b')).to_have_text("1")
    expect(page.locator(".caption-tile", has_text="02.png").locator(".tile-text")).to_contain_text("by hand")
    expect(page.locator(".caption-tile", has_text="04.png").locator(".mark-crop")).to_be_visible()
    expect(page.locator(".caption-tile", has_text="05.png").locator(".mark-mask")).to_be_visible()
    expect(page.locator("#captions-undo")).to_be_enabled()
    assert all_files(folder) == before


def train(page: Page, app: App, folder: Path) -> None:
    train_for_long(page)
    page.goto(f"{app.url}/en/#train/quick")
    expect(page.locator(FOLDER)).to_have_value(str(folder))
    expect(page.locator("#quick-review")).to_contain_text("steps")
    name = page.locator("#quick-output-name").locator("input, textarea").input_value()
    page.locator("#quick-start").click()
    page.locator('#quick-dialog button[data-action="start"], dialog[open] button[data-action="start"]').click()
    head = page.locator("#runs-head")
    expect(head.locator("h2")).to_have_text(name)  # until it is there, the head is that of the tagging
    expect(head).to_contain_text(re.compile("Training|Loading|Caching"))
    page.wait_for_function(
        "() => Number(document.querySelector('#runs-head')?.innerText.match(/(\\d+) *\\/ *\\d+/)?.[1]) > 1",
        timeout=240 * SECOND,
    )
    configs = [tomllib.loads(path.read_text(encoding="utf-8")) for path in (app.home / "runs").glob("2*/config.toml")]
    (data,) = [config["data"] for config in configs if "data" in config]  # the other run is the tagging
    assert [(Path(row["path"]), row["mask"]) for row in data["datasets"]] == [(folder, "file")]
    head.locator('[data-action="stop"]').click()
    expect(head).to_contain_text("Stopped")


def test_from_an_uncaptioned_folder_to_a_training(
    app: App, open_page: OpenPage, folder: Path, keep_picture: KeepPicture
) -> None:
    tiny_taggers.wd(app.home / "models" / "taggers" / "wd-vit-tagger-v3")
    page = open_page(f"{app.url}/en/#train/quick")
    tag_with_one_click(page, app, folder)
    fix_by_batch(page)
    fix_by_hand(page)
    crop_and_mask(page)
    keep_picture(page, "captions-journey")
    found_as_left(page, folder)
    before = all_files(folder)
    train(page, app, folder)
    assert all_files(folder) == before
