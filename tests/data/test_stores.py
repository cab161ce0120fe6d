"""Object stores: a real S3 server, one that refuses, one that never answers, and every source on it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
import s3fs
from looking import codes, look, only, picture, shard, told
from moto.server import ThreadedMotoServer
from pyarrow import parquet

from backend.config.data import DataSection, DatasetConfig
from backend.config.problems import UserError
from backend.data.images import read_rgb
from backend.data.index import Facts, Index
from backend.data.picture_edits import PictureEdit, edit_text
from backend.data.scan import scan
from backend.data.stores import Store, open_store

DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys as users have them, and nothing of this machine's own."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    values = {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}
    for name, value in {**values, "EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("ATHANOR_S3_TIMEOUT", "0.5")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> Any:
    """Return a function that puts files into a bucket of this test's own; its name is `bucket.name`."""
    name = f"pictures-{abs(hash(request.node.nodeid)) % 10**10}"
    files = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=server, skip_instance_cache=True)
    files.mkdir(name)

    def put(key: str, data: bytes) -> None:
        files.pipe_file(f"{name}/{key}", data)

    put.name = name  # type: ignore[attr-defined]
    return put


def test_a_folder_on_s3(bucket, server: str) -> None:
    bucket("set/b.png", picture("blue", "PNG"))
    bucket("set/b.txt", "一只猫".encode())
    bucket("set/10_dog/a b.jpg", picture(size=(70, 20)))
    bucket("set/plain/x.png", picture("red", "PNG"))
    bucket("set/b-masklabel.png", picture("white", "PNG"))
    bucket("pairs/b.jpg", picture("black"))
    folders = {"mask": "file", "conditioning": "folder", "conditioning_dir": f"s3://{bucket.name}/pairs"}
    found = look(f"s3://{bucket.name}/set/", endpoint_url=server, **folders)
    assert [(item.name, item.text, item.num_repeats) for item in found.images] == [
        ("b.png", "一只猫", 1),
        ("10_dog/a b.jpg", "dog", 10),
    ]
    assert [(item.width, item.height) for item in found.images] == [(40, 30), (70, 20)]
    assert codes(found) == {"folders_passed_over", "masks_missing", "conditioning_missing"}
    store = open_store(found.datasets[0])
    record = found.images[0]
    assert read_rgb(store.read(record.location)).getpixel((2, 2)) == (0, 0, 255)
    assert read_rgb(store.read(record.mask)).getpixel((2, 2)) == (255, 255, 255)
    assert store.read(record.conditioning) == picture("black")
    recursive = look(f"s3://{bucket.name}/set", endpoint_url=server, recursive=True)
    assert [item.name for item in recursive.images] == ["b.png", "10_dog/a b.jpg", "plain/x.png"]


def test_edits_on_s3_and_of_pictures_here_that_a_file_there_names(bucket, server: str, tmp_path: Path) -> None:
    edit = edit_text(PictureEdit(rotate=90, crop=(0, 0, 20, 16), size=(30, 40)))
    assert edit
    bucket("set/a.png", picture("red", "PNG"))
    bucket("set/a.png.athanor.json", edit.encode())
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.png").write_bytes(picture("red", "PNG"))
    (tmp_path / "here" / "a.png.athanor.json").write_text(edit, encoding="utf-8")
    bucket("set/meta.json", b'{"a.png": "a"}')
    address = f"s3://{bucket.name}/set"
    for found in (
        look(address, endpoint_url=server),
        look(f"{address}/meta.json", endpoint_url=server, image_dir=str(tmp_path / "here")),
    ):
        assert [(item.name, item.width, item.height) for item in found.images] == [("a.png", 20, 16)]


def test_the_address_of_the_server_may_come_from_the_environment(bucket, server: str, monkeypatch) -> None:
    bucket("a.jpg", picture())
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    assert [item.name for item in look(f"s3://{bucket.name}", class_tokens="x").images] == ["a.jpg"]


def test_an_object_that_changes_is_read_again_and_others_are_not(bucket, server: str, tmp_path: Path) -> None:
    bucket("a.jpg", picture(size=(10, 10)))
    bucket("b.jpg", picture(size=(20, 20)))
    row = DatasetConfig(path=f"s3://{bucket.name}", endpoint_url=server, class_tokens="x")
    first = scan(DataSection(datasets=[row]), cache_dir=tmp_path)
    bucket("a.jpg", picture(size=(30, 10)))
    second = scan(DataSection(datasets=[row]), cache_dir=tmp_path)
    assert [item.width for item in second.images] == [30, 20]
    stamps = [[item.stamp for item in found.images] for found in (first, second)]
    assert stamps[0][0] != stamps[1][0]
    assert stamps[0][1] == stamps[1][1]
    with Index(tmp_path) as index:
        record = second.images[1]
        assert index.find(Facts, [(record.location, record.stamp)])


