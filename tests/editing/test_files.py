"""Captions keep their encoding and line ends, and are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.config.problems import UserError
from backend.data.filesystems import LocalFiles
from backend.editing import files
from backend.editing.files import CaptionText, decode, encode, is_same_text, read_caption, with_line_ends, write_caption


@given(st.binary(max_size=60))
def test_any_bytes_come_back_as_they_were(data: bytes) -> None:
    assert encode(decode(data)) == data


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1, max_size=4),
    st.sampled_from(["utf-8-sig", "utf-16-le", "utf-16-be"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_marked_files_are_understood(lines: list[str], encoding: str, newline: str, is_closed: bool) -> None:
    caption = CaptionText("\n".join([*lines, "end"]), encoding, newline, is_closed)
    assert decode(encode(caption)) == caption


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a, b\r\nc\r\n", CaptionText("a, b\nc", "utf-8", "\r\n", True)),
        (b"a\r\nb\nc", CaptionText("a\r\nb\nc", "utf-8", "")),
        ("风景, 山".encode("gb18030"), CaptionText("风景, 山", "gb18030")),
        ("caf\xe9, b".encode("latin-1"), CaptionText("caf\xe9, b", "cp1252")),
        (b"", CaptionText("")),
        (b"\n", CaptionText("", has_final_newline=True)),
    ],
)
def test_encodings_and_line_ends_are_told(data: bytes, expected: CaptionText) -> None:
    assert decode(data) == expected


def test_a_new_text_is_written_as_the_old_one_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("山水风景\r\n狗\r\n".encode("gb18030"))
    write_caption(path, "猫, 耳朵\n狗", read_caption(path))
    assert path.read_bytes() == "猫, 耳朵\r\n狗\r\n".encode("gb18030")


@given(st.text(max_size=12), st.sampled_from(["gb18030", "cp932", "big5", "cp949", "cp1252", "latin-1", "utf-8"]))
def test_what_is_written_is_read_again(text: str, encoding: str) -> None:
    assert is_same_text(decode(encode(CaptionText(text, encoding))).text, text)


@pytest.mark.parametrize(
    ("before", "after", "encoding"),
    [
        ("1girl, 長い髪, 笑顔", "長い髪, 笑顔, 青い空", "cp932"),
        ("少女, 長髮, 微笑", "少女, 微笑", "big5"),
        ("소녀, 긴 머리", "소녀, 긴 머리, 교복", "cp949"),
        ("a cat \u2013 sleeping", "a cat \u2013 awake", "cp1252"),
    ],
)
def test_files_stay_in_their_encoding(tmp_path: Path, before: str, after: str, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(before.encode(encoding))
    found = read_caption(path)
    assert (found.text, found.encoding) == (before, encoding)
    write_caption(path, after, found)
    assert path.read_bytes() == after.encode(encoding)


@pytest.mark.parametrize(
    ("like", "text", "expected"),
    [
        ("a\r\nb\nc", "a\nb, more\nc", "a\r\nb, more\nc"),
        ("a\r\nb\nc", "b\nc", "b\nc"),
        ("a\r\nb\nc\r\n", "a\nb\nnew\nc", "a\r\nb\nnew\r\nc\r\n"),
        ("a\r\nb\nc\r\n", "a\nb\nc\n", "a\r\nb\nc\r\n"),
        ("a\r\nb\nc", "a\nb\nc\nd", "a\r\nb\nc\r\nd"),
        ("a\nb\rc\n\n", "c", "c\n"),
        ("a\r\nb\nc", "x\r\ny\nz", "x\r\ny\nz"),
    ],
)
def test_each_line_keeps_its_own_end(like: str, text: str, expected: str) -> None:
    assert with_line_ends(text, like) == expected


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", ""]), st.sampled_from(["\n", "\r\n", "\r"])), min_size=1))
def test_lines_that_stay_are_as_they_were(lines: list[tuple[str, str]]) -> None:
    like = "".join(map("".join, lines)) + "end"
    assert with_line_ends(like.replace("\r\n", "\n").replace("\r", "\n"), like) == like


def test_signs_that_the_encoding_lacks_make_it_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xe9, b")
    write_caption(path, "caf\xe9, 猫", read_caption(path))
    assert path.read_text(encoding="utf-8") == "caf\xe9, 猫"


def test_a_new_file_is_plain_and_stamped(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    stamp = write_caption(path, "一, 二\n三")
    assert path.read_bytes() == "一, 二\n三".encode()
    assert stamp == f"{path.stat().st_size}-{path.stat().st_mtime_ns}"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.txt"
    real.write_text("a", encoding="utf-8")
    real.chmod(0o640)
    link = tmp_path / "link.txt"
    link.symlink_to(real)
    write_caption(link, "b")
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "b"
    assert real.stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError) as missing:
        read_caption(tmp_path / "none.txt")
    assert missing.value.problem.code == "file_not_found"
    with pytest.raises(UserError) as folder:
        read_caption(tmp_path)
    assert folder.value.problem.code == "file_unreadable"
    with pytest.raises(UserError) as gone:
        write_caption(tmp_path / "none" / "a.txt", "b")
    assert gone.value.problem.code == "file_unwritable"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")

    def full(number: int, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError) as error:
        write_caption(path, "new")
    monkeypatch.undo()
    assert error.value.problem.code == "no_space"
    assert path.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("num_refusals", "is_written"), [(3, True), (99, False)])
def test_a_file_that_somebody_reads_is_tried_again_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_refusals: int, is_written: bool
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    refusals = iter(range(num_refusals))
    original = os.replace

    def busy(source: str, target: str) -> None:
        if next(refusals, None) is not None:
            raise PermissionError(errno.EACCES, "in use", target)
        original(source, target)

    monkeypatch.setattr(files, "IS_WINDOWS", True)
    monkeypatch.setattr(files, "PAUSE", 0.001)
    monkeypatch.setattr(os, "replace", busy)
    if is_written:
        write_caption(path, "new")
    else:
        with pytest.raises(UserError) as caught:
            write_caption(path, "new")
        assert caught.value.problem.code == "file_unwritable"
    assert path.read_text() == ("new" if is_written else "old")
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_the_stamp_of_a_written_file_is_that_of_the_closed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert write_caption(path, "new") == LocalFiles().stamp(str(path))
