"""WebDataset: pictures and their captions as neighbours of one name in .tar shards."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

from backend.config.paths import is_address
from backend.config.problems import UserError
from backend.data.images import EXTENSIONS
from backend.data.index import ShardListing
from backend.data.picture_edits import EDIT_SUFFIX
from backend.data.sources.base import Entry, Source, suffix_of
from backend.data.sources.finder import MASK_STEM_END, name_in
from backend.data.sources.metadata import captions_of
from backend.data.stores import member
from backend.data.texts import decode_caption

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
    # How pictures are turned and cut, by their names.
    edits: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Shard:
    """What is in a shard, by name; `damaged` are members that are not the JSON they should be."""

    samples: dict[str, _Sample] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    is_whole: bool = True


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
    # A folder may have braces in its name.
    is_there = "{" in source.root and not is_address(source.root) and source.files.kind(source.root)
    for path in [source.root] if is_there else expand(source.root):
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
        shard = _remembered(source, path, stamp)
        if not shard.is_whole:
            source.note("shards_cut_short", name)
        for damaged in shard.damaged:
            source.note("metadata_lines_damaged", f"{name}/{damaged}")
        yield from _entries(source, shard, path, name, stamp)


def _entries(source: Source, shard: _Shard, path: str, name: str, stamp: str) -> Iterator[Entry]:
    config, separator = source.dataset.config, source.dataset.rules.caption_separator
    masks = {
        key.removesuffix(MASK_STEM_END): sample.pictures[0]
        for key, sample in shard.samples.items()
        if _is_mask(key) and sample.pictures
    }
    for key, sample in shard.samples.items():
        if _is_mask(key):
            continue
        mask = masks.get(key)
        captions, description = captions_of(sample.facts, config, separator)
        if sample.caption is not None and not config.caption_columns:
            captions = (sample.caption,)
        for picture, start, num in sample.pictures:
            yield Entry(
                name=f"{name}/{picture}",
                location=member(path, start, num, picture),
                stamp=stamp,
                captions=captions,
                description=description,
                class_tokens=config.class_tokens or _class_name(sample),
                num_repeats=config.num_repeats,
                mask=member(path, mask[1], mask[2], mask[0]) if mask else "",
                edit_text=sample.edits.get(picture, ""),
                metadata=sample.facts if config.code_path else None,
            )


def _class_name(sample: _Sample) -> str:
    """Return the class of a sample as its default caption, unless it is only a number."""
    name = str(sample.facts.get("cls", ""))
    return "" if name.isdigit() else name


def _is_mask(key: str) -> bool:
    return key.endswith(MASK_STEM_END)


def _remembered(source: Source, path: str, stamp: str) -> _Shard:
    """Return what is in a shard; it is looked through once, as long as its stamp stays."""
    known = source.index.find(ShardListing, [(path, stamp)]).get(path)
    if known is not None:
        content = json.loads(known.listing)
        samples = {key: _Sample(**sample) for key, sample in content.pop("samples").items()}
        return _Shard(samples, **content)
    shard = _look_through(source, path)
    source.index.remember([((path, stamp), ShardListing(json.dumps(asdict(shard))))])
    return shard


def _look_through(source: Source, path: str) -> _Shard:
    """Read the headers and captions of a shard."""
    shard = _Shard()
    with source.files.open(path) as file:
        num_bytes = file.seek(0, 2)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for info in archive:
                    if info.isfile() and info.offset_data + info.size <= num_bytes:
                        _take(shard, info, file)
                # An archive ends with an empty block; one that ends with anything else was cut or damaged.
                shard.is_whole = _block(file, archive.offset) == bytes(BLOCK_BYTES)
        except tarfile.TarError as error:
            if not shard.samples:
                raise UserError("shard_damaged", value=path, reason=str(error)) from error
            shard.is_whole = False
    return shard


def _block(file: BinaryIO, start: int) -> bytes:
    file.seek(start)
    return file.read(BLOCK_BYTES)


def _take(shard: _Shard, info: tarfile.TarInfo, file: BinaryIO) -> None:
    folder, slash, last = info.name.removeprefix("./").rpartition("/")
    # All up to the first dot is the name that belongs together.
    stem = last.partition(".")[0]
    kind = suffix_of(last)
    if not stem or kind not in EXTENSIONS | TEXTS | FACTS:
        return
    sample = shard.samples.setdefault(f"{folder}{slash}{stem}", _Sample())
    if kind in EXTENSIONS:
        sample.pictures.append((info.name, info.offset_data, info.size))
        return
    before = file.tell()
    file.seek(info.offset_data)
    text = decode_caption(file.read(info.size)).text
    file.seek(before)
    if info.name.endswith(EDIT_SUFFIX):
        sample.edits[info.name.removesuffix(EDIT_SUFFIX)] = text
    elif kind in TEXTS:
        sample.caption = text
    elif kind == ".cls":
        sample.facts["cls"] = text
    else:
        try:
            content = json.loads(text)
        except ValueError:
            shard.damaged.append(info.name)
            return
        sample.facts |= content if isinstance(content, dict) else {"caption": content}
