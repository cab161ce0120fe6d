import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ui import proxy


class Upstream(BaseHTTPRequestHandler):
    """Answers with what it was asked; stands in for TensorBoard."""

    def do_GET(self) -> None:
        body = f"{self.path}|{self.headers.get('Cookie')}|{self.headers.get('Authorization')}".encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Set-Cookie", "theirs=1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/tensorboard"
    server.shutdown()


def client(address: str | None, *, authorised: bool = True) -> TestClient:
    app = FastAPI()
    app.include_router(proxy.router(lambda: address, lambda request: authorised))
    return TestClient(app)


def test_path_and_query_are_passed_on_and_what_is_private_is_not(upstream: str) -> None:
    headers = {"Cookie": "session=secret", "Authorization": "Basic secret"}
    answer = client(upstream).get("/tensorboard/data/runs?tag=a%2Fb&x=1", headers=headers)
    assert answer.status_code == 200 and answer.text == "/tensorboard/data/runs?tag=a%2Fb&x=1|None|None"
    assert "set-cookie" not in answer.headers
    assert client(upstream).get("/tensorboard/missing").status_code == 404
    assert client(upstream).get("/font-roboto/a.woff2").text.startswith("/tensorboard/font-roboto/a.woff2")


def test_it_says_when_tensorboard_is_not_there() -> None:
    assert client(None).get("/tensorboard/").status_code == 503
    assert client("http://127.0.0.1:9").get("/tensorboard/").status_code == 502


def test_strangers_see_nothing(upstream: str) -> None:
    assert client(upstream, authorised=False).get("/tensorboard/").status_code == 401
