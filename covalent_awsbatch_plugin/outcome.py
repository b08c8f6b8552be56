"""The verdict on each task: its value, or one text that says what happened, to which job, and why.

An outcome in S3 is what the container saw, a job's detail what AWS saw. A value counts, whatever AWS says
of the job; otherwise the last attempt counts. Pickles are passed on unopened.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from . import contract, logs
from .contract import OutcomeStatus
from .diagnosis import diagnose, ran_out_of_memory
from .errors import BucketError
from .glue import CONTAINER_KEY, Composed
from .job import Job
from .session import Session, in_thread
from .settings import Settings
from .transportable import CHUNK_BYTES, Transportable

IN_MEMORY_BYTES = 4 << 20
"""Outcomes up to this size are read in one piece; larger ones go through a file."""

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


@dataclass(frozen=True)
class Value:
    """A task's value: the header and string of Covalent's TransportableObject, and the raw pickle."""

    header: dict[str, Any]
    object_string: bytes
    chunks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Verdict:
    """What became of one task."""

    node_id: int
    status: VerdictStatus
    value: Value | None = None
    error: str = ""
    stdout: str = ""
    stderr: str = ""


def failed(node_id: int, error: str, *, stdout: str = "", stderr: str = "") -> Verdict:
    """Return the verdict on a task that failed."""
    return Verdict(node_id, VerdictStatus.FAILED, None, sanitised(error), stdout, stderr)


def cancelled(node_id: int, *, stdout: str = "", stderr: str = "") -> Verdict:
    """Return the verdict on a task that was cancelled."""
    return Verdict(node_id, VerdictStatus.CANCELLED, None, "", stdout, stderr)


def composed(node_id: int, glue: Composed, function: Transportable) -> Verdict:
    """Return the verdict on a glue node that was answered without a job."""
    header = _value_header(function.python_version, function.cloudpickle_version, glue.container)
    value = Value(header, glue.object_string.encode(errors="replace"), lambda: iter([glue.pickle_bytes]))
    return Verdict(node_id, VerdictStatus.COMPLETED, value)


def sanitised(text: str) -> str:
    """Return a text that can be written as UTF-8: a lone surrogate would leave a node RUNNING for ever."""
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


async def settle(
    session: Session,
    settings: Settings,
    *,
    dispatch_id: str,
    node_id: int,
    job: Job | None,
    job_id: str,
    was_cancelled: bool,
    spool_dir: Path,
) -> Verdict:
    """Return the verdict on one task of a job that has ended; `job` is None where AWS forgot it."""
    store = await session.store(settings.s3_bucket_name)
    try:
        stored = await _fetch(store, dispatch_id, node_id, job, spool_dir)
        if stored is not None and not stored.belongs_to(dispatch_id, node_id):
            raise contract.EnvelopeError("it belongs to another task")
    except BucketError as error:
        return failed(node_id, f"{error}\n\n{_job_lines(job, job_id, settings)}")
    except contract.EnvelopeError as error:
        return failed(
            node_id, f"The task's outcome is damaged: {error}.\n\n{_job_lines(job, job_id, settings)}"
        )
    if stored is not None and stored.outcome.status is OutcomeStatus.VALUE:
        return stored.verdict()
    if was_cancelled:
        return cancelled(node_id, **(stored.streams() if stored is not None else {}))
    if stored is not None:
        return _failed_inside(stored, job, job_id, settings)
    return await _failed_outside(session, settings, node_id, job, job_id)


@dataclass(frozen=True)
class Stored:
    """An outcome as it was fetched: its header, and its sections in an open file."""

    outcome: contract.Outcome
    sections: dict[str, contract.Section]
    file: BinaryIO

    def belongs_to(self, dispatch_id: str, node_id: int) -> bool:
        """Tell whether the outcome is that of a task, as it says itself."""
        return (self.outcome.dispatch_id, self.outcome.node_id) == (dispatch_id, node_id)

    def text(self, name: str) -> str:
        """Return a section as text."""
        section = self.sections[name]
        self.file.seek(section.offset)
        return sanitised(self.file.read(section.length).decode("utf-8", errors="replace"))

    def streams(self) -> dict[str, str]:
        """Return what the task printed, by the names that a verdict has for it."""
        return {
            "stdout": self.text(contract.SECTION_STDOUT),
            "stderr": self.text(contract.SECTION_STDERR),
        }

    def verdict(self) -> Verdict:
        """Return the verdict on a task that returned a value."""
        header = _value_header(
            self.outcome.python_version, self.outcome.cloudpickle_version, self.outcome.container
        )
        value = Value(header, self.text(contract.SECTION_OBJECT_STRING).encode(), self._value_chunks)
        return Verdict(self.outcome.node_id, VerdictStatus.COMPLETED, value, **self.streams())

    def _value_chunks(self) -> Iterator[bytes]:
        section = self.sections[contract.SECTION_VALUE]
        self.file.seek(section.offset)
        remaining = section.length
        while remaining > 0:
            chunk = self.file.read(min(remaining, CHUNK_BYTES))
            if not chunk:
                raise contract.EnvelopeError("the value is cut short")
            remaining -= len(chunk)
            yield chunk


def _value_header(
    python_version: str, cloudpickle_version: str, container: contract.Container | None
) -> dict[str, Any]:
    """Return a TransportableObject's header; what the value offers to item access travels in it."""
    return {
        "py_version": python_version,
        "cloudpickle_version": cloudpickle_version,
        "attrs": {"doc": "", "name": ""},
        **({} if container is None else {CONTAINER_KEY: asdict(container)}),
    }


