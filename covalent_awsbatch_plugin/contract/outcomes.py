"""The outcome: what became of a task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from hmac import compare_digest
from typing import Any

from covalent_awsbatch_plugin.contract.envelopes import (
    PREAMBLE_BYTES,
    EnvelopeError,
    ForeignEnvelopeError,
    header_length,
    pack_header,
    parse_header,
)
from covalent_awsbatch_plugin.contract.keys import detached_prefix

SECTION_VALUE = "value"
SECTION_OBJECT_STRING = "object_string"
SECTION_STDOUT = "stdout"
SECTION_STDERR = "stderr"
OUTCOME_SECTIONS = (SECTION_VALUE, SECTION_OBJECT_STRING, SECTION_STDOUT, SECTION_STDERR)

INLINE_BYTES = 4 << 20
"""A larger section is detached; so an outcome is one request for who writes it, who reads it may hold it."""

MAX_OUTCOME_BYTES = 32 << 20
"""No outcome is larger: four sections, and a header whose longest texts the runtime shortens."""


class OutcomeStatus(str, Enum):
    """How a task ended, as the runtime saw it."""

    VALUE = "value"
    EXCEPTION = "exception"
    TERMINATED = "terminated"
    """SIGTERM came: Batch's time limit, a termination, or a Spot reclaim."""
    FAULT = "fault"
    """The runtime itself could not do its work: payload unreadable, versions that do not fit, …"""
    SKIPPED = "skipped"
    """An earlier task of the same job did not return a value."""


@dataclass(frozen=True)
class Failure:
    """Why a task has no value. `type` is the exception's qualified name, `traceback` its full text."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Container:
    """What a value offers to item access, so that a glue node can be answered without opening it.

    `kind` is "list" (`length` items), "tuple" (likewise) or "dict" (exactly these str or int `keys`).
    """

    kind: str
    length: int = 0
    keys: list[str | int] = field(default_factory=list)


@dataclass(frozen=True)
class Detached:
    """A section that is an object of its own, and the SHA-256 of each of its chunks, in hexadecimal.

    A chunk has `chunk_bytes_of(length)` bytes, the last one what is left.
    """

    key: str
    length: int
    checksums: list[str]


CHUNK_BYTES = 8 << 20
MAX_CHUNKS = 10_000
"""S3's limit for the parts of one upload; a chunk is a part."""


