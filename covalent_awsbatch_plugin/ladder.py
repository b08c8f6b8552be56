"""What a task that has no value is submitted with again, and why: a decision, without any I/O.

AWS Batch itself starts a job again where its host was lost, `retry_attempts` in all. What it cannot do is
here: to give more memory, to go to another queue, and to tell a start that may yet succeed from one that
never will, which the five rules that it takes for a job cannot. All that is decided from what AWS Batch says
of the job, so it goes on after a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

from .diagnosis import diagnose, lost_host, ran_out_of_memory
from .job import Job
from .settings import MIB_PER_GB, Settings


@dataclass(frozen=True)
class Rung:
    """The next submission of a task: with which settings, and what its user should read of it."""

    settings: Settings
    note: str


def next_rung(settings: Settings, job: Job) -> Rung | None:
    """Return with what a task is submitted again after this job of it; None where its end is final.

    `settings` are those that the task was given by its user.
    """
    if ran_out_of_memory(job):
        return _with_more_memory(settings, job)
    if lost_host(job):
        return _in_other_queue(settings, job)
    if diagnose(job).is_passing:
        return _once_more(settings, job)
    return None


def _with_more_memory(settings: Settings, job: Job) -> Rung | None:
    had_mib = settings.memory_mib if job.memory_mib is None else job.memory_mib
    more_gb = next((each for each in settings.memory_on_oom if int(each * MIB_PER_GB) > had_mib), None)
    if more_gb is None:
        return None
    note = f"ran out of memory with {had_mib} MiB: submitted again with {int(more_gb * MIB_PER_GB)} MiB"
    return Rung(_as_it_was(settings, job).model_copy(update={"memory": more_gb}), note)


def _in_other_queue(settings: Settings, job: Job) -> Rung | None:
    if settings.on_demand_queue in ("", _queue(settings, job)):
        return None
    starts = max(1, len(job.attempts))
    lost = "its host" if starts == 1 else f"the hosts of all its {starts} attempts"
    note = f"lost {lost} ({job.status_reason}): submitted again to the queue {settings.on_demand_queue!r}"
    return Rung(_as_it_was(settings, job).model_copy(update={"batch_queue": settings.on_demand_queue}), note)


def _once_more(settings: Settings, job: Job) -> Rung | None:
    left = job.allowed_attempts - max(1, len(job.attempts))
    if left < 1:
        return None
    reason = job.container_reason or job.status_reason
    note = f"could not be started ({reason}): submitted again, starts left: {left}"
    return Rung(_as_it_was(settings, job).model_copy(update={"retry_attempts": left}), note)


def _as_it_was(settings: Settings, job: Job) -> Settings:
    """Return the settings with what an earlier rung has made of them."""
    kept: dict[str, object] = {"batch_queue": _queue(settings, job)}
    if job.memory_mib is not None and job.memory_mib != settings.memory_mib:
        kept["memory"] = job.memory_mib / MIB_PER_GB
    return settings.model_copy(update=kept)


def _queue(settings: Settings, job: Job) -> str:
    """Return the queue of a job, as the settings name it."""
    name = job.queue_arn.rpartition("/")[2]
    for known in (settings.batch_queue, settings.on_demand_queue):
        if known and known in (name, job.queue_arn):
            return known
    return job.queue_arn or settings.batch_queue
