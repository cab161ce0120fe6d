"""The whole first path, as a user walks it: language, demo, start, steps, samples, stop, resume, close, come back."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from live_app import App, train_for_long
from playwright.sync_api import Page, expect

from backend.runs.events import EventReader

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]


def test_from_the_demo_card_to_a_resumed_run(app: App, open_page: OpenPage, keep_picture: KeepPicture) -> None:
    page = open_page(f"{app.url}/", locale="zh-CN")
    expect(page).to_have_url(re.compile("/zh-CN/"))  # the browser's language at first
    expect(page.locator("#rail")).to_contain_text("训练")
    page.locator(".athanor-bar a[data-language=en]").click()
    expect(page.locator("#rail")).to_contain_text("Train")

    page.locator('#quick-model [data-action="demo"]').click()
    expect(page.locator("#quick-review")).to_contain_text("steps")
    keep_picture(page, "quick-demo")

    page.locator('a[data-view="expert"]').click()
    name = page.locator("#output-name-input")
    page.locator("#expert-search").fill("output_name")  # another trainer's word for it
    name.fill("tour 之旅")
    name.press("Tab")
    train_for_long(page)
    page.locator('a[data-view="quick"]').click()
    expect(page.get_by_label("Name").first).to_have_value("tour 之旅")  # one configuration, two views

    page.locator("#quick-start").click()
    expect(page.locator("#page-runs")).to_be_visible()
    head = page.locator("#runs-head")
    expect(head).to_contain_text("tour 之旅")
    expect(page.locator("#runs-samples img").first).to_be_visible()
    expect(head).to_contain_text(re.compile(r"\b\d+ ?/ ?\d+"))
    run = next((app.home / "runs").glob("2*"))
    page.wait_for_function("() => document.querySelector('#runs-head').innerText.match(/(\\d+) *\\/ *\\d+/)?.[1] > 3")
    keep_picture(page, "runs-training")

    head.locator('[data-action="stop"]').click()
    expect(head).to_contain_text("Stopped")
    stopped_at = last_event(run, "end")["step"]
    assert stopped_at > 0

    page.context.close()
    page = open_page(f"{app.url}/en/#runs")
    card = page.locator('#runs-list [data-action="open"]').first
    card.click()
    head = page.locator("#runs-head")
    expect(head).to_contain_text("Stopped")
    head.locator('[data-action="resume"]').click()
    expect(head).to_contain_text(re.compile("Training|Loading|Running"))
    page.wait_for_function(
        f"() => Number(document.querySelector('#runs-head').innerText.match(/(\\d+) *\\/ *\\d+/)?.[1]) > {stopped_at}",
    )
    assert last_event(run, "start")["resumed_from_step"] == stopped_at

    app.kill()  # the app dies, the training does not notice
    step = last_event(run, "step")["step"]
    app.start()
    page = open_page(f"{app.url}/en/#runs")
    page.locator('#runs-list [data-action="open"]').first.click()
    page.wait_for_function(
        f"() => Number(document.querySelector('#runs-head').innerText.match(/(\\d+) *\\/ *\\d+/)?.[1]) > {step}",
    )
    page.locator('#runs-head [data-action="stop"]').click()
    expect(page.locator("#runs-head")).to_contain_text("Stopped")
    keep_picture(page, "runs-stopped")


def last_event(run: Path, kind: str) -> dict:
    return [event for event in EventReader(run / "events.jsonl").read() if event["kind"] == kind][-1]
