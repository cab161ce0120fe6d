"""Does a Runs page that is left open grow? Run by hand: python tests/benchmarks/gui_growth.py [--minutes 10]

Starts gui.py on a folder with one run of 200,000 events to which 20 more a second are added, opens the page in
Chromium, and prints its heap after garbage collection, its DOM nodes, what it received, and the server's memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from playwright.sync_api import CDPSession, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui_pages")]

from fake_runs import make_run, write_sample, write_step  # noqa: E402

from backend.runs.events import EventWriter  # noqa: E402
from backend.runs.layout import RunFolder  # noqa: E402
from backend.runs.supervisor import free_port  # noqa: E402

NUM_EVENTS = 200_000
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-precise-memory-info",
]  # fmt: skip


def keep_writing(run: RunFolder, stop: threading.Event) -> None:
    """Add twenty steps a second, and a sample every ten seconds, as a fast training would."""
    writer = EventWriter(run.events_path)
    step = NUM_EVENTS
    while not stop.wait(0.05):
        step += 1
        write_step(writer, step, total=10 * NUM_EVENTS)
        if step % 200 == 0:
            write_sample(writer, run, step, 0, "a cat")


def measure(session: CDPSession) -> tuple[float, int]:
    """Return the page's heap in MB after garbage collection, and its DOM nodes."""
    session.send("HeapProfiler.collectGarbage")
    metrics = {item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"] / 1e6, int(metrics["Nodes"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--path", default="/en/#runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        total = 10 * NUM_EVENTS
        run = make_run(Path(home) / "runs", "long", num_steps=NUM_EVENTS, total=total, sample_every=5000, alive=True)
        port, stop = free_port(), threading.Event()
        threading.Thread(target=keep_writing, args=(run, stop), daemon=True).start()
        command = [sys.executable, str(ROOT / "gui.py"), "--port", str(port), "--no-browser"]
        server = subprocess.Popen(command, env={**os.environ, "ATHANOR_HOME": home}, cwd=ROOT)
        try:
            watch(f"http://127.0.0.1:{port}{arguments.path}", server.pid, arguments.minutes)
        finally:
            stop.set()
            server.kill()
            server.wait(10)


def watch(url: str, pid: int, minutes: float) -> None:
    """Open the page and print a line every half minute."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page()
        received = [0]
        session = page.context.new_cdp_session(page)
        session.on("Network.dataReceived", lambda event: received.__setitem__(0, received[0] + event["dataLength"]))
        for domain in ("Performance", "HeapProfiler", "Network"):
            session.send(f"{domain}.enable")
        for attempt in range(60):
            try:
                page.goto(url)
                break
            except Exception:
                if attempt == 59:
                    raise
                time.sleep(1)
        page.wait_for_selector(".run-facts", timeout=60_000)
        print("minute  heap MB  nodes  received MB  server MB", flush=True)
        started = time.monotonic()
        while (elapsed := (time.monotonic() - started) / 60) <= minutes:
            heap, nodes = measure(session)
            memory = psutil.Process(pid).memory_info().rss / 1e6
            print(f"{elapsed:6.1f}  {heap:7.1f}  {nodes:5d}  {received[0] / 1e6:11.1f}  {memory:9.0f}", flush=True)
            page.wait_for_timeout(30_000)
        browser.close()


if __name__ == "__main__":
    main()
