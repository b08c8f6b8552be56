"""What clients see of jobs: late, out of date, with states left out, or nothing more at all."""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

from covalent_awsbatch_plugin.job import JobStatus

from ..jobs import Job
from .effects import SkipStates, StaleSummary, UnknownLooks, UnlistedLooks, Vanish
from .plan import JobFault
from .standing import Standing, takes

STATE_BEFORE = {JobStatus.RUNNING: JobStatus.STARTING, JobStatus.STARTING: JobStatus.RUNNABLE}


@dataclass(frozen=True)
class _Summary:
    """An array's statusSummary as it was until some time, in seconds of the event loop's clock."""

    until_s: float
    counts: dict[JobStatus, int] | None
    updated_at_ms: int | None


class Answers:
    """Shows jobs as AWS would; with faults, as AWS should not."""

    def __init__(self) -> None:
        self.begin(())

    def begin(self, standing: Sequence[Standing[JobFault]]) -> None:
        """Take over these faults and forget the ones before: all jobs are seen as they are again."""
        self._standing = standing
        self._vanished: set[str] = set()
        self._summaries: defaultdict[str, deque[_Summary]] = defaultdict(deque)

    def moved(self, job: Job, _: JobStatus) -> None:
        """Note that a job has reached a state, before its array counts it."""
        for standing in self._standing:
            effect = standing.fault.effect
            if isinstance(effect, Vanish) and effect.vanish == job.status.value and takes(standing, job):
                self._vanished.add(job.id)
            elif isinstance(effect, StaleSummary) and job.parent and self._changes(standing, job.parent):
                self._remember(job.parent, effect.stale_summary_s)

    def is_known(self, job: Job) -> bool:
        """Tell whether AWS Batch still knows a job."""
        return job.id not in self._vanished and (job.parent is None or self.is_known(job.parent))

    def is_described(self, job: Job) -> bool:
        """Tell whether DescribeJobs knows a job that it is asked for now."""
        return self.is_known(job) and not self._is_overlooked(job, UnknownLooks)

    def is_listed(self, job: Job) -> bool:
        """Tell whether ListJobs shows a job that belongs into its answer."""
        return self.is_known(job) and not self._is_overlooked(job, UnlistedLooks)

    def _is_overlooked(self, job: Job, kind: type[UnknownLooks | UnlistedLooks]) -> bool:
        for standing in self._standing:
            effect = standing.fault.effect
            if isinstance(effect, kind) and self._changes(standing, job):
                most = effect.unknown_looks if isinstance(effect, UnknownLooks) else effect.unlisted_looks
                standing.looks[job.id] += 1
                if standing.looks[job.id] <= most:
                    return True
        return False

    def appearance(self, job: Job) -> Job:
        """Return a job as clients see it; the job itself stays as it is."""
        seen = job
        for standing in self._standing:
            effect = standing.fault.effect
            if isinstance(effect, SkipStates) and job.status.value in effect.skip_states:
                seen = _before(seen, effect) if self._changes(standing, job) else seen
            elif isinstance(effect, StaleSummary) and job.id in standing.looks:
                seen = self._with_old_summary(seen, effect.stale_summary_s)
        return seen

    def _changes(self, standing: Standing[JobFault], job: Job) -> bool:
        """Tell whether a fault changes what is seen of a job: it keeps to those that it has once chosen."""
        if job.id not in standing.looks and takes(standing, job):
            standing.looks[job.id] = 0
        return job.id in standing.looks

    def _remember(self, parent: Job, age_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        counts = None if parent.summary is None else dict(parent.summary)
        summaries = self._summaries[parent.id]
        summaries.append(_Summary(now_s, counts, parent.summary_updated_at_ms))
        while summaries[0].until_s <= now_s - age_s:
            summaries.popleft()

    def _with_old_summary(self, job: Job, age_s: float) -> Job:
        wanted_s = asyncio.get_running_loop().time() - age_s
        old = next((each for each in self._summaries[job.id] if each.until_s > wanted_s), None)
        if old is None:
            return job
        seen = copy.copy(job)
        seen.summary, seen.summary_updated_at_ms = old.counts, old.updated_at_ms
        return seen


def _before(job: Job, effect: SkipStates) -> Job:
    seen = copy.copy(job)
    seen.started_at_ms = None
    while seen.status.value in effect.skip_states:
        seen.status = STATE_BEFORE[seen.status]
    return seen
