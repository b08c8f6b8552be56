"""What the dispatcher and the container agree on: names, keys, exit codes and envelopes.

Both sides import this module and nothing else of each other, so it needs only the standard library
and does no I/O beyond the file objects it is handed.

A job is described by one *payload* in S3, which names one or more *tasks* (several where Covalent
packs a task group into one job). Each task leaves one *outcome* for each attempt. Both are
*envelopes*: a small JSON header followed by raw sections, so that a header can be read, and a section
streamed, without ever opening a pickle.

    MAGIC (8 bytes) | header length (8 bytes, big endian) | header (JSON) | section | section | …

An outcome ends with a *seal*: the SHA-256 of all before it, which tells what was cut short or altered, and
that checksum keyed with the dispatch's own key, which tells who wrote it. A section that is too large for
one request is *detached*: an object of its own, stored before the outcome, whose header has its checksums.

The payloads of the jobs that are submitted together, as one array, lie in one *pack*; a job that is
submitted alone has a pack of one. The table at its start lets a job find its payload by its array index
without reading the others. Entries have one length, so that two of them tell where a payload lies.

    PACK_MAGIC (8) | number of payloads (8) | entry | entry | … | payload | payload | …
    entry: group id (8) | offset of its payload (8); one more entry than payloads tells where the last ends
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from hmac import compare_digest
from typing import Any, BinaryIO, NamedTuple

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
EXIT_DUPLICATE = 103
"""Another job does the same tasks; this one ran none and left nothing."""
EXIT_CONFLICT = 104
"""The attempt has an outcome already, which stays."""
EXIT_DUPLICATE = 103
"""Another job has claimed the same attempt of the task: AWS Batch has taken one submission twice."""
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


def input_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which a task's large arguments stand."""
    return f"{dispatch_prefix(dispatch_id)}inputs/{_sortable(node_id)}/"


def input_key(dispatch_id: str, node_id: int, name: str) -> str:
    """Return the key of a large argument, which does not travel in its payload."""
    return f"{input_prefix(dispatch_id, node_id)}{name}"


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


def group_of_pack(key: str) -> int:
    """Return the task group that a pack is named by: its first one.

    Raises ValueError for any other key.
    """
    return int(key.rpartition("/")[2].partition("r")[0])


def outcomes_prefix(dispatch_id: str) -> str:
    """Return the prefix under which the outcomes of all tasks of a dispatch stand, in the nodes' order."""
    return f"{dispatch_prefix(dispatch_id)}outcomes/"


def outcome_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which a task's outcomes stand, one for each attempt."""
    return f"{outcomes_prefix(dispatch_id)}{_sortable(node_id)}/"


def outcome_key(dispatch_id: str, node_id: int, attempt: int) -> str:
    """Return the key of a task's outcome; attempts count as in `attempt_of`, and sort as text."""
    return f"{outcome_prefix(dispatch_id, node_id)}{attempt:03d}"


def detached_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which the detached sections of a task's outcomes stand."""
    return f"{dispatch_prefix(dispatch_id)}values/{_sortable(node_id)}/"


def detached_key(dispatch_id: str, node_id: int, attempt: int, section: str, token: str) -> str:
    """Return the key of a detached section; with a `token` of its own, two writers never meet."""
    return f"{detached_prefix(dispatch_id, node_id)}{attempt:03d}-{section}-{token}"


def claim_prefix(dispatch_id: str, node_id: int) -> str:
    """Return the prefix under which the claims of the jobs stand whose first task this is."""
    return f"{dispatch_prefix(dispatch_id)}claims/{_sortable(node_id)}/"


def claim_key(dispatch_id: str, node_id: int, rung: int) -> str:
    """Return the key with the id of the one job that may do a submission's tasks, of which this is the first.

    All attempts of a job share it: of two jobs that AWS Batch made of one submission, either may be the one
    that starts first, or that is started again.
    """
    return f"{claim_prefix(dispatch_id, node_id)}{rung:03d}"


MAX_ATTEMPTS = 10
"""AWS Batch's limit for one job."""


def rung_of(environment: Mapping[str, str]) -> int:
    """Return how often a job's tasks were submitted before it."""
    return int(environment.get(ENV_RUNG, "0"))


def attempt_of(environment: Mapping[str, str]) -> int:
    """Return which attempt of its task a job is: from 1; from 11 where it was submitted anew, and so on."""
    return MAX_ATTEMPTS * rung_of(environment) + int(environment.get(ENV_ATTEMPT, "1"))


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


class JobName(NamedTuple):
    """What the name of a job, or array, tells: its dispatch, its first task group, and the rung."""

    dispatch_id: str
    group_id: int
    rung: int


def run_of(job_name: str) -> JobName:
    """Return what a job's, or array's, name tells.

    Raises ValueError for any other name.
    """
    dispatch_id, _, last = job_name.removeprefix(JOB_NAME_PREFIX).rpartition("-")
    group_id, again, rung = last.partition("r")
    if again and not rung.isdecimal():
        raise ValueError(f"{job_name!r} is no name of a job of ours")
    if not (job_name.startswith(JOB_NAME_PREFIX) and dispatch_id and group_id.isdecimal()):
        raise ValueError(f"{job_name!r} is no name of a job of ours")
    return JobName(dispatch_id, int(group_id), int(rung or 0))


# --- envelopes --------------------------------------------------------------------------------------

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

    A pickle in a section of the payload; a pickle that is an object of its own in the payload's bucket, of
    `length` bytes; or the value of an earlier task of the same job.
    """

    section: str | None = None
    key: str | None = None
    node_id: int | None = None
    length: int | None = None


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

    `function_key` is the S3 key of the raw pickle, in the payload's bucket, and ends with its SHA-256;
    `python_version` and `cloudpickle_version` are those that wrote it.
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
    """The header of a job's payload: its tasks in the order in which they run, and how outcomes are written.

    They are sealed with `origin_key`, and encrypted with `kms_key_id`; empty: as the bucket itself does.
    """

    dispatch_id: str
    tasks: list[Task]
    origin_key: bytes = field(repr=False)
    kms_key_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value for an envelope's header."""
        return {
            "dispatch_id": self.dispatch_id,
            "tasks": [each.to_json() for each in self.tasks],
            "origin_key": self.origin_key.hex(),
            "kms_key_id": self.kms_key_id,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Payload:
        """Rebuild a payload from an envelope's header.

        Raises EnvelopeError where a field is missing.
        """
        try:
            return cls(
                data["dispatch_id"],
                [Task.from_json(each) for each in data["tasks"]],
                bytes.fromhex(data["origin_key"]),
                data["kms_key_id"],
            )
        except (KeyError, TypeError, ValueError) as error:
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
