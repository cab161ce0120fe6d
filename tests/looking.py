"""Scanning, as the tests of the sources do it."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

from PIL import Image

from backend.config.data import DataSection, DatasetConfig
from backend.config.messages import languages
from backend.config.problems import Problem
from backend.data.scan import Scan, scan


def look(*paths: Path | str, strict: bool = False, **changes: object) -> Scan:
    """Scan data sets that have the same settings."""
    datasets = [DatasetConfig(path=str(path), **changes) for path in paths]
    return scan(DataSection(datasets=datasets, strict=strict))


def codes(found: Scan) -> set[str]:
    """Return the codes of all problems, every one of which has words in every language."""
    for problem in found.problems:
        for language in languages():
            text = problem.text(language)
            assert not text.startswith("problem."), problem
            assert not re.search(r"\{[a-z_]+\}", text), text
    return {problem.code for problem in found.problems}


def only(found: Scan) -> Problem:
    """Return the one problem of a scan."""
    codes(found)
    (problem,) = found.problems
    return problem


def told(found: Scan) -> list[tuple[str, tuple[str, ...], str]]:
    """Return names, captions and descriptions."""
    return [(item.name, item.captions, item.description) for item in found.images]


def picture(color: str = "red", kind: str = "JPEG", size: tuple[int, int] = (40, 30)) -> bytes:
    """Return a picture of one colour as the bytes of a file."""
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, kind)
    return buffer.getvalue()


def shard(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    """Write a .tar file with these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path
