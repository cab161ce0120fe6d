"""Which files belong to pictures, and where they go when the pictures are moved or copied."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from backend.config.problems import Problem, UserError
from backend.data.filesystems import unreadable
from backend.data.images import DAMAGE, EXTENSIONS, in_srgb, read_mask, read_upright, to_rgb
from backend.data.picture_edits import EDIT_SUFFIX, PictureEdit, apply_edit
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import stem_of, suffix_of
from backend.editing.changing import make_folder
from backend.editing.files import unwritable

TRASH = ".trash"
# Where copies are written, and where undo brings them; its folders are named after their processes.
COPIES = f"{TRASH}/copies"
# What is written beside pictures under their stem: captions, and what taggers found.
TEXT_SUFFIXES = (".txt", ".caption", ".json")
# What stands behind the stem of pictures and of what belongs to them.
STEM_SUFFIXES = (*EXTENSIONS, *TEXT_SUFFIXES, MASK_SUFFIX)
JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
JPEG_QUALITY = 95
# Kinds of pictures that PNG holds as they are.
PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})
JPEG_MODES = frozenset({"L", "RGB", "CMYK"})
ORIENTATION_TAG = 0x0112
MAXIMUM_EXIF = 65_000


@dataclass(frozen=True)
class Group:
    """Pictures of one stem, which share a caption and a mask; names are below the folder with /.

    `own` go with the pictures: they themselves and their edits. `shared` go only if all pictures of the stem do
    (`is_whole`); else a copy of them goes.
    """

    stem: str
    own: tuple[str, ...]
    shared: tuple[str, ...]
    is_whole: bool

    def targets(self, stem: str) -> Iterator[tuple[str, str]]:
        """Yield the name of each file, and what it is called with another stem."""
        for name in (*self.own, *self.shared):
            yield name, stem + name[len(self.stem) :]


def group_of(root: Path, names: Sequence[str], caption: str, *, is_whole: bool) -> Group:
    """Return what belongs to pictures of one stem."""
    stem = stem_of(names[0])
    own = [each for name in names for each in (name, name + EDIT_SUFFIX) if _is_there(root / each)]
    texts = dict.fromkeys([caption, *(stem + suffix for suffix in TEXT_SUFFIXES)])
    shared = [each for each in (*texts, stem + MASK_SUFFIX) if _is_there(root / each)]
    return Group(stem, tuple(own), tuple(shared), is_whole)


def free_stem(group: Group, place: str, taken: set[str]) -> str:
    """Return a stem under which nothing is yet, no picture and no caption: the wanted one, or with a number.

    Args:
        group: What is to go there.
        place: The wanted stem: an absolute path without an ending.
        taken: What others of the same action take; the new stem is added.
    """
    suffixes = [target for _, target in group.targets("")]
    number, stem = 1, place
    while True:
        if stem.casefold() not in taken and not any(
            _is_there(Path(stem + suffix)) for suffix in (*suffixes, *STEM_SUFFIXES)
        ):
            taken.add(stem.casefold())
            return stem
        number += 1
        stem = f"{place}-{number}"


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def copy_suffix(name: str) -> str:
    """Return the ending of the copy of a picture: JPEG stays JPEG, everything else becomes PNG."""
    suffix = suffix_of(name)
    return suffix if suffix in JPEG_SUFFIXES else ".png"


@dataclass(frozen=True)
class Copy:
    """A copy of a picture as edited, and of what belongs to it: written at the stem `staged`, a path.

    The files of the copy have the endings `suffixes`, the picture's first.
    """

    root: Path
    name: str
    edit: PictureEdit
    suffixes: tuple[str, ...]
    staged: str

    def free_stem(self, taken: set[str]) -> str:
        """Return the stem where it is to go, a path: beside the picture, under a name that is free; as `free_stem`."""
        stem = stem_of(self.name)
        group = Group(stem, tuple(stem + suffix for suffix in self.suffixes), (), is_whole=True)
        return free_stem(group, f"{self.root / stem}-edited", taken)

    def write(self) -> Problem | None:
        """Write the files; return why that failed, and none is there then."""
        stem = self.root / stem_of(self.name)
        try:
            for suffix in self.suffixes:
                target = Path(self.staged + suffix)
                if suffix == self.suffixes[0]:
                    write_copy(self.root / self.name, self.edit, target)
                elif suffix == MASK_SUFFIX:
                    write_mask_copy(Path(f"{stem}{suffix}"), self.edit, target)
                else:
                    _write(Path(f"{stem}{suffix}").read_bytes(), target)
        except UserError as error:
            problem = error.problem
        except OSError as error:
            problem = unreadable(str(stem), error).problem
        else:
            return None
        for suffix in self.suffixes:
            Path(self.staged + suffix).unlink(missing_ok=True)
        return problem


def copy_of(root: Path, name: str, edit: PictureEdit, *, caption_suffix: str, has_mask: bool, staged: Path) -> Copy:
    """Return how a picture is copied to a stem."""
    suffixes = (copy_suffix(name), *([caption_suffix] if caption_suffix else []), *([MASK_SUFFIX] if has_mask else []))
    return Copy(root, name, edit, suffixes, str(staged))


def write_copy(source: Path, edit: PictureEdit, target: Path) -> None:
    """Write a picture as edited into a new file: upright, with its colour profile.

    Raises:
        UserError: The picture is gone or damaged; `no_space` or `file_unwritable`, and no file is there.
    """
    image = apply_edit(read_upright(source), edit)
    profile, exif = image.info.get("icc_profile"), _exif(image)
    is_jpeg = target.suffix.lower() in JPEG_SUFFIXES
    if image.mode not in (JPEG_MODES if is_jpeg else PNG_MODES):
        image, profile = to_rgb(in_srgb(image)), None
    options = {"quality": JPEG_QUALITY, "subsampling": 0} if is_jpeg else {}
    _save(image, target, "JPEG" if is_jpeg else "PNG", icc_profile=profile, exif=exif, **options)


def _exif(image: Image.Image) -> bytes:
    """Return what a picture's EXIF says besides its orientation; nothing where it is damaged or too long for JPEG."""
    try:
        exif = image.getexif()
        exif.pop(ORIENTATION_TAG, None)
        data = exif.tobytes() if len(exif) else b""
    except DAMAGE:
        return b""
    return data if len(data) <= MAXIMUM_EXIF else b""


def write_mask_copy(source: Path, edit: PictureEdit, target: Path) -> None:
    """Write a mask as its picture is edited; raises as `write_copy`."""
    _save(apply_edit(read_mask(source), edit), target, "PNG")


def _save(image: Image.Image, target: Path, kind: str, **options: Any) -> None:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    _write(buffer.getbuffer(), target)


def _write(data: bytes | memoryview, target: Path) -> None:
    """Write a file that is new."""
    make_folder(target.parent)
    try:
        with target.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise unwritable(str(target), error) from error
