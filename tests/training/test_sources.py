"""Every way that pictures and captions can come, up to the end of a short training on them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import datasets as hugging_face_datasets
import pyarrow
import pyarrow.parquet as parquet_files
import pytest
from moto.server import ThreadedMotoServer
from runner import events, make_run, train, write_pictures

Rows = list[dict[str, Any]]
Tiny = Callable[[str], Path]
NUM_PICTURES = 4
FEATURES = hugging_face_datasets.Features(
    {"image": hugging_face_datasets.Image(), "text": hugging_face_datasets.Value("string")}
)


def _stems(folder: Path) -> list[tuple[str, bytes, str]]:
    found = sorted(folder.glob("*.png"))
    return [(path.stem, path.read_bytes(), path.with_suffix(".txt").read_text(encoding="utf-8")) for path in found]


def kohya(folder: Path) -> Rows:
    write_pictures(folder / "2_red thing", NUM_PICTURES // 2)
    write_pictures(folder / "1_blue thing", NUM_PICTURES // 2)
    return [{"path": str(folder), "num_repeats": 0.5}]


def recursive(folder: Path) -> Rows:
    write_pictures(folder / "a", NUM_PICTURES // 2)
    write_pictures(folder / "b" / "深", NUM_PICTURES // 2)
    return [{"path": str(folder), "recursive": True}]


def metadata_json(folder: Path) -> Rows:
    rows = {}
    for stem, _, caption in _stems(write_pictures(folder / "pictures", NUM_PICTURES)):
        rows[str(folder / "pictures" / f"{stem}.png")] = {"caption": caption, "tags": "tag one, tag two"}
    (folder / "meta.json").write_text(json.dumps(rows), encoding="utf-8-sig")
    return [{"path": str(folder / "meta.json")}]


def rich_json_lines(folder: Path) -> Rows:
    lines = []
    for stem, _, caption in _stems(write_pictures(folder / "pictures", NUM_PICTURES)):
        row = {"image_path": f"pictures/{stem}.png", "caption": caption, "description": f"A sentence on {stem}."}
        lines.append(json.dumps(row | {"artist": "someone", "aesthetic_score": 6.5, "quality": "best"}))
    (folder / "meta.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return [{"path": str(folder / "meta.jsonl")}]


def csv_table(folder: Path) -> Rows:
    lines = ["file_name,text"]
    lines += [f'{stem}.png,"{text}"' for stem, _, text in _stems(write_pictures(folder / "pictures", NUM_PICTURES))]
    (folder / "pictures" / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    return [{"path": str(folder / "pictures" / "table.csv")}]


def parquet(folder: Path) -> Rows:
    rows = _stems(write_pictures(folder / "pictures", NUM_PICTURES))
    table = pyarrow.table({"bild": [data for _, data, _ in rows], "one": [text for *_, text in rows]})
    parquet_files.write_table(table, folder / "data.parquet")
    return [{"path": str(folder / "data.parquet"), "image_column": "bild", "caption_columns": ["one"]}]


def webdataset(folder: Path) -> Rows:
    for number, row in enumerate(_stems(write_pictures(folder / "pictures", NUM_PICTURES))):
        with tarfile.open(folder / f"shard-{number % 2:03d}.tar", "a") as archive:
            for ending, data in ((".png", row[1]), (".txt", row[2].encode())):
                info = tarfile.TarInfo(f"{number:06d}{ending}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return [{"path": str(folder / "shard-{000..001}.tar")}]


def hugging_face(folder: Path) -> Rows:
    rows = _stems(write_pictures(folder / "pictures", NUM_PICTURES))
    made = hugging_face_datasets.Dataset.from_dict(
        {"image": [{"bytes": data, "path": None} for _, data, _ in rows], "text": [text for *_, text in rows]},
        features=FEATURES,
    )
    made.save_to_disk(folder / "saved")
    return [{"path": str(folder / "saved"), "source": "huggingface"}]


def sd_scripts(folder: Path) -> Rows:
    write_pictures(folder / "one", NUM_PICTURES // 2)
    write_pictures(folder / "two", NUM_PICTURES // 2)
    (folder / "dataset.toml").write_text(
        f"""
        [general]
        enable_bucket = true
        caption_extension = ".txt"
        [[datasets]]
        resolution = 64
        min_bucket_reso = 32
        max_bucket_reso = 128
        bucket_reso_steps = 8
        batch_size = 2
        [[datasets.subsets]]
        image_dir = {json.dumps(str(folder / "one"))}
        num_repeats = 1
        shuffle_caption = true
        [[datasets.subsets]]
        image_dir = {json.dumps(str(folder / "two"))}
        keep_tokens = 1
        flip_aug = true
        """,
        encoding="utf-8",
    )
    return [{"path": str(folder / "dataset.toml")}]


SOURCES = (kohya, recursive, metadata_json, rich_json_lines, csv_table, parquet, webdataset, hugging_face, sd_scripts)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_a_source_is_trained_on_from_end_to_end(
    source: Callable[[Path], Rows], tmp_path: Path, tiny_folder: Tiny
) -> None:
    folder = tmp_path / "数据 set"
    folder.mkdir()
    overlay = {"data": {"datasets": source(folder)}, "training": {"num_epochs": 1}}
    run = train(make_run(tmp_path, tiny_folder("sd15"), overlay))
    assert events(run, "warning") == []
    assert events(run, "end")[-1]["status"] == "finished"
    expected = 3 if source is kohya else NUM_PICTURES  # 0.5 x (2 x 2 + 2 x 1)
    told = [event for event in events(run, "progress") if event.get("unit") == "latents"]
    assert told[-1]["total"] == (NUM_PICTURES + 2 if source is sd_scripts else NUM_PICTURES), "two are mirrored, too"
    assert events(run, "step")[-1]["step"] == -(-expected // 2) or source is kohya


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A real S3 server with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "somebody"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
    ):
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures")
    yield client
    server.stop()


def test_a_bucket_of_an_object_store_is_trained_on(bucket: Any, tmp_path: Path, tiny_folder: Tiny) -> None:
    for stem, data, text in _stems(write_pictures(tmp_path / "local", NUM_PICTURES)):
        bucket.put_object(Bucket="pictures", Key=f"my set/{stem}.png", Body=data)
        bucket.put_object(Bucket="pictures", Key=f"my set/{stem}.txt", Body=text.encode())
    overlay = {"data": {"datasets": [{"path": "s3://pictures/my set"}]}, "training": {"num_epochs": 1}}
    run = train(make_run(tmp_path, tiny_folder("sd15"), overlay))
    assert events(run, "warning") == [] and events(run, "step")[-1]["step"] == 2
    for written in (run.config_path, run.events_path, run.console_path):
        assert b"secret" not in written.read_bytes()
    again = train(make_run(tmp_path, tiny_folder("sd15"), overlay, {"cache": {"latents": "off"}}))
    assert events(again, "step")[-1]["step"] == 2
