"""Lists of tags from files: what there is, how common, in which category, and what it is called in another language."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backend.config.problems import UserError
from backend.editing.files import read_caption

HEADERS = {
    "name": ("name", "tag", "tag_name", "标签"),
    "category": ("category", "type"),
    "count": ("count", "post_count"),
    "aliases": ("aliases", "alias"),
}
# Without a header line: the order of Danbooru lists.
USUAL = ("name", "category", "count", "aliases")
TRANSLATED = ("translation", "zh", "zh-cn", "chinese", "翻译", "中文")


@dataclass(frozen=True, slots=True)
class KnownTag:
    """A tag of a list. `category` is the number that Danbooru gives: 0 general, 1 artist, 3 copyright, 4 character."""

    name: str
    category: int = 0
    count: int = 0
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class TagList:
    """The tags of a file, the most common first. Blanks and underscores are the same in all that is looked up."""

    tags: tuple[KnownTag, ...] = ()

    @cached_property
    def by_name(self) -> dict[str, KnownTag]:
        """Tags by their plain names; those of aliases lead to what they stand for."""
        aliases = {plain(alias): tag for tag in reversed(self.tags) for alias in tag.aliases}
        return {**aliases, **{plain(tag.name): tag for tag in reversed(self.tags)}}

    def find(self, name: str) -> KnownTag | None:
        """Return what a list has under a name or an alias."""
        return self.by_name.get(plain(name))

    def categories(self, names: Iterable[str]) -> dict[str, int]:
        """Return the categories of names, of those that are in the list."""
        return {name: found.category for name in names if (found := self.find(name)) is not None}


def plain(tag: str) -> str:
    r"""Return a tag as it is compared: small letters, blanks for underscores, brackets without backslashes."""
    return tag.casefold().replace("_", " ").replace("\\(", "(").replace("\\)", ")").strip()


def read_tag_list(path: Path) -> TagList:
    """Read a CSV file: tag, category, count, aliases, as Danbooru lists have them; or with a header that names these.

    Raises:
        UserError: `file_not_found`, `file_unreadable`, or `tag_list_wrong` for a file that is no such list.
    """
    rows = _rows(path)
    columns = _columns(rows[0]) if rows else None
    order = columns or {name: place for place, name in enumerate(USUAL)}
    found = [_tag(row, order) for row in (rows[1:] if columns else rows)]
    tags = [tag for tag in found if tag is not None]
    if not tags:
        raise UserError("tag_list_wrong", value=str(path))
    return TagList(tuple(sorted(tags, key=lambda tag: -tag.count)))


def read_translations(path: Path) -> dict[str, str]:
    """Read a CSV file of tags and what they are called: the first two columns, or those that a header names.

    Returns:
        Words by plain names (see `plain`).

    Raises:
        UserError: As `read_tag_list`.
    """
    rows = _rows(path)
    header = [cell.strip().casefold() for cell in rows[0]] if rows else []
    place = next((header.index(name) for name in TRANSLATED if name in header), None)
    if place is not None:
        rows = rows[1:]
    # Lists with tag, category, translation are common, too: a number is no word.
    words = {plain(row[0]): word for row in rows if len(row) > 1 and (word := _word(row, place))}
    if not words:
        raise UserError("tag_list_wrong", value=str(path))
    return words


def _word(row: Sequence[str], place: int | None) -> str:
    if place is not None:
        return row[place].strip() if place < len(row) else ""
    return next((cell.strip() for cell in row[1:] if cell.strip() and not cell.strip().isdigit()), "")


def _rows(path: Path) -> list[list[str]]:
    text = read_caption(path).text
    try:
        return [row for row in csv.reader(text.splitlines()) if row and row[0].strip()]
    except csv.Error as error:
        raise UserError("tag_list_wrong", value=str(path)) from error


def _columns(row: Sequence[str]) -> dict[str, int] | None:
    """Return where the columns are that a header names; None when the row is none."""
    cells = [cell.strip().casefold() for cell in row]
    found = {key: next((cells.index(name) for name in names if name in cells), -1) for key, names in HEADERS.items()}
    is_header = found["name"] >= 0 and any(found[key] >= 0 for key in ("category", "count", "aliases"))
    return {key: place for key, place in found.items() if place >= 0} if is_header else None


def _tag(row: Sequence[str], columns: dict[str, int]) -> KnownTag | None:
    def cell(name: str) -> str:
        place = columns.get(name, -1)
        return row[place].strip() if 0 <= place < len(row) else ""

    if not cell("name"):
        return None
    aliases = tuple(alias.strip() for alias in cell("aliases").split(",") if alias.strip())
    return KnownTag(cell("name"), _number(cell("category")), _number(cell("count")), aliases)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
