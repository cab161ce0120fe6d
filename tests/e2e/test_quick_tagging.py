"""Tagging in a real browser: one click on the Quick page, and the dialog of the caption page."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny_taggers
from captions_in_browser import opened
from live_app import App
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from backend.runs.layout import list_runs
from backend.runs.processes import processes

sys.path.append(str(Path(__file__).parents[1] / "taggers"))
from hub import Hub, serving  # noqa: E402
from runs.run_helpers import wait_until  # noqa: E402

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]
TAGS = "1girl, saber (fate), fate (series), long hair, ^_^, simple background"
FOLDER = "#quick-data-datasets-path textarea, #quick-data-datasets-path input"
TRIGGER = "#quick-data-trigger_word textarea, #quick-data-trigger_word input"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of twelve pictures; the first four have captions."""
    folder = tmp_path / "my cats 猫"
    (folder / "10_cat").mkdir(parents=True)
    for number in range(12):
        path = folder / f"{number:02}.png"
        Image.new("RGB", (96, 64 + number), (number * 20, 90, 200)).save(path)
        if number < 4:
            path.with_suffix(".txt").write_text(f"mine {number}", encoding="utf-8")
    return folder


def many_more(folder: Path) -> None:
    """Add 400 pictures: to tag all of them takes minutes on any machine, so that nothing ends before it is ended."""
    for number in range(400):
        os.link(folder / "04.png", folder / f"more {number}a.png")


@pytest.fixture
def tagger(app: App) -> Iterator[Callable[..., Path]]:
    """Return a function that puts a tiny tagger where the default one is looked for; it is taken away again."""
    folder = app.home / "models" / "taggers" / "wd-vit-tagger-v3"
    yield lambda **options: tiny_taggers.wd(folder, **options)
    shutil.rmtree(folder, ignore_errors=True)


def choose(page: Page, folder: Path, trigger: str = "") -> Locator:
    """Choose pictures on the Quick page; returns its part that tags."""
    expect(page.locator("#quick-review .quick-review")).to_be_visible()
    page.locator(FOLDER).fill(str(folder))
    page.locator(FOLDER).press("Tab")
    if trigger:
        page.locator(TRIGGER).fill(trigger)
        page.locator(TRIGGER).press("Tab")
    return page.locator("#quick-tagging")


