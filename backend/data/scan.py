"""Look through the folders of a configuration: which pictures there are, with what captions, and what is wrong."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from backend.config.data import DataSection, DatasetConfig
from backend.config.paths import resolve
from backend.config.problems import Level, Problem, UserError
from backend.data.images import EXTENSIONS, probe

KOHYA_FOLDER = re.compile(r"^(\d+)_(.*)$")
LISTED = 5
# In this order; gb18030 takes almost any bytes, so it comes last and is reported.
ENCODINGS = ("utf-8-sig", "gb18030")
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One picture: its caption as written (empty: `class_tokens` stand in), and its upright size in pixels."""

    path: Path
    caption: str
    caption_path: Path | None
    class_tokens: str
    num_repeats: int
    width: int
    height: int
    dataset_index: int

    @property
    def text(self) -> str:
        """The caption to start from."""
        return self.caption if self.caption_path is not None else self.class_tokens


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found, in a fixed order."""

    images: tuple[ImageRecord, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    num_repeats: int
    class_tokens: str


def read_caption(path: Path) -> tuple[str, bool]:
    """Return a caption file's text on one line, and whether its encoding had to be guessed.

    Raises:
        UserError: It cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    if data.startswith(UTF16_MARKS):
        return _one_line(data.decode("utf-16", "replace")), False
    for encoding in ENCODINGS:
        try:
            return _one_line(data.decode(encoding)), encoding != "utf-8-sig"
        except UnicodeDecodeError:
            continue
    return _one_line(data.decode("latin-1")), True


def _one_line(text: str) -> str:
    return " ".join(line.strip() for line in text.replace("\x00", "").splitlines() if line.strip())


def _folders(root: Path, dataset: DatasetConfig) -> list[_Folder]:
    """Return a data set's folder and its sub-folders in kohya's `10_name` layout."""
    found = [_Folder(root, dataset.num_repeats, dataset.class_tokens)]
    for entry in sorted(root.iterdir(), key=lambda path: path.name):
        match = KOHYA_FOLDER.match(entry.name)
        if match and entry.is_dir() and int(match[1]) > 0:
            tokens = dataset.class_tokens or match[2].strip()
            found.append(_Folder(entry, dataset.num_repeats * int(match[1]), tokens))
    return found


def _pictures(folder: Path) -> list[Path]:
    entries = [path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")]
    return sorted((path for path in entries if path.is_file()), key=lambda path: path.name)


def _passed_over(root: Path) -> list[str]:
    """Return the names of sub-folders that hold pictures and are not read, because their names have no number."""
    folders = (path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith("."))
    return [path.name for path in folders if not KOHYA_FOLDER.match(path.name) and _pictures(path)]


class _Scanner:
    """Collects records and problems of one scan; problems of one kind are told once, with some names."""

    def __init__(self, data: DataSection) -> None:
        self.data = data
        self.records: list[ImageRecord] = []
        self.problems: list[Problem] = []
        self.noted: dict[tuple[str, str], list[str]] = defaultdict(list)

    def run(self) -> Scan:
        for index, dataset in enumerate(self.data.datasets):
            field = f"data.datasets[{index}].path"
            if dataset.path.strip():
                self._dataset(index, dataset, field)
        for (code, field), names in self.noted.items():
            listed = ", ".join(names[:LISTED]) + (" ..." if len(names) > LISTED else "")
            self.problems.append(Problem(self._level(code), code, field, {"num": len(names), "names": listed}))
        return Scan(tuple(self.records), tuple(self.problems))

    def _level(self, code: str) -> Level:
        return "error" if self.data.strict and code in ("images_unreadable", "captions_unreadable") else "warning"

    def _error(self, code: str, field: str, path: Path, reason: str = "") -> None:
        self.problems.append(Problem("error", code, field, {"value": str(path), "reason": reason}))

    def _dataset(self, index: int, dataset: DatasetConfig, field: str) -> None:
        root = resolve(dataset.path)
        if not root.exists():
            return self._error("dataset_missing", field, root)
        if not root.is_dir():
            return self._error("dataset_not_folder", field, root)
        before = len(self.records)
        try:
            for folder in _folders(root, dataset):
                self._folder(index, folder, field)
        except OSError as error:
            return self._error("file_unreadable", field, root, error.strerror or str(error))
        if len(self.records) == before:
            return self._error("dataset_empty", field, root)
        if passed_over := _passed_over(root):
            self.noted["folders_passed_over", field] += passed_over
        return None

    def _folder(self, index: int, folder: _Folder, field: str) -> None:
        by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in _pictures(folder.path):
            by_stem[path.stem].append(path)
            self._picture(index, path, folder, field)
        for paths in by_stem.values():
            if len(paths) > 1:
                self.noted["duplicate_stems", field].append(" + ".join(path.name for path in paths))

    def _picture(self, index: int, path: Path, folder: _Folder, field: str) -> None:
        try:
            info = probe(path)
        except UserError as error:
            self.noted["images_unreadable", field].append(f"{path.name} ({error.problem.text()})")
            return
        if info.is_animated:
            self.noted["images_animated", field].append(path.name)
        caption, caption_path = self._caption(path, field)
        if not caption and not (caption_path is None and folder.class_tokens):
            self.noted["captions_missing", field].append(path.name)
        self.records.append(
            ImageRecord(
                path=path,
                caption=caption,
                caption_path=caption_path,
                class_tokens=folder.class_tokens,
                num_repeats=folder.num_repeats,
                width=info.width,
                height=info.height,
                dataset_index=index,
            )
        )

    def _caption(self, picture: Path, field: str) -> tuple[str, Path | None]:
        """Return a picture's caption and its file; no file when there is none or it cannot be read."""
        path = picture.with_suffix(self.data.caption_extension)
        if not path.is_file():
            return "", None
        try:
            caption, guessed = read_caption(path)
        except UserError as error:
            self.noted["captions_unreadable", field].append(f"{path.name} ({error.problem.text()})")
            return "", None
        if guessed:
            self.noted["captions_guessed", field].append(path.name)
        return caption, path


def scan(data: DataSection) -> Scan:
    """Read names, headers and captions of every data set; decodes no picture and writes nothing.

    Returns:
        The records in the order of the data sets and of the file names, and the problems: errors for what keeps a
        training from starting, warnings for what is left out or looks like a mistake.
    """
    return _Scanner(data).run()
