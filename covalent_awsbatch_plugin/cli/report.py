"""Everything about a job, or about a run, as labelled texts and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from covalent_awsbatch_plugin.cli import summary
from covalent_awsbatch_plugin.cli.text import iso, last_lines, moment, now, span
from covalent_awsbatch_plugin.contract import OutcomeStatus
from covalent_awsbatch_plugin.job import JobStatus, reasons_of

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.client.lookup import Member, Run
    from covalent_awsbatch_plugin.contract import Outcome
    from covalent_awsbatch_plugin.diagnosis import Diagnosis
    from covalent_awsbatch_plugin.job import Attempt, Job
    from covalent_awsbatch_plugin.outcome import Found, Stored
    from covalent_awsbatch_plugin.session import Session
    from covalent_awsbatch_plugin.settings import Settings
    from covalent_awsbatch_plugin.waiting import Finding

LAST_LINES = 10
"""Of what a job has printed; `logs` has all."""

FORGOTTEN = "AWS Batch does not know it, or not any more"


@dataclass(frozen=True)
class Place:
    """Where jobs and what they leave are."""

    region: str
    queue: str
    log_group: str

    @classmethod
    def of(cls, settings: Settings, session: Session) -> Place:
        """Return the place that a session, which has asked AWS something, looks at."""
        from covalent_awsbatch_plugin import logs

        group = settings.batch_job_log_group_name or logs.DEFAULT_GROUP
        return cls(session.region, settings.batch_queue, group)

    def console(self, job: Job) -> str:
        """Return where AWS's console shows a job."""
        from covalent_awsbatch_plugin.job import console_url

        return console_url(self.region, job.id)


# --- one job ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JobReport:
    """What AWS Batch and the outcome say of one job."""

    place: Place
    member: Member
    waiting: Mapping[str, Finding] = field(default_factory=dict)
    """What keeps it from its place, by AWS Batch's id; empty where it does not wait."""
    at: datetime = field(default_factory=now)

    def fields(self) -> Iterator[tuple[str, str]]:
        """Yield labels and texts; a text that is empty tells nothing."""
        yield "id", self.member.id
        job, stored = self.member.job, _stored(self.member.outcome)
        if job is not None:
            yield from self._job_fields(job)
        else:
            yield "state", FORGOTTEN
            yield from () if stored is None else _attempt_fields(stored.outcome)
        yield from _failure_fields(_diagnosis(self.member))
        is_early = job is not None and not job.status.is_final and self.member.outcome is None
        yield "outcome", "none yet" if is_early else _outcome_text(self.member.outcome)
        for name, text in ({} if stored is None else stored.streams()).items():
            yield name, "\n".join(last_lines(text, LAST_LINES))

    def _job_fields(self, job: Job) -> Iterator[tuple[str, str]]:
        seconds = summary.duration_s(job, self.at)
        yield "name", job.name
        yield "AWS Batch's id", job.id
        yield "state", job.status.value
        yield "status reason", job.status_reason
        yield "waiting", _waiting_text(self.waiting, job)
        yield "container reason", job.container_reason
        yield "exit code", "" if job.exit_code is None else str(job.exit_code)
        yield "created", moment(job.created_at)
        yield "started", moment(job.started_at)
        yield "stopped", moment(job.stopped_at)
        yield "duration", "" if seconds is None else span(seconds)
        attempts = [_attempt_text(number, each) for number, each in enumerate(job.attempts, 1)]
        yield f"attempts (of {job.allowed_attempts})", "\n".join(attempts)
        yield "queue", job.queue_arn
        yield "log", f"{self.place.log_group} {job.log_stream}" if job.log_stream else ""
        yield "console", self.place.console(job)

    def to_json(self) -> dict[str, Any]:
        """Return all of it for programs; what only AWS Batch knows is missing where it knows no such job."""
        job = self.member.job
        if job is None:
            return self.in_short()
        return {
            **self.in_short(),
            "attempts": [_attempt_json(each) for each in job.attempts],
            "allowed_attempts": job.allowed_attempts,
            "queue": job.queue_arn,
            "log_group": self.place.log_group,
            "log_stream": job.log_stream,
            "waiting": _waiting_json(self.waiting, job),
        }

    def in_short(self) -> dict[str, Any]:
        """Return what also a listing of AWS Batch's tells, and the outcome, for programs."""
        job, told = self.member.job, {"id": self.member.id, "state": None}
        if job is not None:
            told = {**summary.as_json(job, self.member.id, self.at), "console": self.place.console(job)}
        diagnosis = _diagnosis(self.member)
        return {
            **told,
            "failure": None if diagnosis is None else _failure_json(diagnosis),
            "outcome": _outcome_json(self.member.outcome),
        }


