"""Latents and text embeddings on disk, keyed by everything that they depend on, so that nothing stale is ever used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from backend.config.problems import UserError
from backend.data.plan import Placement
from backend.formats.files import save_safetensors
from backend.formats.manifest import sha256

# Part of every key: raise it when what is stored changes its meaning.
VERSION = 1
LATENTS = "latents"
_hashes: dict[tuple[str, int, int], str] = {}


def content_hash(path: Path) -> str:
    """Return the hash of a file's content, remembered for this process while size and time stay the same.

    Raises:
        UserError: The file is gone or cannot be read.
    """
    try:
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in _hashes:
            _hashes[key] = sha256(path)
    except OSError as error:
        raise UserError("file_unreadable", value=str(path), reason=error.strerror or str(error)) from error
    return _hashes[key]


def _key(parts: Iterable[object]) -> str:
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()


class TensorCache:
    """A folder of small .safetensors files by key. Writers may be several: each file is written beside and renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Return where a key's file is."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> dict[str, Tensor] | None:
        """Return what is stored; None when nothing is, or what is there is damaged (it is then made again)."""
        try:
            return load(self.path(key).read_bytes())
        except FileNotFoundError:
            return None
        except (SafetensorError, ValueError, KeyError):
            return None

    def put(self, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Store tensors.

        Raises:
            UserError: `disk_full` or `file_unwritable`.
        """
        save_safetensors(self.path(key), tensors, {})


class LatentCache(TensorCache):
    """Latents of pictures under one VAE."""

    def __init__(self, folder: Path, *, vae_identity: str) -> None:
        super().__init__(folder / LATENTS)
        self.vae_identity = vae_identity
        self._keys: dict[tuple[Path, bool], str] = {}

    def key(self, placement: Placement, *, flip: bool) -> str:
        """Return the key: file content, geometry, mirror, VAE. A moved or renamed picture keeps its entry.

        The first answer holds for this run: a picture that is edited meanwhile is trained as it was.
        """
        where = (placement.record.path, flip)
        if where not in self._keys:
            content = content_hash(placement.record.path)
            self._keys[where] = _key([content, placement.bucket, placement.resized, flip, self.vae_identity])
        return self._keys[where]

    def latents(self, key: str) -> Tensor | None:
        """Return the latents (C, h, w) of a key."""
        stored = self.get(key)
        return stored.get(LATENTS) if stored else None


class TextCache(TensorCache):
    """Encoded captions under one set of text encoders."""

    def __init__(self, folder: Path, *, identities: Mapping[str, str]) -> None:
        super().__init__(folder / "text")
        self.identities = sorted(identities.items())

    def key(self, caption: str) -> str:
        """Return the key: the caption's text and the encoders, which name how they read it."""
        return _key([caption, self.identities])
