"""Finds a model's files: where the user says, in the models folder, in the hub's cache, or on the hub itself."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from backend.config import paths
from backend.config.problems import UserError
from backend.editing.files import FULL
from backend.runs.locks import take
from taggers import models
from taggers.config import TABLE
from taggers.models import TaggerModel

HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
TAG_LISTS = ("selected_tags.csv", "tag_mapping.json")
EMBEDDERS = ("clip", "siglip", "siglip2")
# Lies in a folder while a whole repository is downloaded into it.
INCOMPLETE = ".incomplete"
SHA256_DIGITS = 64
# SHA-256, or git's own; a mirror may call its files by other things, of which nothing can be told.
HASH = re.compile(r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$")
GIGABYTE = 1_000_000_000
READ_BYTES = 1024 * 1024
HUB_SECONDS = 20.0
WAIT_SECONDS = 0.5
# progress(name of the file, bytes that are there, bytes in all)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is on this machine: its row, and the ONNX file with its list, or the folder of another kind."""

    model: TaggerModel
    path: Path
    tags: Path | None = None


def models_dir() -> Path:
    """Return the folder where models of taggers are kept."""
    return paths.home() / "models" / "taggers"


def get(name: str, progress: Progress | None = None) -> ModelFiles:
    """Return the files of a model, downloading what is missing.

    Args:
        name: A name from the list, a hub id, or a path.
        progress: Is told how a download goes.

    Raises:
        UserError: There is no such model, it is incomplete, or it cannot be downloaded.
    """
    plain = name.strip()
    path = paths.resolve(plain) if plain else None
    if path is not None and path.exists():
        return at(path)
    row = row_of(plain)
    return on_this_machine(row) or _download(row, progress)


def row_of(name: str) -> TaggerModel:
    """Return the row of a model that is no path, made up for one that is not in the list.

    Raises:
        UserError: It is no name of the hub either, and not in the models folder.
    """
    plain = name.strip()
    row = models.find(plain) or TaggerModel(plain.replace("/", "--"), plain, plain, files=())
    if not HUB_ID.match(row.repo) and on_this_machine(row) is None:
        raise UserError("tagger_unknown", f"{TABLE}.model", value=name, folder=str(models_dir()))
    return row


def at(path: Path) -> ModelFiles:
    """Return the model in a folder, or of an ONNX file.

    Raises:
        UserError: There is no model, it is another file, its list of tags is missing, or its weights are pickled.
    """
    if path.is_file() and path.suffix.lower() != ".onnx":
        raise UserError("tagger_file", f"{TABLE}.model", value=str(path))
    onnx = path if path.is_file() else _only_onnx(path)
    if onnx is None:
        if (path / "config.json").is_file():
            # Weights in other files are pickled, which can carry programs.
            if next(path.glob("*.safetensors"), None) is None:
                raise UserError("tagger_without_safetensors", f"{TABLE}.model", value=str(path))
            row = models.find(path.name) or TaggerModel(path.name, path.name, "", files=())
            return ModelFiles(row if row.kind != "onnx" else replace(row, kind=_kind_of(path)), path)
        missing = "config.json" if next(path.glob("*.safetensors"), None) else "model.onnx"
        raise UserError("tagger_incomplete", f"{TABLE}.model", value=str(path), missing=missing)
    named = models.find(onnx.stem)
    of_rembg = named is not None and named.kind == "background"
    return _with_list(onnx, named if of_rembg else models.find(onnx.parent.name))


def model_type(path: Path) -> str:
    """Return what config.json calls the kind of model; empty where it cannot be read."""
    return str(settings(path).get("model_type") or "")


def settings(path: Path) -> dict[str, Any]:
    """Return config.json; empty where it cannot be read."""
    try:
        content = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _kind_of(folder: Path) -> models.Kind:
    """Return what a model of transformers is for, from its config.json."""
    config = settings(folder)
    if any(str(name).endswith("ForImageClassification") for name in config.get("architectures") or ()):
        return "scorer"
    return "embedding" if config.get("model_type") in EMBEDDERS else "captioner"


def _only_onnx(folder: Path) -> Path | None:
    found = sorted(folder.glob("*.onnx")) or sorted(folder.glob("*/*.onnx"))
    return next((path for path in found if path.name == "model.onnx"), found[0] if found else None)


