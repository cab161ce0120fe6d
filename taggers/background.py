"""Taking the background away with rembg: its models say of each picture what is background, and that becomes a mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from backend.config.problems import Problem, UserError
from taggers.base import Described, Picture
from taggers.config import TABLE, TaggingConfig
from taggers.files import ModelFiles, Progress, models_dir, on_this_machine
from taggers.masks import check_installed
from taggers.models import MODELS, TaggerModel
from taggers.onnx import open_session, providers
from taggers.releases import downloading
from taggers.tags import TagList

# How rembg speaks to files of the user's own, by the side that they take in pixels.
CUSTOM = {320: "u2net_custom", 1024: "dis_custom"}
USUAL_SIDE = 320
MEGABYTE = 1_000_000
# onnxruntime tells errors only: what it warns of while it optimizes is of no use to a user.
QUIET = 3


def get(row: TaggerModel, progress: Progress | None = None) -> ModelFiles:
    """Return the file of a model, which rembg downloads when it is nowhere yet.

    Raises:
        UserError: rembg is missing, or the model cannot be downloaded.
    """
    check_installed(row.name)
    found = on_this_machine(row)
    if found is not None:
        return found
    if progress is not None:
        progress(row.files[0], 0, row.megabytes * MEGABYTE)
    return ModelFiles(row, _downloaded(row, progress))


def _downloaded(row: TaggerModel, progress: Progress | None) -> Path:
    from huggingface_hub import constants
    from requests import RequestException

    folder = models_dir() / row.name
    if constants.is_offline_mode():  # who switches off the hub means all downloads
        raise UserError("tagger_downloads_off", f"{TABLE}.model", value=row.name, folder=str(folder))
    try:
        with downloading(folder, row.files[0], progress):
            return Path(_kept_in(_session_class(row.name), folder=folder).download_models())
    except RequestException as error:
        # What urllib3 says is shorter than what requests makes of it.
        reason = str(getattr(error.args[0], "reason", error) if error.args else error).partition("\n")[0]
        params = {"value": row.name, "reason": reason, "folder": str(folder), "file": row.files[0]}
        raise UserError("background_offline", f"{TABLE}.model", **params) from error
    except ValueError as error:  # of pooch: the hash is another
        raise UserError("tagger_hash_wrong", f"{TABLE}.model", value=row.repo, file=row.files[0]) from error
    except OSError as error:
        raise UserError("file_unwritable", value=str(folder), reason=error.strerror or str(error)) from error


def at(path: Path) -> ModelFiles | None:
    """Return an ONNX file of the user's own when what it gives are pictures; None for others.

    Raises:
        UserError: It makes masks, and rembg is missing.
    """
    onnx = path if path.is_file() else next(iter(sorted(path.glob("*.onnx"))), path)
    if not onnx.is_file():
        return None
    try:
        is_one = len(open_session(onnx, "cpu").get_outputs()[0].shape) == 4
    except UserError:  # no model at all: what is said of taggers holds
        return None
    if not is_one:
        return None
    check_installed(onnx.name)
    return ModelFiles(TaggerModel(onnx.stem, onnx.stem, "", kind="background", files=(onnx.name,)), onnx)


class Remover:
    """A loaded model; pictures go through it one by one."""

    tags: TagList | None = None
    note: Problem | None = None
    writes_captions = False
    fixed_batch = 1

    def __init__(self, files: ModelFiles, config: TaggingConfig) -> None:
        """Load a model.

        Raises:
            UserError: The device is not there, or the file is damaged.
        """
        import onnxruntime

        check_installed(files.model.name)
        onnxruntime.set_default_logger_severity(QUIET)
        chosen = providers(config.device, onnxruntime.get_available_providers())
        name = files.model.name if files.model.name in MODELS else CUSTOM[_side(files.path)]
        kind = _kept_in(_session_class(name), path=files.path)
        self._is_hard = config.mask_edge == "hard"
        try:
            self._session = kind(name, onnxruntime.SessionOptions(), providers=chosen, model_path=str(files.path))
        except Exception as error:  # onnxruntime's errors have no common class of their own
            reason = str(error).strip().partition("\n")[0]
            raise UserError("tagger_damaged", f"{TABLE}.model", value=str(files.path), reason=reason) from error
        self.device = self._session.inner_session.get_providers()[0].removesuffix("ExecutionProvider")

    def prepare(self, image: Image.Image, picture: Picture) -> Image.Image:  # noqa: ARG002 - others ask who it is
        """Return the picture itself: rembg scales it."""
        return image

    def describe(self, prepared: Sequence[Image.Image]) -> list[Described]:
        """Return a mask for each picture."""
        return [Described(mask=self._mask(image)) for image in prepared]

    def _mask(self, image: Image.Image) -> Image.Image:
        # Where a model sees no difference at all rembg divides by zero, and nothing is seen.
        with np.errstate(divide="ignore", invalid="ignore"):
            mask: Image.Image = self._session.predict(image)[0]
        if not self._is_hard:
            return mask
        from rembg.bg import post_process

        return Image.fromarray(post_process(np.asarray(mask)))


def _session_class(name: str) -> Any:
    from rembg.sessions import sessions_class

    return next(each for each in sessions_class if each.name() == name)


def _kept_in(base: Any, *, folder: Path | None = None, path: Path | None = None) -> Any:
    """Return a class of sessions whose file is in our folder, or is this one."""

    class Kept(base):
        @classmethod
        def model_dir(cls, *_arguments: Any, **_options: Any) -> str:
            return str(folder)

        @classmethod
        def download_models(cls, *arguments: Any, **options: Any) -> str:
            return str(path or super().download_models(*arguments, **options))

    return Kept


def _side(path: Path) -> int:
    """Return the side of pictures that a model takes; the usual one where it says nothing that rembg knows."""
    size = open_session(path, "cpu").get_inputs()[0].shape[-1]
    return size if size in CUSTOM else USUAL_SIDE
