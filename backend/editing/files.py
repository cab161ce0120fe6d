"""Caption files: read with what must be kept of them, and written so that they are there whole or not at all."""

from __future__ import annotations

import codecs
import errno
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher

from backend.config.problems import UserError
from backend.data.encodings import guess
from backend.data.filesystems import unreadable
from backend.editing.partials import partial_path

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
# The mark that stands before the text in a file of an encoding.
MARKS = {"utf-8-sig": codecs.BOM_UTF8, **{encoding: mark for mark, encoding in UTF16.items()}}
# Not to be guessed: each has a mark, or is tried first.
CERTAIN = frozenset({"utf-8", *MARKS})
IS_WINDOWS = os.name == "nt"
# So often, and so many seconds apart, is tried what Windows refuses while somebody has a file open.
NUM_TRIES, PAUSE = 10, 0.05
LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class CaptionText:
    """What is in a caption file, and how it is written.

    `text` has "\\n" between its lines, and not the line end that may stand behind the last. `newline` is the line end
    of the file; empty where it has several kinds, which then stand in `text` as they are. `encoding` is one of "utf-8",
    "utf-8-sig", "utf-16-le", "utf-16-be" (both with their mark), or what `encodings.guess` takes it for.
    """

    text: str
    encoding: str = "utf-8"
    newline: str = "\n"
    has_final_newline: bool = False


def read_caption(path: str | os.PathLike[str]) -> CaptionText:
    """Return what is in a caption file; written back unchanged, it has the same bytes.

    Raises:
        UserError: `file_not_found` or `file_unreadable`.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (a hundred thousand times)
            return decode(file.read())
    except (OSError, ValueError) as error:
        raise unreadable(
            os.fspath(path), error if isinstance(error, OSError) else FileNotFoundError(str(error))
        ) from error


def find_caption(path: str | os.PathLike[str]) -> CaptionText | None:
    """Return what is in a caption file; None when there is none.

    Raises:
        UserError: `file_unreadable`.
    """
    try:
        return read_caption(path)
    except UserError as error:
        if error.problem.code == "file_not_found":
            return None
        raise


def decode(data: bytes) -> CaptionText:
    """Return the text of a file's bytes and how it is written."""
    encoding, text = _decoded(data)
    ends = set(LINE_END.findall(text))
    if len(ends) > 1:
        return CaptionText(text, encoding, "")
    newline = ends.pop() if ends else "\n"
    is_closed = text.endswith(newline)
    body = text[: -len(newline)] if is_closed else text
    return CaptionText(body if newline == "\n" else body.replace(newline, "\n"), encoding, newline, is_closed)


def _decoded(data: bytes) -> tuple[str, str]:
    """Return encoding and text, of the first encoding that gives the same bytes back."""
    if data.isascii():
        return "utf-8", data.decode("ascii")
    sure = "utf-8-sig" if data.startswith(codecs.BOM_UTF8) else UTF16.get(data[:2], "utf-8")
    with suppress(UnicodeError):
        text = data[len(MARKS.get(sure, b"")) :].decode("utf-8" if sure == "utf-8-sig" else sure)
        if _encoded(text, sure) == data:
            return sure, text
    return guess(data)


def _encoded(text: str, encoding: str) -> bytes:
    return MARKS.get(encoding, b"") + text.encode("utf-8" if encoding == "utf-8-sig" else encoding)


def encode(caption: CaptionText) -> bytes:
    """Return the bytes of a caption file.

    UTF-8 takes the place of an encoding that lacks a sign of the text, and of a guessed one if the guess would be
    another next time: some short texts in gb18030 are UTF-8, too.
    """
    newline = caption.newline or "\n"
    text = caption.text if newline == "\n" else caption.text.replace("\n", newline)
    if caption.has_final_newline:
        text += newline
    with suppress(UnicodeEncodeError):
        data = _encoded(text, caption.encoding)
        if caption.encoding in CERTAIN or _decoded(data) == (caption.encoding, text):
            return data
    return text.encode("utf-8", "replace")  # half of a pair of surrogates is no sign in any encoding


