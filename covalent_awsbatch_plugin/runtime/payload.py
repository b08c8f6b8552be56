"""Reading a job's payload from its pack: the header at once, a section only when its task runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covalent_awsbatch_plugin.contract import (
    CHUNK_BYTES,
    ENV_ARRAY_INDEX,
    ENV_PAYLOAD,
    PREAMBLE_BYTES,
    EnvelopeError,
    Payload,
    Section,
    entries_range,
    header_length,
    pack_size,
    parse_entries,
    parse_header,
)
from covalent_awsbatch_plugin.runtime.fault import RuntimeFault
from covalent_awsbatch_plugin.runtime.store import Store

_FIRST_READ_BYTES = 256 * 2**10
"""Enough for the whole of most payloads, so one request instead of one for each section; and for the table
of any pack, since Batch allows 10,000 children of an array."""


@dataclass(frozen=True)
class Location:
    """Where the payload lies: in which pack, and there in which place.

    A job without an `array_index` is alone, and takes the first.
    """

    bucket: str
    key: str
    array_index: int | None = None

    @property
    def index(self) -> int:
        """The payload's place in its pack."""
        return 0 if self.array_index is None else self.array_index

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Location:
        """Read the pack's URI and the array index.

        Raises RuntimeFault where there is no URI, or where one of them is not what it should be.
        """
        uri = environment.get(ENV_PAYLOAD, "")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or bucket == "" or key == "":
            raise RuntimeFault(f"The environment's {ENV_PAYLOAD} is to be s3://bucket/key, but is {uri!r}.")
        return cls(bucket, key, _array_index(environment))


def _array_index(environment: Mapping[str, str]) -> int | None:
    text = environment.get(ENV_ARRAY_INDEX)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise RuntimeFault(f"The environment's {ENV_ARRAY_INDEX} is to be a number, but is {text!r}.")
    return int(text)


class PayloadReader:
    """An open payload. Every method raises RuntimeFault where something is missing or damaged."""

    def __init__(self, store: Store, location: Location) -> None:
        """Find the payload in its pack and read its header."""
        self._store = store
        self._key = location.key
        self._name = f"Payload {location.index} of {location.key}"
        try:
            self._find(location)
            header, self._sections = parse_header(self._header())
            self.payload = Payload.from_json(header)
        except EnvelopeError as error:
            raise RuntimeFault(f"{self._name} cannot be read: {error}.") from error

    def write_section(self, name: str, path: Path) -> None:
        """Copy a section into a new file."""
        section = self._sections.get(name)
        if section is None:
            raise RuntimeFault(f"{self._name} has no section {name!r}.")
        if section.offset + section.length > self._size_bytes:
            raise RuntimeFault(f"{self._name} is cut short in section {name!r}.")
        self._copy(section, path)

    def write_function(self, key: str, path: Path) -> None:
        """Copy a function into a new file; its key ends with its SHA-256."""
        self.write_object(key, path)
        if _sha256(path) != key.rpartition("/")[2]:
            raise RuntimeFault(
                f"The function {self._store.uri(key)} is not the one that was submitted: it was cut short or "
                f"altered in the bucket."
            )

    def write_object(self, key: str, path: Path, length: int | None = None) -> None:
        """Copy another object of the same bucket into a new file; its length in bytes may be known."""
        start, size_bytes = self._store.read_start(key, CHUNK_BYTES)
        if length not in (None, size_bytes):
            raise RuntimeFault(
                f"The argument {self._store.uri(key)} has {size_bytes} bytes, not the {length} that were "
                f"submitted: it was cut short or altered in the bucket."
            )
        if size_bytes <= len(start):
            path.write_bytes(start)
        else:
            self._store.download(key, 0, size_bytes, path)

    def _find(self, location: Location) -> None:
        """Find out where the payload lies; its start comes with that only where no other lies before it."""
        _, table_end = entries_range(location.index, 1)
        is_alone = location.array_index is None
        first_bytes = _FIRST_READ_BYTES if is_alone else min(table_end, _FIRST_READ_BYTES)
        start, pack_bytes = self._store.read_start(self._key, first_bytes)
        place = _place(start, location.index)
        self._offset = place.offset
        self._size_bytes = min(place.length, pack_bytes - place.offset)
        self._start = start[place.offset : place.offset + place.length]

    def _header(self) -> bytes:
        """Return the header's bytes, and keep what else one request brings."""
        if self._size_bytes < PREAMBLE_BYTES:
            raise EnvelopeError("it is cut short")
        if self._start == b"":
            self._start = self._bytes(0, min(self._size_bytes, _FIRST_READ_BYTES))
        end = PREAMBLE_BYTES + header_length(self._start)
        if end > self._size_bytes:
            raise EnvelopeError("it is cut short")
        return self._bytes(PREAMBLE_BYTES, end)

    def _copy(self, section: Section, path: Path) -> None:
        end = section.offset + section.length
        if section.length <= CHUNK_BYTES:
            path.write_bytes(self._bytes(section.offset, end))
        else:
            self._store.download(self._key, self._offset + section.offset, self._offset + end, path)

    def _bytes(self, start: int, end: int) -> bytes:
        """Return bytes of the payload, which both numbers count from its own start."""
        if end <= len(self._start):
            return self._start[start:end]
        return self._store.read(self._key, self._offset + start, self._offset + end)


def _sha256(path: Path) -> str:
    summed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            summed.update(chunk)
    return summed.hexdigest()


def _place(start: bytes, index: int) -> Section:
    """Return where a payload lies, from a pack's first bytes."""
    size = pack_size(start)
    if index >= size:
        raise EnvelopeError(f"its pack has {size}, counted from 0")
    begin, end = entries_range(index, 1)
    ((_, place),) = parse_entries(start[begin:end])
    if place.offset < entries_range(0, size)[1]:
        raise EnvelopeError("the table of this pack is damaged")
    return place
