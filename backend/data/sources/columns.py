"""Which columns of a table hold what: as the data set says, else by the names that are usual."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from backend.config.paths import location
from backend.config.problems import UserError
from backend.data.sources.base import Source

IMAGES = ("image_path", "image", "file_name", "filename", "path", "file_path", "filepath", "file", "img", "img_path")
ENCODED = ("image", "jpg", "jpeg", "png", "webp", "img", "bytes")
CAPTIONS = ("caption", "captions", "text", "texts", "tags", "tag_string", "prompt", "txt")
DESCRIPTIONS = ("description", "nl_caption")
WIDTHS = ("width", "image_width", "original_width")
HEIGHTS = ("height", "image_height", "original_height")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are read; empty where the table has none."""

    image: str
    captions: tuple[str, ...]
    description: str
    width: str
    height: str

    def all(self) -> list[str]:
        """Return the columns, each once."""
        named = (self.image, *self.captions, self.description, self.width, self.height)
        return list(dict.fromkeys(column for column in named if column))


def choose(source: Source, table: str, present: Sequence[str], encoded: Collection[str] = ()) -> Columns:
    """Return the columns of a table; `encoded` are those that hold pictures themselves.

    Raises:
        UserError: `column_missing`: one that was asked for, or any that could be of the pictures.
    """
    config, field = source.dataset.config, source.dataset.field

    def named(name: str, setting: str) -> str:
        if name in present:
            return name
        raise UserError("column_missing", f"{field}.{setting}", value=name, file=table, found=", ".join(present))

    def usual(names: Sequence[str]) -> str:
        lower = {name.lower(): name for name in reversed(present)}
        return next((lower[name] for name in names if name in lower), "")

    image = config.image_column and named(config.image_column, "image_column")
    image = image or next((name for name in ENCODED if name in encoded), "") or usual(IMAGES) or next(iter(encoded), "")
    if not image:
        raise UserError(
            "column_missing", f"{field}.image_column", value=IMAGES[0], file=table, found=", ".join(present)
        )
    captions = tuple(named(name, "caption_columns") for name in config.caption_columns)
    found = usual([name for name in CAPTIONS if name != image])
    description = config.description_column and named(config.description_column, "description_column")
    width, height = usual(WIDTHS), usual(HEIGHTS)
    return Columns(
        image=image,
        captions=captions or ((found,) if found else ()),
        description=description or usual(DESCRIPTIONS),
        width=width if height else "",
        height=height if width else "",
    )


def folder_of(source: Source) -> str:
    """Return what the names in a file count from: the folder that is given, else the file's own."""
    given = source.dataset.config.image_dir.strip()
    return location(given) if given else source.root.rstrip("/\\").replace("\\", "/").rpartition("/")[0]


def size_of(value: Any) -> int:
    """Return a cell as a number of pixels; 0 where it is none, and the picture is asked itself."""
    try:
        return max(0, int(value or 0))
    except (TypeError, ValueError, OverflowError):
        return 0