def with_line_ends(text: str, like: str) -> str:
    """Return a text whose lines have the ends that they have in a text of several kinds; new ones have the usual end.

    A text that has such ends already stays as it is.
    """
    if "\r" in text:
        return text
    lines, ends = LINE_END.split(like), LINE_END.findall(like)
    usual = max(ends, key=ends.count, default="\n")
    is_closed = not lines[-1] or text.endswith("\n")
    new = text.removesuffix("\n").split("\n")
    found = [usual] * len(new)
    old = lines if lines[-1] else lines[:-1]
    for kind, start, stop, place, end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind in ("equal", "replace"):
            known = [*ends, usual][start:stop]
            found[place:end] = (known + [usual] * (end - place))[: end - place]
    if not is_closed:
        found[-1] = ""
    return "".join(line + end for line, end in zip(new, found, strict=True))


def kept_text(text: str) -> str:
    """Return a text as files keep it: one kind of line end, no mark of UTF-8, and no half of a sign of two parts."""
    whole = text if text.isascii() else text.encode("utf-8", "replace").decode().removeprefix("\ufeff")
    return whole.replace("\r\n", "\n").replace("\r", "\n")


def is_same_text(one: str | None, other: str | None) -> bool:
    """Tell whether two texts are the same in a file, whose line ends and mark are its own; None: there is no file."""
    return one == other or (one is not None and other is not None and _plain(one) == _plain(other))


def _plain(text: str) -> str:
    return LINE_END.sub("\n", text.removeprefix("\ufeff")).rstrip("\n")


def write_caption(
    path: str | os.PathLike[str], text: str, like: CaptionText | None = None, *, flush: bool = True
) -> str:
    """Write a caption file, whole or not at all.

    Args:
        path: Where; its folder must be there.
        text: With "\\n" between lines.
        like: Encoding and line ends are as of this one; None: UTF-8, "\\n" and no line end behind the last line.
        flush: Wait until it is on the disk. Off: it is whole for every reader, but may be lost with the power.

    Returns:
        The stamp of the file, as backend.data.filesystems makes it.

    Raises:
        UserError: `no_space` or `file_unwritable`. What stood there before is untouched.
    """
    form = like or CaptionText("")
    data = encode(CaptionText(text, form.encoding, form.newline, form.has_final_newline))
    # A link stays one: what it leads to is replaced.
    target = os.path.realpath(path) if os.path.islink(path) else os.fspath(path)  # noqa: PTH114
    try:
        return _replace(target, data, flush=flush)
    except OSError as error:
        raise unwritable(os.fspath(path), error) from error


def write_bytes(path: str | os.PathLike[str], data: bytes, *, flush: bool = False) -> str:
    """Write a file, whole or not at all; `flush`: wait until it is on the disk.

    Returns:
        Its stamp.

    Raises:
        UserError: `no_space` or `file_unwritable`. What stood there before is untouched.
    """
    try:
        return _replace(os.fspath(path), data, flush=flush)
    except OSError as error:
        raise unwritable(os.fspath(path), error) from error


def unwritable(path: str, error: OSError) -> UserError:
    """Return the problem of a file that the system does not write."""
    if error.errno in FULL:
        return UserError("no_space", value=path)
    return UserError("file_unwritable", value=path, reason=error.strerror or str(error))


def delete_caption(path: str | os.PathLike[str]) -> None:
    """Remove a caption file; one that is not there is none.

    Raises:
        UserError: `file_unwritable`.
    """
    try:
        insist(lambda: os.unlink(path))  # noqa: PTH108
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(os.fspath(path), error) from error


def _replace(path: str, data: bytes, *, flush: bool) -> str:
    mode = _mode(path)
    fresh = partial_path(path)
    number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            write_all(number, data)
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(number, mode)
            if flush:
                os.fsync(number)
        finally:
            os.close(number)
        status = os.stat(fresh)  # noqa: PTH116 (Windows knows the time of a file when it is closed)
        insist(lambda: os.replace(fresh, path))  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)  # noqa: PTH108
        raise
    return f"{status.st_size}-{status.st_mtime_ns}"


def insist(work: Callable[[], object]) -> None:
    """Do what Windows refuses for a moment: to replace or move a file that a virus scanner or another thread reads.

    Raises:
        OSError: As `work`.
    """
    for _ in range(NUM_TRIES if IS_WINDOWS else 0):
        try:
            work()
        except PermissionError:
            time.sleep(PAUSE)
        else:
            return
    work()


def _mode(path: str) -> int | None:
    """Return the permissions of a file that is there; one that may not be written to is not replaced either."""
    try:
        mode = os.stat(path).st_mode & 0o7777  # noqa: PTH116
    except FileNotFoundError:
        return None
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return mode


def write_all(number: int, data: bytes) -> None:
    """Write all bytes: the system may take only some at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(number, rest) :]