def captions_of(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt"))]


def test_one_click_tags_what_has_no_caption(
    app: App, open_page: OpenPage, pictures: Path, tagger: Callable[..., Path], keep_picture: KeepPicture
) -> None:
    tagger()
    page = open_page(f"{app.url}/en/#train/quick")
    part = choose(page, pictures, "zkz")
    expect(part).to_contain_text("8 of 12 pictures have no caption")
    expect(part).to_contain_text("zkz")
    keep_picture(page, "quick-tag-offer")
    part.get_by_role("button", name="Tag them").dblclick()  # starts once
    expect(part).to_contain_text("Captions written: 8")
    expect(part.get_by_role("button", name="Tag them")).to_have_count(0)
    assert captions_of(pictures) == [f"mine {number}" for number in range(4)] + [f"zkz, {TAGS}"] * 8
    assert len(list((app.home / "runs").glob("2*my-cats*"))) == 1
    expect(page.locator("#quick-pictures")).to_contain_text("12 of 12 have captions")
    keep_picture(page, "quick-tag-done")
    part.get_by_role("button", name="Look at the captions").click()
    expect(page.locator("#captions-folder")).to_have_value(str(pictures))
    tile = page.locator(".caption-tile", has_text="11.png")
    expect(tile.locator(".tile-text")).to_have_text(f"zkz, {TAGS}")
    page.locator("#captions-undo").click()  # the whole run
    expect(tile.locator(".tile-text")).to_have_text("no caption", ignore_case=True)
    expect(page.locator(".captions-saved")).to_have_class(re.compile("is-saved"))
    assert captions_of(pictures) == [f"mine {number}" for number in range(4)]
    page.locator("#captions-redo").click()
    expect(tile.locator(".tile-text")).to_have_text(f"zkz, {TAGS}")


def test_it_shows_how_far_it_is_goes_on_without_the_page_and_stops(
    app: App, open_page: OpenPage, pictures: Path, tagger: Callable[..., Path], keep_picture: KeepPicture
) -> None:
    tagger(batch=1, work=2000)
    many_more(pictures)
    page = open_page(f"{app.url}/en/#train/quick")
    part = choose(page, pictures)
    part.get_by_role("button", name="Tag them").click()
    expect(part).to_contain_text(re.compile(r"[1-9]\d* of 408 pictures · .*(pictures/s|s/picture) · .* left"))
    keep_picture(page, "quick-tag-progress")
    page.reload()
    expect(part).to_contain_text(re.compile(r"\d of 408 pictures"))
    part.get_by_role("button", name="Stop").click()
    expect(part).to_contain_text("Tagging was stopped")
    written = len(captions_of(pictures)) - 4
    assert 0 < written < 408
    expect(part).to_contain_text(f"Captions written: {written}")
    expect(part).to_contain_text(f"{408 - written} of 412 pictures have no caption")
    keep_picture(page, "quick-tag-stopped")


def test_a_tagger_that_cannot_be_had_is_told_in_plain_words(
    app: App, open_page: OpenPage, pictures: Path, keep_picture: KeepPicture
) -> None:
    page = open_page(f"{app.url}/en/#train/quick")
    part = choose(page, pictures)
    expect(part).to_contain_text("downloads are switched off")
    expect(part).to_contain_text(str(app.home / "models" / "taggers" / "wd-vit-tagger-v3"))
    part.get_by_role("button", name="Tag them").click()
    alert = part.get_by_role("alert")
    expect(alert).to_contain_text("Tagging failed.")
    expect(alert).to_contain_text("is not on this computer, and downloads are switched off")
    keep_picture(page, "quick-tag-offline")
    expect(part.get_by_role("button", name="Try again")).to_be_visible()
    tiny_taggers.wd(app.home / "models" / "taggers" / "wd-vit-tagger-v3")  # as the text says
    part.get_by_role("button", name="Try again").click()
    expect(part).to_contain_text("Captions written: 8")
    assert len(captions_of(pictures)) == 12
    shutil.rmtree(app.home / "models" / "taggers")


def test_the_tagger_is_downloaded_once(open_page: OpenPage, pictures: Path, tmp_path: Path) -> None:
    there = tiny_taggers.wd(tmp_path / "there")
    hub = Hub(there, "SmilingWolf/wd-vit-tagger-v3")
    home = tmp_path / "home"
    home.mkdir()
    with serving(hub) as address:
        app = App(home, variables={"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf")})
        app.start()
        try:
            part = choose(open_page(f"{app.url}/en/#train/quick"), pictures)
            expect(part).to_contain_text("(379 MB) is not on this computer yet: it is downloaded once")
            part.get_by_role("button", name="Tag them").click()
            expect(part).to_contain_text("Captions written: 8")
        finally:
            app.close()
    assert len(captions_of(pictures)) == 12
    assert (home / "models" / "taggers" / "wd-vit-tagger-v3" / "model.onnx").is_file()
    assert any(path.endswith("model.onnx") for _, path, _ in hub.asked)


def text_of(page: Page, name: str) -> Locator:
    return page.locator(".caption-tile", has_text=name).locator(".tile-text")


def test_ten_are_previewed_the_selected_are_tagged_and_all_is_taken_back(
    app: App, open_page: OpenPage, pictures: Path, tagger: Callable[..., Path], keep_picture: KeepPicture
) -> None:
    tagger()
    page = opened(open_page(f"{app.url}/en/#captions"), pictures, "00.png")
    page.locator(".caption-tile", has_text="02.png").click()
    page.locator(".caption-tile", has_text="05.png").click(modifiers=["Shift"])
    page.click("#captions-tagging")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Selected pictures")).to_be_checked()
    dialog.get_by_label("All pictures").check()
    dialog.locator("#captions-tagging-form-trigger_word-input").fill("abc")
    page.click("#captions-tagging-preview")
    rows = dialog.locator(".tagging-preview li")
    expect(rows).to_have_count(8)
    expect(rows.first).to_contain_text("04.png")
    expect(rows.first.locator("ins")).to_have_text(f"abc, {TAGS}")
    page.wait_for_function("document.querySelector('.tagging-preview img').naturalWidth > 0")
    keep_picture(page, "captions-tag-preview")
    assert len(captions_of(pictures)) == 4, "a preview writes nothing"
    dialog.get_by_label("Selected pictures").check()
    dialog.locator("#captions-tagging-form-on_existing-input").select_option("append")
    page.click("#captions-tagging-start")
    bar = page.locator(".captions-tagging")
    expect(bar).to_contain_text("Captions written: 4")
    expect(text_of(page, "02.png")).to_have_text(f"abc, mine 2, {TAGS}")
    expect(text_of(page, "05.png")).to_have_text(f"abc, {TAGS}")
    expect(text_of(page, "06.png")).to_have_text("no caption", ignore_case=True)
    keep_picture(page, "captions-tag-done")
    page.reload()
    expect(bar).to_contain_text("Captions written: 4")
    bar.get_by_role("button", name="Undo all of it").click()
    expect(text_of(page, "02.png")).to_have_text("mine 2")
    expect(text_of(page, "05.png")).to_have_text("no caption", ignore_case=True)
    expect(page.locator(".captions-saved")).to_have_class(re.compile("is-saved"))
    assert captions_of(pictures) == [f"mine {number}" for number in range(4)]
    bar.get_by_role("button", name="Close").click()
    expect(bar).to_be_hidden()
    wait_until(lambda: not list((app.home / "runs").glob("2*preview*")))  # previews are thrown away


