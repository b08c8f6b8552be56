"""What the dispatcher and the container agree on: names, keys, exit codes and envelopes.

Both sides import this module and nothing else of each other, so it needs only the standard library
and does no I/O beyond the file objects it is handed.

A job is described by one *payload* in S3, which names one or more *tasks* (several where Covalent
packs a task group into one job). Each task leaves one *outcome* for each attempt. Both are
*envelopes*: a small JSON header followed by raw sections, so that a header can be read, and a section
streamed, without ever opening a pickle.

    MAGIC (8 bytes) | header length (8 bytes, big endian) | header (JSON) | section | section | …
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, BinaryIO

# --- environment and command ------------------------------------------------------------------------

ENV_PAYLOAD = "COVALENT_AWSBATCH_PAYLOAD"
"""Environment variable with the `s3://bucket/key` of the job's payload."""

RUNTIME_COMMAND = ("python", "-m", "covalent_awsbatch_plugin.runtime")
"""What every job definition runs."""

# --- exit codes of the runtime ----------------------------------------------------------------------
# Chosen outside the ranges that shells (1, 2, 126 and up) and sysexits (64 to 78) give a meaning to,
# so that the code alone tells who ended the job.

EXIT_VALUE = 0
EXIT_USER_EXCEPTION = 101
EXIT_RUNTIME_FAULT = 102
EXIT_TERMINATED = 143
"""128 + SIGTERM, as a shell would report it."""

# --- S3 keys and job names --------------------------------------------------------------------------

KEY_PREFIX = "covalent-awsbatch"


def dispatch_prefix(dispatch_id: str) -> str:
    """Everything that one dispatch puts into the bucket stands under this prefix."""
    return f"{KEY_PREFIX}/{dispatch_id}/"


def function_key(dispatch_id: str, sha256: str) -> str:
    """Return the key of a pickled function, stored once for each content."""
    return f"{dispatch_prefix(dispatch_id)}functions/{sha256}"


def payload_key(dispatch_id: str, group_id: int) -> str:
    """Return the key of the payload of the job that runs a task group."""
    return f"{dispatch_prefix(dispatch_id)}payloads/{group_id}"


def outcome_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which a task's outcomes stand, one for each attempt."""
    return f"{dispatch_prefix(dispatch_id)}outcomes/{node_id}/"


def outcome_key(dispatch_id: str, node_id: int, attempt: int) -> str:
    """Return the key of a task's outcome; attempts count from 1 and sort as text (Batch allows 10)."""
    return f"{outcome_prefix(dispatch_id, node_id)}{attempt:03d}"


def job_name(dispatch_id: str, group_id: int) -> str:
    """Return the name of the job that runs a task group; Batch allows 128 characters of [A-Za-z0-9_-]."""
    return f"covalent-{dispatch_id}-{group_id}"


# --- envelopes --------------------------------------------------------------------------------------

MAGIC = b"CVABENV1"
_LENGTH_BYTES = 8
PREAMBLE_BYTES = len(MAGIC) + _LENGTH_BYTES


class EnvelopeError(ValueError):
    """The bytes are not an envelope of this version of the contract."""


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
            sections[name] = Section(offset, length)
            offset += length
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvelopeError(f"the header of this envelope is damaged: {error}") from error
    return header, sections


def read_header(file: BinaryIO) -> tuple[dict[str, Any], dict[str, Section]]:
    """Return header and sections of the envelope that starts at the file's beginning.

    Raises EnvelopeError where the file is truncated, damaged or something else.
    """
    file.seek(0)
    length = header_length(file.read(PREAMBLE_BYTES))
    body = file.read(length)
    if len(body) < length:
        raise EnvelopeError("this envelope is cut short")
    return parse_header(body)


# --- payload: what a job is to do -------------------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """One argument: a pickle in a section of the payload, or the value of an earlier task of the job."""

    section: str | None = None
    node_id: int | None = None


@dataclass(frozen=True)
class Hook:
    """A call before or after the function: sections with the pickled callable, args and kwargs."""

    function: str
    args: str
    kwargs: str
    retval_keyword: str = ""


@dataclass(frozen=True)
class Task:
    """One function call.

    `function_key` is the S3 key of the raw pickle, in the payload's bucket; `python_version` and
    `cloudpickle_version` are those that wrote it.
    """

    node_id: int
    function_key: str
    python_version: str
    cloudpickle_version: str
    args: list[Input] = field(default_factory=list)
    kwargs: dict[str, Input] = field(default_factory=dict)
    call_before: list[Hook] = field(default_factory=list)
    call_after: list[Hook] = field(default_factory=list)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Task:
        """Rebuild a task from the JSON of a payload's header."""
        return cls(
            node_id=data["node_id"],
            function_key=data["function_key"],
            python_version=data["python_version"],
            cloudpickle_version=data["cloudpickle_version"],
            args=[Input(**each) for each in data["args"]],
            kwargs={name: Input(**each) for name, each in data["kwargs"].items()},
            call_before=[Hook(**each) for each in data["call_before"]],
            call_after=[Hook(**each) for each in data["call_after"]],
        )


@dataclass(frozen=True)
class Payload:
    """The header of a job's payload: its tasks in the order in which they run."""

    dispatch_id: str
    tasks: list[Task]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for an envelope's header."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Payload:
        """Rebuild a payload from an envelope's header.

        Raises EnvelopeError where a field is missing.
        """
        try:
            return cls(data["dispatch_id"], [Task.from_json(each) for each in data["tasks"]])
        except (KeyError, TypeError) as error:
            raise EnvelopeError(f"the payload lacks a field: {error}") from error


# --- outcome: what became of a task -----------------------------------------------------------------

SECTION_VALUE = "value"
SECTION_OBJECT_STRING = "object_string"
SECTION_STDOUT = "stdout"
SECTION_STDERR = "stderr"


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
class Outcome:
    """The header of an outcome. Times are seconds since the epoch.

    The envelope's sections are the pickled value, `str(value)` as UTF-8, stdout and stderr as UTF-8,
    by the names `SECTION_*`; a section that has nothing to hold is empty.
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

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for an envelope's header."""
        return {**asdict(self), "status": self.status.value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        """Rebuild an outcome from an envelope's header.

        Raises EnvelopeError where a field is missing or unknown.
        """
        try:
            failure, container = data["failure"], data["container"]
            return cls(
                **{
                    **data,
                    "status": OutcomeStatus(data["status"]),
                    "failure": None if failure is None else Failure(**failure),
                    "container": None if container is None else Container(**container),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise EnvelopeError(f"the outcome lacks a field: {error}") from error
