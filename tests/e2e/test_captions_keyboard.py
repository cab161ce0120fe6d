"""The caption page by the keyboard alone, and for those who do not see it, use fingers, or set their own colours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from captions_in_browser import counts, opened, saved
from live_app import App
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

OpenPage = Callable[..., Page]
SECOND = 1000
# Notes whenever nothing has the focus for longer than it takes to draw.
WATCH_FOCUS = """() => {
    window.lostFocus = [];
    let frames = 0;
    let last = "";
    const look = () => {
        const { activeElement: active, body } = document;
        frames = active && active !== body ? 0 : frames + 1;
        if (!frames) last = active.outerHTML.slice(0, 90);
        if (frames === 4) window.lostFocus.push(last);
        requestAnimationFrame(look);
    };
    look();
}"""
# What a composing keyboard sends: Safari tells of the last key only by its code.
COMPOSING = [{"isComposing": True}, {"keyCode": 229}]
PRESS = """(node, [key, more]) => node.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }))"""
OUTLINE = """() => {
    const { activeElement: node, body } = document;
    const { outlineStyle, outlineWidth } = getComputedStyle(node);
    const isSeen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    return [node === body ? "" : node.outerHTML.slice(0, 120), isSeen];
}"""
# Whatever a finger may miss, with its size; what hangs over it counts, too. Stars stand side by side.
TARGETS = """() => {
    const size = (node) => {
        const box = node.getBoundingClientRect();
        const over = getComputedStyle(node, "::before");
        const [more, high] = over.position === "absolute" ? [parseFloat(over.width), parseFloat(over.height)] : [0, 0];
        return [Math.max(box.width, more), Math.max(box.height, high)];
    };
    const isSmall = ([width, height]) => width < 24 || height < 39.5;
    const kinds = "button, a[href], select, summary, .tile-check, input[type=text], input[type=search]";
    return [...document.querySelectorAll(kinds)].filter((node) => node.checkVisibility() && isSmall(size(node)))
        .map((node) => node.outerHTML.slice(0, 120) + size(node));
}"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures 图"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (600, 400), (number * 20, 120, 90)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"cat, long hair, tag{number % 3}", encoding="utf-8")
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, pictures: Path) -> Iterator[Page]:
    page = opened(open_page(f"{app.url}/en/#captions"), pictures, "00.png")
    expect(grid(page)).to_be_focused()
    page.evaluate(WATCH_FOCUS)
    yield page
    assert page.evaluate("window.lostFocus") == []


def grid(page: Page) -> Locator:
    return page.locator("#captions-grid")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def at(page: Page, name: str) -> None:
    expect(page.locator(".caption-head strong")).to_have_text(name)


def tool(page: Page, name: str) -> Locator:
    return page.locator(f'.captions-root [data-tool="{name}"]')


def chips(page: Page) -> Locator:
    return page.locator(".caption-editor .chip > span")


def go_to_tool(page: Page, name: str) -> None:
    """Go along the toolbar below the picture, which is one stop of the tab key."""
    page.locator(".caption-picture").focus()
    press(page, "Tab", "Home")
    expect(tool(page, "star-1")).to_be_focused()
    for _ in range(20):
        if tool(page, name).evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("ArrowRight")
    raise AssertionError(name)


def test_pictures_are_walked_through_selected_and_filtered(page: Page) -> None:
    press(page, "ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight")
    counts(page, "3 selected")
    press(page, "Control+ArrowRight", "Space")
    counts(page, "4 selected")
    press(page, "s")
    counts(page, "4 of 12 pictures")
    press(page, "s", "Escape")
    counts(page, re.compile("^12 pictures"))
    press(page, "/")
    expect(page.locator("#captions-filter")).to_be_focused()
    page.keyboard.type("tag:nothing")
    counts(page, "0 of 12 pictures")
    press(page, "Enter")
    expect(grid(page)).to_be_focused()
    assert grid(page).get_attribute("aria-activedescendant") is None
    press(page, "Control+k")
    page.keyboard.type("tag:tag1")
    counts(page, "4 of 12 pictures")
    press(page, "Escape", "Home", "ArrowRight")
    at(page, "04.png")
    expect(grid(page)).to_be_focused()


