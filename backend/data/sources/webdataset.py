"""WebDataset: pictures and their captions as neighbours of one name in .tar shards."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from backend.config.problems import UserError
from backend.data.images import EXTENSIONS
from backend.data.records import MASK_SUFFIX
from backend.data.sources.base import Entry, Source, stem_of, suffix_of
from backend.data.sources.finder import name_in
from backend.data.sources.metadata import captions_of
from backend.data.stores import member
from backend.data.texts import decode_caption, one_text

BRACES = re.compile(r"\{([^{}]*)\}")
NUMBERS = re.compile(r"^(\d+)\.\.(\d+)$")
TEXTS = frozenset({".txt", ".caption"})
FACTS = frozenset({".json", ".cls"})
BLOCK_BYTES = 512


@dataclass(slots=True)
class _Sample:
    """The members of one name: pictures as (member, start, number of bytes), and what is written about them."""

    pictures: list[tuple[str, int, int]] = field(default_factory=list)
    caption: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def expand(pattern: str) -> list[str]:
    """Return the paths that a pattern with braces stands for: {000..123} counts, {a,b} lists."""
    match = BRACES.search(pattern)
    if match is None:
        return [pattern]
    counted = NUMBERS.match(match[1])
    if counted:
        first, last = counted[1], counted[2]
        parts = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    else:
        parts = match[1].split(",")
    return [path for part in parts for path in expand(pattern[: match.start()] + part + pattern[match.end() :])]


def shards(source: Source) -> list[str]:
    """Return the .tar files of a source: one, those of a pattern, or those in a folder.

    Raises:
        UserError: There is none.
    """
    found: list[str] = []
    for path in expand(source.root):
        if "*" in path or "?" in path:
            found += source.files.glob(path)
        elif suffix_of(path) == ".tar":
            found.append(path)
        else:
            files = source.files.listing(path).files
            found += [file.location for file in files if suffix_of(file.name) == ".tar"]
    if not found:
        raise UserError("shards_missing", value=source.root)
    return found


def read(source: Source) -> Iterator[Entry]:
    """Yield the pictures of all shards, in their order; shards that are gone or cut short are noted.

    Raises:
        UserError: No shard is there, or the store refuses.
    """
    paths = shards(source)
    title = paths[0].replace("\\", "/").rpartition("/")[0]
    for path in paths:
        name = name_in(title, path)
        try:
            stamp = source.files.stamp(path)
        except UserError as error:
            if error.problem.code != "file_not_found":
                raise
            source.note("shards_not_there", name)
            continue
        yield from _shard(source, path, name, stamp)


def _shard(source: Source, path: str, name: str, stamp: str) -> Iterator[Entry]:
    samples, is_whole = _samples(source, path)
    if not is_whole:
        source.note("shards_cut_short", name)
    masks = {key.removesuffix(stem_of(MASK_SUFFIX)): sample for key, sample in samples.items() if _is_mask(key)}
    config = source.dataset.config
    for key, sample in samples.items():
        if _is_mask(key):
            continue
        mask = masks[key].pictures[0] if config.mask == "file" and key in masks else None
        captions, description = captions_of(sample.facts, config, source.dataset.rules.caption_separator)
        if sample.caption is not None and not config.caption_columns:
            captions = (sample.caption,)
        for picture, start, num in sample.pictures:
            yield Entry(
                name=f"{name}/{picture}",
                location=member(path, start, num, picture),
                stamp=stamp,
                captions=captions,
                description=description,
                class_tokens=config.class_tokens,
                num_repeats=config.num_repeats,
                mask=member(path, mask[1], mask[2], mask[0]) if mask else "",
                metadata=sample.facts if config.code_path else None,
            )


def _is_mask(key: str) -> bool:
    return key.endswith(stem_of(MASK_SUFFIX))


def _samples(source: Source, path: str) -> tuple[dict[str, _Sample], bool]:
    """Return the samples of a shard by name, and whether it is whole; only headers and captions are read."""
    samples: dict[str, _Sample] = {}
    with source.files.open(path) as file:
        num_bytes = file.seek(0, 2)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as shard:
                for info in shard:
                    if info.isfile() and info.offset_data + info.size <= num_bytes:
                        _take(samples, info, file)
                # An archive ends with an empty block; one that ends with anything else was cut or damaged.
                is_whole = _block(file, shard.offset) == bytes(BLOCK_BYTES)
        except tarfile.TarError as error:
            if not samples:
                raise UserError("shard_damaged", value=path, reason=str(error)) from error
            is_whole = False
    return samples, is_whole


def _block(file: BinaryIO, start: int) -> bytes:
    file.seek(start)
    return file.read(BLOCK_BYTES)


def _take(samples: dict[str, _Sample], info: tarfile.TarInfo, file: BinaryIO) -> None:
    folder, slash, last = info.name.removeprefix("./").rpartition("/")
    stem, _, ending = last.partition(".")
    if not stem or last.startswith("."):
        return
    kind = suffix_of(last)
    if kind not in EXTENSIONS | TEXTS | FACTS:
        return
    sample = samples.setdefault(f"{folder}{slash}{stem}", _Sample())
    if kind in EXTENSIONS:
        sample.pictures.append((info.name, info.offset_data, info.size))
        return
    before = file.tell()
    file.seek(info.offset_data)
    text = decode_caption(file.read(info.size)).text
    file.seek(before)
    if kind in TEXTS:
        sample.caption = text
    elif kind == ".json":
        sample.facts |= _facts(text)
    else:
        sample.facts["cls"] = text


def _facts(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {"caption": one_text(content)}
