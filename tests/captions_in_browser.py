"""What the tests of the caption page do in a browser again and again."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect


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
