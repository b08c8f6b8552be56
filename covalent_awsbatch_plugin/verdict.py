"""The verdict on each task: its value, or an error that says what happened, to which job, and why.

An outcome in S3 is what the container saw, a job's detail what AWS saw. A value counts, whatever AWS says
of the job; otherwise the last attempt counts. Pickles are passed on unopened.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from . import contract, explanation, logs
from .contract import OutcomeStatus
from .diagnosis import CANCELLED, FORGOTTEN, diagnose, diagnose_outcome, diagnose_unreadable
from .errors import AWSBatchError, JobCancelledError, JobFacts, JobFailedError, OutOfMemoryError
from .explanation import Ending
from .glue import CONTAINER_KEY, Composed
from .job import Job
from .outcome import Found, Pickle, Stored
from .plain_text import harmless
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
    failure: JobFailedError | None = None
    """Why there is no value; where the task has failed its text is `error`."""
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
    node_id: int, text: str, error: Exception, *, job_id: str = "", stdout: str = "", stderr: str = ""
) -> Verdict:
    """Return the verdict on a task that an error has kept from its end; the text says all of it."""
    if isinstance(error, JobFailedError):
        failure = copy.copy(error)  # it may belong to many tasks
    else:
        failure = JobFailedError(harmless(text), JobFacts(job_id=job_id))
        failure.__cause__ = error if isinstance(error, AWSBatchError) else None
    return _failed(node_id, failure, stdout=stdout, stderr=stderr)


def _failed(
    node_id: int,
    failure: JobFailedError,
    *,
    stdout: str = "",
    stderr: str = "",
    job: Job | None = None,
    outcome: contract.Outcome | None = None,
    exception: Pickle | None = None,
) -> Verdict:
    return Verdict(
        node_id,
        VerdictStatus.FAILED,
        None,
        str(failure),
        stdout,
        stderr,
        exception,
        failure,
        outcome,
        job,
    )


def cancelled(
    node_id: int,
    failure: JobFailedError | None = None,
    *,
    stdout: str = "",
    stderr: str = "",
    job: Job | None = None,
) -> Verdict:
    """Return the verdict on a task that was cancelled, without `failure` before it had a job."""
    known = failure or JobCancelledError("The task was cancelled by its user.")
    return Verdict(node_id, VerdictStatus.CANCELLED, None, "", stdout, stderr, failure=known, job=job)


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
    known = Ending(job, job_id, session.region, settings.batch_job_log_group_name)
    if was_cancelled or (job is not None and diagnose(job).error is JobCancelledError):
        return _cancelled(known, found, node_id)
    if isinstance(found, Stored):
        return _failed_inside(known, found)
    if found is not None:
        return _unreadable(known, found, node_id)
    if job is None:
        return _forgotten(known, settings, node_id)
    return await _failed_outside(session, known, job, node_id)


def _cancelled(known: Ending, found: Found, node_id: int) -> Verdict:
    streams = found.streams() if isinstance(found, Stored) else {}
    failure = explanation.failure(known, CANCELLED, f"The job {CANCELLED.cause}.")
    return cancelled(node_id, failure, **streams, job=known.job)


def _failed_inside(known: Ending, stored: Stored) -> Verdict:
    """Tell of a task whose container could say itself why there is no value."""
    outcome, job, streams = stored.outcome, known.job, stored.streams()
    told = outcome.failure or contract.Failure("", "no reason was given")
    # The runtime's own sentences are for people; a type stands before what user code raised.
    has_type = told.type and outcome.status is not OutcomeStatus.FAULT
    headlines = [f"{told.type}: {told.message}" if has_type else told.message]
    diagnosis = diagnose_outcome(outcome, job)
    if job is not None and outcome.status is OutcomeStatus.TERMINATED:
        headlines = [explanation.headline(job, diagnosis)]
    elif job is not None and issubclass(diagnosis.error, OutOfMemoryError):
        headlines.insert(0, explanation.headline(job, diagnosis))
    known = replace(known, outcome=outcome, log_lines=_last_lines(streams))
    return _failed(
        outcome.node_id,
        explanation.failure(known, diagnosis, *headlines, told.traceback.rstrip()),
        **streams,
        job=job,
        outcome=outcome,
        exception=stored.value if stored.value.length else None,
    )


def _last_lines(streams: dict[str, str]) -> list[str]:
    """Return what stands in the log last, as far as the outcome has it: which stream came first is lost."""
    lines = [line for text in streams.values() for line in text.splitlines()]
    return lines[-logs.TAIL_LINES :]


def _unreadable(known: Ending, found: AWSBatchError | contract.EnvelopeError, node_id: int) -> Verdict:
    """Tell of a task whose outcome is there, but does not count or cannot be had."""
    diagnosis = diagnose_unreadable(found)
    text = f"The job {diagnosis.cause}: {str(found).rstrip('.')}. Next step: {diagnosis.advice}."
    failure = explanation.failure(known, diagnosis, text)
    failure.__cause__ = found if isinstance(found, AWSBatchError) else None
    return _failed(node_id, failure, job=known.job)


def _forgotten(known: Ending, settings: Settings, node_id: int) -> Verdict:
    bucket = settings.s3_bucket_name
    text = (
        f"AWS Batch does not know the job {known.job_id or 'of this task'} any more, and it left no "
        f"outcome in {bucket!r}, or that was deleted once it was taken, as keep_artifacts says. "
        f"Next step: {FORGOTTEN.advice}."
    )
    return _failed(node_id, explanation.failure(known, FORGOTTEN, text))


async def _failed_outside(session: Session, known: Ending, job: Job, node_id: int) -> Verdict:
    """Tell of a task whose container could say nothing, from what AWS knows."""
    lines = await logs.tail(session, known.log_group, job.log_stream)
    log_text = "\n".join(["The last log lines:", *lines]) if lines else "There are no log lines."
    diagnosis = diagnose(job, lines)
    failure = explanation.failure(
        replace(known, log_lines=lines), diagnosis, explanation.headline(job, diagnosis), log_text=log_text
    )
    return _failed(node_id, failure, stderr=f"{failure}\n", job=job)
