"""Pictures that are recorded as turned and cut, and masks that nobody uses, on the Data and Quick pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from live_app import App
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from backend.config import presets
from backend.data.picture_edits import EDIT_SUFFIX, PictureEdit, edit_text
from ui import quick_plan

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]


@pytest.fixture
def pictures(app: App) -> Path:
    """Three pictures: one is turned and cut, one has a mask, what is recorded of the third is damaged."""
    folder = app.home / "pictures"
    folder.mkdir(exist_ok=True)
    for number in range(3):
        image = Image.new("RGB", (160, 120), (40, 90 * number, 120))
        ImageDraw.Draw(image).ellipse((10, 10, 90, 110), fill=(230, 200, 40))
        image.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"zkz, number {number}", encoding="utf-8")
    cut = edit_text(PictureEdit(rotate=90, crop=(0, 0, 96, 96), size=(120, 160)))
    (folder / f"0.png{EDIT_SUFFIX}").write_text(cut or "", encoding="utf-8")
    Image.new("L", (160, 120), 255).save(folder / "1-masklabel.png")
    (folder / f"2.png{EDIT_SUFFIX}").write_text("{damaged", encoding="utf-8")
    return folder


@pytest.fixture
def started(app: App, pictures: Path) -> App:
    app.close()
    rows = [{"path": str(pictures), "trigger_word": "zkz"}]
    data = quick_plan.with_values(quick_plan.demo(), {"data.datasets": rows})
    (app.home / "draft.toml").write_text(presets.to_toml(data), encoding="utf-8")
    app.start()
    return app


def mask_setting(app: App) -> str:
    return str(presets.read(app.home / "draft.toml")["data"]["datasets"][0].get("mask", "none"))


def test_the_data_page_shows_them_as_trained_and_uses_masks_with_one_click(
    started: App, open_page: OpenPage, keep_picture: KeepPicture
) -> None:
    page = open_page(f"{started.url}/en/#data")
    expect(page.locator('[data-card="0"]')).to_contain_text("2 pictures")
    first = page.locator('[data-card="0"] img').first
    assert first.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [96, 96]
    unusable = page.locator('.finding[data-code="edits_unusable"]')
    expect(unusable).to_contain_text("2.png")
    unused = page.locator('.finding[data-code="masks_unused"]')
    expect(unused).to_contain_text("1.png")
    keep_picture(page, "data-recorded")
    unused.locator(".is-fix").click()
    expect(unused).to_have_count(0)
    assert mask_setting(started) == "file"
    page.locator("[data-tool=undo]").click()
    expect(unused).to_be_visible()
    assert mask_setting(started) == "none"


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_quick_page_uses_masks_with_one_click(
    started: App, open_page: OpenPage, keep_picture: KeepPicture, language: str
) -> None:
    page = open_page(f"{started.url}/{language}/#quick", locale=language, dark=language != "en")
    button = page.locator('[data-fix="masks"]').first
    expect(button).to_be_visible()
    keep_picture(page, f"quick-masks-{language}")
    button.click()
    expect(page.locator('[data-fix="masks"]')).to_have_count(0)
    assert mask_setting(started) == "file"