def test_what_the_filter_shows_is_tagged_on_the_page_and_stops(
    app: App, open_page: OpenPage, pictures: Path, tagger: Callable[..., Path], keep_picture: KeepPicture
) -> None:
    tagger(batch=1, work=2000)
    many_more(pictures)
    page = opened(open_page(f"{app.url}/en/#captions"), pictures, "00.png")
    page.fill("#captions-filter", "untagged")
    expect(page.locator('[data-part="counts"]')).to_contain_text("408 of 412")
    page.click("#captions-tagging")
    expect(page.get_by_role("radio", name="Pictures in the filter")).to_be_checked()
    page.locator("#captions-tagging-form-trigger_word-input").fill("abc")
    page.click("#captions-tagging-start")
    bar = page.locator(".captions-tagging")
    expect(bar).to_contain_text(re.compile(r"[1-9]\d* of 408 pictures · .* left"))
    keep_picture(page, "captions-tag-progress")
    bar.get_by_role("button", name="Stop").click()
    expect(bar).to_contain_text("Tagging was stopped")
    expect(bar.get_by_role("button", name="Undo all of it")).to_be_visible()
    expect(text_of(page, "04.png")).to_have_text(f"abc, {TAGS}")


def test_what_a_run_wrote_before_it_was_killed_is_taken_back_at_once(
    app: App, open_page: OpenPage, pictures: Path, tagger: Callable[..., Path]
) -> None:
    tagger(batch=1, work=2000)
    many_more(pictures)
    page = opened(open_page(f"{app.url}/en/#captions"), pictures, "00.png")
    known = set(list_runs(app.home / "runs"))
    page.click("#captions-tagging")
    page.click("#captions-tagging-start")
    bar = page.locator(".captions-tagging")
    wait_until(lambda: (pictures / "04.txt").is_file())
    (run,) = set(list_runs(app.home / "runs")) - known
    for process in processes(run):
        process.kill()
    expect(bar.get_by_role("alert")).to_contain_text("interrupted from outside")
    expect(text_of(page, "04.png")).to_contain_text(TAGS)
    bar.get_by_role("button", name="Undo all of it").click()
    expect(text_of(page, "04.png")).to_have_text("no caption", ignore_case=True)
    expect(page.locator(".captions-saved")).to_have_class(re.compile("is-saved"))
    assert captions_of(pictures) == [f"mine {number}" for number in range(4)]


def test_a_model_that_is_missing_or_wrong_is_told_where_it_is_chosen(
    app: App, open_page: OpenPage, pictures: Path, keep_picture: KeepPicture
) -> None:
    page = opened(open_page(f"{app.url}/en/#captions"), pictures, "00.png")
    page.click("#captions-tagging")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("is not on this computer, and downloads are switched off")
    page.click("#captions-tagging-preview")
    expect(dialog.get_by_role("alert")).to_contain_text("downloads are switched off")
    keep_picture(page, "captions-tag-offline")
    dialog.get_by_text("More settings").click()
    dialog.locator("#captions-tagging-form-general_threshold-input").fill("7")
    page.click("#captions-tagging-start")
    refused = dialog.locator('.field-error[role="alert"]').last
    expect(refused).to_contain_text("Threshold: 7 is too large")
    expect(refused).to_be_in_viewport()  # though the form is longer than the window
    dialog.locator("#captions-tagging-form-general_threshold-input").fill("0.35")
    page.click("#captions-tagging-start")
    bar = page.locator(".captions-tagging")
    expect(bar.get_by_role("alert")).to_contain_text("downloads are switched off")
    page.keyboard.press("Escape")
    assert len(captions_of(pictures)) == 4
