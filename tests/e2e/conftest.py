"""The real app in a real browser: a server of its own for each test module, in a home of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from live_app import BROWSERS, FLAGS, PATIENCE_SECONDS, ROOT, App
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

PICTURES_DIR = ROOT / "tests" / "output"
PATIENCE = 1000 * PATIENCE_SECONDS
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    running = App(tmp_path_factory.mktemp("home 主页"))
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page of its own; an error in the page's scripts fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_at(url: str, *, locale: str = "en-US", width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        context = browser.new_context(
            locale=locale, viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("dialog", lambda dialog: dialog.accept())
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#bar .brand")
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture(scope="session")
def keep_picture() -> Callable[[Page, str], None]:
    """Return a function that keeps a screenshot in the tests' output, for people to look at."""
    PICTURES_DIR.mkdir(exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.wait_for_timeout(400)
        page.screenshot(path=PICTURES_DIR / f"{name}.png")

    return keep
