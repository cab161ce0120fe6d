"""Finds the files that names in a table mean, and the partners of pictures: masks and paired pictures."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.config.paths import is_address
from backend.config.problems import UserError
from backend.data.filesystems import File, FileSystem, tree
from backend.data.images import EXTENSIONS
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import stem_of, suffix_of

MASK_STEM_END = stem_of(MASK_SUFFIX)


@dataclass(slots=True)
class ByStem:
    """The pictures in and below a folder, by their names without endings, with and without the folders."""

    whole: dict[str, File] = field(default_factory=dict)
    last: dict[str, File | None] = field(default_factory=dict)

    def find(self, name: str) -> File | None:
        """Return the picture of a name, with folders or, where only one has it, without."""
        stem = stem_of(name) if suffix_of(name) in EXTENSIONS else name
        return self.whole.get(stem) or self.last.get(stem.rpartition("/")[2])


def by_stem(files: FileSystem, folder: str, *, masks: bool = False) -> ByStem:
    """List a folder of pictures; of `masks`, the mark in their names is taken off.

    Raises:
        UserError: It is not there or cannot be read.
    """
    found = ByStem()
    for name, file in tree(files, folder):
        if suffix_of(name) in EXTENSIONS:
            stem = stem_of(name).removesuffix(MASK_STEM_END) if masks else stem_of(name)
            found.whole.setdefault(stem, file)
            last = stem.rpartition("/")[2]
            found.last[last] = None if last in found.last else file
    return found


class Finder:
    """Finds pictures by what a metadata file calls them: a path, a name, or a name without its ending."""

    def __init__(self, base: str, files: FileSystem) -> None:
        self.base = base
        self.files = files
        self._listed: ByStem | None = None

    def find(self, name: str) -> File | None:
        """Return the file of a name; names count from the base."""
        plain = name.strip().replace("\\", "/")
        if suffix_of(plain) in EXTENSIONS:
            for location in dict.fromkeys(
                (located(self.base, name.strip(), self.files), located(self.base, plain, self.files))
            ):
                try:
                    return File(plain, location, self.files.stamp(location))
                except UserError as error:
                    if error.problem.code != "file_not_found":
                        raise
        return self._listing().find(plain)

    def _listing(self) -> ByStem:
        if self._listed is None:
            self._listed = by_stem(self.files, self.base)
        return self._listed


def is_absolute(path: str) -> bool:
    """Tell whether a path stands for itself: an address, or absolute on any system."""
    return path.startswith(("/", "\\\\")) or path[1:3] in (":/", ":\\") or is_address(path)


def located(base: str, name: str, files: FileSystem) -> str:
    """Return the location of a name that counts from a folder."""
    return name if is_absolute(name) else files.join(base, name)


def name_in(base: str, location: str) -> str:
    """Return how reports call a file: its path from the base when it lies there."""
    plain, start = location.replace("\\", "/"), base.replace("\\", "/").rstrip("/") + "/"
    return plain.removeprefix(start)
