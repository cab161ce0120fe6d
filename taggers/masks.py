"""Where masks are written: a picture -masklabel.png beside each, always through the journal."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from backend.config.problems import UserError
from backend.data.images import read_rgb
from backend.data.picture_edits import NO_EDIT, apply_edit, read_edit, turned_on
from backend.data.records import MASK_SUFFIX
from backend.editing.journal import Change
from taggers.base import Picture
from taggers.config import TABLE, TaggingConfig
from taggers.output import Output, Written

# What can be done where there is a mask already; two of them do not add up as captions do.
KNOWN = ("skip", "overwrite")
# A mask that is nowhere whiter than this leaves nothing to be trained.
SEEN = 128


def read_turned(path: Path, name: str) -> Image.Image:
    """Decode a picture as it is looked at, but whole: masks are those of whole pictures, however these are cut.

    Raises:
        UserError: As `read_rgb` and `read_edit`.
    """
    return apply_edit(read_rgb(path, name), replace(NO_EDIT, rotate=read_edit(path).rotate))


def check_installed(model: str) -> None:
    """Refuse models that need rembg where it is not there; it is not loaded to find out.

    Raises:
        UserError: `package_missing`.
    """
    if importlib.util.find_spec("rembg") is None:
        raise UserError("package_missing", f"{TABLE}.model", value=model, package='"rembg[cpu]"', extra="masks")


def check(config: TaggingConfig) -> None:
    """Refuse what cannot be done with masks.

    Raises:
        UserError: rembg is missing, or existing masks should be joined with new ones.
    """
    check_installed(config.model)
    if config.on_existing not in KNOWN:
        raise UserError("masks_joined", f"{TABLE}.on_existing", value=config.on_existing)


class Masks(Output):
    """Collects masks and writes them in batches, as one action that is undone at once."""

    def __init__(self, config: TaggingConfig, name: str) -> None:
        """`name` is what the history calls the changes. Raises as `check`."""
        check(config)
        super().__init__(config, name)
        self._taken: set[tuple[str, str]] = set()

    def caption(self, picture: Picture) -> str:
        """Return the name of the mask that a picture has; empty when it has none."""
        name = self._file_of(picture)
        return name if (Path(picture.folder) / name).exists() else ""

    def put_mask(self, picture: Picture, mask: Image.Image) -> Written:
        """Note the mask of a picture as `read_turned` shows it; `flush` writes it.

        Raises:
            UserError: `background_everywhere`: it is black. Or a file cannot be read, or kept beside the journal.
        """
        name = self._file_of(picture)
        known = self.caption(picture)
        is_taken = (picture.folder, name) in self._taken
        # By a picture with the same name and another ending, or by somebody meanwhile.
        if is_taken or (known and self.config.on_existing == "skip"):
            return Written(picture, known, known, is_new=False)
        if np.asarray(mask).max(initial=0) < SEEN:
            raise UserError("background_everywhere", value=picture.name)
        self._taken.add((picture.folder, name))
        if not self.config.dry_run:
            blobs = self._journal(picture.folder).blobs
            before = blobs.put_file(Path(picture.folder) / name)
            after = blobs.put(_as_png(_turned_back(mask, picture)))
            self._changes[picture.folder].append(Change(name, before, after, "bytes"))
        return Written(picture, known, f"{np.asarray(mask).mean() / 255:.0%}")

    def _target(self, picture: Picture) -> str:
        return self._file_of(picture)

    def _file_of(self, picture: Picture) -> str:
        return picture.name.rpartition(".")[0] + MASK_SUFFIX


def _turned_back(mask: Image.Image, picture: Picture) -> Image.Image:
    return apply_edit(mask, turned_on(NO_EDIT, -read_edit(picture.path).rotate))


def _as_png(mask: Image.Image) -> bytes:
    stream = io.BytesIO()
    mask.convert("L").save(stream, "PNG")
    return stream.getvalue()