def _with_list(onnx: Path, row: TaggerModel | None) -> ModelFiles:
    """Find the list of tags beside an ONNX file: under its usual name, or that of the file."""
    if row is not None and row.kind == "background":
        return ModelFiles(row, onnx)
    named = [onnx.with_name(f"{onnx.stem}_{name}") for name in TAG_LISTS]
    named += [onnx.with_suffix(Path(name).suffix) for name in TAG_LISTS]
    found = next((path for path in (*(onnx.with_name(name) for name in TAG_LISTS), *named) if path.is_file()), None)
    if found is None:
        raise UserError("tagger_incomplete", f"{TABLE}.model", value=str(onnx), missing=" / ".join(TAG_LISTS))
    layout: models.Layout = "wd" if found.suffix == ".csv" else "cl"
    name = onnx.parent.name if onnx.name == "model.onnx" else onnx.stem
    made = row or TaggerModel(name, name, "", files=(onnx.name, found.name))
    return ModelFiles(replace(made, layout=layout), onnx, found)


def on_this_machine(row: TaggerModel) -> ModelFiles | None:
    """Return a model when all its files are in the models folder or the hub's cache."""
    names = dict.fromkeys((row.name, row.repo.rpartition("/")[2], row.repo.replace("/", "--")))
    for folder in (models_dir() / name for name in names if name):
        if not row.files and folder.is_dir() and not (folder / INCOMPLETE).exists():
            return at(folder)
        for files in (row.files, [Path(file).name for file in row.files]):
            found = [folder / file for file in files]
            if found and all(path.is_file() for path in found):
                return _of(row, found)
    if row.kind == "background":
        return _of_rembg(row)
    from huggingface_hub import try_to_load_from_cache

    cached = [try_to_load_from_cache(row.repo, file, revision=row.revision) for file in row.files]
    if cached and all(isinstance(path, str) for path in cached):
        return _of(row, [Path(str(path)) for path in cached])
    return None


def _of_rembg(row: TaggerModel) -> ModelFiles | None:
    """Return a model that rembg has downloaded for itself or for another program."""
    homes = (Path(os.environ.get("U2NET_HOME") or "~/.u2net"), Path("~/.rembg/models") / row.name)
    places = (home.expanduser() / row.files[0] for home in homes)
    return next((ModelFiles(row, place) for place in places if place.is_file()), None)


def _of(row: TaggerModel, found: Sequence[Path]) -> ModelFiles:
    onnx = next(path for path in found if path.suffix == ".onnx")
    if row.kind == "background":
        return ModelFiles(row, onnx)
    tags = next((path for path in found if path.name in TAG_LISTS), None)
    return ModelFiles(row, onnx, tags) if tags else _with_list(onnx, row)


def _download(row: TaggerModel, progress: Progress | None) -> ModelFiles:
    """Fetch a model's files from the hub into the models folder; a download that broke off goes on."""
    folder = models_dir() / row.name
    with _plain_words(row):
        files = row.files or _wanted(row)
        if not row.files:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / INCOMPLETE).touch()
        found = [_fetch(row, file, folder, progress) for file in files]
        (folder / INCOMPLETE).unlink(missing_ok=True)
    return _of(row, found) if row.files else at(folder)


def _wanted(row: TaggerModel) -> list[str]:
    """Return which files of a repository that is not in the list are needed."""
    from huggingface_hub import HfApi

    # Without the many attempts that listing files would make where there is no connection.
    siblings = HfApi().model_info(row.repo, revision=row.revision, timeout=HUB_SECONDS).siblings or []
    names = [sibling.rfilename for sibling in siblings]
    onnx = [name for name in names if name.endswith(".onnx")]
    if onnx:
        main = min(onnx, key=lambda name: (Path(name).name != "model.onnx", name.count("/"), name))
        folder = main.rpartition("/")[0]
        beside = [name for name in names if name.rpartition("/")[0] == folder]
        lists = (*TAG_LISTS, "thresholds.csv")
        return [name for name in beside if name.startswith(main) or Path(name).name in lists]
    top = [name for name in names if "/" not in name]
    if not any(name.endswith(".safetensors") for name in top):
        raise UserError("tagger_without_safetensors", f"{TABLE}.model", value=row.repo)
    return [name for name in top if name.endswith((".json", ".txt", ".model", ".jinja", ".safetensors"))]


