"""The caption page as somebody uses it all day: others write into the folder, one leaves in the middle of a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from captions_in_browser import counts, opened, saved
from live_app import App
from PIL import Image
from playwright.sync_api import Page, expect

OpenPage = Callable[..., Page]


@pytest.fixture
def pictures(app: App, tmp_path: Path) -> Path:
    folder = tmp_path / "daily work"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (64, 64), (number * 20, 90, 90)).save(folder / f"{number:02}.jpg")
        if number not in (4, 9):
            text = f"one, two, three, n{number}"
            (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, pictures: Path) -> Page:
    return opened(open_page(f"{app.url}/en/#captions"), pictures)


def go_to(page: Page, number: int) -> None:
    page.locator(".caption-tile", has_text=f"{number:02}.jpg").click()
    expect(page.locator(".caption-head strong")).to_have_text(f"{number:02}.jpg")


def write_outside(page: Page, path: Path, text: str) -> None:
    """Write a caption as another program does, and wait until the grid shows it."""
    path.write_text(text, encoding="utf-8")
    tile = page.locator(".caption-tile", has_text=path.stem).locator(".tile-text")
    expect(tile).to_have_text(text)


def test_what_others_write_comes_into_the_text_box_and_is_not_overwritten(page: Page, pictures: Path) -> None:
    go_to(page, 1)
    page.keyboard.press("t")
    box = page.locator("#captions-text")
    expect(box).to_be_focused()
    write_outside(page, pictures / "01.txt", "theirs, new")
    expect(box).to_have_value("theirs, new")
    box.press("End")
    page.keyboard.type(", mine")
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "theirs, new, mine"


def test_a_tag_is_found_where_it_is_when_others_changed_the_caption(page: Page, pictures: Path) -> None:
    go_to(page, 1)
    page.locator('.chip[data-tag="three"]').dblclick()
    write_outside(page, pictures / "01.txt", "zero, one, two, three")
    page.keyboard.type("drei")
    page.keyboard.press("Enter")
    expect(page.locator(".chip > span")).to_have_text(["zero", "one", "two", "drei"])
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "zero, one, two, drei"
    page.locator("#captions-add").fill("half")
    write_outside(page, pictures / "01.txt", "more, zero, one, two, drei")
    expect(page.locator(".chip > span")).to_have_text(["more", "zero", "one", "two", "drei"])
    expect(page.locator("#captions-add")).to_have_value("half")
    page.locator('.chip[data-tag="one"] .chip-remove').click()
    expect(page.locator(".chip > span")).to_have_text(["more", "zero", "two", "drei"])
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "more, zero, two, drei"


def test_nothing_typed_is_lost_when_one_goes_on_or_leaves(page: Page, pictures: Path) -> None:
    go_to(page, 1)
    page.locator("#captions-add").fill("half a t")
    go_to(page, 2)
    expect(page.locator("#captions-add")).to_have_value("half a t")
    page.locator('.chip[data-tag="three"]').dblclick()
    page.keyboard.type("drei")
    page.reload()
    expect(page.locator(".caption-tile", has_text="02.jpg").locator(".tile-text")).to_have_text("one, two, drei, n2")
    expect(page.locator("#captions-add")).to_have_value("half a t")
    saved(page)
    assert (pictures / "02.txt").read_text(encoding="utf-8") == "one, two, drei, n2"


def test_who_types_goes_on_in_the_same_picture_when_others_come(page: Page, pictures: Path) -> None:
    go_to(page, 1)
    page.keyboard.press("t")
    page.locator("#captions-text").press("Home")
    page.keyboard.type("first, ")
    Image.new("RGB", (64, 64)).save(pictures / "000.jpg")
    counts(page, "13 pictures")
    expect(page.locator(".caption-head strong")).to_have_text("01.jpg")
    page.keyboard.type("second, ")
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "first, second, one, two, three, n1"
    page.locator("#captions-text").press("Escape")
    page.keyboard.press("t")
    page.locator('.chip[data-tag="two"]').dblclick()
    page.keyboard.type("zw")
    Image.new("RGB", (64, 64)).save(pictures / "001.jpg")
    counts(page, "14 pictures")
    page.keyboard.type("ei")
    page.keyboard.press("Enter")
    expect(page.locator(".chip > span")).to_have_text(["first", "second", "one", "zwei", "three", "n1"])
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "first, second, one, zwei, three, n1"


def test_lines_that_are_pasted_are_tags(page: Page, pictures: Path) -> None:
    go_to(page, 1)
    page.locator("#captions-add").focus()
    page.evaluate(
        """text => {
            const data = new DataTransfer();
            data.setData("text/plain", text);
            const paste = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
            document.activeElement.dispatchEvent(paste);
        }""",
        "red hair,\nblue eyes\r\n\r\nsmall hat",
    )
    expect(page.locator("#captions-add")).to_have_value("red hair, blue eyes, small hat")
    page.keyboard.press("Enter")
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "one, two, three, n1, red hair, blue eyes, small hat"


def test_a_tag_of_the_selected_pictures_is_renamed_in_all_of_them(page: Page, pictures: Path) -> None:
    go_to(page, 1)
    page.locator(".caption-tile", has_text="03.jpg").click(modifiers=["Shift"])
    page.locator('.chip[data-tag="two"]').focus()
    page.keyboard.press("F2")
    page.keyboard.type("deux, three")
    page.keyboard.press("Enter")
    expect(page.locator(".captions-note")).to_contain_text("3 captions")
    expect(page.locator('.chip[data-tag="deux"]')).to_be_visible()
    saved(page)
    texts = [(pictures / f"{number:02}.txt").read_text(encoding="utf-8") for number in (1, 3, 5)]
    assert texts == ["one, deux, three, n1", "one, deux, three, n3", "one, two, three, n5"]


def test_one_goes_to_pictures_without_captions_and_filters_by_a_tag_of_the_caption(page: Page) -> None:
    page.locator("#captions-grid").focus()
    for key, name in (("n", "04.jpg"), ("n", "09.jpg"), ("n", "04.jpg"), ("Shift+N", "09.jpg")):
        page.keyboard.press(key)
        expect(page.locator(".caption-head strong")).to_have_text(name)
    go_to(page, 1)
    page.locator('.chip[data-tag="n1"]').focus()
    page.keyboard.press("f")
    counts(page, "1 of 12 pictures")
    expect(page.locator("#captions-filter")).to_have_value('tag:"n1"')
    page.keyboard.press("n")
    page.locator("#captions-grid").focus()
    page.keyboard.press("n")
    expect(page.locator(".captions-note")).to_contain_text("Every picture shown has a caption")


def test_ctrl_click_that_leaves_one_picture_shows_that_one(page: Page) -> None:
    go_to(page, 1)
    for _ in range(2):
        page.locator(".caption-tile", has_text="03.jpg").click(modifiers=["Control"])
    counts(page, "1 selected")
    expect(page.locator(".caption-head strong")).to_have_text("01.jpg")


def test_a_click_on_a_tag_counts_though_others_write_while_the_button_is_down(page: Page, pictures: Path) -> None:
    go_to(page, 1)
    page.locator('.chip[data-tag="two"] .chip-remove').hover()
    page.mouse.down()
    write_outside(page, pictures / "01.txt", "one, two, three, theirs")
    page.mouse.up()
    expect(page.locator(".chip > span")).to_have_text(["one", "three", "theirs"])
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "one, three, theirs"


def test_each_tab_keeps_what_it_could_not_save_for_itself(app: App, page: Page, pictures: Path) -> None:
    go_to(page, 1)
    away = pictures.with_name("away")
    pictures.rename(away)
    page.locator("#captions-add").fill("kept")
    page.keyboard.press("Enter")
    expect(page.locator(".captions-note.is-error")).to_contain_text("no longer there")
    other = page.context.new_page()
    other.goto(f"{app.url}/en/#captions")
    second = pictures.with_name("second")
    second.mkdir()
    Image.new("RGB", (64, 64)).save(second / "second.jpg")
    opened(other, second, "second.jpg")
    other.locator("#captions-add").fill("elsewhere")
    other.keyboard.press("Enter")
    saved(other)
    away.rename(pictures)
    page.close()
    opened(other, pictures)
    expect(other.locator(".caption-tile", has_text="01.jpg").locator(".tile-text")).to_have_text(
        "one, two, three, n1, kept"
    )
    saved(other)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "one, two, three, n1, kept"


def name_of(tab: Page) -> str:
    """Return what a tab calls itself when it next asks what is new."""
    with tab.expect_request(lambda asked: '"fn_name":"poll"' in (asked.post_data or "")) as asking:
        pass
    return str(asking.value.post_data_json["data"]["tab"])


def test_a_duplicated_tab_is_another_one_and_a_reloaded_one_is_not(page: Page) -> None:
    with page.expect_popup() as duplicating:  # with a copy of what is stored, as the browser's own command makes one
        page.evaluate("window.open(location.href)")
    duplicate, name = duplicating.value, name_of(page)
    assert name_of(duplicate) != name
    expect(page.locator(".captions-note")).to_contain_text("open in another tab")
    duplicate.close()
    page.reload()
    assert name_of(page) == name
