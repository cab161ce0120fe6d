from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from ui import run_files


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    samples = tmp_path / "runs" / "20260101-000000-猫 1" / "samples"
    samples.mkdir(parents=True)
    Image.new("RGB", (512, 512), "red").save(samples / "step 1.png")
    (samples.parent / "config.toml").write_text("secret = 1", encoding="utf-8")
    (samples / "notes.txt").write_text("no picture", encoding="utf-8")
    (tmp_path / "outside.png").write_bytes(b"secret")
    app = FastAPI()
    app.state.open = True
    app.include_router(run_files.router(lambda: tmp_path / "runs", lambda request: app.state.open))
    return TestClient(app)


def test_a_sample_and_its_thumbnail_are_served(client: TestClient) -> None:
    full = client.get("/runs/20260101-000000-猫 1/samples/step 1.png")
    small = client.get("/runs/20260101-000000-猫 1/samples/step 1.png?size=128")
    assert full.headers["content-type"] == "image/png"
    assert small.headers["content-type"] == "image/webp" and len(small.content) < len(full.content)


@pytest.mark.parametrize(
    "path",
    [
        "/runs/20260101-000000-猫 1/samples/..%2Fconfig.toml",
        "/runs/20260101-000000-猫 1/samples/..%2F..%2F..%2Foutside.png",
        "/runs/..%2F/samples/outside.png",
        "/runs/%2E%2E/samples/outside.png",
        "/runs/20260101-000000-猫 1/samples/notes.txt",
        "/runs/20260101-000000-猫 1/samples/none.png",
        "/runs/20260101-000000-猫 1/models/..%2Fconfig.toml",
        "/runs/20260101-000000-猫 1/samples/%2Fetc%2Fpasswd",
    ],
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_nothing_is_served_to_strangers(client: TestClient) -> None:
    client.app.state.open = False
    assert client.get("/runs/20260101-000000-猫 1/samples/step 1.png").status_code == 401
