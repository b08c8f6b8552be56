"""Reading a job's payload: the header at once, a section only when its task runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covalent_awsbatch_plugin.contract import (
    ENV_PAYLOAD,
    PREAMBLE_BYTES,
    EnvelopeError,
    Payload,
    Section,
    header_length,
    parse_header,
)
from covalent_awsbatch_plugin.runtime.fault import RuntimeFault
from covalent_awsbatch_plugin.runtime.store import CHUNK_BYTES, Store

_FIRST_READ_BYTES = 256 * 2**10
"""Enough for the whole of most payloads: one request instead of one for each section."""


@dataclass(frozen=True)
class Location:
    """Where the payload lies."""

    bucket: str
    key: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Location:
        """Read the payload's URI.

        Raises RuntimeFault where there is none.
        """
        uri = environment.get(ENV_PAYLOAD, "")
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or bucket == "" or key == "":
            raise RuntimeFault(f"The environment's {ENV_PAYLOAD} is to be s3://bucket/key, but is {uri!r}.")
        return cls(bucket, key)


class PayloadReader:
    """An open payload. Every method raises RuntimeFault where something is missing or damaged."""

    def __init__(self, store: Store, key: str) -> None:
        """Read the header."""
        self._store = store
        self._key = key
        self._start, self._size_bytes = store.read_start(key, _FIRST_READ_BYTES)
        try:
            end = PREAMBLE_BYTES + header_length(self._start)
            if end > self._size_bytes:
                raise EnvelopeError("it is cut short")
            header, self._sections = parse_header(self._bytes(PREAMBLE_BYTES, end))
            self.payload = Payload.from_json(header)
        except EnvelopeError as error:
            raise RuntimeFault(f"The payload {key} cannot be read: {error}.") from error

    def write_section(self, name: str, path: Path) -> None:
        """Copy a section into a new file."""
        section = self._sections.get(name)
        if section is None:
            raise RuntimeFault(f"The payload {self._key} has no section {name!r}.")
        if section.offset + section.length > self._size_bytes:
            raise RuntimeFault(f"The payload {self._key} is cut short in section {name!r}.")
        self._copy(section, path)

    def write_object(self, key: str, path: Path) -> None:
        """Copy another object of the same bucket into a new file."""
        start, size_bytes = self._store.read_start(key, CHUNK_BYTES)
        if size_bytes <= len(start):
            path.write_bytes(start)
        else:
            self._store.download(key, 0, size_bytes, path)

    def _copy(self, section: Section, path: Path) -> None:
        end = section.offset + section.length
        if section.length <= CHUNK_BYTES:
            path.write_bytes(self._bytes(section.offset, end))
        else:
            self._store.download(self._key, section.offset, end, path)

    def _bytes(self, start: int, end: int) -> bytes:
        return self._start[start:end] if end <= len(self._start) else self._store.read(self._key, start, end)
