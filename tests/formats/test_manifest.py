"""A checkpoint folder is complete or absent, and a damaged one is never used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend.config.messages import languages
from backend.config.problems import UserError
from backend.formats import manifest
from backend.formats.manifest import MANIFEST, VERSION

ROOT = Path(__file__).parents[2]
# Kills itself where a rename of the named folder would happen.
KILLED = """
import os, sys
from pathlib import Path
from backend.formats import manifest
folder, victim = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename
def killed(self, target):
    if self.name == victim:
        os.kill(os.getpid(), 9)
    return rename(self, target)
Path.rename = killed
with manifest.publishing(folder) as partial:
    (partial / "weights.bin").write_bytes(b"new")
"""


def write(folder: Path, content: bytes = b"weights") -> Path:
    with manifest.publishing(folder) as partial:
        (partial / "weights.bin").write_bytes(content)
        (partial / "\u90e8\u5206").mkdir()
        (partial / "\u90e8\u5206" / MANIFEST).write_text("{}", encoding="utf-8")
    return folder


def problem(folder: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        manifest.verify_manifest(folder)
    return caught.value


def edit(folder: Path, **changes: object) -> None:
    data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps(data | changes), encoding="utf-8")


def test_a_published_folder_holds(tmp_path: Path) -> None:
    folder = write(tmp_path / "\u70bc\u4e39 runs" / "step-00000001")
    manifest.verify_manifest(folder)
    rows = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    # sha256 of "weights", by coreutils' sha256sum.
    digest = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    assert rows["weights.bin"] == {"num_bytes": 7, "sha256": digest}
    assert f"\u90e8\u5206/{MANIFEST}" in rows
    assert manifest.newest_complete(folder.parent) == folder


@pytest.mark.parametrize("name", ["weights.bin", f"\u90e8\u5206/{MANIFEST}"])
@pytest.mark.parametrize("damage", ["changed", "truncated", "gone", "a folder"])
def test_damage_is_found_and_the_file_named(name: str, damage: str, tmp_path: Path) -> None:
    path = write(tmp_path / "step-1") / name
    content = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "a folder":
        path.mkdir()
    error = problem(tmp_path / "step-1")
    assert error.problem.code == "checkpoint_damaged"
    assert all(name in error.problem.text(language) for language in languages())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"version": 1}', '{"version": 1, "files": {"weights.bin": 3}}',
             '{"version": 1, "files": [1]}', '{"version": "x", "files": {}}', "\udcff"],
)  # fmt: skip
def test_a_manifest_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "step-1")
    (folder / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert problem(folder).problem.params["file"] == MANIFEST
    assert manifest.newest_complete(tmp_path) is None


def test_the_newest_that_holds_is_taken(tmp_path: Path) -> None:
    folders = [write(tmp_path / f"step-{step:08d}") for step in (2, 10, 100)]
    assert manifest.newest_complete(tmp_path) == folders[2]
    (folders[2] / "weights.bin").write_bytes(b"")
    assert manifest.newest_complete(tmp_path) == folders[1]
    (folders[1] / MANIFEST).unlink()
    assert manifest.newest_complete(tmp_path) == folders[0]
    assert manifest.newest_complete(tmp_path / "nowhere") is None


def test_a_newer_versions_checkpoint_is_told_and_not_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "step-1")
    newer = write(tmp_path / "step-2")
    edit(newer, version=VERSION + 1, files=["another form"])
    assert problem(newer).problem.code == "checkpoint_newer"
    with pytest.raises(UserError, match="newer version"):
        manifest.newest_complete(tmp_path)


def test_an_error_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "step-1", b"before")
    with pytest.raises(ZeroDivisionError), manifest.publishing(folder) as partial:
        (partial / "weights.bin").write_bytes(b"half")
        raise ZeroDivisionError
    assert (folder / "weights.bin").read_bytes() == b"before"
    manifest.verify_manifest(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_writing_again_replaces_the_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "step-1", b"before")
    (folder / "older.bin").write_bytes(b"x")
    write(folder, b"after")
    manifest.verify_manifest(folder)
    assert (folder / "weights.bin").read_bytes() == b"after"
    assert not (folder / "older.bin").exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_a_rename_that_the_system_refuses_puts_the_older_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does when a virus scanner has a file of the new folder open."""
    folder = write(tmp_path / "step-1", b"before")
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name == "step-1.partial":
            raise PermissionError(13, "in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(UserError) as caught:
        write(folder, b"after")
    assert caught.value.problem.code == "file_unwritable"
    assert (folder / "weights.bin").read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [folder]


def kill_at_rename_of(folder: Path, victim: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), victim], cwd=ROOT, check=False)
    assert done.returncode not in (0, 1), "it was not killed"


@pytest.mark.parametrize("victim", ["step-1", "step-1.partial"])
def test_a_writer_killed_while_replacing_loses_nothing(victim: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "step-1", b"before")
    kill_at_rename_of(folder, victim)
    manifest.remove_leftovers(tmp_path)
    assert manifest.newest_complete(tmp_path) == folder
    assert (folder / "weights.bin").read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("victim", ["step-1", "step-1.partial"])
def test_the_next_writer_clears_up_by_itself(victim: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "step-1", b"before")
    kill_at_rename_of(folder, victim)
    write(folder, b"after")
    assert (folder / "weights.bin").read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_killed_writer_of_a_new_folder_leaves_no_checkpoint(tmp_path: Path) -> None:
    kill_at_rename_of(tmp_path / "step-1", "step-1.partial")
    assert manifest.complete_folders(tmp_path) == []
    (tmp_path / ".abc.partial").write_bytes(b"half a model")
    manifest.remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError) as caught, manifest.publishing(tmp_path / "file" / "step-1"):
        pass
    assert caught.value.problem.code == "file_unwritable"
