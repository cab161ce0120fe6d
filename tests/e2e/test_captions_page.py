"""The caption page in a real browser: keyboard, selection, filter, batch, undo, reload, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from captions_in_browser import counts, nobody_looks, opened, saved
from live_app import App
from PIL import Image
from playwright.sync_api import Page, expect

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]
EVIL = "<img src=x onerror=alert(1)>, `${alert(1)}`"


@pytest.fixture
def pictures(app: App, tmp_path: Path) -> Path:
    folder = tmp_path / "my pictures 图"
    (folder / "more").mkdir(parents=True)
    for number in range(24):
        place = folder / ("more" if number % 3 == 2 else "") / f"{number:02}.jpg"
        Image.new("RGB", ((96, 64), (64, 96))[number % 2], (number * 10, 120, 200 - number * 6)).save(place)
        if number:
            text = f"cat, tag{number % 4}, blue_sky" if number != 5 else EVIL
            place.with_suffix(".txt").write_bytes(text.encode())
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, pictures: Path) -> Page:
    return opened(open_page(f"{app.url}/en/#captions"), pictures)


def go_to(page: Page, name: str) -> None:
    page.locator(".caption-tile", has_text=name).click()
    expect(page.locator(".caption-head strong")).to_have_text(name)


def test_a_caption_is_edited_by_keyboard_saved_and_taken_back(page: Page, pictures: Path) -> None:
    counts(page, "24 pictures")
    page.wait_for_function("document.querySelector('.caption-tile img').naturalWidth > 0")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".caption-head strong")).to_have_text("01.jpg")
    page.keyboard.press("Enter")
    page.keyboard.type("new tag, cat")
    page.keyboard.press("Enter")
    expect(page.locator(".chip")).to_have_count(4)
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "cat, tag1, blue_sky, new tag"
    page.keyboard.press("Backspace")
    page.keyboard.press("Alt+Home")
    expect(page.locator(".chip > span").first).to_have_text("new tag")
    saved(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    expect(page.locator(".chip")).to_have_count(3)
    saved(page)
    page.keyboard.press("F2")
    page.keyboard.type("other")
    page.keyboard.press("Enter")
    expect(page.locator(".chip > span").nth(1)).to_have_text("other")
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "new tag, other, blue_sky"
    for _ in range(4):
        page.keyboard.press("Control+z")
    expect(page.locator(".chip > span")).to_have_text(["cat", "tag1", "blue_sky"])
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "cat, tag1, blue_sky"
    page.keyboard.press("Control+y")
    expect(page.locator(".chip > span")).to_have_text(["cat", "tag1", "blue_sky", "new tag"])
    page.locator("#captions-tab-history").click()
    expect(page.locator(".captions-history li")).to_have_count(4)


def test_text_is_saved_while_it_is_typed_and_found_again(page: Page, pictures: Path) -> None:
    go_to(page, "05.jpg" if (pictures / "05.jpg").is_file() else "more/05.jpg")
    expect(page.locator(".caption-editor .chip > span")).to_have_text([tag.strip() for tag in EVIL.split(",")])
    page.get_by_role("button", name="Text", exact=True).click()
    box = page.locator("#captions-text")
    expect(box).to_be_focused()
    expect(box).to_have_value(EVIL)
    box.fill("a cat sits 在窗边")
    saved(page)
    assert next(pictures.rglob("05.txt")).read_text(encoding="utf-8") == "a cat sits 在窗边"
    page.reload()
    expect(page.locator("#captions-folder")).to_have_value(str(pictures))
    expect(page.locator(".caption-tile", has_text="05.jpg").locator(".tile-text")).to_have_text("a cat sits 在窗边")


def test_many_are_selected_as_in_a_file_manager_and_edited_at_once(page: Page, pictures: Path) -> None:
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    counts(page, "3 selected")
    page.locator(".caption-tile", has_text="06.jpg").click(modifiers=["Control"])
    counts(page, "4 selected")
    expect(page.locator(".caption-editor .chip", has_text="cat")).to_contain_text("3 / 4")
    page.locator(".caption-tile", has_text="01.jpg").click()
    page.locator(".caption-tile", has_text="04.jpg").click(modifiers=["Shift"])
    counts(page, re.compile("[34] selected"))
    page.keyboard.press("Control+a")
    counts(page, "24 selected")
    page.keyboard.press("Escape")
    expect(page.locator('[data-part="counts"]')).not_to_contain_text("selected")


def test_changes_from_outside_are_shown_and_never_overwritten(page: Page, pictures: Path) -> None:
    go_to(page, "01.jpg")
    page.keyboard.press("t")
    box = page.locator("#captions-text")
    box.press("End")
    conflict = page.locator(".caption-conflict")
    with nobody_looks(page):
        (pictures / "01.txt").write_text("theirs", encoding="utf-8")
        box.fill("mine")
        expect(conflict).to_contain_text("theirs")
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "theirs"
    conflict.get_by_role("button", name="Write mine").click()
    expect(conflict).to_have_count(0)
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "mine"
    (pictures / "03.txt").write_text("from outside", encoding="utf-8")
    expect(page.locator(".caption-tile", has_text="03.jpg").locator(".tile-text")).to_have_text("from outside")
    Image.new("RGB", (32, 32)).save(pictures / "99.jpg")
    expect(page.locator(".caption-tile", has_text="99.jpg")).to_be_visible()


def test_a_filter_that_is_taken_away_leaves_one_at_what_it_found(page: Page) -> None:
    box = page.locator("#captions-filter")
    box.fill("name:07*")
    counts(page, "1 of 24 pictures")
    expect(page.locator(".caption-head strong")).to_have_text("07.jpg")
    box.fill("")
    counts(page, "24 pictures")
    expect(page.locator(".caption-head strong")).to_have_text("07.jpg")


def test_a_folder_that_is_not_there_or_goes_away_is_said_in_plain_words(
    app: App, open_page: OpenPage, pictures: Path
) -> None:
    page = open_page(f"{app.url}/en/#captions")
    page.fill("#captions-folder", str(pictures / "none"))
    page.press("#captions-folder", "Enter")
    expect(page.locator(".captions-note.is-error")).to_contain_text("There is no folder")
    opened(page, pictures)
    go_to(page, "01.jpg")
    pictures.rename(pictures.with_name("away"))
    page.keyboard.press("Enter")
    page.keyboard.type("kept")
    page.keyboard.press("Enter")
    expect(page.locator(".captions-note.is-error")).to_contain_text("no longer there")
    expect(page.locator(".captions-saved")).to_have_text("Not saved")
    pictures.with_name("away").rename(pictures)
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "cat, tag1, blue_sky, kept"


def test_a_filter_finds_errors_are_shown_at_their_place_and_tags_filter_by_click(page: Page) -> None:
    box = page.locator("#captions-filter")
    box.fill("tag:tag1 and not name:2*")
    counts(page, "4 of 24 pictures")
    box.fill("tag:tag1 and (tag:cat")
    expect(page.locator(".filter-error mark")).to_have_text("(")
    expect(page.locator(".filter-error")).to_contain_text("bracket")
    box.fill("untagged")
    counts(page, "1 of 24 pictures")
    expect(page.locator(".filter-error")).to_be_hidden()
    box.fill("")
    counts(page, re.compile("^24 pictures"))
    page.locator('.tag-main[data-tag="tag1"]').click()
    counts(page, "5 of 24 pictures")
    page.locator('.tag-main[data-tag="cat"]').click(modifiers=["Shift"])
    counts(page, "0 of 24 pictures")
    expect(box).to_have_value('tag:"tag1" and not tag:"cat"')
    page.locator('.tag-main[data-tag="cat"]').click(modifiers=["Shift"])
    page.locator('.tag-main[data-tag="tag1"]').click()
    expect(box).to_have_value("")
    page.locator("#captions-tag-search").fill("sky")
    expect(page.locator(".all-tags .tag-main")).to_have_count(1)
    expect(page.locator(".all-tags .tag-main b")).to_have_text("22")


def test_tags_are_renamed_merged_and_deleted_everywhere(page: Page, pictures: Path) -> None:
    page.get_by_label("Choose tag1").check(force=True)
    page.get_by_label("Choose tag2").check(force=True)
    page.locator("[data-tool=rename]").click()
    page.locator("#captions-asked").fill("merged")
    page.keyboard.press("Enter")
    expect(page.locator(".captions-note")).to_contain_text("11 captions changed")
    expect(page.locator('.tag-main[data-tag="merged"] b')).to_have_text("11")
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "cat, merged, blue_sky"
    page.get_by_label("Choose cat", exact=True).check(force=True)
    page.locator("[data-tool=delete]").click()
    expect(page.locator('.tag-main[data-tag="cat"]')).to_have_count(0)
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "merged, blue_sky"
    page.locator("[data-tool=undo-done]").click()
    expect(page.locator('.tag-main[data-tag="cat"] b')).to_have_text("22")
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "cat, merged, blue_sky"


def top_of(page: Page, selector: str) -> float:
    box = page.locator(selector).bounding_box()
    assert box
    return box["y"]


@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (1024, "zh-CN")])
def test_the_list_of_tags_stays_where_it_is_as_tags_are_ticked_and_nothing_lies_over_another(
    app: App, open_page: OpenPage, pictures: Path, width: int, language: str
) -> None:
    page = opened(open_page(f"{app.url}/{language}/#captions", width=width, height=700), pictures)
    expect(page.locator(".all-tags input").first).to_be_visible()
    before = top_of(page, ".all-tags")
    page.locator(".all-tags input").nth(0).check(force=True)
    expect(page.locator("[data-tool=rename]")).to_be_visible()
    assert top_of(page, ".all-tags") == before
    page.locator(".all-tags input").nth(1).check(force=True)
    expect(page.locator(".all-tags .is-chosen")).to_have_count(2)
    assert top_of(page, ".all-tags") == before
    page.locator("[data-part=hints] summary").click()
    page.locator("[data-part=likeness] summary").click()
    expect(page.locator("[data-tool=look]")).to_be_attached()
    low = page.locator(".highlight-box").bounding_box()
    body = page.locator(".captions-body").bounding_box()
    assert low and body and low["y"] + low["height"] <= body["y"] + body["height"] + 1


def test_a_batch_says_what_it_will_change_before_it_does(page: Page, pictures: Path) -> None:
    page.locator("#captions-filter").fill("not tag:tag1")
    counts(page, "19 of 24 pictures")
    page.locator("#captions-tab-batch").click()
    page.locator("#captions-operation").select_option("add")
    page.locator("#captions-batch-tags").fill("animal, cat")
    page.locator("#captions-batch-position").select_option("start")
    page.locator("#captions-scope").select_option("shown")
    expect(page.locator(".batch-count")).to_have_text("Changes 19 of 19 captions")
    example = page.locator(".batch-examples li", has_text="03.jpg")
    expect(example.locator("ins")).to_have_text("animal")
    page.locator("#captions-apply").click()
    expect(page.locator(".captions-note")).to_contain_text("19 captions changed")
    saved(page)
    assert (pictures / "00.txt").read_text(encoding="utf-8") == "animal, cat"
    assert (pictures / "03.txt").read_text(encoding="utf-8") == "animal, cat, tag3, blue_sky"
    expect(page.locator(".batch-count")).to_have_text("Changes none of 19 captions")
    page.locator("#captions-undo").click()
    expect(page.locator(".captions-note")).to_contain_text("Undone")
    saved(page)
    assert not (pictures / "00.txt").exists()


def test_tags_are_dragged_and_pasted_and_captions_copied(page: Page, pictures: Path) -> None:
    go_to(page, "01.jpg")
    page.locator('.chip[data-tag="blue_sky"]').drag_to(
        page.locator('.chip[data-tag="cat"]'), target_position={"x": 4, "y": 10}
    )
    expect(page.locator(".chip > span")).to_have_text(["blue_sky", "cat", "tag1"])
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "blue_sky, cat, tag1"
    paste = """text => {
        const data = new DataTransfer();
        data.setData("text/plain", text);
        const paste = new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
        document.getElementById("captions-grid").dispatchEvent(paste);
    }"""
    page.locator("#captions-grid").focus()
    page.keyboard.press("Shift+ArrowRight")
    counts(page, "2 selected")
    page.evaluate(paste, "pasted, cat\nthird")
    expect(page.locator(".captions-note")).to_contain_text("2 captions changed")
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "blue_sky, cat, tag1, pasted, third"


def test_several_captions_of_a_picture_stay_lines(page: Page, pictures: Path) -> None:
    (pictures / "03.txt").write_bytes(b"one, two\r\nthree\r\n")
    expect(page.locator(".caption-tile", has_text="03.jpg").locator(".tile-text")).to_contain_text("one, two")
    go_to(page, "03.jpg")
    page.get_by_role("button", name="Caption 2").click()
    expect(page.locator(".chip > span")).to_have_text(["three"])
    expect(page.locator(".caption-lines-help")).to_contain_text("reads all lines as one caption")
    page.get_by_role("button", name="Draw one each time").click()
    expect(page.locator(".caption-lines-help")).to_contain_text("draws one of these captions each time")
    page.locator("#captions-add").fill("four")
    page.keyboard.press("Enter")
    saved(page)
    assert (pictures / "03.txt").read_bytes() == b"one, two\r\nthree, four\r\n"


def test_suggestions_come_from_the_folders_own_tags(page: Page) -> None:
    go_to(page, "00.jpg")
    page.keyboard.press("Enter")
    page.keyboard.type("blu")
    expect(page.locator(".suggestions li").first).to_contain_text("blue_sky")
    page.keyboard.press("Tab")
    expect(page.locator(".chip > span")).to_have_text(["blue_sky"])
    expect(page.locator("#captions-add")).to_be_focused()
    page.keyboard.press("Alt+PageDown")
    expect(page.locator(".caption-head strong")).to_have_text("01.jpg")
    expect(page.locator("#captions-add")).to_be_focused()


def test_the_large_view_is_left_and_walked_through_by_keys(page: Page) -> None:
    page.keyboard.press("v")
    expect(page.locator(".captions-root.is-large .caption-picture img")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".caption-head strong")).to_have_text("01.jpg")
    page.keyboard.press("Escape")
    expect(page.locator("#captions-grid")).to_be_focused()


@pytest.fixture
def untagged(tmp_path: Path) -> Path:
    folder = tmp_path / "new pictures"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (48, 48), (number * 20, number * 20, number * 20)).save(folder / f"{number:02}.png")
    return folder


def test_a_folder_is_tagged_with_one_click_corrected_and_found_as_left(
    app: App, open_page: OpenPage, untagged: Path, tmp_path: Path
) -> None:
    tiny_taggers = pytest.importorskip("tiny_taggers", reason="onnx is not installed")
    model = tiny_taggers.wd(tmp_path / "tiny-wd")
    page = open_page(f"{app.url}/en/#captions")
    page.fill("#captions-folder", str(untagged))
    page.press("#captions-folder", "Enter")
    counts(page, "12 pictures")
    page.locator("#captions-tagging").click()
    page.locator("#captions-tagging-form-model-input").fill(str(model))
    page.locator("#captions-tagging-form-trigger_word-input").fill("zkz")
    page.locator("#captions-tagging-form-general_threshold-input").fill("0.01")
    page.locator("#captions-tagging-start").click()
    expect(page.locator('.tag-main[data-tag="zkz"] b')).to_have_text("12")
    page.locator("#captions-filter").fill("tag:zkz name:0*")
    counts(page, "10 of 12 pictures")
    page.locator("#captions-tab-batch").click()
    page.locator("#captions-operation").select_option("replace")
    page.locator("#captions-batch-find").fill("zkz")
    page.locator("#captions-batch-replacement").fill("abc")
    page.locator("#captions-batch-mode").select_option("tag")
    page.locator("#captions-scope").select_option("shown")
    expect(page.locator(".batch-count")).to_have_text("Changes 10 of 10 captions")
    page.locator("#captions-apply").click()
    expect(page.locator(".captions-note")).to_contain_text("10 captions changed")
    page.locator("#captions-filter").fill("")
    counts(page, re.compile("^12 pictures"))
    page.locator("#captions-grid").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(page.locator(".chip", has_text="by hand")).to_be_visible()
    saved(page)
    page.keyboard.press("Control+z")
    expect(page.locator(".chip", has_text="by hand")).to_have_count(0)
    saved(page)
    texts = {path.name: path.read_text(encoding="utf-8") for path in untagged.glob("*.txt")}
    assert len(texts) == 12 and sum(text.startswith("abc") for text in texts.values()) == 10
    page.reload()
    counts(page, "12 pictures")
    expect(page.locator('.tag-main[data-tag="abc"] b')).to_have_text("10")
    expect(page.locator("#captions-redo")).to_be_enabled()
    assert {path.name: path.read_text(encoding="utf-8") for path in untagged.glob("*.txt")} == texts


@pytest.mark.parametrize(("width", "language"), [(390, "zh-CN"), (1024, "en"), (1280, "zh-CN"), (1920, "en")])
def test_every_pane_fits_the_window(
    app: App, open_page: OpenPage, pictures: Path, keep_picture: KeepPicture, width: int, language: str
) -> None:
    page = opened(open_page(f"{app.url}/{language}/#captions", width=width, dark=width in (390, 1280)), pictures)
    page.locator(".caption-tile").nth(2).click()
    for tab in ("batch", "history", "picture"):
        if width == 390:
            page.locator("[data-go=side]").click()
        page.locator(f"#captions-tab-{tab}").click()
        page.wait_for_timeout(200)
        assert not page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), tab
    if width == 390:
        for pane in ("tags", "grid"):
            page.locator(f"[data-go={pane}]").click()
            assert not page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), (
                pane
            )
    keep_picture(page, f"captions-{language}-{width}")


def within(page: Page, part: str) -> None:
    """Expect a part of the page to be wide enough, and to hold what can be pressed in it."""
    edges = page.locator(part).bounding_box()
    assert edges and edges["width"] > 280
    for control in page.locator(f"{part} :is(button, select, input):visible:not(.all-tags *)").all():
        box = control.bounding_box()
        assert box and edges["x"] - 1 <= box["x"] and box["x"] + box["width"] <= edges["x"] + edges["width"] + 1


@pytest.mark.parametrize(("width", "language"), [(768, "zh-CN"), (900, "en"), (960, "en")])
def test_parts_of_a_window_of_middling_width_lie_beside_one_another(
    app: App, open_page: OpenPage, pictures: Path, width: int, language: str
) -> None:
    page = opened(open_page(f"{app.url}/{language}/#captions", width=width), pictures)
    page.keyboard.press("Control+a")
    expect(page.locator('[data-part="pick"]')).to_be_visible()
    within(page, ".captions-middle")
    within(page, ".captions-right")
    if width < 960:
        page.locator("[data-go=tags]").click()
        expect(page.locator(".captions-middle")).to_be_hidden()
        within(page, ".captions-left")
        within(page, ".captions-right")
