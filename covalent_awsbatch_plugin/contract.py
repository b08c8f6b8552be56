"""What the dispatcher and the container agree on: names, keys, exit codes and envelopes.

Both sides import this module and nothing else of each other, so it needs only the standard library
and does no I/O beyond the file objects it is handed.

A job is described by one *payload* in S3, which names one or more *tasks* (several where Covalent
packs a task group into one job). Each task leaves one *outcome* for each attempt. Both are
*envelopes*: a small JSON header followed by raw sections, so that a header can be read, and a section
streamed, without ever opening a pickle.

    MAGIC (8 bytes) | header length (8 bytes, big endian) | header (JSON) | section | section | …

The payloads of the jobs that are submitted together, as one array, lie in one *pack*; a job that is
submitted alone has a pack of one. The table at its start lets a job find its payload by its array index
without reading the others. Entries have one length, so that two of them tell where a payload lies.

    PACK_MAGIC (8) | number of payloads (8) | entry | entry | … | payload | payload | …
    entry: group id (8) | offset of its payload (8); one more entry than payloads tells where the last ends
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, BinaryIO

# --- environment and command ------------------------------------------------------------------------

ENV_PAYLOAD = "COVALENT_AWSBATCH_PAYLOAD"
"""Environment variable with the `s3://bucket/key` of the pack that the job's payload lies in."""

ENV_ARRAY_INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"
"""AWS Batch gives it to the children of an array: which payload is theirs. Others take the first."""

ENV_ATTEMPT = "AWS_BATCH_JOB_ATTEMPT"
"""AWS Batch gives it to every job, counted from 1 for each job anew."""

ENV_RUNG = "COVALENT_AWSBATCH_RUNG"
"""How often the tasks were submitted before this job, with less memory, say; missing: never."""

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


def input_key(dispatch_id: str, node_id: int, name: str) -> str:
    """Return the key of a large argument, which does not travel in its payload."""
    return f"{dispatch_prefix(dispatch_id)}inputs/{_sortable(node_id)}/{name}"


def pack_prefix(dispatch_id: str) -> str:
    """Return the prefix under which a dispatch's packs stand."""
    return f"{dispatch_prefix(dispatch_id)}packs/"


def pack_key(dispatch_id: str, group_id: int, rung: int = 0) -> str:
    """Return the key of the pack whose first payload is this task group's, submitted for this time."""
    return f"{pack_prefix(dispatch_id)}{_sortable(group_id)}{f'r{rung}' if rung else ''}"


def rung_of_pack(key: str) -> int:
    """Return how often a pack's groups were submitted before it."""
    _, _, rung = key.rpartition("/")[2].partition("r")
    return int(rung) if rung.isdecimal() else 0


def outcomes_prefix(dispatch_id: str) -> str:
    """Return the prefix under which the outcomes of all tasks of a dispatch stand, in the nodes' order."""
    return f"{dispatch_prefix(dispatch_id)}outcomes/"


def outcome_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which a task's outcomes stand, one for each attempt."""
    return f"{outcomes_prefix(dispatch_id)}{_sortable(node_id)}/"


def outcome_key(dispatch_id: str, node_id: int, attempt: int) -> str:
    """Return the key of a task's outcome; attempts count as in `attempt_of`, and sort as text."""
    return f"{outcome_prefix(dispatch_id, node_id)}{attempt:03d}"


MAX_ATTEMPTS = 10
"""AWS Batch's limit for one job."""


def attempt_of(environment: Mapping[str, str]) -> int:
    """Return which attempt of its task a job is: from 1; from 11 where it was submitted anew, and so on."""
    return MAX_ATTEMPTS * int(environment.get(ENV_RUNG, "0")) + int(environment.get(ENV_ATTEMPT, "1"))


def outcome_of(key: str) -> tuple[int, int]:
    """Return node and attempt of an outcome's key.

    Raises ValueError for any other key.
    """
    node_id, attempt = key.split("/")[-2:]
    return int(node_id), int(attempt)


def _sortable(number: int) -> str:
    return f"{number:08d}"  # S3 lists keys as text; so a listing can begin behind what is known


JOB_NAME_PREFIX = "covalent-"


def job_name(dispatch_id: str, group_id: int, rung: int = 0) -> str:
    """Return the name of the job, or array, whose first payload is this task group's.

    Batch allows 128 characters of [A-Za-z0-9_-].
    """
    return f"{JOB_NAME_PREFIX}{dispatch_id}-{group_id}{f'r{rung}' if rung else ''}"


def run_of(job_name: str) -> tuple[str, int]:
    """Return the dispatch and the first task group of a job's, or array's, name.

    Raises ValueError for any other name.
    """
    dispatch_id, _, last = job_name.removeprefix(JOB_NAME_PREFIX).rpartition("-")
    group_id, again, rung = last.partition("r")
    if again and not rung.isdecimal():
        raise ValueError(f"{job_name!r} is no name of a job of ours")
    if not (job_name.startswith(JOB_NAME_PREFIX) and dispatch_id and group_id.isdecimal()):
        raise ValueError(f"{job_name!r} is no name of a job of ours")
    return dispatch_id, int(group_id)


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


# --- payload: what a job is to do -------------------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """One argument, from one of three sources.

    A pickle in a section of the payload; a pickle that is an object of its own in the payload's bucket; or
    the value of an earlier task of the same job.
    """

    section: str | None = None
    key: str | None = None
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

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for a payload's header; by hand, for `asdict` takes longer than all else."""
        return {
            **vars(self),
            "args": [vars(each) for each in self.args],
            "kwargs": {name: vars(each) for name, each in self.kwargs.items()},
            "call_before": [vars(each) for each in self.call_before],
            "call_after": [vars(each) for each in self.call_after],
        }


@dataclass(frozen=True)
class Payload:
    """The header of a job's payload: its tasks in the order in which they run."""

    dispatch_id: str
    tasks: list[Task]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for an envelope's header."""
        return {"dispatch_id": self.dispatch_id, "tasks": [each.to_json() for each in self.tasks]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Payload:
        """Rebuild a payload from an envelope's header.

        Raises EnvelopeError where a field is missing.
        """
        try:
            return cls(data["dispatch_id"], [Task.from_json(each) for each in data["tasks"]])
        except (KeyError, TypeError) as error:
            raise EnvelopeError(f"the payload lacks a field: {error}") from error


class Chunk(list[dict[str, Any]]):
    """What a task returns that runs several items: for each a dict.

    It has the item's pickled `value`; or the `type`, `message` and `traceback` of its exception and, where
    that could be pickled, the `exception`, else nothing in its place.
    """


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """The header of an outcome. Times are seconds since the epoch.

    The envelope's sections are the pickled value, `str(value)` as UTF-8, stdout and stderr as UTF-8,
    by the names `SECTION_*`; a section that has nothing to hold is empty. Where the status is EXCEPTION,
    the value is the pickled exception without its traceback, or empty where it cannot be pickled.
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
