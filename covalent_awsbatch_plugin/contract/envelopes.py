"""Envelopes: a JSON header and raw sections; and packs, in which many of them lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MAGIC = b"CVABENV2"
_LENGTH_BYTES = 8
PREAMBLE_BYTES = len(MAGIC) + _LENGTH_BYTES


class EnvelopeError(ValueError):
    """The bytes are not an envelope of this version of the contract, or are damaged."""


class ForeignEnvelopeError(EnvelopeError):
    """The bytes are a whole outcome, but sealed with another key."""


@dataclass(frozen=True)
class Section:
    """Where a section stands in its envelope, in bytes from the envelope's start."""

    offset: int
    length: int


def pack_header(header: dict[str, Any], section_lengths: dict[str, int]) -> bytes:
    """Return the start of an envelope; the sections must follow in the order given here."""
    body = json.dumps({**header, "sections": list(section_lengths.items())}).encode()
    return MAGIC + len(body).to_bytes(_LENGTH_BYTES, "big") + body


def header_length(preamble: bytes) -> int:
    """Return the length of the JSON header, from an envelope's first `PREAMBLE_BYTES` bytes.

    Raises EnvelopeError where the bytes do not begin an envelope.
    """
    if len(preamble) < PREAMBLE_BYTES or preamble[: len(MAGIC)] != MAGIC:
        raise EnvelopeError("this is no envelope of covalent-awsbatch-plugin")
    return int.from_bytes(preamble[len(MAGIC) : PREAMBLE_BYTES], "big")


def parse_header(body: bytes) -> tuple[dict[str, Any], dict[str, Section]]:
    """Return the header and the place of each section, from the JSON bytes behind the preamble.

    Raises EnvelopeError where the bytes are damaged.
    """
    try:
        header = json.loads(body)
        offset = PREAMBLE_BYTES + len(body)
        sections: dict[str, Section] = {}
        for name, length in header.pop("sections"):
            if name in sections or type(name) is not str or type(length) is not int or length < 0:
                raise EnvelopeError("the sections of this envelope are damaged")
            sections[name] = Section(offset, length)
            offset += length
    except EnvelopeError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EnvelopeError(f"the header of this envelope is damaged: {error}") from error
    return header, sections


# --- packs ------------------------------------------------------------------------------------------

PACK_MAGIC = b"CVABPAK1"
PACK_PREAMBLE_BYTES = len(PACK_MAGIC) + _LENGTH_BYTES
_ENTRY_BYTES = 2 * _LENGTH_BYTES


def pack_start(group_ids: list[int], payload_lengths: list[int]) -> bytes:
    """Return the start of a pack; the payloads must follow in the order given here."""
    offset = PACK_PREAMBLE_BYTES + (len(group_ids) + 1) * _ENTRY_BYTES
    parts = [PACK_MAGIC, _number(len(group_ids))]
    for group_id, length in zip(group_ids, payload_lengths, strict=True):
        parts += [_number(group_id), _number(offset)]
        offset += length
    return b"".join([*parts, _number(0), _number(offset)])


def pack_size(preamble: bytes) -> int:
    """Return the number of payloads, from a pack's first `PACK_PREAMBLE_BYTES` bytes.

    Raises EnvelopeError where the bytes do not begin a pack.
    """
    if len(preamble) < PACK_PREAMBLE_BYTES or preamble[: len(PACK_MAGIC)] != PACK_MAGIC:
        raise EnvelopeError("this is no pack of covalent-awsbatch-plugin")
    return int.from_bytes(preamble[len(PACK_MAGIC) : PACK_PREAMBLE_BYTES], "big")


def entries_range(first: int, count: int) -> tuple[int, int]:
    """Return start and end, in a pack, of the table's entries that tell of `count` payloads."""
    start = PACK_PREAMBLE_BYTES + first * _ENTRY_BYTES
    return start, start + (count + 1) * _ENTRY_BYTES


def parse_entries(entries: bytes) -> list[tuple[int, Section]]:
    """Return group id and place of each payload, from the bytes of `entries_range`.

    Raises EnvelopeError where the bytes are cut short or damaged.
    """
    if len(entries) < 2 * _ENTRY_BYTES or len(entries) % _ENTRY_BYTES:
        raise EnvelopeError("the table of this pack is cut short")
    numbers = [
        int.from_bytes(entries[at : at + _LENGTH_BYTES], "big")
        for at in range(0, len(entries), _LENGTH_BYTES)
    ]
    group_ids, offsets = numbers[::2], numbers[1::2]
    if sorted(offsets) != offsets:
        raise EnvelopeError("the table of this pack is damaged")
    return [
        (group_id, Section(start, end - start))
        for group_id, start, end in zip(group_ids, offsets, offsets[1:], strict=False)
    ]


def _number(value: int) -> bytes:
    return value.to_bytes(_LENGTH_BYTES, "big")