def test_tags_of_a_caption_are_moved_changed_and_removed(page: Page, pictures: Path) -> None:
    press(page, "Enter")
    page.keyboard.type("new tag")
    press(page, "Enter")
    expect(chips(page)).to_have_text(["cat", "long hair", "tag0", "new tag"])
    press(page, "Backspace")
    expect(page.locator('.chip[data-tag="new tag"]')).to_be_focused()
    press(page, "Alt+ArrowLeft", "Alt+Home")
    expect(chips(page)).to_have_text(["new tag", "cat", "long hair", "tag0"])
    expect(page.locator('.chip[data-tag="new tag"]')).to_be_focused()
    press(page, "F2")
    page.keyboard.type("other")
    press(page, "Escape")
    expect(page.locator('.chip[data-tag="new tag"]')).to_be_focused()
    # What is pressed while something is on its way is one step together with what follows.
    saved(page)
    press(page, "ArrowRight", "Delete", "Delete")
    expect(chips(page)).to_have_text(["new tag", "tag0"])
    expect(page.locator('.chip[data-tag="tag0"]')).to_be_focused()
    saved(page)
    # The list of tags is one stop.
    press(page, "Tab")
    expect(page.locator("#captions-add")).to_be_focused()
    press(page, "Shift+Tab")
    expect(page.locator(".chip:focus")).to_have_count(1)
    press(page, "Delete", "Delete")
    expect(page.locator("#captions-add")).to_be_focused()
    saved(page)
    assert not (pictures / "00.txt").read_text("utf-8").strip()
    press(page, "Escape")
    expect(grid(page)).to_be_focused()
    for num in range(1, 5):
        press(page, "Control+z")
        expect(page.locator(".captions-history li.is-undone")).to_have_count(num)
    expect(chips(page)).to_have_text(["new tag", "cat", "long hair", "tag0"])
    expect(grid(page)).to_be_focused()


