"""Make the pictures of the READMEs: walk the novice path with the embedded demo in a real browser, in both languages.

    ./start.sh install && .venv/bin/python docs/screenshots.py

It trains the demo once (a few minutes). Needs the test tools, so run `./start.sh test` once before.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from live_app import BROWSERS, FLAGS, App  # noqa: E402

IMAGES_DIR = ROOT / "docs" / "images"
LANGUAGES = ("en", "zh-CN")
MINUTE = 60_000
COLORS = 128


def target(language: str, name: str) -> Path:
    """Return where a picture goes."""
    path = IMAGES_DIR / language / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def shrink(path: Path) -> None:
    """Make a picture small enough for a page that is read over the network."""
    with Image.open(path) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


def keep(page: Page, language: str, name: str) -> None:
    """Write a picture of the whole window."""
    page.wait_for_timeout(800)
    page.screenshot(path=target(language, name))
    shrink(target(language, name))


def novice(page: Page, app: App, language: str) -> None:
    """Take the four steps of the Quick page."""
    page.goto(f"{app.url}/{language}/#train/quick")
    page.locator('#quick-model [data-action="demo"]').click()
    page.wait_for_selector("#quick-pictures img")
    cards = page.locator(".quick-card")
    for index, name in enumerate(("1-base-model", "2-pictures", "3-goal", "4-review")):
        page.wait_for_timeout(500)
        cards.nth(index).screenshot(path=target(language, name))
        shrink(target(language, name))


def expert(page: Page, app: App, language: str) -> None:
    """Show the Expert page with a section full of fields."""
    page.goto(f"{app.url}/{language}/#train/expert")
    page.wait_for_selector("#expert-search")
    page.locator('.expert-sections [data-section="optimizer"]').click()
    page.locator("#expert-tier").select_option("advanced")
    keep(page, language, "expert")


def data(page: Page, app: App, language: str) -> None:
    """Show the report of the demo data set, looked at closely."""
    page.goto(f"{app.url}/{language}/#data")
    page.wait_for_selector("#data-look, #data-look-again")
    if page.locator("#data-look").count():
        page.locator("#data-look").click()
        page.wait_for_selector("#data-look", state="detached")
    page.locator('[data-card="0"] .card-open').click()
    for tab in ("findings", "numbers"):
        page.locator(f"#data-tab-{tab}").click()
        keep(page, language, f"data-{tab}")


def captions(page: Page, app: App, language: str) -> None:
    """Show the demo's captions, and one of its pictures while it is cropped and masked."""
    page.goto(f"{app.url}/{language}/#captions")
    page.locator("#captions-folder").fill(str(ROOT / "presets" / "demo" / "images"))
    page.locator("#captions-folder").press("Enter")
    page.wait_for_selector(".caption-tile img")
    page.keyboard.press("ArrowRight")
    page.add_style_tag(content="#captions-folder { color: transparent; }")  # a path of this machine is of no use
    keep(page, language, "captions")
    for key, name in (("c", "captions-crop"), ("m", "captions-mask")):
        page.keyboard.press(key)
        page.wait_for_selector("dialog.tool-dialog[open]")
        keep(page, language, name)
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog.tool-dialog", state="detached")


def runs(page: Page, app: App, language: str) -> None:
    """Show a finished run with its sample wall."""
    page.goto(f"{app.url}/{language}/#runs")
    page.locator('#runs-list [data-action="open"]').first.click()
    page.wait_for_selector("#runs-samples img")
    page.add_style_tag(content="#runs-head code { visibility: hidden; }")  # a path of this machine is of no use
    keep(page, language, "5-run")


def train_demo(page: Page, app: App) -> None:
    """Start the demo and wait for its end."""
    page.goto(f"{app.url}/en/#train/quick")
    page.locator('#quick-model [data-action="demo"]').click()
    page.wait_for_selector("#quick-pictures img")
    page.locator("#quick-start").click()
    page.wait_for_selector('#runs-head [data-status="finished"]', timeout=15 * MINUTE)


def main() -> None:
    """Make every picture."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = App(Path(folder))
        app.start()
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        try:
            page = browser.new_page(viewport={"width": 1360, "height": 1000})
            page.on("dialog", lambda dialog: dialog.accept())
            train_demo(page, app)
            for language in LANGUAGES:
                novice(page, app, language)
                expert(page, app, language)
                data(page, app, language)
                captions(page, app, language)
                runs(page, app, language)
        finally:
            browser.close()
            app.close()


if __name__ == "__main__":
    main()