def test_every_other_source_on_s3(bucket, server: str, tmp_path: Path) -> None:
    for name in ("x/a.png", "x/b.png"):
        bucket(name, picture("lime", "PNG"))
    bucket("meta.json", b'{"x/a.png": {"caption": "a"}, "b": "b"}')
    bucket("meta.jsonl", b'{"image": "x/a.png", "caption": "a"}\n{"image": "x/b.png", "caption": "b"}\n')
    bucket("set.csv", b"path,caption\nx/a.png,a\nx/b.png,b\n")
    cells = pa.table({"image": [picture(), picture("blue")], "text": ["a", "b"]})
    parquet.write_table(cells, tmp_path / "set.parquet")
    bucket("set.parquet", (tmp_path / "set.parquet").read_bytes())
    for number, name in enumerate("ab"):
        path = shard(tmp_path / f"{number}.tar", {f"{name}.jpg": picture(), f"{name}.txt": name.encode()})
        bucket(f"shards/{number}.tar", path.read_bytes())
    bucket(
        "set.toml", b'[[datasets]]\n[[datasets.subsets]]\nmetadata_file = "s3://%s/meta.json"\n' % bucket.name.encode()
    )
    for path in ("meta.json", "meta.jsonl", "set.csv", "set.parquet", "shards/{0..1}.tar", "set.toml"):
        found = look(f"s3://{bucket.name}/{path}", endpoint_url=server)
        assert (path, [captions for _, captions, _ in told(found)]) == (path, [("a",), ("b",)])
        assert found.problems == ()
        store = open_store(found.datasets[0])
        assert all(read_rgb(store.read(item.location)).size == (40, 30) for item in found.images)
        assert {(item.width, item.height) for item in found.images} == {(40, 30)}
    found = look(f"s3://{bucket.name}/shards/*.tar", endpoint_url=server)
    assert [item.name for item in found.images] == ["0.tar/a.jpg", "1.tar/b.jpg"]


def test_a_saved_data_set_of_hugging_face_on_s3(bucket, server: str, tmp_path: Path) -> None:
    rows = {"image": [{"bytes": picture("blue"), "path": None}], "text": ["a"], "width": [40], "height": [30]}
    data = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    data.save_to_disk(str(tmp_path / "saved"))
    for path in (tmp_path / "saved").iterdir():
        bucket(f"saved/{path.name}", path.read_bytes())
    found = look(f"s3://{bucket.name}/saved", endpoint_url=server, source="huggingface")
    assert told(found) == [("train/0", ("a",), "")]
    assert (found.images[0].width, found.images[0].height) == (40, 30)
    store = open_store(found.datasets[0])
    assert read_rgb(store.read(found.images[0].location)).getpixel((3, 3)) == (0, 0, 254)


def test_buckets_and_folders_that_are_not_there(bucket, server: str) -> None:
    problem = only(look("s3://no-such-bucket/set", endpoint_url=server))
    assert (problem.level, problem.code, problem.path) == ("error", "s3_bucket_missing", "data.datasets[0].path")
    assert "no-such-bucket" in problem.text()
    assert codes(look("s3://no-such-bucket", endpoint_url=server)) == {"s3_bucket_missing"}
    assert codes(look(f"s3://{bucket.name}/nowhere", endpoint_url=server)) == {"dataset_missing"}
    with pytest.raises(UserError) as caught:
        Store(server).read(f"s3://{bucket.name}/gone.png")
    assert caught.value.problem.code == "file_not_found"


def serve(status: int, body: bytes) -> ThreadingHTTPServer:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    return running


@pytest.mark.parametrize("path", ["set", "meta.json", "set.parquet", "shards-{0..1}.tar"])
def test_a_server_that_answers_403(path: str) -> None:
    running = serve(403, DENIED)
    url = f"http://127.0.0.1:{running.server_address[1]}"
    problem = only(look(f"s3://bucket/{path}", endpoint_url=url))
    running.shutdown()
    running.server_close()
    assert (problem.level, problem.code, problem.path) == ("error", "s3_denied", "data.datasets[0].path")
    assert "AWS_ACCESS_KEY_ID" in problem.text()


def test_pictures_that_the_store_does_not_give_out_stop_the_scan_instead_of_being_left_out(
    bucket, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bucket("a.jpg", picture())
    table = tmp_path / "set.csv"
    table.write_text(f"path,caption\ns3://{bucket.name}/a.jpg,a\n", encoding="utf-8")
    assert len(look(table, endpoint_url=server).images) == 1
    running = serve(403, DENIED)
    url = f"http://127.0.0.1:{running.server_address[1]}"
    assert codes(look(table, endpoint_url=url)) == {"s3_denied"}
    running.shutdown()
    running.server_close()


def test_without_keys(bucket, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert codes(look(f"s3://{bucket.name}", endpoint_url=server)) == {"s3_no_keys"}


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        problem = only(look("s3://bucket/set", endpoint_url=url))
    assert (problem.level, problem.code) == ("error", "s3_timeout")
    assert url in problem.text()
    assert "did not answer in time" in problem.text()


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    assert codes(look("s3://bucket/set", endpoint_url=url)) == {"s3_unreachable"}


def test_without_the_package_it_is_named() -> None:
    """In a process of its own: fsspec remembers what it has imported once."""
    code = (
        "import sys; sys.modules['s3fs'] = None; sys.path.insert(0, 'tests')\n"
        "from looking import look, only\n"
        "problem = only(look('s3://bucket/set'))\n"
        "assert (problem.code, problem.params['package']) == ('package_missing', 's3fs'), problem\n"
    )
    project = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=project, env={**os.environ, "PYTHONPATH": "."}, check=True)


def test_an_address_of_no_kind() -> None:
    assert codes(look("gopher9://bucket/set")) == {"address_unknown"}