def test_escape_closes_what_is_on_top_and_nothing_else(page: Page) -> None:
    press(page, "Enter")
    page.keyboard.type("lo")
    suggestions = page.locator(".suggestions li")
    expect(suggestions.first).to_contain_text("long hair")
    press(page, "ArrowDown")
    expect(page.locator("#captions-add")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#captions-add")).to_have_attribute("aria-activedescendant", "captions-add-list-0")
    press(page, "Escape")
    expect(suggestions.first).to_be_hidden()
    expect(page.locator("#captions-add")).to_be_focused()
    expect(page.locator("#captions-add")).to_have_value("lo")
    press(page, "Escape", "v")
    expect(page.locator(".captions-root.is-large")).to_be_visible()
    press(page, "?")
    expect(page.locator("#keys-dialog")).to_be_visible()
    press(page, "Escape")
    expect(page.locator("#keys-dialog")).to_be_hidden()
    expect(page.locator(".captions-root.is-large")).to_be_visible()
    press(page, "Escape")
    expect(grid(page)).to_be_focused()
    go_to_tool(page, "more")
    press(page, "Enter")
    expect(tool(page, "move")).to_be_visible()
    press(page, "Escape")
    expect(tool(page, "move")).to_be_hidden()
    expect(tool(page, "more")).to_be_focused()


def test_the_tags_of_all_pictures_are_one_stop_and_walked_through_by_arrows(page: Page) -> None:
    page.locator("#captions-tag-search").focus()
    first = page.get_by_label("Choose cat")
    expect(first).to_be_attached()
    for _ in range(8):
        press(page, "Tab")
        if page.locator(".all-tags :focus").count():
            break
    expect(first).to_be_focused()
    press(page, "ArrowRight")
    expect(page.locator('.tag-main[data-tag="cat"]')).to_be_focused()
    press(page, "ArrowDown", "Enter")
    expect(page.locator("#captions-filter")).to_have_value('tag:"long hair"')
    expect(page.locator(".all-tags .is-in")).to_have_count(1)
    expect(page.locator('.tag-main[data-tag="long hair"]')).to_be_focused()
    press(page, "End", "ArrowLeft", "Space")
    expect(page.locator(".all-tags .is-chosen")).to_have_count(1)
    expect(page.locator(".all-tags input:focus")).to_have_count(1)
    press(page, "Shift+Tab", "Shift+Tab", "Shift+Tab")
    expect(tool(page, "rename")).to_be_focused()
    press(page, "Enter")
    asked = page.locator("#captions-asked")
    expect(asked).to_be_focused()
    press(page, "Escape")
    expect(asked).to_have_count(0)
    expect(tool(page, "rename")).to_be_focused()
    press(page, "Enter")
    page.keyboard.type("renamed")
    press(page, "Enter")
    expect(page.locator('.tag-main[data-tag="renamed"]')).to_be_visible()
    expect(page.locator(".captions-left :focus")).to_have_count(1)
    press(page, "Tab")
    expect(page.locator(".captions-root :focus")).to_have_count(1)


def test_a_batch_is_done_and_taken_back_where_one_is(page: Page, pictures: Path) -> None:
    press(page, "b")
    operation = page.locator("#captions-operation")
    expect(operation).to_be_focused()
    operation.select_option("add")
    page.locator("#captions-batch-tags").focus()
    page.keyboard.type("one")
    expect(page.locator(".batch-count")).to_have_text("Changes 12 of 12 captions")
    press(page, "Control+Enter")
    expect(page.locator(".batch-count")).to_have_text("Changes none of 12 captions")
    expect(page.locator("#captions-batch-tags")).to_be_focused()
    page.locator("#captions-batch-tags").fill("two")
    expect(page.locator(".batch-count")).to_have_text("Changes 12 of 12 captions")
    apply = page.locator("#captions-apply")
    expect(apply).to_be_enabled()
    apply.focus()
    press(page, "Enter")
    expect(page.locator(".batch-count")).to_have_text("Changes none of 12 captions")
    expect(apply).to_have_attribute("aria-disabled", "true")
    expect(apply).to_be_focused()
    # Pressed again, it does nothing.
    press(page, "Enter")
    press(page, "Control+z")
    expect(page.locator(".batch-count")).to_have_text("Changes 12 of 12 captions")
    undo = page.locator("#captions-undo")
    undo.focus()
    press(page, "Enter")
    expect(undo).to_have_attribute("aria-disabled", "true")
    expect(undo).to_be_focused()
    saved(page)
    assert (pictures / "00.txt").read_text("utf-8") == "cat, long hair, tag0"
    page.locator("#captions-tab-batch").focus()
    press(page, "ArrowRight")
    expect(page.locator("#captions-tab-history")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="History")).to_be_visible()
    press(page, "Home")
    expect(page.locator("#captions-tab-picture")).to_have_attribute("aria-selected", "true")


def test_a_dialog_keeps_the_focus_and_gives_it_back(page: Page) -> None:
    tagging = page.locator("#captions-tagging")
    tagging.focus()
    press(page, "Enter")
    dialog = page.locator(".tagging-dialog")
    expect(dialog).to_be_visible()
    for _ in range(40):
        press(page, "Tab")
        assert page.evaluate("document.activeElement.closest('.tagging-dialog') !== null")
    press(page, "Escape")
    expect(dialog).to_have_count(0)
    expect(tagging).to_be_focused()
    grid(page).focus()
    press(page, "c")
    expect(page.locator("#captions-crop-box")).to_be_focused()
    press(page, "]", "Escape")
    expect(grid(page)).to_be_focused()
    go_to_tool(page, "mask")
    press(page, "Enter")
    expect(page.locator("#captions-mask-canvas")).to_be_focused()
    press(page, "i", "Escape")
    expect(tool(page, "asked-save")).to_be_focused()
    press(page, "Tab", "Enter")
    expect(page.locator(".mask-dialog")).to_have_count(0)
    expect(tool(page, "mask")).to_be_focused()
    go_to_tool(page, "more")
    press(page, "Enter")
    tool(page, "move").focus()
    press(page, "Enter")
    expect(page.locator("#captions-move-to")).to_be_visible()
    press(page, "Escape")
    expect(page.locator("#captions-move-to")).to_have_count(0)
    expect(tool(page, "more")).to_be_focused()


