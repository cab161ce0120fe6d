"""Files of an object store (s3://...) through fsspec, with every way in which it refuses in plain words."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar

from backend.config.problems import UserError
from backend.data.filesystems import File, Listing

TIMEOUT_VARIABLE = "ATHANOR_S3_TIMEOUT"
USUAL_TIMEOUT = 15.0
# Tried again by the store's client and once more around it, for answers that break off.
NUM_ATTEMPTS = 2
NUM_CONNECTIONS = 64
# What is read at once of an open file: shards are looked through from header to header.
BLOCK_BYTES = 1024 * 1024
NOT_THERE = frozenset({"NoSuchBucket", "404"})
Answer = TypeVar("Answer")


class RemoteFiles:
    """The files of one object store. Keys come from the environment or the user's own files, never from us."""

    def __init__(self, protocol: str, endpoint_url: str = "") -> None:
        self.protocol = protocol
        self.endpoint_url = endpoint_url.strip() or os.environ.get("AWS_ENDPOINT_URL", "")
        self._system = _connected(protocol, self.endpoint_url)

    def join(self, folder: str, name: str) -> str:
        return f"{folder.rstrip('/')}/{name}"

    def kind(self, location: str) -> str:
        """Return "file", "folder" or "" for what is not there; a store knows no empty folders.

        Raises:
            UserError: The store refuses or does not answer, or there is no such bucket.
        """
        try:
            info = self._ask(location, lambda: self._system.info(location))
        except UserError as error:
            if error.problem.code == "file_not_found":
                return ""
            raise
        return "file" if info["type"] == "file" else "folder"

    def listing(self, folder: str) -> Listing:
        files, folders = [], []
        for entry in self._ask(folder, lambda: self._system.ls(folder, detail=True)):
            name = entry["name"].rstrip("/").rpartition("/")[2]
            if name.startswith(".") or entry["name"].rstrip("/") == self._plain(folder):
                continue
            if entry["type"] == "directory":
                folders.append(name)
            else:
                files.append(File(name, self._address(entry["name"]), _stamp(entry)))
        return Listing(tuple(sorted(files)), tuple(sorted(folders)))

    def stamp(self, location: str) -> str:
        return _stamp(self._ask(location, lambda: self._system.info(location)))

    def read(self, location: str, start: int = 0, end: int | None = None) -> bytes:
        limits = {} if not start and end is None else {"start": start, "end": end}
        return bytes(self._ask(location, lambda: self._system.cat_file(location, **limits)))

    def open(self, location: str) -> BinaryIO:
        opened: BinaryIO = self._ask(location, lambda: self._system.open(location, "rb", block_size=BLOCK_BYTES))
        return opened

    def glob(self, pattern: str) -> list[str]:
        return sorted(self._address(name) for name in self._ask(pattern, lambda: self._system.glob(pattern)))

    def _plain(self, location: str) -> str:
        return location.partition("://")[2].rstrip("/")

    def _address(self, name: str) -> str:
        return f"{self.protocol}://{name}"

    def _ask(self, location: str, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except UserError:
            raise
        except Exception as error:
            raise translated(error, location, self.endpoint_url) from error


def _connected(protocol: str, endpoint_url: str) -> Any:
    """Return fsspec's file system.

    Raises:
        UserError: The package for this kind of store is not installed, or there is none.
    """
    import fsspec

    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        package = "s3fs" if protocol == "s3" else protocol
        raise UserError("package_missing", value=f"{protocol}://", package=package, extra="s3") from error
    except ValueError as error:
        raise UserError("address_unknown", value=f"{protocol}://") from error
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if protocol == "s3":
        # Pictures are small: one request each, without one for the size before it.
        options |= {"endpoint_url": endpoint_url or None, "config_kwargs": _limits(), "max_concurrency": 1}
    system = kind(**options)
    system.retries = NUM_ATTEMPTS
    return system


def _limits() -> dict[str, Any]:
    try:
        seconds = float(os.environ.get(TIMEOUT_VARIABLE, USUAL_TIMEOUT))
    except ValueError:
        seconds = USUAL_TIMEOUT
    return {
        "connect_timeout": seconds,
        "read_timeout": seconds,
        "max_pool_connections": NUM_CONNECTIONS,
        "retries": {"total_max_attempts": NUM_ATTEMPTS, "mode": "standard"},
    }


def _stamp(entry: dict[str, Any]) -> str:
    tag = str(entry.get("ETag") or "").strip('"')
    return tag or f"{entry.get('size', '')}-{entry.get('LastModified') or entry.get('mtime') or ''}"


def translated(error: Exception, location: str, endpoint_url: str) -> UserError:
    """Return a store's refusal as a problem: what was asked for, and what to do."""
    names = {kind.__name__ for kind in type(error).__mro__}
    server = endpoint_url or "Amazon S3"
    bucket = location.partition("://")[2].partition("/")[0]
    if _code(error) in NOT_THERE and not location.partition("://")[2].partition("/")[2].strip("/"):
        return UserError("s3_bucket_missing", value=bucket, server=server)
    if _code(error) == "NoSuchBucket":
        return UserError("s3_bucket_missing", value=bucket, server=server)
    if isinstance(error, FileNotFoundError):
        return UserError("file_not_found", value=location)
    if isinstance(error, PermissionError):
        return UserError("s3_denied", value=location, server=server, reason=str(error))
    if names & {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}:
        return UserError("s3_no_keys", value=location)
    if isinstance(error, TimeoutError) or any("Timeout" in name for name in names):
        return UserError("s3_timeout", value=location, server=server)
    if names & {"HTTPClientError", "ConnectionError"}:
        return UserError("s3_unreachable", value=location, server=server, reason=str(error))
    return UserError("file_unreadable", value=location, reason=str(error))


def _code(error: Exception) -> str:
    """Return the store's own code of an error, which is in what the error was made from."""
    answer = getattr(error.__cause__, "response", None) or getattr(error, "response", None) or {}
    return str(answer.get("Error", {}).get("Code", ""))
