"""The pages in a real browser, against the real program on made-up runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_runs import make_run
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from backend.runs.queue import Queue
from backend.runs.supervisor import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)
EVIL = "<script>alert('x')</script> `${alert(1)}` 猫"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    runs = home / "runs"
    make_run(runs, EVIL, num_steps=40, end="finished", prompts=(EVIL, "a dog"))
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n"
    make_run(runs, "crashed one", console=oom)
    make_run(runs, "unwanted", end="stopped")
    queue = Queue(runs)
    queue.pause(True)
    for name in ("first in line", "second in line"):
        run = make_run(runs, name, num_steps=0)
        run.process_path.unlink()
        queue.add(run)
    pictures = home / "my pictures 图"
    pictures.mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (number * 60, 0, 0)).save(pictures / f"{number}.png")
        (pictures / f"{number}.txt").write_text(f"a red square {number}", encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, str(ROOT / "gui.py"), "--port", str(port), "--no-browser"]
    environment = {**os.environ, "ATHANOR_HOME": str(home)}
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}/en/"
    try:
        for _ in range(480):
            try:
                urllib.request.urlopen(url, timeout=0.5).close()
                break
            except OSError:
                assert server.poll() is None, "gui.py ended"
                time.sleep(0.25)
        yield url
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE)
        alerts: list[str] = []
        page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.accept()))
        page.goto(address)
        expect(page.locator("#runs-list .run-card").first).to_be_attached()
        yield page
        assert not [message for message in alerts if message in ("x", "1")], "markup of a user's was run"
        browser.close()


def open_run(page: Page, name: str) -> None:
    page.locator("a[data-page=runs]").click()
    page.locator(".run-open", has_text=name).click()
    expect(page.locator("#runs-head h2")).to_contain_text(name[:10])


def test_a_run_shows_its_numbers_charts_and_samples(page: Page) -> None:
    open_run(page, "<script>")
    expect(page.locator("#runs-head h2")).to_have_text(EVIL)
    expect(page.locator(".run-facts")).to_contain_text("40 of 100")
    expect(page.locator("#runs-charts canvas")).to_have_count(3)
    expect(page.locator(".wall tbody tr")).to_have_count(2)
    assert (
        page.locator(".wall-picture img").first.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
    )


def test_two_steps_are_compared_under_a_slider(page: Page) -> None:
    open_run(page, "<script>")
    page.locator(".wall-compare").click()
    expect(page.locator("#sample-viewer strong")).to_have_text("Step 10 | Step 40")
    page.locator("#sample-viewer input").fill("20")
    assert "80%" in page.locator(".viewer-left").evaluate("image => image.style.clipPath")
    page.keyboard.press("Escape")
    expect(page.locator("#sample-viewer")).to_be_hidden()


def test_the_selection_survives_a_reload(page: Page) -> None:
    open_run(page, "unwanted")
    page.wait_for_timeout(500)
    page.reload()
    expect(page.locator("#runs-head h2")).to_have_text("unwanted")


def test_a_crash_opens_with_its_diagnosis(page: Page) -> None:
    open_run(page, "crashed one")
    expect(page.locator(".run-diagnosis")).to_contain_text("memory")
    expect(page.locator(".run-diagnosis [data-action=remedy]")).to_be_visible()
    expect(page.locator("#runs-head .run-status")).to_have_text("Crashed")


def test_the_log_is_searched_and_the_configuration_compared(page: Page) -> None:
    open_run(page, "<script>")
    page.get_by_role("tab", name="Log").click()
    expect(page.locator("#runs-log")).to_contain_text("last line")
    page.locator("#runs-log-search").locator("input, textarea").fill("FIRST")
    expect(page.locator("#runs-log")).to_contain_text("1 line with 'FIRST'")
    page.get_by_role("tab", name="Configuration").click()
    expect(page.locator("#runs-config pre")).to_contain_text("[output]")
    page.get_by_role("tab", name="Overview").click()


def test_a_run_is_deleted_and_brought_back(page: Page) -> None:
    open_run(page, "unwanted")
    page.locator("#runs-head [data-action=delete]").click()
    expect(page.locator(".run-open", has_text="unwanted")).to_have_count(0)
    page.locator("[data-action=undo]").click()
    expect(page.locator(".run-open", has_text="unwanted")).to_have_count(1)


def test_the_queue_is_put_in_order(page: Page) -> None:
    page.locator("a[data-page=runs]").click()
    waiting = page.locator(".run-card:has(.run-queue) strong")
    expect(waiting).to_have_text(["first in line", "second in line"])
    page.locator(".run-card", has_text="second in line").locator("[data-action=up]").click()
    expect(waiting).to_have_text(["second in line", "first in line"])


def test_the_demo_fills_everything(page: Page) -> None:
    page.evaluate("location.hash = 'train/quick'")
    page.locator("[data-action=demo]").click()
    expect(page.locator("#quick-output-name").locator("input, textarea")).to_have_value("zkz-demo")
    expect(page.locator(".quick-sentence")).to_contain_text("22 images x 10 repeats")


def test_a_folder_is_picked_in_our_own_dialog(page: Page, home: Path) -> None:
    page.evaluate("location.hash = 'train/quick'")
    page.locator("[data-browse='quick-data-datasets-path']").first.click()
    path = page.locator("#folder-picker input")
    path.fill(str(home))
    path.press("Enter")
    row = page.locator("#folder-picker li", has_text="my pictures")
    expect(row).to_contain_text("4 pictures")
    row.locator("button").click()
    expect(path).to_have_value(str(home / "my pictures 图"))
    page.locator(".picker-choose").click()
    expect(page.locator("#quick-pictures")).to_contain_text("4 of 4 have captions")


def test_pictures_are_dropped_and_others_refused(page: Page, home: Path) -> None:
    page.evaluate("location.hash = 'train/quick'")
    (home / "notes.exe").write_bytes(b"MZ")
    files = [home / "my pictures 图" / "0.png", home / "my pictures 图" / "0.txt", home / "notes.exe"]
    page.locator("#quick-upload input[type=file]").set_input_files([str(file) for file in files])
    expect(page.locator("#quick-note")).to_contain_text("notes.exe is not a picture")
    expect(page.locator("#quick-pictures")).to_contain_text("1 of 1 has a caption")
    stored = next((home / "uploads").iterdir())
    assert sorted(file.name for file in stored.iterdir()) == ["0.png", "0.txt"]


def test_the_quality_slider_changes_the_plan(page: Page) -> None:
    page.evaluate("location.hash = 'train/quick'")
    expect(page.locator(".quality li.is-chosen")).not_to_contain_text("Long")
    before = page.locator(".quick-sentence").inner_text()
    page.locator("#quality-slider").evaluate(
        "slider => { slider.value = 4; slider.dispatchEvent(new Event('change', { bubbles: true })); }"
    )
    expect(page.locator(".quality li.is-chosen")).to_contain_text("Long")
    expect(page.locator(".quick-sentence")).not_to_have_text(before)


def test_a_start_with_errors_says_what_to_mend(page: Page) -> None:
    page.evaluate("location.hash = 'train/quick'")
    model = page.locator("#quick-model-base_model").locator("input, textarea")
    model.fill("/no/such/model.safetensors")
    model.press("Tab")
    expect(page.locator("#quick-model .problem-list")).to_contain_text("no model at")
    page.locator("#quick-start").click()
    expect(page.locator("#quick-note")).to_contain_text("mended first")
