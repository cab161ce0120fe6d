"""The pictures of a scan as bytes and as images: which store holds each, and the hash of its content."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence

from backend.config.datasets import PictureRules
from backend.config.paths import is_address
from backend.config.problems import UserError
from backend.data.captions import Code
from backend.data.datasets import Dataset
from backend.data.index import Content, Index
from backend.data.records import ImageRecord
from backend.data.stores import Store, open_store

# New hashes are written to the index so many at once.
REMEMBERED_AT_ONCE = 500


class Pictures:
    """Reads what records point at. Safe to use from several threads."""

    def __init__(self, datasets: Sequence[Dataset], index: Index, codes: Mapping[int, Code] | None = None) -> None:
        """Args:
        datasets: Of the scan.
        index: Remembers the hashes of contents.
        codes: The user's functions, by the number of the data set.
        """
        self.datasets = datasets
        self.index = index
        self.codes = codes or {}
        self._stores: dict[int, Store] = {}
        self._hashes: dict[tuple[int, str], str] = {}
        self._fresh: list[tuple[tuple[str, str], Content]] = []
        self._lock = threading.Lock()

    def rules_of(self, record: ImageRecord) -> PictureRules:
        """Return the rules of a record's data set."""
        return self.datasets[record.dataset].rules

    def code_of(self, record: ImageRecord) -> Code | None:
        """Return the user's functions for a record's data set."""
        return self.codes.get(record.dataset)

    def store_of(self, record: ImageRecord) -> Store:
        """Return where a record's bytes come from."""
        with self._lock:
            if record.dataset not in self._stores:
                self._stores[record.dataset] = open_store(self.datasets[record.dataset])
            return self._stores[record.dataset]

    def read(self, record: ImageRecord, location: str = "") -> bytes:
        """Return the bytes of a picture, or of the mask or paired picture at `location`.

        Raises:
            UserError: Gone, or it cannot be read.
        """
        return self.store_of(record).read(location or record.location)

    def learn(self, records: Iterable[ImageRecord]) -> None:
        """Take over the hashes that the index knows of pictures, masks and paired pictures, in few queries."""
        places = [(record, location) for record in records for location in _locations(record)]
        found = self.index.find(Content, ((location, self._stamp(record, location)) for record, location in places))
        for record, location in places:
            if location in found:
                self._hashes[record.dataset, location] = found[location].sha256

    def knows(self, record: ImageRecord) -> bool:
        """Tell whether the hashes of a picture and of what goes with it are known without reading them."""
        return all((record.dataset, location) in self._hashes for location in _locations(record))

    def content_hash(self, record: ImageRecord, data: bytes | None = None) -> str:
        """Return the sha256 of a picture's bytes, which are read unless they are given or the hash is known.

        The first answer holds for this run: a picture that is edited meanwhile is trained as it was.
        """
        return self._hash_at(record, record.location, data)

    def _hash_at(self, record: ImageRecord, location: str, data: bytes | None = None) -> str:
        if not location:
            return ""
        key = (record.dataset, location)
        if key not in self._hashes:
            stamp = self._stamp(record, location)
            content = Content(hashlib.sha256(self.read(record, location) if data is None else data).hexdigest())
            with self._lock:
                self._hashes[key] = content.sha256
                self._fresh.append(((location, stamp), content))
            if len(self._fresh) >= REMEMBERED_AT_ONCE:
                self.remember()
        return self._hashes[key]

    def _stamp(self, record: ImageRecord, location: str) -> str:
        """Return a stamp. A table with sizes leaves it to be asked for, as do masks: here, of files of this machine."""
        if location == record.location and record.stamp:
            return record.stamp
        if is_address(location) or "::" in location:
            return ""
        try:
            return self.store_of(record).stamp(location)
        except UserError:  # it is told when the picture is read
            return ""

    def content_hashes(self, record: ImageRecord, data: bytes | None = None) -> tuple[str, ...]:
        """Return the hashes of the picture, its mask and its paired picture; empty where there is none."""
        return (
            self.content_hash(record, data),
            self._hash_at(record, record.mask),
            self._hash_at(record, record.conditioning),
        )

    def remember(self) -> None:
        """Write new hashes to the index."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
        self.index.remember(fresh)


def _locations(record: ImageRecord) -> list[str]:
    return [location for location in (record.location, record.mask, record.conditioning) if location]
