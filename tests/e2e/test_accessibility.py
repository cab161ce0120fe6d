"""Every page and what the caption page can show, looked through by axe: nothing critical or serious in two looks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from captions_in_browser import opened
from live_app import App
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from ui_pages.fake_runs import make_run

OpenPage = Callable[..., Page]
# The states that a page goes through; what is drawn is looked at after each.
States = Iterator[str]
LOOKS = {"english-light": ("en", False), "chinese-dark": ("zh-CN", True)}
DRAFT = "version = 2\n[data]\nwidth = 512\nheight = 512\n[[data.datasets]]\npath = {path}\n"
# What is wrong for longer than this does not pass by itself.
SECONDS_TO_SETTLE = 15


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures with captions, one of them without, one edited, one masked."""
    folder = tmp_path_factory.mktemp("pictures 图")
    for number in range(12):
        Image.new("RGB", (600, 400), (number * 20, 120, 90)).save(folder / f"{number:02}.png")
        text = f"cat, long hair, tag{number % 3}, blue sky" if number else ""
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    edit = {"version": 1, "rotate": 90, "crop": [10, 10, 200, 200], "size": [400, 600], "rating": 4}
    (folder / "05.png.athanor.json").write_text(json.dumps(edit), encoding="utf-8")
    Image.new("L", (600, 400), 128).save(folder / "06-masklabel.png")
    return folder


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[App]:
    home = tmp_path_factory.mktemp("home 主页")
    (home / "draft.toml").write_text(DRAFT.format(path=json.dumps(str(pictures))), encoding="utf-8")
    make_run(home / "runs", "finished", end="finished")
    make_run(home / "runs", "crashed", console="torch.OutOfMemoryError: CUDA out of memory.\n")
    running = App(home)
    running.start()
    yield running
    running.close()


@pytest.fixture(params=LOOKS)
def page(app: App, open_page: OpenPage, request: pytest.FixtureRequest) -> Page:
    language, dark = LOOKS[request.param]
    page = open_page(f"{app.url}/{language}/", dark=dark)
    page.emulate_media(reduced_motion="reduce")
    return page


@pytest.fixture
def captions(page: Page, pictures: Path) -> Page:
    page.evaluate("location.hash = 'captions'")
    opened(page, pictures, "00.png")
    expect(page.locator("#captions-grid")).to_be_focused()
    expect(page.locator(".all-tags .tag-main")).to_have_count(6)
    return page


def violations(page: Page) -> list[str]:
    """Return what stands in somebody's way, by the names of axe's rules."""
    found = Axe().run(page).response["violations"]
    return [
        f"{violation['impact']} {violation['id']}: {node['html'][:160]}\n{node['failureSummary']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def look_through(page: Page, states: States) -> None:
    """Look at each state, again while something is found: what fades in or is being drawn has little contrast."""
    found = {}
    for state in states:
        deadline = time.monotonic() + SECONDS_TO_SETTLE
        while (wrong := violations(page)) and time.monotonic() < deadline:
            page.wait_for_timeout(250)
        found[state] = wrong
    assert not {state: wrong for state, wrong in found.items() if wrong}


def tool(page: Page, name: str) -> Locator:
    return page.locator(f'.captions-root [data-tool="{name}"]')


def walk_pages(page: Page) -> States:
    shown = {
        "train/quick": "#view-quick .quick-card",
        "train/expert": "#view-expert .field",
        "data": ".data-facts dd",
        "runs": ".run-open",
        "tensorboard": "#page-tensorboard button",
        "settings": "#page-settings input",
    }
    for name, drawn in shown.items():
        page.evaluate("name => { location.hash = name }", name)
        expect(page.locator(drawn).first).to_be_visible()
        yield name
    page.evaluate("location.hash = 'runs'")
    page.locator(".run-open", has_text="finished").click()
    expect(page.locator("#runs-charts canvas").first).to_be_visible()
    yield "a run"
    page.locator(".run-open", has_text="crashed").click()
    expect(page.locator(".run-diagnosis")).to_be_visible()
    yield "a crash"
    page.keyboard.press("?")
    expect(page.locator("#keys-dialog")).to_be_visible()
    yield "keys"


def walk_editor(page: Page) -> States:
    yield "grid"
    page.locator(".caption-tile", has_text="05.png").click()
    expect(page.locator(".caption-editor .chip")).to_have_count(4)
    tool(page, "more").click()
    expect(tool(page, "move")).to_be_visible()
    yield "menu of an edited picture"
    page.keyboard.press("Escape")
    page.locator("#captions-add").fill("blu")
    expect(page.locator(".suggestions li").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    yield "suggestions"
    page.keyboard.press("Escape")
    page.locator("#captions-add").fill("")
    page.locator("#captions-grid").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator('.caption-tile[aria-selected="true"]')).to_have_count(2)
    yield "selection"
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    expect(page.locator(".captions-root.is-large")).to_be_visible()
    yield "large"
    page.keyboard.press("Escape")
    page.locator("[aria-controls=captions-filter-help]").click()
    page.locator("#captions-filter").fill("tag:cat and (")
    expect(page.locator(".filter-error")).to_be_visible()
    yield "help and a wrong filter"


def walk_lists(page: Page) -> States:
    page.locator(".tag-hints > summary").first.click()
    page.locator("#captions-highlight").fill("blue")
    expect(page.locator(".tag-main.is-highlighted")).to_have_count(1)
    page.locator("#captions-tag-search").focus()
    page.locator(".all-tags input").first.check()
    yield "tags"
    tool(page, "rename").click()
    expect(page.locator("#captions-asked")).to_be_visible()
    yield "rename"
    page.keyboard.press("Escape")
    page.locator("#captions-tab-batch").click()
    page.locator("#captions-operation").select_option("add")
    page.locator("#captions-batch-tags").fill("animal")
    expect(page.locator("#captions-apply")).to_be_enabled()
    yield "batch"
    page.locator("#captions-apply").click()
    expect(page.locator("#captions-apply")).to_be_disabled()
    page.locator("#captions-tab-history").click()
    expect(page.locator(".captions-history li").first).to_be_visible()
    yield "history"
    page.locator("#captions-undo").click()
    expect(page.locator(".captions-history li.is-undone").first).to_be_visible()
    yield "undone"


def walk_dialogs(page: Page) -> States:
    dialogs = {
        "lists": "dialog[open]",
        "tagging": ".tagging-dialog",
        "crop": "#captions-crop-box",
        "mask": "#captions-mask-canvas",
        "move": "#captions-move-to",
        "background": "dialog[open]",
    }
    for name, drawn in dialogs.items():
        if name in ("move", "background"):
            tool(page, "more").click()
        (page.locator("#captions-tagging") if name == "tagging" else tool(page, name)).click()
        expect(page.locator(drawn)).to_be_visible()
        yield name
        page.keyboard.press("Escape")
        expect(page.locator("dialog[open]")).to_have_count(0)


def test_pages(page: Page) -> None:
    look_through(page, walk_pages(page))


@pytest.mark.parametrize("walk", [walk_editor, walk_lists, walk_dialogs])
def test_captions(captions: Page, walk: Callable[[Page], States]) -> None:
    look_through(captions, walk(captions))
