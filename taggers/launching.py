"""From a configuration to the folder of a new tagging run. Torch-free: the GUI calls this."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backend.config import paths
from backend.config.presets import write_text
from backend.config.problems import UserError
from backend.data.images import EXTENSIONS
from backend.runs.layout import RunFolder, create_run
from taggers import files, masks, models
from taggers.config import TABLE, TaggingConfig, absolute, load, to_toml
from taggers.tags import make_rules

# More pictures than this are named in a file beside the configuration, which people read.
NUM_IN_CONFIG = 200
PICTURES_NAME = "pictures.json"
# Kinds of models that write nothing beside pictures.
INTO_INDEX = ("scorer", "embedding")


def new_run(config: TaggingConfig, runs_dir: Path, name: str = "") -> RunFolder:
    """Make the folder of a new run that tags; it is queued and started as any other.

    Args:
        config: What is asked for.
        runs_dir: Where runs are kept.
        name: How the run is called; the first folder and the model when not given.

    Raises:
        UserError: A folder is missing, a replacement is none, or the runs folder cannot be written to.
    """
    config = absolute(config)
    check(config)
    title = name or f"{Path(config.folders[0]).name} {Path(config.model).name or models.DEFAULT}"
    title += " preview" if config.dry_run and not name else ""
    if len(config.pictures) <= NUM_IN_CONFIG:
        return create_run(runs_dir, title, to_toml(config, title))
    run = create_run(runs_dir, title, to_toml(config.model_copy(update={"pictures": []}), title))
    try:
        write_text(run.path / PICTURES_NAME, json.dumps(config.pictures, ensure_ascii=False, indent=0))
    except OSError as error:
        raise UserError("runs_dir_unwritable", value=str(runs_dir), reason=error.strerror or str(error)) from error
    return run


def config_of(run: RunFolder) -> TaggingConfig:
    """Return what a run is asked to do.

    Raises:
        UserError: As `config.load`, or the list of its pictures is damaged.
    """
    config, path = load(run.config_path), run.path / PICTURES_NAME
    if not path.is_file():
        return config
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError("file_unreadable", value=str(path), reason=str(error)) from error
    return config.model_copy(update={"pictures": names})


def check(config: TaggingConfig) -> None:
    """Refuse what can be seen to be wrong without looking at a picture.

    Raises:
        UserError: The first of the problems.
    """
    if not config.folders:
        raise UserError("tagging_folders_empty", f"{TABLE}.folders")
    for folder in config.folders:
        place = paths.resolve(folder)
        if not place.is_dir():
            code = "caption_folder_is_file" if place.is_file() else "tagging_folder_missing"
            raise UserError(code, f"{TABLE}.folders", value=folder)
    make_rules(config)
    if config.output == "txt" and config.caption_extension.lower() in EXTENSIONS:
        raise UserError("tagging_over_pictures", f"{TABLE}.caption_extension", value=config.caption_extension)
    row = models.find(config.model)
    if row is None and not paths.resolve(config.model).exists():
        files.row_of(config.model)
    if row is not None and row.kind == "background":
        masks.check(config)
    if not config.dry_run and (row is None or row.kind not in INTO_INDEX):
        for folder in config.folders:
            _check_writable(paths.resolve(folder))


def _check_writable(folder: Path) -> None:
    """Refuse a folder that nothing can be written into, before hours of work."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError("file_unwritable", f"{TABLE}.folders", value=str(folder), reason=reason) from error


@dataclass(frozen=True, slots=True)
class Download:
    """A model that is not on this machine: its size (0: not known), whether it may be had, and where it goes."""

    title: str
    repo: str
    megabytes: int
    is_offline: bool
    folder: Path


def to_download(model: str) -> Download | None:
    """Return what a run with this model will download first; None when the model is there, or is a path."""
    from huggingface_hub import constants

    if paths.resolve(model).exists():
        return None
    row = models.find(model) or models.TaggerModel(model.replace("/", "--"), model, model, files=())
    try:
        if files.on_this_machine(row) is not None:
            return None
    except UserError:  # what is there is incomplete: the run says so, with what is missing
        return None
    return Download(row.title, row.repo, row.megabytes, constants.is_offline_mode(), files.models_dir() / row.name)


def read_preview(folder: Path) -> list[dict[str, str]]:
    """Return the preview that a dry run left in its folder; empty when there is none."""
    try:
        rows = json.loads((folder / "preview.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return rows if isinstance(rows, list) else []


def action_name(run: RunFolder) -> str:
    """Return what the history of the pictures' folder calls what a run wrote."""
    return f"{run.name} ({run.id[: -len(run.name) - 1]})"
