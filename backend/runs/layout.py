"""A run is a folder: where its things are, how one is made, and which there are."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from backend.config.presets import write_text
from backend.config.problems import UserError

TRASH = ".trash"
NAME = re.compile(r"^(\d{8}-\d{6})-(.+)$")
# Windows refuses these characters and device names in a folder's name.
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]+|\s+')
RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
MAXIMUM_SLUG = 60
# A folder's name has at most 255 bytes; the time, a counter and endings of files want some of them.
MAXIMUM_SLUG_BYTES = 180


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of one run; nothing is read or made by asking for them."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def name(self) -> str:
        match = NAME.match(self.id)
        return match[2] if match else self.id

    @property
    def created(self) -> datetime | None:
        match = NAME.match(self.id)
        try:
            return datetime.strptime(match[1], "%Y%m%d-%H%M%S") if match else None
        except ValueError:
            return None

    @property
    def config_path(self) -> Path:
        return self.path / "config.toml"

    @property
    def process_path(self) -> Path:
        return self.path / "process.json"

    @property
    def events_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def console_path(self) -> Path:
        return self.path / "console.log"

    @property
    def queued_path(self) -> Path:
        return self.path / "queued.json"

    @property
    def launch_lock_path(self) -> Path:
        return self.path / "launch.lock"

    @property
    def control_dir(self) -> Path:
        return self.path / "control"

    @property
    def models_dir(self) -> Path:
        return self.path / "models"

    @property
    def checkpoints_dir(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples_dir(self) -> Path:
        return self.path / "samples"

    @property
    def logs_dir(self) -> Path:
        return self.path / "logs"


def slug(name: str) -> str:
    """Return a name that every file system takes; letters of any language are kept."""
    text = FORBIDDEN.sub("-", unicodedata.normalize("NFC", name)).strip("-. ")[:MAXIMUM_SLUG]
    text = text.encode("utf-8", "ignore")[:MAXIMUM_SLUG_BYTES].decode("utf-8", "ignore").strip("-. ")
    return f"run-{text}" if not text or RESERVED.match(text) else text


def create_run(runs_dir: Path, name: str, config_toml: str) -> RunFolder:
    """Make the folder of a new run with its frozen configuration. Two made at once never share one.

    Raises:
        UserError: The runs folder cannot be written to.
    """
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{slug(name)}"
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = runs_dir / (stem if number == 1 else f"{stem}-{number}")
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
        run = RunFolder(path)
        for folder in (run.control_dir, run.models_dir, run.checkpoints_dir, run.samples_dir, run.logs_dir):
            folder.mkdir()
        write_text(run.config_path, config_toml)
    except OSError as error:
        raise UserError("runs_dir_unwritable", value=str(runs_dir), reason=error.strerror or str(error)) from error
    return run


def find_run(name: str, runs_dir: Path) -> RunFolder:
    """Return a run by its folder's path, or by the folder's name in the runs folder.

    Raises:
        UserError: `run_missing`.
    """
    for path in (Path(name).expanduser().absolute(), runs_dir / name):
        if (path / "config.toml").is_file():
            return RunFolder(path)
    raise UserError("run_missing", value=name)


def list_runs(runs_dir: Path) -> list[RunFolder]:
    """Return the runs of a folder, newest first; anything else in it is passed over."""
    try:
        entries = [entry for entry in runs_dir.iterdir() if not entry.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError("file_unreadable", value=str(runs_dir), reason=error.strerror or str(error)) from error
    runs = [RunFolder(entry) for entry in entries if (entry / "config.toml").is_file()]
    return sorted(runs, key=lambda run: run.id, reverse=True)
