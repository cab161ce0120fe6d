"""What the tests of the caption page do in a browser again and again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, Route, expect

# Where the functions of the page's widget are called.
SERVER = "**/component_server/"


def opened(page: Page, folder: Path, first: str = "00.jpg") -> Page:
    """Open a folder whose first picture has a name."""
    page.fill("#captions-folder", str(folder))
    page.press("#captions-folder", "Enter")
    expect(page.locator(".caption-tile .tile-name").first).to_have_text(first)
    return page


def counts(page: Page, text: str | re.Pattern[str]) -> None:
    """Expect what is said of how many pictures are shown."""
    expect(page.locator('[data-part="counts"]')).to_contain_text(text)


def saved(page: Page) -> None:
    """Wait until all is in the files."""
    expect(page.locator(".captions-saved")).to_have_class(re.compile("is-saved"))


@contextmanager
def nobody_looks(page: Page) -> Iterator[None]:
    """Hold back what the page asks by itself every few seconds, so that it cannot see what changes meanwhile."""
    held: list[Route] = []
    is_holding = True

    def hold(route: Route) -> None:
        if is_holding and '"fn_name":"poll"' in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route(SERVER, hold)
    yield
    is_holding = False
    for route in held:
        route.continue_()
    page.unroute(SERVER, hold)
