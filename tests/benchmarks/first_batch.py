"""How soon a training of a million pictures begins: python tests/benchmarks/first_batch.py [--rows 1000000]

A Parquet file names the pictures with their sizes and captions: a thousand real files in a folder that is linked a
thousand times. Measured are seconds and peak memory of a process from `find_pictures` to the first batch of the
stream, without a cache of latents. Targets: 60 s and 2 GB.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

NUM_FILES = 1000
MAX_SECONDS, MAX_MEGABYTES = 60.0, 2000
WORDS = "girl boy cat dog red blue green sky tree house smile solo long_hair dress night day city sea".split()


def make_rows(folder: Path, num_rows: int) -> Path:
    """Write the pictures, the links to their folder, and the table; returns the table."""
    import pyarrow as pa
    from PIL import Image
    from pyarrow import parquet

    generator = random.Random(0)
    sizes = [(generator.randrange(400, 900), generator.randrange(400, 900)) for _ in range(NUM_FILES)]
    (folder / "real").mkdir(parents=True)
    for number, size in enumerate(sizes):
        Image.new("RGB", size, (number % 256, 90, 90)).save(folder / "real" / f"{number:03d}.jpg")
    schema = pa.schema(
        [("image_path", pa.string()), ("caption", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    )
    with parquet.ParquetWriter(folder / "rows.parquet", schema) as writer:
        for part in range(-(-num_rows // NUM_FILES)):
            (folder / f"part{part:04d}").symlink_to("real", target_is_directory=True)
            count = min(NUM_FILES, num_rows - part * NUM_FILES)
            columns = {
                "image_path": [f"part{part:04d}/{number:03d}.jpg" for number in range(count)],
                "caption": [", ".join(generator.choices(WORDS, k=20)) for _ in range(count)],
                "width": [width for width, _ in sizes[:count]],
                "height": [height for _, height in sizes[:count]],
            }
            writer.write_table(pa.table(columns, schema=schema))
    return folder / "rows.parquet"


def measure(table: Path, cache: Path) -> dict[str, Any]:
    """Go from the table to the first batch in this process; returns seconds after each stage and memory."""
    from backend.config.root import TrainConfig
    from backend.training import feeding
    from backend.training.distributed import make_state

    data = {"datasets": [{"path": str(table)}], "shuffle_caption": True}
    config = TrainConfig.model_validate({"data": data, "cache": {"dir": str(cache), "latents": "off"}})
    state, teller = make_state("cpu"), SimpleNamespace(progress=lambda *_: None, warn=print)
    # Without caches of its own, a model is asked for no more than this.
    family: Any = SimpleNamespace(vae_scale_factor=8, identities={})
    started = time.perf_counter()
    seconds: dict[str, float] = {}

    def passed(stage: str) -> None:
        seconds[stage] = round(time.perf_counter() - started, 1)

    found = feeding.find_pictures(config, teller)
    passed("found")
    caches = feeding.fill_caches(config, family, found, state=state, teller=teller, stop=lambda: False)
    passed("checked")
    feed = feeding.make_feed(config, found, caches, state=state, teller=teller, scale_factor=8)
    passed("counted")
    batch = next(iter(feed.stream.batches(0)))
    passed("first batch")
    assert feed.count.num_images == len(found.scan.images) and len(batch) == config.training.batch_size
    return {"pictures": feed.count.num_images, "seconds": seconds, "peak_mb": peak()}


def peak() -> int:
    """Return the most memory that this process has had, in megabytes."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) // 1024


def main() -> None:
    """Measure in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="Where the table is written; kept, and used again.")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        return print(json.dumps(measure(*options.measure)))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        table = folder / "rows.parquet"
        if not table.exists():
            make_rows(folder, options.rows)
        command = [sys.executable, __file__, "--measure", str(table), str(Path(temporary) / "cache")]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    is_met = told["seconds"]["first batch"] <= MAX_SECONDS and told["peak_mb"] <= MAX_MEGABYTES
    print(json.dumps(told, indent=2))
    return print(f"wanted at most {MAX_SECONDS:.0f} s and {MAX_MEGABYTES} MB: {'met' if is_met else 'NOT MET'}")


if __name__ == "__main__":
    main()