def _waiting_text(waiting: Mapping[str, Finding], job: Job) -> str:
    return str(waiting[job.id]) if job.id in waiting else ""


def _waiting_json(waiting: Mapping[str, Finding], job: Job) -> dict[str, Any] | None:
    finding = waiting.get(job.id)
    if finding is None:
        return None
    place = finding.place
    return {
        "reason": finding.what,
        "advice": finding.advice,
        "can_never_run": finding.can_never_run,
        "place": None if place is None else place.number,
        "places_shown": None if place is None else place.count,
    }


def _attempt_text(number: int, attempt: Attempt) -> str:
    times = moment(attempt.started_at) or "not started"
    if attempt.started_at and attempt.stopped_at:
        times += f", {span((attempt.stopped_at - attempt.started_at).total_seconds())}"
    code = "no exit code" if attempt.exit_code is None else f"exit code {attempt.exit_code}"
    return f"{number}: {times}, {code}: {reasons_of(attempt) or 'no reason'}"


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "started_at": iso(attempt.started_at),
        "stopped_at": iso(attempt.stopped_at),
        "exit_code": attempt.exit_code,
        "status_reason": attempt.status_reason,
        "container_reason": attempt.container_reason,
        "log_stream": attempt.log_stream,
    }


# --- why it has failed ------------------------------------------------------------------------------------


def _diagnosis(member: Member) -> Diagnosis | None:
    """Return why a job has no value; None where it has one, or has not ended."""
    from covalent_awsbatch_plugin.diagnosis import diagnose, diagnose_outcome, diagnose_unreadable
    from covalent_awsbatch_plugin.outcome import Stored

    job, found = member.job, member.outcome
    if job is not None and not job.status.is_final:
        return None
    if found is None:
        return diagnose(job) if job is not None and job.status is JobStatus.FAILED else None
    if not isinstance(found, Stored):
        return diagnose_unreadable(found)
    return None if found.has_value else diagnose_outcome(found.outcome, job)


def _failure_fields(diagnosis: Diagnosis | None) -> Iterator[tuple[str, str]]:
    if diagnosis is not None:
        yield "error", f"{diagnosis.error.__name__}: the job {diagnosis.cause}"
        yield "next step", diagnosis.advice


def _failure_json(diagnosis: Diagnosis) -> dict[str, str]:
    return {
        "error": diagnosis.error.__name__,
        "cause": diagnosis.cause,
        "next_step": diagnosis.advice,
    }


# --- its outcome ------------------------------------------------------------------------------------------


def _stored(found: Found) -> Stored | None:
    from covalent_awsbatch_plugin.outcome import Stored

    return found if isinstance(found, Stored) else None


def _outcome_text(found: Found) -> str:
    stored = _stored(found)
    if stored is None:
        return "none in S3" if found is None else f"cannot be read: {found}"
    if stored.has_value:
        return f"a value, pickled in {stored.value.length} bytes"
    return _failure_text(stored.outcome)


def _failure_text(outcome: Outcome) -> str:
    if outcome.failure is None:
        return f"no value ({outcome.status.value})"
    told = ": ".join(each for each in (outcome.failure.type, outcome.failure.message) if each)
    return f"no value: {told}"