def test_pictures_go_and_come_back_under_the_keys(page: Page, pictures: Path) -> None:
    press(page, "ArrowRight", "Delete")
    counts(page, "11 pictures")
    at(page, "02.png")
    expect(grid(page)).to_be_focused()
    press(page, "Control+z")
    counts(page, "12 pictures")
    at(page, "01.png")
    expect(grid(page)).to_be_focused()
    go_to_tool(page, "turn-right")
    press(page, "Enter")
    expect(page.locator(".is-current .mark-right")).to_be_visible()
    expect(tool(page, "turn-right")).to_be_focused()
    # Numbered anew from outside, and read again: what had the focus has it.
    (pictures / "00.png").unlink()
    counts(page, re.compile("11 pictures"))
    expect(tool(page, "turn-right")).to_be_focused()
    # On a tag of the list, the key that moves pictures to the trash does nothing.
    page.locator('.tag-main[data-tag="cat"]').focus()
    press(page, "Delete", "Control+s")
    saved(page)
    counts(page, "11 pictures")


@pytest.mark.parametrize("more", COMPOSING, ids=["composing", "safari"])
def test_keys_of_a_composing_keyboard_do_nothing_anywhere(page: Page, more: dict[str, object]) -> None:
    page.locator("#captions-filter").fill("mao")
    counts(page, "0 of 12")
    page.locator("#captions-filter").fill("")
    counts(page, re.compile("^12 pictures"))
    for selector in ("#captions-filter", "#captions-folder", "#captions-add"):
        field = page.locator(selector)
        field.focus()
        for key in ("Enter", "Escape", "Backspace"):
            assert field.evaluate(PRESS, [key, more])
        expect(field).to_be_focused()
    for key in ("c", "?", "Delete", "5"):
        assert grid(page).evaluate(PRESS, [key, more])
    press(page, "F2")
    page.locator(".chip").first.focus()
    press(page, "F2")
    page.keyboard.type("mao")
    assert page.locator(".chip-input").evaluate(PRESS, ["Enter", more])
    expect(page.locator(".chip-input")).to_have_value("mao")
    press(page, "Escape")
    expect(chips(page)).to_have_text(["cat", "long hair", "tag0"])
    expect(page.locator("dialog[open]")).to_have_count(0)
    counts(page, re.compile("^12 pictures"))


def test_keys_work_on_other_keyboards(page: Page) -> None:
    # A German keyboard writes brackets with AltGr, a French one digits with Shift; on a Mac there is Cmd.
    assert not grid(page).evaluate(PRESS, ["]", {"ctrlKey": True, "altKey": True, "modifierAltGraph": True}])
    expect(page.locator(".is-current .mark-right")).to_be_visible()
    assert not grid(page).evaluate(PRESS, ["3", {"shiftKey": True, "code": "Digit3"}])
    expect(page.locator(".is-current .mark-stars")).to_have_text("3★")
    press(page, "Meta+a")
    counts(page, "12 selected")
    press(page, "Escape", "Meta+z")
    expect(page.locator(".is-current .mark-stars")).to_have_count(0)
    press(page, "Meta+z")
    expect(page.locator(".is-current .mark-right")).to_have_count(0)
    # With the lock of capital letters.
    assert not grid(page).evaluate(PRESS, ["B", {}])
    expect(page.locator("#captions-operation")).to_be_focused()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_what_has_the_focus_is_seen(app: App, open_page: OpenPage, pictures: Path, dark: bool) -> None:
    page = opened(open_page(f"{app.url}/zh-CN/#captions", dark=dark), pictures, "00.png")
    expect(page.locator(".all-tags .tag-main")).to_have_count(5)
    page.locator("#bar [data-shell=keys]").focus()
    stops = []
    for _ in range(80):
        press(page, "Tab")
        stop, is_seen = page.evaluate(OUTLINE)
        if not stop:
            break
        assert is_seen, stop
        stops.append(stop)
    # From the folder through the tags and the grid to the caption, each part once.
    marks = [
        "captions-folder",
        "captions-tagging",
        "captions-tag-search",
        "captions-filter",
        "captions-grid",
        "captions-tab-picture",
        'class="chip',
        "captions-add",
    ]
    places = [next(place for place, stop in enumerate(stops) if mark in stop) for mark in marks]
    assert places == sorted(places)
    assert len(stops) < 60


