"""A folder's listing brought up to date where files are known to have changed, without looking at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backend.data.images import EXTENSIONS
from backend.data.picture_edits import EDIT_SUFFIX
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import stem_of, suffix_of
from backend.editing.pictures import Listed, Pictures

# A file's stamp by its name below the folder; empty where there is none.
Stamps = Mapping[str, str]


def is_picture(name: str) -> bool:
    """Tell whether a file is a picture of a row, by its name."""
    return suffix_of(name) in EXTENSIONS and not name.lower().endswith(MASK_SUFFIX)


def companions(name: str, caption_extension: str) -> tuple[str, str, str]:
    """Return what the caption, the edit and the mask of a picture are called."""
    stem = stem_of(name)
    return stem + caption_extension, name + EDIT_SUFFIX, stem + MASK_SUFFIX


def relisted(known: Pictures, files: Stamps, caption_extension: str) -> Listed:
    """Return what is in a folder now.

    Args:
        known: What was there before.
        files: The stamps of all files that came, went or changed, and of the companions of pictures that came.
        caption_extension: Of the caption files, with its dot.
    """
    row_of = {name: row for row, name in enumerate(known.names)}
    names = [name for name in known.names if files.get(name) != ""]
    came = [name for name, stamp in files.items() if stamp and name not in row_of and is_picture(name)]
    if came:
        names = sorted([*names, *came], key=_order)
    old = [row_of.get(name, -1) for name in names]
    captions = _captions(known, names, old, files, caption_extension)
    found = Listed(
        names,
        [files.get(name) or known.stamps[row] for name, row in zip(names, old, strict=True)],
        captions,
        [
            files[caption] if caption in files else known.caption_stamps[row] if row >= 0 else ""
            for caption, row in zip(captions, old, strict=True)
        ],
    )
    edits, masks = {row: stamp for row, (stamp, _) in known.edits.items()}, known.masks
    if edits or masks or any(name.endswith((EDIT_SUFFIX, MASK_SUFFIX)) for name in files):
        for row, (name, before) in enumerate(zip(names, old, strict=True)):
            _, edit, mask = companions(name, caption_extension)
            if stamp := files.get(edit, edits.get(before, "")):
                found.edits[row] = stamp
            if stamp := files.get(mask, masks.get(before, "")):
                found.masks[row] = stamp
    return found


def _captions(
    known: Pictures, names: Sequence[str], old: Sequence[int], files: Stamps, caption_extension: str
) -> list[str]:
    """Return the caption file of each picture; of those that came it may have come with them, in large letters, too."""
    ending = caption_extension.lower()
    came = {name[: -len(ending)]: name for name, stamp in files.items() if stamp and name.lower().endswith(ending)}
    return [
        known.captions[row] if row >= 0 else came.get(stem_of(name)) or companions(name, caption_extension)[0]
        for name, row in zip(names, old, strict=True)
    ]


def _order(name: str) -> tuple[tuple[int, str], ...]:
    """Return what puts names in the order of a listing: the files of a folder before those of the folders in it."""
    *folders, last = name.split("/")
    return (*((1, folder) for folder in folders), (0, last))


def redrawn_rows(old: Pictures, new: Pictures) -> list[int]:
    """Return which pictures that were there before look different: they, their edits or their masks are others."""
    if old.names == new.names and (old.stamps, old.edits, old.masks) == (new.stamps, new.edits, new.masks):
        return []
    row_of = {name: row for row, name in enumerate(old.names)}
    before = ((row, row_of.get(name)) for row, name in enumerate(new.names))
    return [
        row
        for row, was in before
        if was is not None
        if (new.stamps[row], new.edits.get(row), new.masks.get(row))
        != (old.stamps[was], old.edits.get(was), old.masks.get(was))
    ]
