"""How fast the caption page's server answers on 100,000 pictures with captions of 30 tags, over HTTP.

    python tests/benchmarks/captions_page_speed.py [--images 100000] [--folder FOLDER]

The app is started as a user starts it, and asked as the page's script asks it. Prints one JSON object. Budgets: opened
within 10 s the first time and 2 s later, the first tile within 1 s of that, any filter within 200 ms, a replace over
all within 3 s, memory under 1.5 GB. `first`: a folder that was never opened; `later`: after a restart; `batch`: what is
changed there; `after`: after another restart.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from captions_speed import FILTERS, make  # noqa: E402
from live_app import App  # noqa: E402

Data = dict[str, Any]
NUM_TILES = 40


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return round(time.perf_counter() - start, 3), result


class Client:
    """Asks as the page's script does."""

    def __init__(self, app: App, folder: Path) -> None:
        self.app, self.folder = app, str(folder)
        with urllib.request.urlopen(f"{app.url}/en/config", timeout=60) as answer:
            components = json.load(answer)["components"]
        self.page = next(each["id"] for each in components if each["props"].get("elem_id") == "captions-page")
        self.info: Data = {}

    def ask(self, method: str, **request: Any) -> Data:
        given = {"folder": self.folder, **request}
        if self.info:
            given["generation"] = self.info["generation"]
        body = {"data": given, "component_id": self.page, "fn_name": method, "session_hash": "benchmark"}
        question = urllib.request.Request(
            f"{self.app.url}/en/gradio_api/component_server/",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(question, timeout=600) as answer:
            found: Data = json.load(answer)
        assert "error" not in found, found
        return found

    def open(self, **request: Any) -> Data:
        """Open the folder, asking again as the page does until it is."""
        while "num" not in (answer := self.ask("open", **request)):
            request = {}
            time.sleep(0.4)
        self.info = answer
        return answer

    def first_tiles(self) -> list[bytes]:
        """Do what the page does before the first tiles are seen: the order, the rows in sight, their pictures."""
        ids = self.ask("view", filter="", sort="name")["ids"]
        rows = self.ask("rows", ids=numbers(ids)[:NUM_TILES])["rows"]
        return [self.tile(rows[0])]

    def tile(self, row: Data) -> bytes:
        address = f"{self.app.url}/captions/pictures/{self.info['key']}/{row['id']}?size=192&v={row['stamp']}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            content: bytes = answer.read()
        return content


def numbers(text: str) -> list[int]:
    data = base64.b64decode(text)
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def memory(app: App) -> int:
    """Return the most memory that the app has had, in megabytes."""
    assert app.process is not None
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{app.process.pid}/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) // 1024


def opened(client: Client) -> Data:
    seconds, answer = timed(client.open)
    tile, _ = timed(client.first_tiles)
    return {"open_seconds": seconds, "pictures": answer["num"], "first_tile_seconds": tile}


def filters(client: Client) -> Data:
    """Measure every filter as soon as the folder is open, and again."""
    told = {}
    for text in (*FILTERS, "rarest: < 5"):
        first, answer = timed(lambda text=text: client.ask("view", filter=text, sort="name"))
        again, _ = timed(lambda text=text: client.ask("view", filter=text, sort="name"))
        tags, _ = timed(lambda text=text: client.ask("tags", filter=text, search="", sort="count", fewer=0, offset=0))
        told[text] = {"first_ms": round(first * 1000), "again_ms": round(again * 1000), "tags_ms": round(tags * 1000)}
    return {
        "slowest_first_ms": max(each["first_ms"] for each in told.values()),
        "slowest_again_ms": max(each["again_ms"] for each in told.values()),
        "slowest_tags_ms": max(each["tags_ms"] for each in told.values()),
        "filters": told,
    }


def written(client: Client) -> None:
    while client.ask("poll", tab="benchmark")["pending"]:
        time.sleep(0.2)


def batch(client: Client) -> Data:
    """Measure a replace over all captions, an edit while it is being written, and undo."""
    values = {"find": "^", "replacement": "new tag, ", "mode": "regex"}
    request = {"operation": "replace", "values": values, "scope": "all"}
    looked, _ = timed(lambda: client.ask("preview", **request))
    replaced, answer = timed(lambda: client.ask("apply", **request))
    ids = numbers(client.ask("view", filter="", sort="name")["ids"])
    row = client.ask("rows", ids=ids[5:6])["rows"][0]
    edit = {"row": row["id"], "text": row["text"] + ", by hand", "before": row["text"]}
    by_hand, _ = timed(lambda: client.ask("edit", edits=[edit]))
    all_written, _ = timed(lambda: written(client))
    client.ask("undo")
    undone, _ = timed(lambda: client.ask("undo"))
    undone_written, _ = timed(lambda: written(client))
    return {
        "preview_seconds": looked,
        "changed": answer["num"],
        "replace_seconds": replaced,
        "edit_by_hand_seconds": by_hand,
        "written_seconds": all_written,
        "undo_seconds": undone,
        "undo_written_seconds": undone_written,
    }


def looks(client: Client) -> Data:
    """Measure what looking for changes from outside costs: the slowest of some polls."""
    seconds = []
    for _ in range(8):
        seconds.append(timed(lambda: client.ask("poll", tab="benchmark"))[0])
        time.sleep(3.1)
    return {"slowest_poll_seconds": max(seconds)}


def stop(app: App) -> None:
    """End the app as Ctrl+C does."""
    assert app.process is not None
    app.process.send_signal(signal.SIGINT)
    app.process.wait(120)


def measure(home: Path, folder: Path, parts: tuple[Callable[[Client], Data], ...]) -> Data:
    app = App(home)
    app.start()
    told: Data = {}
    try:
        client = Client(app, folder)
        for part in parts:
            told |= part(client)
        told["peak_mb"] = memory(app)
        told["stop_seconds"] = timed(lambda: stop(app))[0]
    finally:
        app.close()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the pictures are made, and found again the next time")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = chosen.folder or Path(temporary)
        pictures, home = place / "pictures", place / "page home"
        if not pictures.exists():
            make(pictures, chosen.images)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        told = {
            "first": measure(home, pictures, (opened, filters)),
            "later": measure(home, pictures, (opened, filters, looks)),
            "batch": measure(home, pictures, (opened, batch)),
            "after": measure(home, pictures, (opened,)),
        }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
