"""Place RUNNABLE jobs on compute environments: queues by priority, each queue first in, first out.

The head of a queue blocks those behind it until it fits, as it may on AWS. Why it does not fit is told as
AWS tells it, some time later; reasons that lie outside of this machine come from `faults` alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from covalent_awsbatch_plugin.job import JobStatus

from .jobs import ComputeEnvironment, Job, JobQueue, now_ms
from .timing import Timing

COMPUTE_ENVIRONMENT_MAX_RESOURCE = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
JOB_RESOURCE_REQUIREMENT = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
INSUFFICIENT_CAPACITY = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"

BLOCK_REASONS = {
    COMPUTE_ENVIRONMENT_MAX_RESOURCE: (
        f"{COMPUTE_ENVIRONMENT_MAX_RESOURCE} - CE(s) associated with the job queue cannot meet the CPU "
        "requirement of the job."
    ),
    JOB_RESOURCE_REQUIREMENT: (
        f"{JOB_RESOURCE_REQUIREMENT} - The job resource requirement (vCPU/memory/GPU) is higher than that "
        "can be met by the CE(s) attached to the job queue."
    ),
    INSUFFICIENT_CAPACITY: (
        f"{INSUFFICIENT_CAPACITY} - Service cannot fulfill the capacity requested for instance type "
        "[m5.large]"
    ),
    "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED": (
        "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - Your compute environment associated with "
        "this job queue has an unsupported instance type configuration."
    ),
    "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS": (
        # The dash is AWS's.
        "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue."
    ),
    "ACTION_REQUIRED": "ACTION_REQUIRED - CE(s) associated with the job queue are invalid.",
    "UNDETERMINED": "UNDETERMINED - Batch job is blocked, root cause is undetermined.",
}
"""AWS's statusReasons of jobs that stay RUNNABLE, by their codes (user guide, job_stuck_in_runnable).

The first two the local AWS finds out by itself.
"""

LIMITABLE = (INSUFFICIENT_CAPACITY, COMPUTE_ENVIRONMENT_MAX_RESOURCE, JOB_RESOURCE_REQUIREMENT)
"""The codes that a queue may set a time limit for."""


def never_held(_: Job) -> str | None:
    """Hold no job back."""
    return None


class Placement:
    """Holds the RUNNABLE jobs of all queues; `paused` stops it, for tests that need a job to wait.

    `held` returns the statusReason of a job that is not to be placed though it would fit (it may be empty),
    None for all others.
    """

    def __init__(
        self,
        timing: Timing,
        begin: Callable[[Job, ComputeEnvironment], None],
        cancel: Callable[[Job, str], None],
    ) -> None:
        self.queues: dict[str, JobQueue] = {}
        self.paused = False
        self.held: Callable[[Job], str | None] = never_held
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
            environment = _room(queue, job) if self.held(job) is None else None
            if environment is None:
                self._block(queue, job)
                return
            del queue.runnable[job.id]
            self._begin(job, environment)

    def _block(self, queue: JobQueue, job: Job) -> None:
        if job.status_reason is None and job.id not in self._to_explain and self._reason(queue, job):
            self._to_explain.add(job.id)
            loop = asyncio.get_running_loop()
            loop.call_later(self._timing.blocked_reason_delay_s, self._explain, queue, job)

    def _explain(self, queue: JobQueue, job: Job) -> None:
        """Say why the head of a queue does not move, if it still does not."""
        self._to_explain.discard(job.id)
        reason = self._reason(queue, job)
        if job.status is not JobStatus.RUNNABLE or not reason:
            return
        job.status_reason = reason
        for action in queue.time_limit_actions:
            if reason.startswith(action["reason"]):
                limit_s = self._timing.scaled(action["maxTimeSeconds"])
                asyncio.get_running_loop().call_later(limit_s, self._act, queue, job, reason)

    def _act(self, queue: JobQueue, job: Job, reason: str) -> None:
        if job.status is JobStatus.RUNNABLE and self._reason(queue, job) == reason:
            code = reason.partition(" ")[0]
            self._cancel(job, f"Canceled by JobStateTimeLimit action due to reason: {code}")

    def _reason(self, queue: JobQueue, job: Job) -> str | None:
        """Return AWS's statusReason for a job that cannot be placed, None or an empty text without one."""
        held = self.held(job)
        return block_reason(queue, job) if held is None else held


def _room(queue: JobQueue, job: Job) -> ComputeEnvironment | None:
    for environment in queue.environments:
        if environment.usable and environment.fits_now(job.spec.demand):
            return environment
    return None


def block_reason(queue: JobQueue, job: Job) -> str | None:
    """Return AWS's statusReason where the queue can never run the job, None where it could."""
    demand = job.spec.demand
    if any(environment.could_ever_fit(demand) for environment in queue.environments):
        return None
    most_cpu_units = max((each.capacity.cpu_units for each in queue.environments), default=0)
    if demand.cpu_units > most_cpu_units:
        return BLOCK_REASONS[COMPUTE_ENVIRONMENT_MAX_RESOURCE]
    return BLOCK_REASONS[JOB_RESOURCE_REQUIREMENT]
