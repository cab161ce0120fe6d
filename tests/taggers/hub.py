"""A hub of our own: what huggingface_hub asks for, from a folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves the files of `folder` as the repository `repo`.

    `breaks_at`: the connection is cut after so many bytes. `tag`: what files are called by instead of their hash.
    `size`: how large they are said to be.
    """

    def __init__(self, folder: Path, repo: str) -> None:
        self.folder = folder
        self.repo = repo
        self.breaks_at = 0
        self.wrong_hash = False
        self.tag = ""
        self.size = 0
        self.asked: list[tuple[str, str, str]] = []

    def file(self, name: str) -> str:
        """Return what is asked for to have a file."""
        return f"/{self.repo}/resolve/main/{name}"

    def etag(self, data: bytes) -> str:
        return self.tag or "0" * 64 if self.tag or self.wrong_hash else hashlib.sha256(data).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve a hub; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            hub.asked.append((self.command, self.path, self.headers.get("Range", "")))
            if self.path.startswith(f"/api/models/{hub.repo}"):
                paths = [path for path in sorted(hub.folder.rglob("*")) if path.is_file()]
                siblings = [{"rfilename": str(path.relative_to(hub.folder))} for path in paths]
                content = {"id": hub.repo, "sha": COMMIT, "siblings": siblings}
                return self.send(json.dumps(content).encode(), {"Content-Type": "application/json"}, with_body)
            start = f"/{hub.repo}/resolve/"
            name = self.path.removeprefix(start).partition("/")[2] if self.path.startswith(start) else ""
            path = hub.folder / name
            if not name or not path.is_file():
                kind = "EntryNotFound" if name else "RepoNotFound"
                self.send_response(404)
                self.send_header("X-Error-Code", kind)
                self.send_header("Content-Length", "0")
                return self.end_headers()
            data = path.read_bytes()
            headers = {
                "ETag": f'"{hub.etag(data)}"',
                "X-Repo-Commit": COMMIT,
                "X-Linked-Size": str(hub.size or len(data)),
            }
            return self.send(data, headers, with_body)

        def send(self, data: bytes, headers: dict[str, str], with_body: bool) -> None:
            asked = self.headers.get("Range", "")
            first = int(asked.removeprefix("bytes=").partition("-")[0]) if asked.startswith("bytes=") else 0
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(data) - first))
            self.end_headers()
            if with_body and hub.breaks_at and len(data) > hub.breaks_at:
                self.wfile.write(data[first : hub.breaks_at])
                self.close_connection = True
            elif with_body:
                self.wfile.write(data[first:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
