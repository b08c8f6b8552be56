"""The verdict on each task: its value, or one text that says what happened, to which job, and why.

An outcome in S3 is what the container saw, a job's detail what AWS saw. A value counts, whatever AWS says
of the job; otherwise the last attempt counts. Pickles are passed on unopened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from . import contract, logs
from .contract import OutcomeStatus
from .diagnosis import diagnose, ran_out_of_memory
from .errors import AWSBatchError
from .glue import CONTAINER_KEY, Composed
from .job import Job
from .outcome import Found, Pickle, Stored
from .plain_text import encodable
from .session import Session
from .settings import Settings
from .transportable import Transportable


class VerdictStatus(Enum):
    """How a task ended, in Covalent's terms."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


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


def completed(stored: Stored) -> Verdict:
    """Return the verdict on a task that returned a value."""
    outcome = stored.outcome
    value = Value(
        outcome.python_version,
        outcome.cloudpickle_version,
        outcome.container,
        stored.text(contract.SECTION_OBJECT_STRING).encode(),
        stored.value,
    )
    return Verdict(
        outcome.node_id,
        VerdictStatus.COMPLETED,
        value,
        stdout=stored.text(contract.SECTION_STDOUT),
        stderr=stored.text(contract.SECTION_STDERR),
        outcome=outcome,
    )


def failed(
    node_id: int, error: str, *, stdout: str = "", stderr: str = "", job: Job | None = None
) -> Verdict:
    """Return the verdict on a task that failed."""
    return Verdict(node_id, VerdictStatus.FAILED, None, encodable(error), stdout, stderr, job=job)


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
        return completed(found)
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
    text = encodable("\n\n".join([_headline(job, lines), _job_lines(job, job_id, settings), log_text]))
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
