"""A job or an array in one line, and as JSON: what `jobs` and `job` both show."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from covalent_awsbatch_plugin.cli.text import iso

if TYPE_CHECKING:
    from covalent_awsbatch_plugin.job import Job, JobStatus


def in_words(states: dict[JobStatus, int]) -> str:
    """Return how many jobs are in which state, such as `3 RUNNING, 9 SUCCEEDED`."""
    return ", ".join(f"{count} {status.value}" for status, count in states.items())


def counts(states: dict[JobStatus, int]) -> dict[str, int]:
    """Return how many jobs are in which state, for JSON."""
    return {status.value: count for status, count in states.items()}


def duration_s(job: Job, now: datetime) -> float | None:
    """Return how long a job has run, or an array has taken; None before its start."""
    if job.started_at is None:
        return None
    return ((job.stopped_at or now) - job.started_at).total_seconds()


def as_json(job: Job, job_id: str, now: datetime) -> dict[str, Any]:
    """Return what a listing tells of a job, for programs; times are in UTC, durations in seconds."""
    from covalent_awsbatch_plugin.client.lookup import states_of

    return {
        "id": job_id,
        "batch_id": job.id,
        "name": job.name,
        "state": job.status.value,
        "array_size": job.array_size,
        "children": None if job.array_size is None else counts(states_of(job)),
        "status_reason": job.status_reason,
        "container_reason": job.container_reason,
        "exit_code": job.exit_code,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "stopped_at": iso(job.stopped_at),
        "duration_s": duration_s(job, now),
    }
