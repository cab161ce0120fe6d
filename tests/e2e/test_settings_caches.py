"""The caches on the Settings page: what is of no use is shown first, and removed when asked."""

from __future__ import annotations

from collections.abc import Callable

import torch
from live_app import App
from playwright.sync_api import Page, expect

from backend.data.shards import ShardStore

OpenPage = Callable[..., Page]


def test_caches_are_looked_through_and_cleaned(app: App, open_page: OpenPage) -> None:
    folder = app.home / "cache" / "latents"
    picture = app.home / "here.png"
    picture.write_bytes(b"some picture")
    with ShardStore(folder).writer() as writer:
        for name, path in (("gone", app.home / "gone.png"), ("here", picture)):
            writer.put(name, {"latents": torch.ones(4, 8, 8)}, {"content": name, "location": str(path)})
    page = open_page(f"{app.url}/en/#settings")
    caches = page.locator("#setting-caches")
    expect(caches.locator("[data-caches=clean]")).to_be_hidden()
    caches.locator("[data-caches=look]").click()
    expect(caches.locator(".caches-told")).to_contain_text("1 entry")
    assert set(ShardStore(folder).entries) == {"gone", "here"}
    caches.locator("[data-caches=clean]").click()
    expect(caches.locator(".caches-told")).to_contain_text("Removed")
    assert set(ShardStore(folder).entries) == {"here"}


def test_thumbnails_are_counted_and_removed(app: App, open_page: OpenPage) -> None:
    place = app.home / "cache" / "thumbnails" / "aa" / "name.webp"
    place.parent.mkdir(parents=True)
    place.write_bytes(bytes(2048))
    page = open_page(f"{app.url}/en/#settings")
    card = page.locator("#setting-thumbnails")
    card.locator("[data-caches=look]").click()
    expect(card.locator(".caches-told")).to_contain_text("1 thumbnail:")
    card.locator("[data-caches=clean]").click()
    expect(card.locator(".caches-told")).to_contain_text("no thumbnails")
    assert not place.exists()
    field = page.locator("#setting-tag_list-input")
    field.fill(str(app.home / "none.csv"))
    field.press("Tab")
    expect(page.locator("#setting-tag_list .field-error")).to_contain_text("none.csv")
