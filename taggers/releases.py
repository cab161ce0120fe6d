"""Files of releases on GitHub: a download that tells how far it is, and goes on where it broke off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from backend.runs.locks import take
from taggers.files import HUB_SECONDS, WAIT_SECONDS, Progress

# As much is lost of what arrived when a connection breaks off.
CHUNK_BYTES = 64 * 1024
# The server's answer where all of a file is here already.
ALL_HERE = 416
# download(address, where the file goes, whoever asks), as pooch calls it
Downloader = Callable[[str, str, Any], None]


@contextmanager
def downloading(folder: Path, name: str, progress: Progress | None) -> Iterator[None]:
    """Let what pooch downloads inside of it be told of, and kept where it breaks off; one process at a time.

    pooch itself looks at the hash, and puts a file in its place only when that is right.

    Args:
        folder: Where the file goes.
        name: What it is called.
        progress: Is told how the download goes.
    """
    import pooch

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("ab") as lock:
        while not take(lock):  # another process is at it
            time.sleep(WAIT_SECONDS)
        usual = pooch.retrieve
        # Who calls it names no downloader of its own; nothing else in this process uses pooch meanwhile.
        pooch.retrieve = partial(usual, downloader=_downloader(folder / f".{name}.part", name, progress))
        try:
            yield
        finally:
            pooch.retrieve = usual


def _downloader(part: Path, name: str, progress: Progress | None) -> Downloader:
    def download(address: str, target: str, _asker: Any) -> None:
        _receive(address, part, lambda done, total: progress(name, done, total) if progress else None)
        part.replace(target)

    return download


def _receive(address: str, part: Path, tell: Callable[[int, int], None]) -> None:
    """Append to a file what it lacks.

    Raises:
        requests.RequestException: The connection failed, or broke off; what has arrived stays.
    """
    import requests

    with part.open("ab") as out:
        done = out.tell()
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with requests.get(address, headers=headers, stream=True, timeout=HUB_SECONDS) as answer:
            if answer.status_code == ALL_HERE:
                return
            answer.raise_for_status()
            if answer.status_code == requests.codes.ok and done:  # all of it, whatever was asked for
                out.truncate(0)
                done = 0
            total = done + int(answer.headers.get("Content-Length") or 0)
            for chunk in answer.iter_content(CHUNK_BYTES):
                out.write(chunk)
                done += len(chunk)
                tell(done, total)
