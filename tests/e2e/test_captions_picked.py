"""Looking at selected pictures only, and typing as people do: Chinese keyboards, several tags, several captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from live_app import App
from PIL import Image
from playwright.sync_api import Page, expect

OpenPage = Callable[..., Page]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures 图"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (64, 64), (number * 20, 120, 90)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"cat, long hair, tag{number % 3}", encoding="utf-8")
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, pictures: Path) -> Page:
    page = open_page(f"{app.url}/en/#captions")
    page.fill("#captions-folder", str(pictures))
    page.press("#captions-folder", "Enter")
    expect(page.locator(".caption-tile .tile-name").first).to_have_text("00.png")
    return page


def shows(page: Page, *names: str) -> None:
    expect(page.locator(".caption-tile")).to_have_count(len(names))
    for name in names:
        expect(page.locator(".caption-tile .tile-name", has_text=name)).to_be_visible()


def press_keys(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_the_selected_pictures_can_be_looked_at_alone(page: Page, pictures: Path) -> None:
    pick = page.locator('[data-part="pick"]')
    counts = page.locator('[data-part="counts"]')
    expect(pick).to_be_hidden()
    press_keys(page, "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight")
    expect(pick).to_be_visible()
    page.keyboard.press("s")
    expect(counts).to_contain_text("3 of 12")
    shows(page, "01.png", "02.png", "03.png")
    # The filter, the counts of tags and batches keep to them.
    page.fill("#captions-filter", "tag:tag0 or tag:tag1")
    expect(counts).to_contain_text("2 of 12")
    expect(page.locator('[data-tag="tag0"] b')).to_have_text("1 / 4")
    page.locator("#captions-grid").focus()
    press_keys(page, "Escape", "b")
    page.select_option("#captions-operation", "add")
    page.fill("#captions-batch-tags", "only，these")
    page.select_option("#captions-scope", "shown")
    expect(page.locator('[data-part="batch-count"]')).to_contain_text("2 of 2")
    page.click("#captions-apply")
    expect(page.locator(".captions-note")).to_contain_text("2 captions changed")
    expect(page.locator(".captions-saved")).to_have_class("captions-saved is-saved")
    changed = [path.stem for path in sorted(pictures.glob("*.txt")) if "only, these" in path.read_text("utf-8")]
    assert changed == ["01", "03"]
    # Numbered anew, they are still the ones that are shown.
    page.fill("#captions-filter", "")
    expect(counts).to_contain_text("3 of 12")
    (pictures / "00.png").unlink()
    expect(counts).to_contain_text("3 of 11")
    shows(page, "01.png", "02.png", "03.png")
    page.reload()
    expect(counts).to_contain_text("3 of 11")
    expect(pick).to_have_attribute("aria-pressed", "true")
    shows(page, "01.png", "02.png", "03.png")
    pick.click()
    expect(counts).to_contain_text("11 pictures")
    page.reload()
    expect(counts).to_contain_text("11 pictures")
    expect(pick).to_be_hidden()


def test_what_is_typed_before_a_suggestion_is_kept(page: Page) -> None:
    page.keyboard.press("Enter")
    page.keyboard.type("hat，lon")
    expect(page.locator(".suggestions li").first).to_contain_text("long hair")
    page.keyboard.press("Tab")
    expect(page.locator(".chip > span")).to_have_text(["cat", "long hair", "tag0", "hat"])


def test_the_keys_of_a_composing_keyboard_are_its_own(page: Page) -> None:
    page.keyboard.press("Enter")
    page.keyboard.type("mao")
    press = """(box, isComposing) => box.dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", isComposing, bubbles: true, cancelable: true }))"""
    page.locator("#captions-add").evaluate(press, True)
    page.wait_for_timeout(200)
    expect(page.locator(".chip")).to_have_count(3)
    page.locator("#captions-add").evaluate(press, False)
    expect(page.locator(".chip > span").last).to_have_text("mao")


def test_a_picture_gets_another_caption(page: Page, pictures: Path) -> None:
    page.keyboard.press("ArrowRight")
    expect(page.locator(".caption-head strong")).to_have_text("01.png")
    page.click('[data-tool="add-line"]')
    expect(page.locator(".caption-lines button[aria-pressed=true]")).to_have_text("Caption 2")
    expect(page.locator(".chip")).to_have_count(0)
    page.keyboard.type("a cat in the sun")
    page.keyboard.press("Enter")
    expect(page.locator(".captions-saved")).to_have_class("captions-saved is-saved")
    assert (pictures / "01.txt").read_text("utf-8") == "cat, long hair, tag1\na cat in the sun"
    page.get_by_role("button", name="Caption 1").click()
    expect(page.locator(".chip")).to_have_count(3)


def test_a_misspelt_tag_is_put_right_by_one_key(page: Page, pictures: Path) -> None:
    page.keyboard.press("Enter")
    page.keyboard.type("lnog hair, hat")
    page.keyboard.press("Enter")
    expect(page.locator(".chip-hint")).to_have_text("→ long hair")
    page.locator('.chip[data-tag="long hair"] .chip-remove').click()
    page.locator('.chip[data-tag="lnog hair"]').focus()
    page.keyboard.press("F7")
    expect(page.locator(".chip > span")).to_have_text(["cat", "tag0", "long hair", "hat"])
    expect(page.locator(".captions-saved")).to_have_class("captions-saved is-saved")
    assert (pictures / "00.txt").read_text("utf-8") == "cat, tag0, long hair, hat"


def test_the_tags_of_several_pictures_are_translated(page: Page, app: App) -> None:
    (app.home / "tags").mkdir(exist_ok=True)
    (app.home / "tags" / "translations.csv").write_text("tag2,第二\n", encoding="utf-8")
    page.keyboard.press("Control+a")
    expect(page.locator('.chip[data-tag="tag2"] .chip-translation')).to_have_text("第二")
