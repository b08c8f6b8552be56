"""The verdict on each task: its value, or one text that says what happened, to which job, and why.

An outcome in S3 is what the container saw, a job's detail what AWS saw. A value counts, whatever AWS says
of the job; otherwise the last attempt counts. Pickles are passed on unopened.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

from . import contract, logs
from .contract import OutcomeStatus
from .diagnosis import diagnose, ran_out_of_memory
from .errors import AWSBatchError, BucketError
from .glue import CONTAINER_KEY, Composed
from .job import Job
from .refusals import store_message
from .session import Session
from .settings import Settings
from .transportable import Transportable

IN_MEMORY_BYTES = 4 << 20
"""Outcomes up to this size are read in one piece; of larger ones the value stays in S3 until it is used."""

CHUNK_BYTES = 8 << 20
"""Of a large value, read at a time."""

OUTCOME_SECTIONS = {
    contract.SECTION_VALUE,
    contract.SECTION_OBJECT_STRING,
    contract.SECTION_STDOUT,
    contract.SECTION_STDERR,
}


class VerdictStatus(Enum):
    """How a task ended, in Covalent's terms."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Pickle:
    """A raw pickle, read from where it is whenever it is asked for; reading may block."""

    length: int
    data: bytes = b""
    download: Callable[[], Iterator[bytes | memoryview]] | None = None
    """Where it is too large to be held: yields it from S3."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the pickle piece by piece."""
        return iter([self.data]) if self.download is None else self.download()


