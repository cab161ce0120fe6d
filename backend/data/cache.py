"""Latents and text embeddings, keyed by everything that they depend on, so that nothing stale is ever used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from backend.data.pictures import Pictures
from backend.data.plan import Placement
from backend.data.shards import ShardStore, Tensors

# Part of every key: raise it when what is stored changes its meaning.
VERSION = 2
LATENTS, MASK, CONDITIONING, CORNER = "latents", "mask", "conditioning", "corner"


class Writer(Protocol):
    """Takes entries in."""

    def put(self, key: str, tensors: Tensors, about: Mapping[str, Any]) -> None: ...


class MemoryStore:
    """Entries in the memory of this process."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensors] = {}

    def __contains__(self, key: str) -> bool:
        return key in self.tensors

    def get(self, key: str) -> Tensors | None:
        """Return the tensors of a key."""
        return self.tensors.get(key)

    def put(self, key: str, tensors: Tensors, about: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Add an entry."""
        self.tensors[key] = tensors

    def writer(self) -> AbstractContextManager[Writer]:
        """Return itself: there is nothing to flush."""
        return nullcontext(self)

    def refresh(self) -> None:
        """Nobody else writes here."""

    def verify(self) -> list[str]:
        """Memory is trusted."""
        return []

    def doubt(self, key: str) -> None:
        """Memory is trusted."""

    def touch(self, keys: Iterable[str]) -> None:
        """Memory is not cleaned."""


Store = ShardStore | MemoryStore


def open_store(folder: Path, kind: str, *, compress: bool) -> Store:
    """Return where a cache keeps its entries: "disk" or "memory"."""
    assert kind in ("disk", "memory"), kind
    return ShardStore(folder, compress=compress) if kind == "disk" else MemoryStore()


def _key(parts: Iterable[object]) -> str:
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()[:40]


class LatentCache:
    """Latents of pictures, with their masks and paired pictures, under one VAE."""

    def __init__(self, store: Store, *, vae_identity: str, pictures: Pictures) -> None:
        self.store = store
        self.vae_identity = vae_identity
        self.pictures = pictures
        self._keys: dict[tuple[object, ...], str] = {}

    def key(self, placement: Placement, *, flip: bool, data: bytes | None = None) -> str:
        """Return the key: contents, edit, geometry, mirror, VAE. A moved or renamed picture keeps its entry.

        Args:
            placement: The picture and its size.
            flip: Whether it is mirrored.
            data: Its bytes, when they were read already.

        Raises:
            UserError: A file is gone or cannot be read.
        """
        record = placement.record
        where = (record.dataset, record.name, placement.bucket, placement.resized, flip)
        if where not in self._keys:
            dataset = self.pictures.datasets[record.dataset]
            contents = self.pictures.content_hashes(record, data)
            geometry = (placement.bucket, placement.resized, dataset.rules.crop, flip)
            made = (dataset.config.mask, dataset.config.conditioning)
            # Pictures as they are keep the keys that they had before there were edits.
            edited = [record.edit.mark] if record.edit.changes_pixels else []
            self._keys[where] = _key([contents, made, geometry, self.vae_identity, *edited])
        return self._keys[where]

    def keys(self) -> list[str]:
        """Return the keys that were asked for in this run."""
        return list(self._keys.values())

    def about(self, placement: Placement) -> dict[str, Any]:
        """Return what is noted beside an entry, by which a cleaning tells whether it is still of use."""
        record = placement.record
        return {"content": self.pictures.content_hash(record), "location": record.location, "name": record.name}

    def get(self, placement: Placement, *, flip: bool) -> Tensors | None:
        """Return latents (C, h, w), and mask (h, w) and conditioning latents where the data set has them."""
        return self.store.get(self.key(placement, flip=flip))


class TextCache:
    """Encoded captions under one set of text encoders."""

    def __init__(self, store: Store, *, identities: Mapping[str, str]) -> None:
        self.store = store
        self.identities = sorted(identities.items())

    def key(self, caption: str) -> str:
        """Return the key: the caption's text and the encoders, which name how they read it."""
        return _key([caption, self.identities])

    def get(self, caption: str) -> dict[str, Tensor] | None:
        """Return the encoded caption, each tensor without the batch dimension."""
        return self.store.get(self.key(caption))