async def _fetch(
    store: Any, dispatch_id: str, node_id: int, job: Job | None, spool_dir: Path
) -> Stored | None:
    """Return the outcome of an attempt that gave a value, or else of the last attempt.

    The last attempt is looked at first: nearly always there is no other.
    """
    if job is None:  # how many attempts there were is not known any more
        stored = [await _get(store, key, spool_dir) for key in await _keys(store, dispatch_id, node_id)]
        return _with_value(stored) or next(reversed(stored), None)
    last_attempt = max(1, len(job.attempts))
    last = await _get(store, contract.outcome_key(dispatch_id, node_id, last_attempt), spool_dir)
    if last_attempt == 1 or _with_value([last]) is not None:
        return last
    earlier_keys = [contract.outcome_key(dispatch_id, node_id, each) for each in range(1, last_attempt)]
    earlier = [await _get(store, key, spool_dir) for key in earlier_keys]
    return _with_value(earlier) or last


def _with_value(stored: list[Stored | None]) -> Stored | None:
    return next((each for each in stored if each and each.outcome.status is OutcomeStatus.VALUE), None)


async def _keys(store: Any, dispatch_id: str, node_id: int) -> list[str]:
    import obstore
    from obstore.exceptions import BaseError

    prefix = contract.outcome_prefix(dispatch_id, node_id)
    try:
        return sorted([meta["path"] async for batch in obstore.list(store, prefix) for meta in batch])
    except BaseError as error:
        raise BucketError(f"The task's outcome cannot be looked for in S3: {error}") from error


async def _get(store: Any, key: str, spool_dir: Path) -> Stored | None:
    import obstore
    from obstore.exceptions import BaseError, NotFoundError

    try:
        answer = await obstore.get_async(store, key)
        if answer.meta["size"] <= IN_MEMORY_BYTES:
            file: BinaryIO = io.BytesIO(bytes(await answer.bytes_async()))
        else:
            file = (spool_dir / key.replace("/", "_")).open("w+b")
            async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                await in_thread(partial(file.write, chunk))
    except (NotFoundError, FileNotFoundError):
        return None
    except BaseError as error:
        raise BucketError(f"The task's outcome {key!r} cannot be read from S3: {error}") from error
    header, sections = contract.read_header(file)
    if missing := OUTCOME_SECTIONS - set(sections):
        raise contract.EnvelopeError(f"it lacks {', '.join(sorted(missing))}")
    end = max(section.offset + section.length for section in sections.values())
    if file.seek(0, io.SEEK_END) < end:
        raise contract.EnvelopeError("it is cut short")
    return Stored(contract.Outcome.from_json(header), sections, file)


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
    return failed(outcome.node_id, "\n\n".join(part for part in parts if part), **stored.streams())


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
    return failed(node_id, text, stderr=text + "\n")


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