@dataclass(frozen=True, slots=True)
class Value:
    """A task's value: its pickle, and what Covalent's TransportableObject tells of it beside."""

    python_version: str
    cloudpickle_version: str
    container: contract.Container | None
    object_string: bytes
    pickle: Pickle

    @property
    def header(self) -> dict[str, Any]:
        """Return a TransportableObject's header; what the value offers to item access travels in it."""
        return {
            "py_version": self.python_version,
            "cloudpickle_version": self.cloudpickle_version,
            "attrs": {"doc": "", "name": ""},
            **({} if self.container is None else {CONTAINER_KEY: asdict(self.container)}),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one task; `outcome` and `job` are what the container and AWS Batch said, if they did."""

    node_id: int
    status: VerdictStatus
    value: Value | None = None
    error: str = ""
    stdout: str = ""
    stderr: str = ""
    exception: Pickle | None = None
    """The user's exception, where it could be pickled."""
    outcome: contract.Outcome | None = None
    job: Job | None = None


def failed(
    node_id: int, error: str, *, stdout: str = "", stderr: str = "", job: Job | None = None
) -> Verdict:
    """Return the verdict on a task that failed."""
    return Verdict(node_id, VerdictStatus.FAILED, None, sanitised(error), stdout, stderr, job=job)


def cancelled(node_id: int, *, stdout: str = "", stderr: str = "", job: Job | None = None) -> Verdict:
    """Return the verdict on a task that was cancelled."""
    return Verdict(node_id, VerdictStatus.CANCELLED, None, "", stdout, stderr, job=job)


def composed(node_id: int, glue: Composed, function: Transportable) -> Verdict:
    """Return the verdict on a glue node that was answered without a job."""
    value = Value(
        function.python_version,
        function.cloudpickle_version,
        glue.container,
        glue.object_string.encode(errors="replace"),
        Pickle(len(glue.pickle_bytes), glue.pickle_bytes),
    )
    return Verdict(node_id, VerdictStatus.COMPLETED, value)


def sanitised(text: str) -> str:
    """Return a text that can be written as UTF-8: a lone surrogate would leave a node RUNNING for ever."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


# --- what the container saw -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """An outcome as it was fetched: its header, its texts, and a way to its value."""

    outcome: contract.Outcome
    texts: dict[str, bytes]
    value: Pickle

    def belongs_to(self, dispatch_id: str, node_id: int) -> bool:
        """Tell whether the outcome is that of a task, as it says itself."""
        return (self.outcome.dispatch_id, self.outcome.node_id) == (dispatch_id, node_id)

    @property
    def has_value(self) -> bool:
        """Whether the task returned a value."""
        return self.outcome.status is OutcomeStatus.VALUE

    def text(self, name: str) -> str:
        """Return a section as text."""
        return sanitised(self.texts[name].decode("utf-8", errors="replace"))

    def streams(self) -> dict[str, str]:
        """Return what the task printed, by the names that a verdict has for it."""
        return {
            "stdout": self.text(contract.SECTION_STDOUT),
            "stderr": self.text(contract.SECTION_STDERR),
        }

    def verdict(self) -> Verdict:
        """Return the verdict on a task that returned a value."""
        outcome = self.outcome
        value = Value(
            outcome.python_version,
            outcome.cloudpickle_version,
            outcome.container,
            self.text(contract.SECTION_OBJECT_STRING).encode(),
            self.value,
        )
        return Verdict(
            self.outcome.node_id,
            VerdictStatus.COMPLETED,
            value,
            stdout=self.text(contract.SECTION_STDOUT),
            stderr=self.text(contract.SECTION_STDERR),
            outcome=self.outcome,
        )


Found = Stored | AWSBatchError | contract.EnvelopeError | None
"""An outcome; or why it cannot be read; or None where there is none."""


async def find(
    session: Session, settings: Settings, dispatch_id: str, node_id: int, attempts: Collection[int]
) -> Found:
    """Return the outcome of an attempt that gave a value, or else of the last of these attempts.

    The last attempt is looked at first: nearly always there is no other.
    """
    bucket = settings.s3_bucket_name
    last: Found = None
    for attempt in sorted(attempts, reverse=True):
        key = contract.outcome_key(dispatch_id, node_id, attempt)
        try:
            found = await _get(await session.store(bucket), key)
            if found is not None and not found.belongs_to(dispatch_id, node_id):
                raise contract.EnvelopeError("it belongs to another task")
        except (BucketError, contract.EnvelopeError) as error:
            last = last or error
            continue
        if found is not None and found.has_value:
            return found
        last = last or found
    return last


async def attempts_of(session: Session, bucket: str, dispatch_id: str, node_id: int) -> list[int]:
    """Return which attempts of a task have left an outcome.

    Raises BucketError where the bucket cannot be listed.
    """
    import obstore
    from obstore.exceptions import BaseError

    store = await session.store(bucket)
    prefix = contract.outcome_prefix(dispatch_id, node_id)
    try:
        keys = [meta["path"] async for batch in obstore.list(store, prefix) for meta in batch]
    except (BaseError, FileNotFoundError) as error:
        said = store_message(error)
        raise BucketError(f"The task's outcome cannot be looked for in {bucket!r}: {said}") from error
    return [contract.outcome_of(key)[1] for key in keys]


async def _get(store: Any, key: str) -> Stored | None:
    """Return an outcome; of a large one only what comes before and after its value is read."""
    import obstore
    from obstore.exceptions import BaseError, NotFoundError

    try:
        answer = await obstore.get_async(store, key)
        size_bytes = answer.meta["size"]
        if size_bytes <= IN_MEMORY_BYTES:
            start = bytes(await answer.bytes_async())
        else:
            start = bytes(await anext(aiter(answer.stream(min_chunk_size=IN_MEMORY_BYTES))))
        header, sections = contract.read_header(io.BytesIO(start))
        _check(sections, size_bytes)
        value = sections.pop(contract.SECTION_VALUE)
        value_end = value.offset + value.length
        rest = b""
        if len(start) < size_bytes and value_end < size_bytes:
            rest = bytes(await obstore.get_range_async(store, key, start=value_end, end=size_bytes))
    except (NotFoundError, FileNotFoundError):
        return None
    except BaseError as error:
        said = store_message(error)
        raise BucketError(f"The task's outcome {key!r} cannot be read from S3: {said}") from error

    def text(section: contract.Section) -> bytes:
        data, at = (rest, section.offset - value_end) if rest else (start, section.offset)
        return data[at : at + section.length]

    texts = {name: text(section) for name, section in sections.items()}
    if value_end <= len(start):
        pickled = Pickle(value.length, start[value.offset : value_end])
    else:
        pickled = Pickle(value.length, download=partial(_download, store, key, value.offset, value_end))
    return Stored(contract.Outcome.from_json(header), texts, pickled)


def _check(sections: dict[str, contract.Section], size_bytes: int) -> None:
    if missing := OUTCOME_SECTIONS - set(sections):
        raise contract.EnvelopeError(f"it lacks {', '.join(sorted(missing))}")
    if next(iter(sections)) != contract.SECTION_VALUE:
        raise contract.EnvelopeError("its sections are not in their order")
    if size_bytes < max(section.offset + section.length for section in sections.values()):
        raise contract.EnvelopeError("it is cut short")


def _download(store: Any, key: str, start: int, end: int) -> Iterator[memoryview]:
    """Yield a part of an object, from a thread: waiting for it blocks."""
    import obstore
    from obstore.exceptions import BaseError

    try:
        answer = obstore.get(store, key, options={"range": (start, end)})
        missing = end - start
        for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
            missing -= len(chunk)
            yield memoryview(chunk)
        if missing:
            raise contract.EnvelopeError(f"the value {key!r} is cut short")
    except (BaseError, FileNotFoundError) as error:
        raise BucketError(f"The value {key!r} cannot be read from S3: {error}") from error


# --- the verdict ------------------------------------------------------------------------------------------


async def settle(
    session: Session,
    settings: Settings,
    *,
    node_id: int,
    found: Found,
    job: Job | None,
    job_id: str,
    was_cancelled: bool,
) -> Verdict:
    """Return the verdict on one task; `job` is None where AWS forgot it, or where a value says enough."""
    if isinstance(found, Stored) and found.has_value:
        return found.verdict()
    lines = _job_lines(job, job_id, settings)
    if isinstance(found, contract.EnvelopeError):
        return failed(node_id, f"The task's outcome is damaged: {found}.\n\n{lines}", job=job)
    if isinstance(found, AWSBatchError):
        return failed(node_id, f"{found}\n\n{lines}", job=job)
    if was_cancelled:
        return cancelled(node_id, **(found.streams() if found is not None else {}), job=job)
    if found is not None:
        return _failed_inside(found, job, job_id, settings)
    return await _failed_outside(session, settings, node_id, job, job_id)


def _failed_inside(stored: Stored, job: Job | None, job_id: str, settings: Settings) -> Verdict:
    """Tell of a task whose container could say itself why there is no value."""
    outcome = stored.outcome
    failure = outcome.failure or contract.Failure("", "no reason was given")
    # The runtime's own sentences are for people; a type stands before what user code raised.
    has_type = failure.type and outcome.status is not OutcomeStatus.FAULT
    headline = f"{failure.type}: {failure.message}" if has_type else failure.message
    if job is not None and outcome.status is OutcomeStatus.TERMINATED:
        headline = _headline(job)
    elif job is not None and ran_out_of_memory(job):
        # The runtime only sees a process die, or what the user's code makes of that.
        headline = f"{_headline(job)}\n\n{headline}"
    parts = [headline, failure.traceback.rstrip(), _job_lines(job, job_id, settings, outcome)]
    verdict = failed(
        outcome.node_id, "\n\n".join(part for part in parts if part), **stored.streams(), job=job
    )
    return replace(verdict, outcome=outcome, exception=stored.value if stored.value.length else None)


async def _failed_outside(
    session: Session, settings: Settings, node_id: int, job: Job | None, job_id: str
) -> Verdict:
    """Tell of a task whose container could say nothing, from what AWS knows."""
    if job is None:
        return failed(
            node_id,
            f"AWS Batch does not know the job {job_id or 'of this task'} any more, and it left no outcome "
            f"in {settings.s3_bucket_name!r}: dispatch the task again.",
        )
    lines = await logs.tail(session, settings.batch_job_log_group_name, job.log_stream)
    log_text = "The last log lines:\n" + "\n".join(lines) if lines else "There are no log lines."
    text = sanitised("\n\n".join([_headline(job, lines), _job_lines(job, job_id, settings), log_text]))
    return failed(node_id, text, stderr=text + "\n", job=job)


def _headline(job: Job, log_lines: Sequence[str] = ()) -> str:
    """Say in one line why AWS ended the job, with AWS's own words, and what to do."""
    diagnosis = diagnose(job, log_lines)
    reasons = ": ".join(reason for reason in (job.status_reason, job.container_reason) if reason)
    exit_text = "no exit code" if job.exit_code is None else f"exit code {job.exit_code}"
    return (
        f"The job {diagnosis.cause}: {reasons or 'AWS gave no reason'} ({exit_text}). "
        f"Next step: {diagnosis.advice}."
    )


def _job_lines(
    job: Job | None, job_id: str, settings: Settings, outcome: contract.Outcome | None = None
) -> str:
    """Name the job, so that it can be found in the console and the logs."""
    if job is None:
        return f"AWS Batch job {job_id}."
    attempt = outcome.attempt if outcome is not None else max(1, len(job.attempts))
    code = "none" if job.exit_code is None else str(job.exit_code)
    lines = [
        f"AWS Batch job {job.id} ({job.name}): {job.status.value}",
        f"status reason: {job.status_reason or 'none'}",
        f"exit code: {code}",
        f"attempt: {attempt} of {job.allowed_attempts}",
    ]
    if job.container_reason:
        lines.insert(2, f"container reason: {job.container_reason}")
    if job.log_stream:
        lines.append(f"log: {settings.batch_job_log_group_name or logs.DEFAULT_GROUP} {job.log_stream}")
    return "\n  ".join(lines)