def chunk_bytes_of(length: int) -> int:
    """Return the length of the chunks in which an object of a length is written and checked, in bytes."""
    return max(CHUNK_BYTES, -(-length // MAX_CHUNKS))


_LAST_SECOND = 253402300799
"""The end of the year 9999, beyond which Python has no dates."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The header of an outcome. Times are seconds since the epoch.

    The envelope's sections are the pickled value, `str(value)` as UTF-8, stdout and stderr as UTF-8,
    by the names `SECTION_*`; a section that is detached, or has nothing to hold, is empty. Where the
    status is EXCEPTION, the value is the pickled exception without its traceback, or empty where it
    cannot be pickled.
    """

    dispatch_id: str
    node_id: int
    status: OutcomeStatus
    job_id: str
    attempt: int
    started_at: float
    finished_at: float
    python_version: str
    cloudpickle_version: str
    failure: Failure | None = None
    container: Container | None = None
    detached: dict[str, Detached] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for an envelope's header."""
        return {**asdict(self), "status": self.status.value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        """Rebuild an outcome from an envelope's header.

        Raises EnvelopeError where a field is missing, unknown or of another type than it is to be.
        """
        try:
            failure, container = data["failure"], data["container"]
            outcome = cls(
                **{
                    **data,
                    "status": OutcomeStatus(data["status"]),
                    "failure": None if failure is None else Failure(**failure),
                    "container": None if container is None else Container(**container),
                    "detached": {name: Detached(**each) for name, each in data["detached"].items()},
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EnvelopeError(f"the outcome lacks a field: {error}") from error
        if not _is_plausible(outcome):
            raise EnvelopeError("a field of the outcome is not what it is to be")
        return outcome


def _is_plausible(outcome: Outcome) -> bool:
    """Tell whether all fields are of their types: whoever summed up an outcome need not be the runtime."""
    texts = [outcome.dispatch_id, outcome.job_id, outcome.python_version, outcome.cloudpickle_version]
    failure, container = outcome.failure, outcome.container
    if failure is not None:
        texts += [failure.type, failure.message, failure.traceback]
    if not all(type(each) is str for each in texts):
        return False
    if not (type(outcome.node_id) is int and type(outcome.attempt) is int):
        return False
    for time_s in (outcome.started_at, outcome.finished_at):
        if type(time_s) not in (int, float) or not 0 <= time_s <= _LAST_SECOND:
            return False
    if container is not None and not _is_plausible_container(container):
        return False
    prefix = detached_prefix(outcome.dispatch_id, outcome.node_id) if outcome.detached else ""
    return all(
        name in OUTCOME_SECTIONS and _is_plausible_object(each, prefix)
        for name, each in outcome.detached.items()
    )


def _is_plausible_container(container: Container) -> bool:
    return (
        container.kind in ("list", "tuple", "dict")
        and type(container.length) is int
        and container.length >= 0
        and type(container.keys) is list
        and all(type(key) in (str, int) for key in container.keys)
    )


def _is_plausible_object(detached: Detached, prefix: str) -> bool:
    return (
        type(detached.key) is str
        and detached.key.startswith(prefix)
        and type(detached.length) is int
        and detached.length > 0
        and type(detached.checksums) is list
        and len(detached.checksums) == -(-detached.length // chunk_bytes_of(detached.length))
        and all(type(each) is str for each in detached.checksums)
    )


_CHECKSUM_BYTES = 32
_SEAL_BYTES = 2 * _CHECKSUM_BYTES


def _sealed(checksum: bytes, key: bytes) -> bytes:
    """Return what only someone with the key can make of a checksum."""
    return hashlib.blake2b(checksum, key=key, digest_size=_CHECKSUM_BYTES).digest()


def pack_outcome(outcome: Outcome, sections: Mapping[str, bytes], key: bytes) -> bytes:
    """Return an outcome as it is stored, sealed with its dispatch's key; what has no section is empty."""
    contents = {name: sections.get(name, b"") for name in OUTCOME_SECTIONS}
    header = pack_header(outcome.to_json(), {name: len(each) for name, each in contents.items()})
    parts = [header, *contents.values()]
    summed = hashlib.sha256()
    for part in parts:
        summed.update(part)
    checksum = summed.digest()
    return b"".join([*parts, checksum, _sealed(checksum, key)])


def parse_outcome(data: bytes, key: bytes | None) -> tuple[Outcome, dict[str, bytes]]:
    """Return an outcome and its sections, of which those that are detached are empty.

    Nothing of it is looked at before its seal. Raises ForeignEnvelopeError where it is not sealed with the
    key; None takes any. Raises EnvelopeError for all else that is not as `pack_outcome` makes it.
    """
    content = memoryview(data)[:-_SEAL_BYTES]
    header_end = PREAMBLE_BYTES + header_length(data[:PREAMBLE_BYTES])
    checksum, sealed = data[-_SEAL_BYTES:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if not compare_digest(hashlib.sha256(content).digest(), checksum):
        raise EnvelopeError("it is cut short or altered: its checksum does not fit")
    if key is not None and not compare_digest(_sealed(checksum, key), sealed):
        raise ForeignEnvelopeError("it is not sealed with the key of its dispatch")
    if header_end > len(content):
        raise EnvelopeError("it is cut short in its header")
    header, places = parse_header(bytes(content[PREAMBLE_BYTES:header_end]))
    if tuple(places) != OUTCOME_SECTIONS:
        raise EnvelopeError(f"its sections are not {', '.join(OUTCOME_SECTIONS)}")
    if header_end + sum(each.length for each in places.values()) != len(content):
        raise EnvelopeError("its sections are not as long as it is")
    outcome = Outcome.from_json(header)
    if any(places[name].length for name in outcome.detached):
        raise EnvelopeError("a section is both in it and detached")
    return outcome, {name: data[each.offset : each.offset + each.length] for name, each in places.items()}


class Chunk(list[dict[str, Any]]):
    """What a task returns that runs several items: for each a dict.

    It has the item's pickled `value`; or the `type`, `message` and `traceback` of its exception and, where
    that could be pickled, the `exception`, else nothing in its place.
    """
