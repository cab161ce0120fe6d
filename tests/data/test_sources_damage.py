"""Whatever is wrong with a file, a scan tells it in words and never breaks."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from looking import codes, look, picture, shard
from pyarrow import parquet

from backend.config.problems import UserError
from backend.data.stores import open_store

NUM_DAMAGED = 100


def write(kind: str, path: Path) -> bytes:
    """Write a whole file of a kind of source, and return it."""
    if kind == "m.json":
        rows = {"a.png": {"caption": "x", "tags": "y", "description": "d"}, "b": {"caption": ["a", "b"]}}
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif kind == "m.jsonl":
        path.write_text('{"image": "a.png", "caption": "x"}\n{"image": "b.jpg", "text": "y"}\n', encoding="utf-8")
    elif kind == "t.csv":
        path.write_text('path,caption,width,height\na.png,"一 x",40,30\nb.jpg,y,,\n', encoding="utf-8")
    elif kind == "cells.parquet":
        cells = [{"bytes": picture(), "path": "q"}, {"bytes": picture("blue", "PNG"), "path": None}]
        parquet.write_table(pa.table({"image": cells, "text": ["a", "b"]}), path)
    elif kind == "paths.parquet":
        parquet.write_table(pa.table({"path": ["a.png", "b.jpg"], "text": ["a", "b"], "width": [3, None]}), path)
    elif kind == "s.tar":
        members = {"a.jpg": picture(), "a.txt": b"x", "b.png": picture("blue", "PNG"), "b.json": b'{"caption": "q"}'}
        shard(path, members)
    else:
        path.write_text('[[datasets]]\nresolution=512\n[[datasets.subsets]]\nimage_dir="."\n', encoding="utf-8")
    return path.read_bytes()


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Cut a file short, change some of its bytes, or replace a part."""
    spoilt, at = bytearray(data), generator.randrange(len(data))
    kind = generator.randrange(3)
    if kind == 0:
        return data[:at]
    if kind == 1:
        for _ in range(generator.randrange(1, 6)):
            spoilt[generator.randrange(len(data))] = generator.randrange(256)
    else:
        spoilt[at : at + generator.randrange(1, 40)] = generator.randbytes(generator.randrange(10))
    return bytes(spoilt)


@pytest.mark.parametrize("kind", ["m.json", "m.jsonl", "t.csv", "cells.parquet", "paths.parquet", "s.tar", "d.toml"])
def test_damage_is_told_and_breaks_nothing(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.png").write_bytes(picture("red", "PNG"))
    (tmp_path / "b.jpg").write_bytes(picture())
    path = tmp_path / kind
    whole, generator = write(kind, path), random.Random(kind)
    assert len(look(path).images) == 2
    for _ in range(NUM_DAMAGED):
        path.write_bytes(damaged(whole, generator))
        found = look(path)
        assert found.images or codes(found)
        for record in found.images:
            try:
                open_store(found.datasets[record.dataset]).read(record.location)
            except UserError as error:
                assert error.problem.code
