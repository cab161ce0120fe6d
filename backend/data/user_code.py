"""Code of the user's for a data set: repeats, captions and descriptions by functions in a Python file.

The file may have any of these functions; `**kwargs` holds `counter` (how often each artist, character, style and
quality is in the data set), `rng` (a random.Random, the same for the same draw) and, for captions, `flip_aug`:

    def num_repeats(img_key, img_md, **kwargs): ...     # how often in an epoch; 0 leaves the picture out
    def caption(img_info, **kwargs): ...                # called each time that the picture is drawn
    def description(img_info, **kwargs): ...

A file is only run when its content was confirmed on this machine: its hash is in `trusted_code.json`. A changed file,
or one that came with somebody's preset, has another hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from backend.config import paths
from backend.config.datasets import DatasetConfig
from backend.config.problems import UserError
from backend.config.root import TrainConfig
from backend.data.captions import caption_rng, draw_key
from backend.data.datasets import Dataset
from backend.data.records import ImageRecord, Scan

FUNCTIONS = ("num_repeats", "caption", "description")
COUNTED = ("artist", "characters", "styles", "quality")
Counters = Mapping[str, Counter[str]]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the caption functions are told of a picture. Sizes are (width, height) in pixels; None where not known."""

    key: str
    metadata: dict[str, Any]
    caption: str
    description: str
    image_size: tuple[int, int]
    original_size: tuple[int, int]
    bucket_size: tuple[int, int] | None
    latent_size: tuple[int, int] | None
    num_repeats: float
    npz_path: str = ""


def hash_of(path: Path, field: str = "") -> str:
    """Return the sha256 of a file's content, in hex.

    Raises:
        UserError: `code_unreadable` at the field when there is no such file.
    """
    return hashlib.sha256(_read(path, field)).hexdigest()


def is_trusted(path: Path) -> bool:
    """Tell whether the content of a file was confirmed on this machine."""
    return hash_of(path) in _trusted()


def trust(path: Path) -> str:
    """Remember that the user has read a file and wants it to run; returns its hash."""
    digest = hash_of(path)
    target = _trusted_file()
    target.parent.mkdir(parents=True, exist_ok=True)
    written = target.with_name(f"{target.name}.{os.getpid()}")
    written.write_text(json.dumps({**_trusted(), digest: str(path)}, indent=2), encoding="utf-8")
    written.replace(target)
    return digest


def open_code(dataset: Dataset, records: Iterable[ImageRecord]) -> UserCode | None:
    """Load the code of a data set; None when it has none.

    Args:
        dataset: The data set.
        records: Its pictures, with their metadata; they are counted.

    Raises:
        UserError: `code_unreadable`, `code_untrusted`, `code_failed` or `code_empty`, at the field of the path.
    """
    if not dataset.config.code_path.strip():
        return None
    field = f"{dataset.field}.code_path"
    path = paths.resolve(dataset.config.code_path)
    source = _read(path, field)
    digest = hashlib.sha256(source).hexdigest()
    if digest not in _trusted():
        raise UserError("code_untrusted", field, value=str(path), sha256=digest)
    return UserCode(path, field, _functions(path, source, field), count(records))


def open_all(found: Scan) -> dict[int, UserCode]:
    """Load the code of every data set of a scan, by the data set's index. Raises as `open_code`."""
    opened = {}
    for dataset in found.datasets:
        if dataset.config.code_path.strip():
            code = open_code(dataset, (record for record in found.images if record.dataset == dataset.index))
            assert code is not None
            opened[dataset.index] = code
    return opened


def freeze(config: TrainConfig, folder: Path) -> TrainConfig:
    """Copy the confirmed code of a configuration into a run's folder, and return the configuration that names it there.

    A run goes on as it began when the file is changed later. Code that was not confirmed stays where it is: the run
    refuses it.
    """
    trusted = _trusted()

    def frozen(dataset: DatasetConfig) -> DatasetConfig:
        if not dataset.code_path.strip():
            return dataset
        source = _read(paths.resolve(dataset.code_path), "data.datasets")
        digest = hashlib.sha256(source).hexdigest()
        if digest not in trusted:
            return dataset
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{digest[:12]}.py"
        target.write_bytes(source)
        return dataset.model_copy(update={"code_path": str(target)})

    datasets = [frozen(dataset) for dataset in config.data.datasets]
    return config.model_copy(update={"data": config.data.model_copy(update={"datasets": datasets})})


def count(records: Iterable[ImageRecord]) -> Counters:
    """Count artists, characters, styles and qualities: names with _ for blanks and without escapes of brackets."""
    counters: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
    for record in records:
        for name in COUNTED:
            value = (record.metadata or {}).get(name) or ""
            counters[name].update(_names(value, formatted=name != "quality"))
    return counters


