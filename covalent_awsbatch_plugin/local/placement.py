"""Place RUNNABLE jobs on compute environments: queues by priority, each queue first in, first out.

The head of a queue blocks those behind it until it fits, as it may on AWS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from covalent_awsbatch_plugin.job import JobStatus

from .jobs import ComputeEnvironment, Job, JobQueue, now_ms
from .timing import Timing

COMPUTE_ENVIRONMENT_MAX_RESOURCE = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
JOB_RESOURCE_REQUIREMENT = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"

BLOCK_TEXTS = {
    COMPUTE_ENVIRONMENT_MAX_RESOURCE: (
        "CE(s) associated with the job queue cannot meet the CPU requirement of the job."
    ),
    JOB_RESOURCE_REQUIREMENT: (
        "The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) "
        "attached to the job queue."
    ),
}


class Placement:
    """Holds the RUNNABLE jobs of all queues; `paused` stops it, for tests that need a job to wait."""

    def __init__(
        self,
        timing: Timing,
        begin: Callable[[Job, ComputeEnvironment], None],
        cancel: Callable[[Job, str], None],
    ) -> None:
        self.queues: dict[str, JobQueue] = {}
        self.paused = False
        self._timing = timing
        self._begin = begin
        self._cancel = cancel
        self._woken = False
        self._to_explain: set[str] = set()

    def add(self, job: Job, front: bool) -> None:
        """Put a job that became RUNNABLE into its queue; a retried one goes to the front."""
        job.runnable_since_ms = now_ms()
        runnable = job.spec.queue.runnable
        runnable[job.id] = job
        if front:
            runnable.move_to_end(job.id, last=False)
        self.wake()

    def remove(self, job: Job) -> None:
        """Take a job out of its queue, if it stands there."""
        if job.spec.queue.runnable.pop(job.id, None) is not None:
            self.wake()

    def pause(self, paused: bool) -> None:
        """Stop placing jobs, or start again."""
        self.paused = paused
        self.wake()

    def wake(self) -> None:
        """Look at all queues soon; many calls lead to one look."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._place)

    def _place(self) -> None:
        self._woken = False
        if self.paused:
            return
        for queue in sorted(self.queues.values(), key=lambda each: -each.priority):
            self._drain(queue)

    def _drain(self, queue: JobQueue) -> None:
        while queue.runnable:
            job = next(iter(queue.runnable.values()))
            environment = _room(queue, job)
            if environment is None:
                self._block(queue, job)
                return
            del queue.runnable[job.id]
            self._begin(job, environment)

    def _block(self, queue: JobQueue, job: Job) -> None:
        if (
            job.status_reason is None
            and job.id not in self._to_explain
            and block_reason(queue, job) is not None
        ):
            self._to_explain.add(job.id)
            loop = asyncio.get_running_loop()
            loop.call_later(self._timing.blocked_reason_delay_s, self._explain, queue, job)

    def _explain(self, queue: JobQueue, job: Job) -> None:
        """Say why the head of a queue does not move, if it still does not."""
        self._to_explain.discard(job.id)
        reason = block_reason(queue, job)
        if job.status is not JobStatus.RUNNABLE or reason is None:
            return
        job.status_reason = f"{reason} - {BLOCK_TEXTS[reason]}"
        for action in queue.time_limit_actions:
            if action["reason"] == reason:
                limit_s = self._timing.scaled(action["maxTimeSeconds"])
                asyncio.get_running_loop().call_later(limit_s, self._act, queue, job, reason)

    def _act(self, queue: JobQueue, job: Job, reason: str) -> None:
        if job.status is JobStatus.RUNNABLE and block_reason(queue, job) == reason:
            self._cancel(job, f"Canceled by JobStateTimeLimit action due to reason: {reason}")


def _room(queue: JobQueue, job: Job) -> ComputeEnvironment | None:
    for environment in queue.environments:
        if environment.usable and environment.fits_now(job.spec.demand):
            return environment
    return None


def block_reason(queue: JobQueue, job: Job) -> str | None:
    """Return why the queue's environments can never run the job, None where they could."""
    demand = job.spec.demand
    if any(environment.could_ever_fit(demand) for environment in queue.environments):
        return None
    most_cpu_units = max((each.capacity.cpu_units for each in queue.environments), default=0)
    if demand.cpu_units > most_cpu_units:
        return COMPUTE_ENVIRONMENT_MAX_RESOURCE
    return JOB_RESOURCE_REQUIREMENT
