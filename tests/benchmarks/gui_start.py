"""How fast the app is there and how fast the Expert page follows. Run by hand: python tests/benchmarks/gui_start.py

Prints the time of `import gui`, from start to an answer on the port, from opening the page to the first visible field
of the whole form, and from a change to twenty fields shown or hidden; each beside its target. Medians of several tries.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from live_app import App  # noqa: E402

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
# Shows, then hides, twenty fields as a condition does: the answer of a browser that has drawn the result.
TOGGLE = """async () => {
  const search = document.querySelector("#expert-search");
  const drawn = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const count = () => [...document.querySelectorAll("#expert .field")].filter((node) => node.offsetParent).length;
  const before = count();
  const start = performance.now();
  search.value = search.value ? "" : "e";
  search.dispatchEvent(new Event("input"));
  await drawn();
  return [(performance.now() - start) / 1000, Math.abs(count() - before)];
}"""


def median_seconds(measure: Callable[[], float], tries: int) -> float:
    """Return the median of several measurements."""
    return statistics.median(measure() for _ in range(tries))


def import_seconds() -> float:
    """Return how long a fresh Python takes to import the app."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import gui"], cwd=ROOT, check=True)
    return time.perf_counter() - start


def answer_seconds() -> float:
    """Return how long a fresh app takes to answer on its port."""
    with tempfile.TemporaryDirectory() as home:
        app = App(Path(home))
        start = time.perf_counter()
        app.start()
        seconds = time.perf_counter() - start
        app.close()
        return seconds


def first_field_seconds(browser: Browser, url: str) -> float:
    """Return how long a browser without a cache takes to the first visible field of the Expert page."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    start = time.perf_counter()
    page.goto(f"{url}/en/#train/expert", wait_until="commit")
    page.wait_for_selector("#expert .field", state="visible")
    seconds = time.perf_counter() - start
    context.close()
    return seconds


def toggle_seconds(browser: Browser, url: str) -> float:
    """Return how long twenty or more fields take to be shown, and to be hidden again: the slower of the two."""
    page = browser.new_page()
    page.goto(f"{url}/en/#train/expert")
    page.wait_for_selector("#expert .field", state="visible")
    page.wait_for_timeout(1000)
    shown, hidden = page.evaluate(TOGGLE), page.evaluate(TOGGLE)
    page.close()
    assert min(shown[1], hidden[1]) >= 20, "fewer than twenty fields changed"
    return max(shown[0], hidden[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=3)
    tries = parser.parse_args().tries
    rows = [
        ("import gui", median_seconds(import_seconds, tries), None),
        ("start to an answer on the port", median_seconds(answer_seconds, tries), 7.0),
    ]
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        app = App(Path(home))
        app.start()
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
            first = median_seconds(lambda: first_field_seconds(browser, app.url), tries)
            rows.append(("page opened to the first field", first, 3.0))
            rows.append(
                ("twenty fields shown or hidden", median_seconds(lambda: toggle_seconds(browser, app.url), tries), 0.3)
            )
            browser.close()
        finally:
            app.close()
    for name, seconds, target in rows:
        print(f"{name:34} {seconds:6.2f} s" + (f"   target {target:g} s" if target else ""))


if __name__ == "__main__":
    main()
