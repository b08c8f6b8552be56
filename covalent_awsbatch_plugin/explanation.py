"""What a user reads of a task that has no value, and the typed error that has the same for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from . import logs
from .contract import MAX_ATTEMPTS, Outcome
from .diagnosis import Diagnosis
from .errors import (
    ImagePullError,
    JobFacts,
    JobFailedError,
    NeverPlacedError,
    QueueInvalidError,
    RoleOrSecretError,
)
from .job import Attempt, Job, console_url, reasons_of
from .plain_text import harmless

SEE_DOCTOR = "`covalent-awsbatch doctor` looks at the whole set-up."
"""What follows where the account, and not the task, is not as it must be."""

_OF_THE_SET_UP = (ImagePullError, NeverPlacedError, QueueInvalidError, RoleOrSecretError)


@dataclass(frozen=True)
class Ending:
    """All that is known of a job without a value."""

    job: Job | None
    """None where AWS Batch does not know it, or not any more."""
    job_id: str
    region: str
    log_group: str
    outcome: Outcome | None = None
    log_lines: Sequence[str] = ()
    """The last ones, oldest first."""


def failure(ending: Ending, diagnosis: Diagnosis, *paragraphs: str, log_text: str = "") -> JobFailedError:
    """Return the error for a job: what the paragraphs say, then the facts, then the log."""
    pointer = [SEE_DOCTOR] if issubclass(diagnosis.error, _OF_THE_SET_UP) else []
    block = "\n  ".join([*_lines(ending, diagnosis), *pointer])
    text = "\n\n".join(part for part in (*paragraphs, block, log_text) if part)
    return diagnosis.error(harmless(text), _facts(ending, diagnosis))


def headline(job: Job, diagnosis: Diagnosis) -> str:
    """Say in one line why AWS ended a job, with AWS's own words, and what to do."""
    reasons = reasons_of(job)
    said = "" if diagnosis.cause in reasons else f": {reasons or 'AWS gave no reason'}"
    exit_text = "no exit code" if job.exit_code is None else f"exit code {job.exit_code}"
    return f"The job {diagnosis.cause}{said} ({exit_text}). Next step: {diagnosis.advice}."


def _facts(ending: Ending, diagnosis: Diagnosis) -> JobFacts:
    job = ending.job
    lines = [harmless(line) for line in ending.log_lines]
    if job is None:
        return JobFacts(ending.job_id, log_lines=lines, advice=diagnosis.advice)
    return JobFacts(
        job.id,
        job.name,
        _console(ending),
        ending.log_group or logs.DEFAULT_GROUP,
        job.log_stream,
        job.status_reason,
        job.container_reason,
        job.exit_code,
        tuple(job.attempts),
        lines,
        diagnosis.advice,
    )


def _lines(ending: Ending, diagnosis: Diagnosis) -> Iterator[str]:
    """Yield what names the job, so that it can be found in the console and the logs."""
    job = ending.job
    if job is None:
        yield f"AWS Batch job {ending.job_id}" if ending.job_id else "AWS Batch knows no job of this task"
        yield f"error: {diagnosis.error.__name__}"
        return
    yield f"AWS Batch job {job.id} ({job.name}): {job.status.value}"
    yield f"error: {diagnosis.error.__name__}"
    yield f"status reason: {job.status_reason or 'none'}"
    if job.container_reason:
        yield f"container reason: {job.container_reason}"
    yield f"exit code: {'none' if job.exit_code is None else job.exit_code}"
    yield from _attempt_lines(job, ending.outcome)
    if job.log_stream:
        yield f"log: {ending.log_group or logs.DEFAULT_GROUP} {job.log_stream}"
    if console := _console(ending):
        yield f"console: {console}"


def _console(ending: Ending) -> str:
    return console_url(ending.region, ending.job_id) if ending.region else ""


def _attempt_lines(job: Job, outcome: Outcome | None) -> Iterator[str]:
    last = max(1, len(job.attempts))
    # An outcome counts the attempts of all jobs of its task, ten for each.
    number = last if outcome is None else (outcome.attempt - 1) % MAX_ATTEMPTS + 1
    yield f"attempt: {number} of {job.allowed_attempts}"
    if last > 1:
        for number, attempt in enumerate(job.attempts, 1):
            yield f"attempt {number} of {job.allowed_attempts}: {_attempt_text(attempt)}"


def _attempt_text(attempt: Attempt) -> str:
    parts = [reasons_of(attempt) or "AWS gave no reason"]
    if attempt.exit_code is not None:
        parts.append(f"exit code {attempt.exit_code}")
    if attempt.started_at is None:
        parts.append("not started")
    elif attempt.stopped_at is not None:
        parts.append(f"{(attempt.stopped_at - attempt.started_at).total_seconds():.0f} s")
    return ", ".join(parts)
