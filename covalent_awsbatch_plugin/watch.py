"""One watcher for all jobs of a session: it asks about many at a time, and less often as they age."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from .errors import AWSBatchError
from .job import Job
from .session import Session, explained

log = logging.getLogger(__name__)

MAX_IDS_PER_CALL = 100
"""AWS Batch's limit for DescribeJobs."""

FIRST_INTERVAL_S = 0.25
INTERVAL_SHARE_OF_AGE = 0.1
"""A job is looked at again after a tenth of its age: noticed at most 10 % late, and seldom when long."""

GATHER_S = 0.1
"""Jobs that are due within this time are asked about together."""

UNKNOWN_PATIENCE_S = 60
"""AWS Batch may not know a fresh job yet; after this time it is taken for lost."""

ERROR_PATIENCE_S = 300
"""How long AWS may fail to answer before the tasks that wait are failed."""

ERROR_PAUSE_S = 2


@dataclass
class _Watch:
    ended: asyncio.Future[Job | None]
    poll_interval_limit_s: float
    since_s: float
    due_s: float
    last_known_s: float

    def reschedule(self, now_s: float) -> None:
        share_s = (now_s - self.since_s) * INTERVAL_SHARE_OF_AGE
        # The limit may be below the first interval: a user's poll_freq always holds.
        self.due_s = now_s + min(max(share_s, FIRST_INTERVAL_S), self.poll_interval_limit_s)


class Watcher:
    """Waits for jobs of one session; made once for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._watches: dict[str, _Watch] = {}
        self._changed = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._failing_since_s: float | None = None

    async def wait(self, job_id: str, poll_interval_limit_s: float) -> Job | None:
        """Return a job when it has ended, or None where AWS Batch does not know it.

        Raises SetupError where AWS has not answered for minutes.
        """
        now_s = time.monotonic()
        watch = self._watches.get(job_id)
        if watch is None:
            ended: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
            watch = _Watch(ended, poll_interval_limit_s, now_s, now_s + FIRST_INTERVAL_S, now_s)
            self._watches[job_id] = watch
            self._changed.set()
            if self._loop_task is None or self._loop_task.done():
                self._loop_task = asyncio.create_task(self._watch_all(), name="awsbatch watcher")
                self._loop_task.add_done_callback(self._pass_on_fault)
        return await asyncio.shield(watch.ended)

    def hurry(self, job_id: str) -> None:
        """Look at a job as if it were fresh: it has just been told to end."""
        watch = self._watches.get(job_id)
        if watch is not None:
            watch.since_s = time.monotonic()
            watch.reschedule(watch.since_s)
            self._changed.set()

    def _pass_on_fault(self, done: asyncio.Task[None]) -> None:
        """Fail those who wait if the watcher itself fails: they would wait for ever."""
        error = None if done.cancelled() else done.exception()
        if error is not None:
            for watch in self._watches.values():
                watch.ended.set_exception(error)
            self._watches.clear()

    async def _watch_all(self) -> None:
        while self._watches:
            await self._sleep_until_due()
            horizon_s = time.monotonic() + GATHER_S
            due = [job_id for job_id, watch in self._watches.items() if watch.due_s <= horizon_s]
            for start in range(0, len(due), MAX_IDS_PER_CALL):
                await self._look_at(due[start : start + MAX_IDS_PER_CALL])

    async def _sleep_until_due(self) -> None:
        self._changed.clear()
        delay_s = min(watch.due_s for watch in self._watches.values()) - time.monotonic()
        if delay_s > 0:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), delay_s)

    async def _look_at(self, job_ids: list[str]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            batch = await self._session.client("batch")
            with explained(self._session.account, "describe the jobs"):
                answer = await batch.describe_jobs(jobs=job_ids)
        except (AWSBatchError, BotoCoreError, ClientError) as error:
            await self._bear(job_ids, error)
            return
        self._failing_since_s = None
        known = {detail["jobId"]: Job.from_aws(detail) for detail in answer["jobs"]}
        for job_id in job_ids:
            self._note(job_id, known.get(job_id))

    def _note(self, job_id: str, job: Job | None) -> None:
        watch, now_s = self._watches[job_id], time.monotonic()
        if job is None:
            if now_s - watch.last_known_s > UNKNOWN_PATIENCE_S:
                self._watches.pop(job_id).ended.set_result(None)
                return
        elif job.status.is_final:
            self._watches.pop(job_id).ended.set_result(job)
            return
        else:
            watch.last_known_s = now_s
        watch.reschedule(now_s)

    async def _bear(self, job_ids: list[str], error: Exception) -> None:
        """Take a failed call as passing for some minutes; then those who wait are told."""
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        failing_s = now_s - self._failing_since_s
        log.warning("AWS Batch could not be asked about %d jobs (%.0f s): %s", len(job_ids), failing_s, error)
        if failing_s > ERROR_PATIENCE_S:
            for job_id in job_ids:
                self._watches.pop(job_id).ended.set_exception(error)
        await asyncio.sleep(ERROR_PAUSE_S)


async def watcher_for(session: Session) -> Watcher:
    """Return the session's watcher; there is one."""

    async def make() -> Watcher:
        return Watcher(session)

    return await session.once("watcher", make)
