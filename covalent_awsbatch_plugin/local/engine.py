"""The state machine of AWS Batch: takes jobs from SUBMITTED to SUCCEEDED or FAILED.

Pure asyncio and no HTTP. Must be used from one event loop. Waiting jobs are plain records: only an
attempt that holds capacity has a task, so ten thousand submitted jobs cost no more than their memory.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from covalent_awsbatch_plugin.job import JobStatus

from . import dependencies
from .attempts import Cause, CauseKind, Ending, Live, new_attempt, run_attempt
from .jobs import (
    ARRAY_TRANSITIONS,
    TRANSITIONS,
    Account,
    ComputeEnvironment,
    Job,
    JobQueue,
    JobSpec,
    now_ms,
)
from .logstream import OpensLogs
from .placement import Placement
from .retry import should_retry
from .runner import Runner
from .secrets import ReadSecret, no_secrets
from .timing import Timing

logger = logging.getLogger(__name__)

DEPENDENT_FAILED = "Dependent Job failed"
SPOT_TASK_INTERRUPTED = "Your Spot Task was interrupted."
ARRAY_CHILD_FAILED = "Array Child Job failed"


Listener = Callable[[Job, JobStatus], None]
"""Called after every transition with the job and the status it left."""


@dataclass
class Engine:
    """Owns all jobs; every change of a job's status happens in `_move`."""

    account: Account
    runner: Runner
    logs: OpensLogs
    timing: Timing = field(default_factory=Timing)
    listeners: list[Listener] = field(default_factory=list)
    read_secret: ReadSecret = no_secrets
    jobs: dict[str, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set up what is not a parameter."""
        self.placement = Placement(self.timing, self._begin, self._cancel_blocked)
        self._live: dict[str, Live] = {}
        self._finished: deque[Job] = deque()
        self._releasing = False
        self._sequence = 0
        self.submissions = 0

    # --- what the API asks for ---

    def submit(self, spec: JobSpec, array_size: int | None = None) -> Job:
        """Accept a job and return its record in SUBMITTED; its dependencies must exist."""
        self.submissions += 1
        job = self._new_job(spec, str(uuid.uuid4()))
        job.tags = dict(spec.tags)
        if array_size is not None:
            job.children = [self._new_job(spec, f"{job.id}:{i}", job, i) for i in range(array_size)]
            job.summary = dict.fromkeys(JobStatus, 0) | {JobStatus.SUBMITTED: array_size}
            job.summary_updated_at_ms = job.created_at_ms
        dependencies.connect(job, self.jobs)
        spec.queue.jobs.append(job)
        asyncio.get_running_loop().call_later(self.timing.admit_delay_s, self._admit, job)
        return job

    def cancel(self, job: Job, reason: str) -> None:
        """End a job that has not been placed yet; one that was is left alone, as AWS does."""
        waiting = [leaf for leaf in job.leaves if _waits(leaf)]
        if not waiting:
            return
        for each in (job, *waiting):
            each.is_cancelled, each.end_reason = True, reason
        self._end_waiting(waiting)

    def terminate(self, job: Job, reason: str) -> None:
        """End a job wherever it stands: a placed one by SIGTERM, and SIGKILL after the grace."""
        unfinished = [leaf for leaf in job.leaves if not leaf.status.is_final]
        if not unfinished:
            return
        for each in (job, *unfinished):
            each.is_terminated, each.end_reason = True, reason
        for leaf in unfinished:
            if leaf.id in self._live:
                self._live[leaf.id].stop(Cause(CauseKind.TERMINATED, reason), self.timing.grace_s)
        self._end_waiting([leaf for leaf in unfinished if _waits(leaf)])

    def _end_waiting(self, jobs: list[Job]) -> None:
        """End jobs that hold no capacity, but for PENDING ones: AWS lets their dependencies finish first."""
        for job in jobs:
            if job.status is not JobStatus.PENDING:
                self._finish(job, JobStatus.FAILED, job.end_reason)
        self._release_dependents()

    def delete_queue(self, queue: JobQueue) -> None:
        """End all jobs of a queue that goes away."""
        for job in queue.jobs:
            self.terminate(job, "JobQueue deleted")

    # --- faults ---

    def lose_host(self, job: Job, *, fargate: bool = False) -> None:
        """End the attempt of a STARTING or RUNNING job as a Spot reclaim does, on EC2 or on Fargate."""
        instance = f"i-{uuid.uuid4().hex[:17]}"
        text = SPOT_TASK_INTERRUPTED if fargate else f"Host EC2 (instance {instance}) terminated."
        self._strike(job, Cause(CauseKind.HOST_LOST, text))

    def kill(self, job: Job, reason: str | None = None) -> None:
        """Send SIGKILL to a RUNNING job; `reason` becomes its `container.reason`."""
        if job.status is JobStatus.RUNNING:
            self._strike(job, Cause(CauseKind.KILLED, reason))

    def fail_start(self, job: Job, ending: Ending) -> None:
        """End the attempt of a STARTING job before anything of it runs."""
        if job.status is JobStatus.STARTING:
            self._strike(job, Cause(CauseKind.NEVER_RAN, None, ending))

    def misreport(self, job: Job, ending: Ending) -> None:
        """Let the attempt of a STARTING or RUNNING job do its work, and then say this of it."""
        if job.id in self._live:
            self._live[job.id].misreported = ending

    def _strike(self, job: Job, cause: Cause) -> None:
        if job.id in self._live:
            self._live[job.id].abort(cause)

    async def close(self) -> None:
        """Kill everything that runs and return when it is gone."""
        self.placement.paused = True
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for live in self._live.values():
            live.abort(Cause(CauseKind.TERMINATED, "the local AWS stopped"))
        await asyncio.gather(*tasks)
        await self.runner.close()

    # --- from SUBMITTED to RUNNABLE ---

    def _new_job(
        self, spec: JobSpec, job_id: str, parent: Job | None = None, index: int | None = None
    ) -> Job:
        self._sequence += 1
        arn = self.account.arn("batch", f"job/{job_id}")
        job = Job(
            job_id, arn, self._sequence, self.submissions, spec, now_ms(), {}, parent=parent, index=index
        )
        self.jobs[job_id] = job
        return job

    def _admit(self, job: Job) -> None:
        """Look at a submitted job for the first time, as AWS's scheduler does."""
        if job.children and job.status is JobStatus.SUBMITTED and any(map(_is_held, job.leaves)):
            self._move(job, JobStatus.PENDING)
        for leaf in job.leaves:
            if leaf.status is not JobStatus.SUBMITTED:
                continue
            if _is_held(leaf):
                self._move(leaf, JobStatus.PENDING)
                self._look_at_dependencies(leaf)
            else:
                self._make_runnable(leaf)
        self._release_dependents()

    def _look_at_dependencies(self, job: Job) -> None:
        """Move a PENDING job on if nothing holds it any longer."""
        if (job.is_cancelled or job.is_terminated) and (job.unmet == 0 or job.dependency_failed):
            self._finish(job, JobStatus.FAILED, job.end_reason)
        elif job.dependency_failed:
            self._finish(job, JobStatus.FAILED, DEPENDENT_FAILED)
        elif job.unmet == 0:
            self._make_runnable(job)

    def _make_runnable(self, job: Job, front: bool = False) -> None:
        self._move(job, JobStatus.RUNNABLE)
        self.placement.add(job, front)

    def _cancel_blocked(self, job: Job, reason: str) -> None:
        self._finish(job, JobStatus.FAILED, reason)
        self._release_dependents()

    # --- from RUNNABLE to the end of an attempt ---

    def _begin(self, job: Job, environment: ComputeEnvironment) -> None:
        """Start an attempt of a job that was just placed."""
        if job.spec.start_error is not None:
            self._finish(job, JobStatus.FAILED, job.spec.start_error)
            self._release_dependents()
            return
        environment.take(job.spec.demand)
        job.current = new_attempt(job, environment, self.account)
        job.status_reason = job.started_at_ms = None
        live = self._live[job.id] = Live(job.current)
        self._move(job, JobStatus.STARTING)
        live.task = asyncio.get_running_loop().create_task(self._see_through(job, live))

    async def _see_through(self, job: Job, live: Live) -> None:
        """Take one attempt from STARTING to its end and decide what becomes of the job."""
        try:
            ending = await run_attempt(
                job,
                live,
                self.runner,
                self.logs,
                self.read_secret,
                self.timing.start_delay_s,
                lambda: self._running(job, live),
            )
        except Exception as error:
            logger.exception("the local AWS could not run job %s", job.id)
            live.abort(Cause(CauseKind.TERMINATED, None))
            ending = Ending(f"Internal error of the local AWS: {error!r}", None, None)
        self._end_attempt(job, live, ending)

    def _running(self, job: Job, live: Live) -> None:
        live.attempt.started_at_ms = job.started_at_ms = now_ms()
        self._move(job, JobStatus.RUNNING)
        if job.spec.timeout_s is not None:
            live.limit(self.timing.scaled(job.spec.timeout_s), self.timing.grace_s)

    def _end_attempt(self, job: Job, live: Live, ending: Ending) -> None:
        del self._live[job.id]
        attempt = live.attempt
        attempt.stopped_at_ms = now_ms()
        attempt.status_reason = ending.status_reason
        attempt.exit_code = ending.exit_code
        attempt.reason = ending.reason
        job.attempts.append(attempt)
        attempt.environment.give_back(job.spec.demand)
        self._conclude(job, ending)
        self._release_dependents()
        self.placement.wake()

    def _conclude(self, job: Job, ending: Ending) -> None:
        if ending.succeeded:
            self._finish(job, JobStatus.SUCCEEDED, ending.status_reason)
        elif ending.retryable and should_retry(
            job.spec.retry,
            len(job.attempts),
            status_reason=ending.status_reason,
            reason=ending.reason,
            exit_code=ending.exit_code,
        ):
            job.current = job.started_at_ms = None
            self._make_runnable(job, front=True)
        else:
            self._finish(job, JobStatus.FAILED, ending.status_reason)

    # --- the end of a job, and what hangs on it ---

    def _finish(self, job: Job, status: JobStatus, reason: str | None) -> None:
        self.placement.remove(job)
        job.status_reason = reason
        job.stopped_at_ms = now_ms()
        self._move(job, status)
        self._finished.append(job)

    def _release_dependents(self) -> None:
        """Let every finished job's dependents know, in a loop: a chain may be ten thousand jobs long."""
        if self._releasing:
            return
        self._releasing = True
        try:
            while self._finished:
                self._release(self._finished.popleft())
        finally:
            self._releasing = False

    def _release(self, job: Job) -> None:
        for dependent in dependencies.settle(job):
            if dependent.status is JobStatus.PENDING:
                self._look_at_dependencies(dependent)
        if job.parent is not None:
            self._finish_parent(job.parent)

    def _finish_parent(self, parent: Job) -> None:
        summary = parent.summary or {}
        succeeded, failed = summary[JobStatus.SUCCEEDED], summary[JobStatus.FAILED]
        if parent.status.is_final or succeeded + failed < len(parent.children):
            return
        starts = [child.started_at_ms for child in parent.children if child.started_at_ms is not None]
        parent.started_at_ms = min(starts, default=None)
        if failed:
            self._finish(parent, JobStatus.FAILED, parent.end_reason or ARRAY_CHILD_FAILED)
        else:
            self._finish(parent, JobStatus.SUCCEEDED, None)

    def _move(self, job: Job, status: JobStatus) -> None:
        """Change a job's status; a move that AWS does not document is a defect of this engine."""
        before = job.status
        if status not in (ARRAY_TRANSITIONS if job.children else TRANSITIONS)[before]:
            raise RuntimeError(f"job {job.id} cannot go from {before.value} to {status.value}")
        job.status = status
        for listener in self.listeners:
            listener(job, before)
        if job.parent is not None:
            self._count(job.parent, before, status)

    def _count(self, parent: Job, before: JobStatus, after: JobStatus) -> None:
        if parent.summary is not None:
            parent.summary[before] -= 1
            parent.summary[after] += 1
            parent.summary_updated_at_ms = now_ms()
        if after is JobStatus.RUNNABLE and parent.status is JobStatus.SUBMITTED:
            self._move(parent, JobStatus.PENDING)


def _waits(job: Job) -> bool:
    return job.status in (JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNABLE)


def _is_held(job: Job) -> bool:
    return job.unmet > 0 or job.dependency_failed
