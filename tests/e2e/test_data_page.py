"""The Data page in a real browser: the demo data set, its report, a fix, and a run that starts from there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from live_app import App, train_for_long
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from backend.config import presets
from ui import quick_plan

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]
EVIL = "<img src=x onerror=alert(1)>, `${alert(1)}`, tag"


@pytest.fixture(scope="module")
def pictures(app: App) -> Path:
    folder = app.home / "my pictures 图"
    folder.mkdir()
    for number in range(30):
        width, height = ((64, 64), (96, 48), (48, 96))[number % 3]
        image = Image.new("RGB", (width, height), (number * 8, 120, 200 - number * 6))
        draw = ImageDraw.Draw(image)
        draw.ellipse((number, number, number + 25, number + 20), fill=(255 - number * 8, 40, 90))
        image.save(folder / f"{number:02}.png")
        if number:
            (folder / f"{number:02}.txt").write_text(f"{EVIL}, tag{number % 5}", encoding="utf-8")
    (folder / "29.png").write_bytes((folder / "00.png").read_bytes())
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, pictures: Path) -> Page:
    """Open the page with a data set that has something to find: as TOML on the Expert page, which takes no restart."""
    rows = [{"path": str(pictures), "num_repeats": 2, "trigger_word": "zkz"}]
    data = quick_plan.with_values(quick_plan.demo(), {"data.datasets": rows, "data.enable_bucket": False})
    opened = open_page(f"{app.url}/en/#train/expert")
    opened.locator("#panel-tab-toml").click()
    opened.locator("#expert-toml").fill(presets.to_toml(data))
    opened.locator("#expert-toml-apply").click()
    expect(opened.locator('#expert [data-part="message"]')).to_have_text("Taken over.")
    opened.evaluate("location.hash = 'data'")
    expect(opened.locator(".data-facts dd").first).to_have_text("30")
    return opened


def draft(app: App) -> dict:
    return presets.read(app.home / "draft.toml")


def row(app: App, index: int = 0) -> dict:
    return draft(app)["data"]["datasets"][index]


def test_the_demo_is_opened_mended_and_started(app: App, open_page: OpenPage, keep_picture: KeepPicture) -> None:
    page = open_page(f"{app.url}/en/#data")
    page.locator("#data-example").click()
    expect(page.locator(".data-arithmetic")).to_contain_text("330 steps")
    expect(page.locator('[data-card="0"]')).to_contain_text("22 pictures")
    page.locator("#data-look").click()
    alike = page.locator('.finding[data-code="images_alike"]')
    expect(alike).to_be_visible()
    keep_picture(page, "data-demo")
    alike.locator(".is-fix").click()
    expect(page.locator('#page-data [data-part="note"]')).to_contain_text("Left out")
    expect(page.locator('[data-card="0"]')).to_contain_text("21 pictures")
    assert len(row(app)["exclude"]) == 1
    page.locator("[data-tool=undo]").click()
    expect(page.locator('[data-card="0"]')).to_contain_text("22 pictures")
    alike.locator(".is-fix").click()
    expect(page.locator('[data-card="0"]')).to_contain_text("21 pictures")
    train_for_long(page)
    page.evaluate("location.hash = 'data'")
    page.locator("#data-start").click()
    expect(page.locator("#page-runs")).to_be_visible()
    expect(page.locator("#runs-head")).to_contain_text("zkz-demo")
    expect(page.locator("#runs-head")).to_contain_text(re.compile(r"\b\d+ ?/ ?\d+"))
    page.locator('#runs-head [data-action="stop"]').click()
    expect(page.locator("#runs-head")).to_contain_text("Stopped")


def test_findings_name_their_pictures_and_lead_to_the_parameter(page: Page) -> None:
    missing = page.locator('.finding[data-code="captions_missing"]')
    expect(missing.locator(".level")).to_have_text("Warning")
    missing.locator("[aria-expanded]").click()
    expect(missing.locator("ol li")).to_have_text(["my pictures 图/00.png"])
    missing.locator("ol button").click()
    expect(page.locator(".preview-dialog .draws li")).to_have_count(12)
    page.keyboard.press("Escape")
    expect(page.locator(".preview-dialog")).to_have_count(0)


def test_plots_and_tags_lead_to_their_pictures(page: Page, keep_picture: KeepPicture) -> None:
    page.locator("#data-tab-numbers").click()
    bar = page.locator(".bar-plot").nth(1).locator("[role=button]").first
    bar.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#data-page .gallery li")).to_have_count(9)
    expect(page.locator(".crop-picture i")).to_have_count(10)
    kept = page.locator(".crop-picture").first
    assert kept.locator("i").bounding_box()["width"] < kept.bounding_box()["width"] * 0.6
    page.locator(".bucket-row").first.click()
    expect(page.locator(".bucket-list .picture-row img").first).to_be_visible()
    keep_picture(page, "data-numbers")
    page.locator("#data-tab-captions").click()
    page.locator("#data-page").get_by_label("Search tags").fill("tag3")
    expect(page.locator("#data-page .tag-list li")).to_have_count(1)
    page.locator("#data-page .tag-list button").click()
    expect(page.locator("#data-page .gallery-host b", has_text="tag3")).to_be_visible()
    image = page.locator("#data-page .gallery img").first
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_captions_are_shown_as_text_and_counted_against_the_limit(page: Page) -> None:
    page.locator("#data-tab-captions").click()
    page.locator("#data-page").get_by_label("Search names and captions").fill("07")
    expect(page.locator("#data-page .gallery li")).to_have_count(1)
    page.locator("#data-page .gallery button").click()
    dialog = page.locator(".preview-dialog")
    expect(dialog.locator(".preview-text").first).to_have_text(f"{EVIL}, tag2")
    expect(dialog.locator(".draws li").first).to_contain_text("zkz, <img")
    expect(dialog.locator(".draws b").first).to_contain_text(re.compile(r"\d+ / 75 tokens"))
    dialog.get_by_role("button", name="Leave this picture out").click()
    expect(page.locator('[data-card="0"]')).to_contain_text("29 pictures")


def test_data_sets_are_handled_as_cards(page: Page, app: App) -> None:
    page.locator('[data-card="0"] .card-open').click()
    page.locator("[data-tool=duplicate]").click()
    expect(page.locator(".data-card strong")).to_have_text(["All data sets", "my pictures 图", "my pictures 图 (copy)"])
    page.locator("[data-tool=up]").click()
    expect(page.locator(".data-card strong").nth(1)).to_have_text("my pictures 图 (copy)")
    page.locator("[data-tool=enabled]").click()
    expect(page.locator("[data-tool=enabled]")).to_have_text("Off")
    assert row(app)["enabled"] is False
    page.locator("[data-tool=remove]").click()
    expect(page.locator(".data-card")).to_have_count(2)
    page.locator("[data-tool=undo]").click()
    expect(page.locator(".data-card")).to_have_count(3)


def test_the_settings_of_a_data_set_are_the_rows_of_the_expert_page(page: Page, app: App) -> None:
    page.locator('[data-card="0"] .card-open').click()
    page.locator("#data-tab-settings").click()
    repeats = page.locator("#data-row-0-num_repeats-input")
    expect(repeats).to_have_value("2")
    repeats.fill("0.5")
    repeats.press("Tab")
    expect(page.locator('[data-card="0"]')).to_contain_text("15 samples")
    page.locator("#data-page [data-group=rules] summary").click()
    crop = page.locator("#data-row-0-crop-input")
    expect(crop.locator("option").first).to_have_text("as general: centre")
    crop.select_option("corner")
    expect(page.locator("#data-page [data-group=rules] summary b")).to_have_text("2")
    assert row(app)["crop"] == "corner" and row(app)["num_repeats"] == 0.5
    page.evaluate("location.hash = 'train/expert'")
    expect(page.locator("#data-datasets-0-num_repeats-input")).to_have_value("0.5")


def test_a_new_data_set_is_filled_in_at_once(page: Page, app: App, pictures: Path) -> None:
    page.locator("#data-add").click()
    box = page.locator("#data-row-1-path-input")
    expect(box).to_be_focused()
    box.fill(str(pictures))
    box.press("Tab")
    expect(page.locator('[data-card="1"]')).to_contain_text("30 pictures")
    expect(page.locator(".data-facts dd").first).to_have_text("30")
    page.locator('[data-card="all"] .card-open').click()
    expect(page.locator(".data-facts dd").first).to_have_text("60")


def test_code_is_confirmed_with_its_hash(page: Page, app: App) -> None:
    code = app.home / "repeats.py"
    code.write_text("def num_repeats(img_key, img_md, **kwargs):\n    return 4\n", encoding="utf-8")
    page.locator('[data-card="0"] .card-open').click()
    page.locator("#data-tab-settings").click()
    page.locator("#data-page [data-group=more] summary").click()
    page.locator("#data-row-0-code_path-input").fill(str(code))
    page.locator("#data-row-0-code_path-input").press("Tab")
    box = page.locator(".data-code")
    expect(box).to_contain_text(str(code))
    expect(box).to_contain_text(re.compile(r"sha256 [0-9a-f]{64}"))
    expect(box).to_contain_text("executes code")
    page.locator("#data-start").click()
    expect(page.locator('#page-data [data-part="note"].is-error')).to_be_visible()
    page.locator("[data-tool=trust]").click()
    expect(box).to_contain_text("You have confirmed")
    expect(page.locator('[data-card="0"]')).to_contain_text("120 samples")


def test_warnings_are_confirmed_in_our_own_dialog_everywhere(page: Page, app: App) -> None:
    dialog = page.locator(".start-dialog")
    for place, start in (("data", "#data-start"), ("train/expert", "#expert-start"), ("train/quick", "#quick-start")):
        page.evaluate("place => (location.hash = place)", place)
        page.locator(start).click()
        expect(dialog).to_be_visible()
        expect(dialog).to_contain_text("00.png")
        dialog.get_by_role("button", name="Back").click()
        expect(dialog).to_be_hidden()
        page.wait_for_timeout(1200)
    before = len(list(app.home.glob("runs/2*")))
    page.evaluate("location.hash = 'train/expert'")
    page.locator("#expert-queue").click()
    dialog.get_by_role("button", name="Start anyway").click()
    expect(page.locator('#expert [data-part="message"]')).to_contain_text("queue")
    assert len(list(app.home.glob("runs/2*"))) == before + 1


@pytest.mark.parametrize("width", [1024, 1280])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_tab_fits_the_window(app: App, open_page: OpenPage, page: Page, width: int, language: str) -> None:
    opened = open_page(f"{app.url}/{language}/#data", width=width, dark=width == 1024)
    expect(opened.locator(".data-facts dd").first).to_have_text("30")
    opened.locator('[data-card="0"] .card-open').click()
    for tab in ("findings", "numbers", "captions", "settings"):
        opened.locator(f"#data-tab-{tab}").click()
        opened.wait_for_timeout(300)
        assert not opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), tab


def test_rules_of_all_data_sets_are_set_beside_the_report(page: Page, app: App) -> None:
    page.locator("#data-tab-settings").click()
    page.locator("#data-page [data-group=rules] summary").click()
    page.locator("#data-all-crop-input").select_option("corner")
    expect(page.locator("#data-page [data-group=rules] summary b")).to_have_text("2")
    assert draft(app)["data"]["crop"] == "corner" and draft(app)["data"]["enable_bucket"] is False
    page.locator("#data-all-keep_tokens-input").fill("many")
    page.locator("#data-all-keep_tokens-input").press("Tab")
    expect(page.locator('#data-page [data-part="problems"]')).to_contain_text("many")