def test_readers_hear_of_changes_once(page: Page) -> None:
    tile = page.get_by_role("option", name=re.compile(r"01\.png\W*cat, long hair, tag1"))
    expect(tile).to_have_count(1)
    page.evaluate("""() => {
        window.heard = [];
        const take = (records) => records.forEach(({ target }) => window.heard.push(target.textContent));
        for (const node of document.querySelectorAll("#announcer, .captions-root [role=status]"))
            new MutationObserver(take).observe(node, { childList: true, characterData: true });
    }""")
    press(page, "ArrowRight", "ArrowRight", "1")
    expect(page.locator(".is-current .mark-stars")).to_have_text("1★")
    press(page, "Enter")
    for tag in ("one", "two", "three"):
        page.keyboard.type(tag)
        press(page, "Enter")
    page.wait_for_function("window.heard.includes('Saved')", timeout=20 * SECOND)
    assert set(page.evaluate("window.heard.filter(Boolean)")) == {"Saved"}
    press(page, "Control+z")
    page.wait_for_function("window.heard.some((text) => text.startsWith('Undone'))")


def test_a_phone_is_used_with_fingers(app: App, open_page: OpenPage, pictures: Path) -> None:
    page = opened(open_page(f"{app.url}/zh-CN/#captions", width=390, height=800), pictures, "00.png")
    check = page.locator(".tile-check")
    check.nth(1).click()
    check.nth(2).click()
    counts(page, "2")
    expect(page.locator('.caption-tile[aria-selected="true"]')).to_have_count(2)
    expect(grid(page)).to_be_visible()
    for pane in ("grid", "side", "tags"):
        page.locator(f"[data-go={pane}]").click()
        assert page.evaluate(TARGETS) == [], pane
    page.locator("[data-go=side]").click()
    for tab in ("batch", "history", "picture"):
        page.locator(f"#captions-tab-{tab}").click()
        assert page.evaluate(TARGETS) == [], tab
    page.locator("[data-go=grid]").click()
    page.locator(".caption-tile").nth(4).click()
    expect(chips(page)).to_have_count(3)
    assert page.evaluate(TARGETS) == []


def test_half_a_window_loses_nothing(app: App, open_page: OpenPage, pictures: Path) -> None:
    """A page of 1280 x 900 at 200 % is one of 640 x 450."""
    page = opened(open_page(f"{app.url}/en/#captions", width=640, height=450), pictures, "00.png")
    parts = {
        "grid": ["#captions-filter", "#captions-grid", "#captions-sort"],
        "tags": ["#captions-tag-search", ".all-tags", "#captions-highlight"],
        "side": ["#captions-tab-batch", ".chip", "#captions-add"],
    }
    for pane, selectors in parts.items():
        page.locator(f"[data-go={pane}]").click()
        for selector in selectors:
            page.locator(selector).first.scroll_into_view_if_needed()
            expect(page.locator(selector).first).to_be_in_viewport()
        assert not page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"), pane
    page.keyboard.press("c")
    expect(page.locator("#captions-crop-apply")).to_be_in_viewport()
    page.keyboard.press("Escape")
    page.locator("#captions-tagging").click()
    expect(page.locator("#captions-tagging-start")).to_be_in_viewport()


def test_colours_and_motion_of_the_system_are_respected(app: App, browser: Browser, pictures: Path) -> None:
    context = browser.new_context(
        forced_colors="active", reduced_motion="reduce", viewport={"width": 1280, "height": 900}
    )
    page = context.new_page()
    page.goto(f"{app.url}/en/#captions")
    opened(page, pictures, "00.png")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator('.caption-tile[aria-selected="true"]')).to_have_count(2)
    colour = "node => getComputedStyle(node).borderTopColor"
    assert page.locator(".caption-tile").nth(1).evaluate(colour) != page.locator(".caption-tile").nth(5).evaluate(
        colour
    )
    assert page.evaluate("""() => {
        const chip = document.createElement("li");
        chip.className = "chip is-flashing";
        document.querySelector(".caption-editor").append(chip);
        return parseFloat(getComputedStyle(chip).animationDuration) < 0.001;
    }""")
    context.close()