def _fetch(row: TaggerModel, file: str, folder: Path, progress: Progress | None) -> Path:
    """Download a file, or the rest of it; it is in its place when it is whole and its hash is right.

    hf_hub_download would begin again from the start after a break.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    target = folder / file
    url = hf_hub_url(row.repo, file, revision=row.revision)
    facts = get_hf_file_metadata(url)
    known = str(facts.etag or "")
    part = target.with_name(f".{target.name}.{re.sub(r'[^0-9A-Za-z]', '', known)[:16]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    # In a file of its own: Windows moves no file that another process has open, and locks shift the place of writing.
    with target.with_name(f".{target.name}.lock").open("ab") as lock:
        while not take(lock):  # another process is at it
            time.sleep(WAIT_SECONDS)
        if target.is_file():
            return target
        with part.open("ab") as out:
            _check_room(row, part, (facts.size or 0) - out.tell())
            _receive(facts, url, out, _bar(file, progress))
        if HASH.match(known) and known != _hash(part, known):
            part.unlink()
            raise UserError("tagger_hash_wrong", f"{TABLE}.model", value=row.repo, file=file)
        return part.replace(target)


def _check_room(row: TaggerModel, part: Path, missing: int) -> None:
    """Refuse what the disk has no room for, before it is full."""
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        sizes = {"needed": f"{missing / GIGABYTE:.1f}", "free": f"{free / GIGABYTE:.1f}"}
        raise UserError("tagger_no_room", f"{TABLE}.model", value=row.repo, folder=str(part.parent), **sizes)


def _receive(facts: Any, url: str, out: Any, bar: Any) -> None:
    """Append to an open file what it lacks."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers()
    if urlparse(facts.location).netloc != urlparse(url).netloc:
        headers.pop("authorization", None)  # the token is the hub's, not of who keeps its files
    http_get(facts.location, out, resume_size=out.tell(), headers=headers, expected_size=facts.size, tqdm_class=bar)


def _hash(path: Path, known: str) -> str:
    """Return the hash of a file of the kind that is known: SHA-256 of large files, git's own of small ones."""
    digest: Any = hashlib.sha256()
    if len(known) != SHA256_DIGITS:
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return str(digest.hexdigest())


def _bar(file: str, progress: Progress | None) -> Any:
    """Return a class of progress bars that tells our callback and draws nothing."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.pop("name", None)
            super().__init__(*arguments, **{**options, "disable": False, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            if progress is not None:
                progress(file, int(self.n), int(self.total or 0))
            return shown

    return Bar


@contextmanager
def _plain_words(row: TaggerModel) -> Iterator[None]:
    """Say in our words what the hub's library raises."""
    from huggingface_hub import errors

    place, folder = f"{TABLE}.model", str(models_dir() / row.name)
    try:
        yield
    except UserError:
        raise
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise UserError("tagger_hub_denied", place, value=row.repo) from error
    except errors.RemoteEntryNotFoundError as error:
        raise UserError("tagger_incomplete", place, value=row.repo, missing=", ".join(row.files)) from error
    except errors.OfflineModeIsEnabled as error:
        raise UserError("tagger_downloads_off", place, value=row.repo, folder=folder) from error
    except errors.HTTPError as error:
        raise UserError("tagger_offline", place, value=row.repo, reason=_reason(error), folder=folder) from error
    except (ImportError, ValueError) as error:  # what httpx says of a proxy that it cannot use
        raise UserError("tagger_proxy", place, value=row.repo, reason=_reason(error), folder=folder) from error
    except OSError as error:
        if error.errno in FULL:
            raise UserError("disk_full", value=folder) from error
        if error.errno is None:  # the hub's library: what arrived is not what was announced
            raise UserError("tagger_offline", place, value=row.repo, reason=_reason(error), folder=folder) from error
        reason = error.strerror or str(error)
        raise UserError("file_unwritable", value=folder, reason=reason) from error


def _reason(error: BaseException) -> str:
    """Return the first cause of an error in a line: that is what a user can mend."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
