"""What the caption page hints at: odd commas, other spellings; and what others write where one looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from captions_in_browser import counts, opened, saved
from live_app import App
from PIL import Image
from playwright.sync_api import Page, expect


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "hints"
    folder.mkdir()
    for number in range(6):
        place = folder / f"{number:02}.jpg"
        Image.new("RGB", (64, 64), (number * 10, 120, 200)).save(place)
        place.with_suffix(".txt").write_text("long hair, smile" if number < 4 else "少女，长发、微笑", encoding="utf-8")
    return folder


@pytest.fixture
def page(app: App, open_page: Callable[..., Page], pictures: Path) -> Page:
    return opened(open_page(f"{app.url}/en/#captions"), pictures)


def test_odd_commas_are_told_and_put_right_by_the_batch(page: Page, pictures: Path) -> None:
    page.locator('[data-part="hints"] summary').click()
    page.get_by_role("button", name=re.compile("2 captions separate tags with ， 、")).click()
    expect(page.locator("#captions-operation")).to_have_value("commas")
    expect(page.locator('[data-part="batch-count"]')).to_contain_text("2 of 6")
    expect(page.locator(".batch-examples ins").first).to_have_text("少女")
    page.locator("#captions-apply").click()
    expect(page.locator('[data-part="batch-count"]')).not_to_contain_text("2 of 6")
    saved(page)
    assert (pictures / "04.txt").read_text(encoding="utf-8") == "少女, 长发, 微笑"
    assert (pictures / "00.txt").read_text(encoding="utf-8") == "long hair, smile"


def test_a_tag_that_is_spelt_otherwise_is_offered(page: Page) -> None:
    page.fill("#captions-filter", "not tag:smile or tag:Long_Hair")
    told = page.locator('[data-part="instead"]')
    expect(told).to_contain_text("No caption has Long_Hair. 4 have long hair.")
    expect(told.locator("mark")).to_have_text("tag:Long_Hair")
    counts(page, "2 of 6")
    told.get_by_role("button").click()
    expect(page.locator("#captions-filter")).to_have_value('not tag:smile or tag:"long hair"')
    counts(page, re.compile("^6 pictures"))
    expect(told).to_be_empty()
    page.fill("#captions-filter", "tag:elephant")
    counts(page, "0 of 6")
    expect(told).to_be_empty()


def test_what_is_seen_is_looked_at_for_changes_from_outside(page: Page, pictures: Path) -> None:
    page.locator(".caption-tile", has_text="03.jpg").click()
    expect(page.locator(".caption-head strong")).to_have_text("03.jpg")
    with page.expect_request(lambda request: '"fn_name":"poll"' in (request.post_data or "")) as asked:
        pass
    assert sorted(set(asked.value.post_data_json["data"]["seen"])) == [0, 1, 2, 3, 4, 5]
    with (pictures / "03.txt").open("r+", encoding="utf-8") as file:
        file.truncate(0)
        file.write("theirs, in place")
    tile = page.locator(".caption-tile", has_text="03.jpg").locator(".tile-text")
    expect(tile).to_have_text("theirs, in place")
    expect(page.locator(".caption-editor .chip > span").first).to_have_text("theirs")


def test_a_caption_that_has_to_become_utf_8_is_told(page: Page, pictures: Path) -> None:
    (pictures / "02.txt").write_bytes("長い髪, 笑顔".encode("cp932"))
    page.locator(".caption-tile", has_text="02.jpg").click()
    chips = page.locator(".caption-editor .chip > span")
    expect(chips).to_have_text(["長い髪", "笑顔"])
    page.keyboard.press("Enter")
    page.keyboard.type("한국")
    page.keyboard.press("Enter")
    expect(chips).to_have_count(3)
    saved(page)
    expect(page.locator(".captions-note")).to_contain_text("02.txt is written in UTF-8 from now on")
    assert (pictures / "02.txt").read_text(encoding="utf-8") == "長い髪, 笑顔, 한국"