class UserCode:
    """The functions of one file, for one data set. An error in them is a `UserError` that names the line."""

    def __init__(self, path: Path, field: str, functions: Mapping[str, Callable[..., Any]], counter: Counters) -> None:
        self.path = path
        self.field = field
        self.functions = functions
        self.counter = counter

    def num_repeats(self, record: ImageRecord) -> float | None:
        """Return how often a picture is seen in an epoch; None where the file does not say."""
        if "num_repeats" not in self.functions:
            return None
        rng = caption_rng(0, 0, f"repeats/{draw_key(record)}")
        repeats = self._call("num_repeats", record, key_of(record), metadata_of(record), rng=rng)
        if not isinstance(repeats, (int, float)) or not (0 <= repeats < math.inf):
            raise self._failed("num_repeats", record, f"it returned {repeats!r}, which is no number of repeats")
        return float(repeats)

    def caption(
        self, record: ImageRecord, rng: random.Random, *, flip: bool = False, bucket: tuple[int, int] | None = None
    ) -> str | None:
        """Return the caption of one draw; None where the file has no such function."""
        return self._text("caption", record, rng, flip, bucket)

    def description(
        self, record: ImageRecord, rng: random.Random, *, flip: bool = False, bucket: tuple[int, int] | None = None
    ) -> str | None:
        """Return the description of one draw; None where the file has no such function."""
        return self._text("description", record, rng, flip, bucket)

    def _text(
        self, name: str, record: ImageRecord, rng: random.Random, flip: bool, bucket: tuple[int, int] | None
    ) -> str | None:
        if name not in self.functions:
            return None
        text = self._call(name, record, info_of(record, bucket), rng=rng, flip_aug=flip)
        if not isinstance(text, str):
            raise self._failed(name, record, f"it returned {text!r}, which is no text")
        return text

    def _call(self, name: str, record: ImageRecord, *arguments: Any, **more: Any) -> Any:
        try:
            return self.functions[name](*arguments, counter=self.counter, **more)
        except (Exception, SystemExit) as error:
            raise self._failed(name, record, _reason(error), _line(error, self.path)) from error

    def _failed(self, name: str, record: ImageRecord, reason: str, line: int = 0) -> UserError:
        line = line or getattr(getattr(self.functions[name], "__code__", None), "co_firstlineno", 0)
        return UserError(
            "code_failed", self.field, value=str(self.path), line=line, name=name, picture=record.name, reason=reason
        )


def key_of(record: ImageRecord) -> str:
    """Return the name of a picture's file without its ending."""
    return PurePosixPath(record.name).stem


def metadata_of(record: ImageRecord) -> dict[str, Any]:
    """Return what is known of a picture, under the documented names."""
    known = {"image_path": record.location, "caption": record.text, "description": record.description}
    return {**known, **(record.metadata or {})}


def info_of(record: ImageRecord, bucket: tuple[int, int] | None = None) -> ImageInfo:
    """Return what the caption functions are told of a picture."""
    size = (record.width, record.height)
    return ImageInfo(
        key=key_of(record),
        metadata=metadata_of(record),
        caption=record.captions[0] if record.captions else record.class_tokens,
        description=record.description,
        image_size=size,
        original_size=size,
        bucket_size=bucket,
        latent_size=bucket and (bucket[0] // 8, bucket[1] // 8),
        num_repeats=record.num_repeats,
    )


def _names(value: Any, *, formatted: bool) -> list[str]:
    """Return the names of a list or of a text with commas."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    names = [str(part).strip() for part in parts if str(part).strip()]
    if not formatted:
        return names
    return [name.replace(" ", "_").replace("\\(", "(").replace("\\)", ")") for name in names]


def _functions(path: Path, source: bytes, field: str) -> dict[str, Callable[..., Any]]:
    """Run a file and return those of its functions that are called."""
    namespace: dict[str, Any] = {"__name__": f"user_code_{path.stem}", "__file__": str(path)}
    try:
        # What is run is what was hashed: the file is not read again.
        exec(compile(source, str(path), "exec"), namespace)  # noqa: S102
    except (Exception, SystemExit) as error:
        line = (error.lineno if isinstance(error, SyntaxError) else None) or _line(error, path)
        reason = _reason(error)
        raise UserError(
            "code_failed", field, value=str(path), line=line, name=path.name, picture="-", reason=reason
        ) from error
    functions = {name: namespace[name] for name in FUNCTIONS if callable(namespace.get(name))}
    if not functions:
        raise UserError("code_empty", field, value=str(path), names=", ".join(FUNCTIONS))
    return functions


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _line(error: BaseException, path: Path) -> int:
    """Return the last line of the file that an error went through; 0 when it went through none."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return (lines[-1] if lines else 0) or 0


def _read(path: Path, field: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError("code_unreadable", field, value=str(path), reason=error.strerror or str(error)) from error


def _trusted_file() -> Path:
    return paths.home() / "trusted_code.json"


def _trusted() -> dict[str, str]:
    """Return the confirmed files by their hash. A list that cannot be read confirms nothing."""
    try:
        content = json.loads(_trusted_file().read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
