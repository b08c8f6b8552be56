"""The buckets' content. An object is a list of the pieces that it came in: a gigabyte is never copied."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property

from .http import Bytes

_versions = itertools.count(1)


@dataclass(frozen=True)
class StoredObject:
    """An object; its ETag is no hash of the content, which nobody here verifies, but differs for each."""

    pieces: Sequence[bytes]
    metadata: dict[str, str] = field(default_factory=dict)
    etag: str = field(default_factory=lambda: f'"{next(_versions):032x}"')
    modified_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @cached_property
    def size(self) -> int:
        """The object's length in bytes."""
        return sum(map(len, self.pieces))

    def range(self, start: int, end: int) -> list[Bytes]:
        """Return the bytes from `start` up to `end`, as views of what is stored."""
        found: list[Bytes] = []
        offset = 0
        for piece in self.pieces:
            begin, stop = max(start - offset, 0), min(end - offset, len(piece))
            if begin < stop:
                found.append(piece if stop - begin == len(piece) else memoryview(piece)[begin:stop])
            offset += len(piece)
        return found

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        """Return bytes in one piece."""
        found = self.range(start, self.size if end is None else end)
        return bytes(found[0]) if len(found) == 1 else b"".join(found)


class Bucket:
    """Objects by key, listed in the order of their keys."""

    def __init__(self) -> None:
        self._objects: dict[str, StoredObject] = {}
        self._keys: list[str] = []

    def __getitem__(self, key: str) -> StoredObject:
        return self._objects[key]

    def get(self, key: str) -> StoredObject | None:
        """Return an object, None where there is none."""
        return self._objects.get(key)

    def put(self, key: str, stored: StoredObject) -> None:
        """Store an object in place of what stood there."""
        if key not in self._objects:
            insort(self._keys, key)
        self._objects[key] = stored

    def create(self, key: str, stored: StoredObject) -> bool:
        """Store an object where there is none; tell whether there was none."""
        is_new = key not in self._objects
        if is_new:
            self.put(key, stored)
        return is_new

    def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        if self._objects.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def keys(self, prefix: str, after: str) -> Iterator[str]:
        """Yield the keys of a prefix that come after a key."""
        begin = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
        for index in range(begin, len(self._keys)):
            if not self._keys[index].startswith(prefix):
                return
            yield self._keys[index]
