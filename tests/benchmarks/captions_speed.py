"""How fast the caption page's engine is on 100,000 pictures with captions of 30 tags.

    python tests/benchmarks/captions_speed.py [--images 100000] [--folder FOLDER] [--keep]

Each part is a process of its own, so that its peak memory is its own. Prints one JSON object. Budgets: opened within
10 s the first time and 2 s later, any filter within 200 ms, a replace over all within 3 s until it is shown and safe in
the journal (files follow: `written`), memory under 1.5 GB.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
NUM_FOLDERS = 10
NUM_WORDS = 12_000
NUM_TAGS = 30
FILTERS = (
    "tag:smile",
    'tag:"tag 17"',
    "tag:*hair*",
    "tag:t?g*7",
    "not tag:smile",
    "caption:smile",
    "caption:s*e",
    "caption:s?ile",
    "caption:e",
    "name:*7.jpg",
    "name:99",
    "path:set3",
    "smile",
    "tags: > 10",
    "tokens: > 75",
    "size: < 512",
    "aspect: 16:9",
    "chars: > 300",
    "untagged",
    "changed",
    "(tag:smile or caption:*hair*) and not name:*7.jpg and tags: > 5",
)


def words() -> list[str]:
    common = "smile,solo,1girl,1boy,long hair,short hair,blue eyes,cat ears,hat,sky".split(",")
    return common + [f"tag {number}" for number in range(NUM_WORDS)]


def make(folder: Path, num: int) -> None:
    """Write small pictures of a few sizes with captions of 30 tags, of which a few are frequent."""
    from PIL import Image

    generator = random.Random(0)
    kinds = []
    for number in range(40):
        buffer = io.BytesIO()
        size = (generator.randrange(200, 900), generator.randrange(200, 900))
        Image.new("RGB", size, (number, 90, 90)).save(buffer, "JPEG" if number % 2 else "PNG")
        kinds.append((".jpg" if number % 2 else ".png", buffer.getvalue()))
    known = words()
    weights = [1 / (place + 5) for place in range(len(known))]
    for number in range(num):
        place = folder / f"set{number % NUM_FOLDERS}"
        place.mkdir(parents=True, exist_ok=True)
        ending, data = kinds[number % len(kinds)]
        (place / f"{number:07}{ending}").write_bytes(data)
        tags = dict.fromkeys(generator.choices(known, weights, k=NUM_TAGS + 20))
        (place / f"{number:07}.txt").write_text(", ".join(list(tags)[:NUM_TAGS]), encoding="utf-8")


def peak() -> int:
    """Return the most memory that this process has had, in megabytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) // 1024


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def measure(part: str, folder: Path) -> dict[str, Any]:
    """Measure one part in this process."""
    from backend.editing.library import Library

    seconds, library = timed(lambda: Library(folder))
    told: dict[str, Any] = {"open_seconds": round(seconds, 2), "pictures": len(library)}
    if part == "filters":
        told.update(filters(library))
    if part == "batch":
        told.update(batch(library))
    if part == "pictures":
        told.update(pictures(library))
    told["close_seconds"] = round(timed(library.close)[0], 2)
    told["peak_mb"] = peak()
    return told


def filters(library: Any) -> dict[str, Any]:
    """Measure every filter, the first time and after that."""
    from backend.config.model import ModelSection
    from backend.editing.filter import parse
    from backend.editing.matching import evaluate
    from backend.families.tokens import TokenCounter

    counter = TokenCounter.of(ModelSection())
    warm = timed(lambda: library.warm(counter))[0]
    told = {}
    for text in FILTERS:
        first, mask = timed(lambda text=text: evaluate(parse(text), library, counter))
        again = timed(lambda text=text: evaluate(parse(text), library, counter))[0]
        told[text] = {"found": int(mask.sum()), "first_ms": round(first * 1000), "again_ms": round(again * 1000)}
    slowest = max(max(each["first_ms"], each["again_ms"]) for each in told.values())
    return {"warm_seconds": round(warm, 2), "slowest_ms": slowest, "filters": told}


def batch(library: Any) -> dict[str, Any]:
    """Measure a replace that changes every caption, an edit by hand, and undo."""
    from backend.editing.operations import Replace, edits, preview

    operation = Replace(r"^", "new tag, ", "regex")
    looked = timed(lambda: preview(library, operation))[0]
    seconds, applied = timed(lambda: library.apply("all", edits(library, operation)))
    by_hand = timed(lambda: library.apply("one", {5: "by hand"}))[0]
    written = timed(library.journal.wait)[0]
    library.undo(wait=True)
    undone = timed(lambda: library.undo())[0]
    return {
        "changed": len(applied.rows),
        "preview_seconds": round(looked, 2),
        "replace_seconds": round(seconds, 2),
        "one_by_hand_seconds": round(by_hand, 3),
        "written_seconds": round(written, 2),
        "undo_seconds": round(undone, 2),
        "undo_written_seconds": round(timed(library.journal.wait)[0], 2),
        "reload_seconds": round(timed(library.reload_changed)[0], 2),
    }


def pictures(library: Any) -> dict[str, Any]:
    """Measure what is done to single pictures by key, and to a thousand at once."""
    some = range(0, len(library), max(1, len(library) // 1000))
    told = {}
    for name, act in {
        "rate_one": lambda: library.rate("rate", [9], 3),
        "rate_some": lambda: library.rate("rate", some, 4),
        "turn_some": lambda: library.rotate("turn", some, 90),
        "reload": library.reload_changed,
        "trash_one": lambda: library.trash("trash", [9]),
        "undo_one": library.undo,
        "trash_some": lambda: library.trash("trash", some),
        "undo_some": library.undo,
    }.items():
        told[f"{name}_seconds"] = round(timed(act)[0], 3)
    while library.undo():
        pass
    return told


def run(part: str, folder: Path) -> dict[str, Any]:
    """Measure a part in a process of its own."""
    environment = {**os.environ, "ATHANOR_HOME": str(folder / "home"), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, __file__, "--measure", part, "--folder", str(folder / "pictures")]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the pictures are made, and found again the next time")
    parser.add_argument("--measure")
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure, chosen.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        if not (folder / "pictures").exists():
            make(folder / "pictures", chosen.images)
        parts = ("first", "second", "filters", "batch", "pictures", "second")
        results = [(part, run(part, folder)) for part in parts]
    results[-1] = ("after the batch", results[-1][1])
    print(json.dumps(dict(results), indent=2))


if __name__ == "__main__":
    main()