def _outcome_json(found: Found) -> dict[str, Any] | None:
    stored = _stored(found)
    if stored is None:
        return None if found is None else {"error": str(found)}
    outcome = stored.outcome
    failure = outcome.failure
    return {
        "status": outcome.status.value,
        "has_value": stored.has_value,
        "value_bytes": stored.value.length if stored.has_value else None,
        "exception": None if failure is None else {"type": failure.type, "message": failure.message},
        "attempt": outcome.attempt,
        "started_at": iso(_time(outcome.started_at)),
        "stopped_at": iso(_time(outcome.finished_at)),
        **{name: last_lines(text, LAST_LINES) for name, text in stored.streams().items()},
    }


def _attempt_fields(outcome: Outcome) -> Iterator[tuple[str, str]]:
    yield "AWS Batch's id", outcome.job_id
    yield "attempt", str(outcome.attempt)
    yield "started", moment(_time(outcome.started_at))
    yield "stopped", moment(_time(outcome.finished_at))
    yield "duration", span(outcome.finished_at - outcome.started_at)


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, timezone.utc)


# --- a run ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunReport:
    """What AWS Batch says of the jobs and arrays of a run, and the outcomes of those that failed."""

    place: Place
    run: Run
    notable: list[Member]
    """Failed jobs; where AWS Batch has forgotten the run, all of its jobs."""
    notable_count: int
    """How many there are; `notable` may be only some of them."""
    waiting: Mapping[str, Finding] = field(default_factory=dict)
    """What keeps those of its jobs and arrays that wait from their places, by AWS Batch's ids."""
    at: datetime = field(default_factory=now)

    def fields(self) -> Iterator[tuple[str, str]]:
        """Yield labels and texts; a text that is empty tells nothing."""
        yield "id", self.run.id
        if self.run.jobs:
            yield "state", summary.in_words(self.run.states)
            yield (
                "created",
                moment(min((job.created_at for job in self.run.jobs if job.created_at), default=None)),
            )
            yield "queue", self.place.queue
            yield "AWS Batch", "\n".join(self._job_text(job) for job in self.run.jobs)
            yield f"failed ({self.notable_count})", self._notable_text()
        else:
            yield "state", f"{FORGOTTEN}; S3 has {self.notable_count} jobs"
            yield "outcomes", self._notable_text()

    def _job_text(self, job: Job) -> str:
        seconds = summary.duration_s(job, self.at)
        kind = "job" if job.array_size is None else f"array of {job.array_size}"
        parts = (kind, job.status.value, "" if seconds is None else span(seconds), job.status_reason)
        lines = [", ".join(part for part in parts if part), self.place.console(job)]
        return "\n  ".join(line for line in (*lines, _waiting_text(self.waiting, job)) if line)

    def _notable_text(self) -> str:
        width = max((len(each.id) for each in self.notable), default=0)
        lines = [f"{each.id.ljust(width)}   {_in_a_line(each)}" for each in self.notable]
        hidden = self.notable_count - len(self.notable)
        return "\n".join([*lines, *([f"and {hidden} more: see --limit"] if hidden else [])])

    def to_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        from covalent_awsbatch_plugin.client.lookup import id_of

        name = "failed" if self.run.jobs else "forgotten"
        return {
            "id": self.run.id,
            "states": summary.counts(self.run.states),
            "queue": self.place.queue,
            "jobs": [
                {
                    **summary.as_json(job, id_of(job), self.at),
                    "console": self.place.console(job),
                    "waiting": _waiting_json(self.waiting, job),
                }
                for job in self.run.jobs
            ],
            f"{name}_count": self.notable_count,
            name: [JobReport(self.place, each, at=self.at).in_short() for each in self.notable],
        }


def _in_a_line(member: Member) -> str:
    job, stored = member.job, _stored(member.outcome)
    # Who was told to stop does not know why; AWS does.
    is_aws_wiser = stored is None or stored.outcome.status is OutcomeStatus.TERMINATED
    told = reasons_of(job) if job is not None and is_aws_wiser else _outcome_text(member.outcome)
    code = "" if job is None or job.exit_code is None else f" (exit code {job.exit_code})"
    return " ".join(told.split()) + code
