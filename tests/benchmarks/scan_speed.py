"""How long scans take and how much memory they need: 100,000 files, and a million rows of a Parquet file.

    python tests/benchmarks/scan_speed.py [--images 100000] [--rows 1000000] [--folder FOLDER]

Each measurement is a process of its own, so that its peak memory is its own. Prints one JSON object. Budgets: first
scan under 60 s and 1 GB, second under 5 s; a million rows under 25 s and 800 MB of records.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
NUM_FOLDERS = 10
WORDS = "girl boy cat dog red blue green sky tree house smile solo long_hair dress night day city sea".split()


def make_images(folder: Path, num: int) -> None:
    """Write small pictures of a few sizes with captions; every file is one of its own."""
    from PIL import Image

    generator = random.Random(0)
    kinds = []
    for number in range(40):
        buffer = io.BytesIO()
        size = (generator.randrange(200, 900), generator.randrange(200, 900))
        Image.new("RGB", size, (number, 90, 90)).save(buffer, "JPEG" if number % 2 else "PNG")
        kinds.append((".jpg" if number % 2 else ".png", buffer.getvalue()))
    for number in range(num):
        place = folder / f"1_set{number % NUM_FOLDERS}"
        place.mkdir(parents=True, exist_ok=True)
        ending, data = kinds[number % len(kinds)]
        (place / f"{number:07}{ending}").write_bytes(data)
        (place / f"{number:07}.txt").write_text(", ".join(generator.choices(WORDS, k=20)), encoding="utf-8")


def make_rows(path: Path, num: int) -> None:
    """Write a Parquet file that names pictures with their sizes and captions."""
    import pyarrow as pa
    from pyarrow import parquet

    generator = random.Random(0)
    schema = pa.schema(
        [("image_path", pa.string()), ("caption", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    )
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, num, 50_000):
            count = min(50_000, num - start)
            columns = {
                "image_path": [f"folder{number % 100:02}/{start + number:08}.jpg" for number in range(count)],
                "caption": [", ".join(generator.choices(WORDS, k=20)) for _ in range(count)],
                "width": [generator.randrange(500, 2000) for _ in range(count)],
                "height": [generator.randrange(500, 2000) for _ in range(count)],
            }
            writer.write_table(pa.table(columns, schema=schema))


def measure(path: str, cache: str) -> None:
    """Scan in this process; print seconds, pictures and memory in megabytes."""
    from backend.config.data import DataSection, DatasetConfig
    from backend.data.scan import scan

    before = resident()
    start = time.perf_counter()
    found = scan(DataSection(datasets=[DatasetConfig(path=path)]), cache_dir=Path(cache))
    seconds = time.perf_counter() - start
    told = {"seconds": round(seconds, 2), "pictures": len(found.images), "problems": len(found.problems)}
    print(json.dumps({**told, "records_mb": resident() - before, "peak_mb": peak()}))


def resident() -> int:
    """Return the memory of this process in megabytes."""
    import psutil

    return psutil.Process().memory_info().rss // 1024**2


def peak() -> int:
    """Return the most memory that this process has had, in megabytes; not what its parent had."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def run(path: Path, cache: Path) -> dict[str, float]:
    """Measure a scan in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(path), str(cache)]
    done = subprocess.run(command, cwd=PROJECT, env=None, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", nargs=2)
    chosen = parser.parse_args()
    if chosen.measure:
        return measure(*chosen.measure)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as temporary:
        folder = Path(temporary)
        make_images(folder / "pictures", chosen.images)
        make_rows(folder / "rows.parquet", chosen.rows)
        results = {
            "first": run(folder / "pictures", folder / "cache"),
            "second": run(folder / "pictures", folder / "cache"),
            "rows": run(folder / "rows.parquet", folder / "cache"),
        }
    print(json.dumps(results, indent=2))
    return None


if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT))
    main()
