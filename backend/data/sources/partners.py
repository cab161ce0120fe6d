"""The mask and the paired picture that go with each picture, where a data set has them as files."""

from __future__ import annotations

from collections.abc import Callable

from backend.config.paths import location
from backend.config.problems import UserError
from backend.data.sources.base import Entry, Source
from backend.data.sources.finder import ByStem, by_stem

# Given an entry: the locations of its mask and its paired picture, empty where it has none.
Partners = Callable[[Entry], tuple[str, str]]


def partners(source: Source) -> Partners:
    """Return what finds partners; those that should be there and are not are noted.

    Raises:
        UserError: A folder of partners is not chosen or not there.
    """
    config = source.dataset.config
    masks = _listed(source, "mask_dir", masks=True) if config.mask == "folder" else None
    pairs = _listed(source, "conditioning_dir", masks=False) if config.conditioning == "folder" else None

    def find(entry: Entry) -> tuple[str, str]:
        mask = _found(masks, entry) if masks else entry.mask if config.mask == "file" else ""
        pair = _found(pairs, entry) if pairs else ""
        if config.mask == "none" and entry.mask:
            source.note("masks_unused", entry.name)
        if config.mask in ("file", "folder") and not mask:
            source.note("masks_missing", entry.name)
        if pairs and not pair:
            source.note("conditioning_missing", entry.name)
        return mask, pair

    return find


def _listed(source: Source, setting: str, *, masks: bool) -> ByStem:
    field = f"{source.dataset.field}.{setting}"
    folder = location(getattr(source.dataset.config, setting))
    if not folder:
        raise UserError("folder_not_chosen", field)
    files = source.store.files(folder)
    if files.kind(folder) != "folder":
        raise UserError("dataset_missing", field, value=folder)
    return by_stem(files, folder, masks=masks)


def _found(listed: ByStem, entry: Entry) -> str:
    file = listed.find(entry.name)
    return file.location if file else ""
