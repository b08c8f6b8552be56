"""Runs jobs in this process when their time is over, a few at a time, so that requests are still answered."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from covalent_awsbatch_plugin.contract import EXIT_RUNTIME_FAULT, EXIT_TERMINATED
from covalent_awsbatch_plugin.local.runner import Exit, Launch, Running

from .container import Container
from .objects import Bucket
from .records import Records

log = logging.getLogger(__name__)

SLICE_S = 0.002
"""How long jobs are run before requests are looked at again."""


class _MemoryJob:
    """A job whose time runs."""

    def __init__(self, launch: Launch, due_s: float) -> None:
        self.launch = launch
        self.due_s = due_s
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def wait(self) -> Exit:
        """Return when the job is over."""
        return await self._ended

    def stop(self, grace_s: float) -> None:
        """End the job by SIGTERM, to which it listens at once."""
        self.end(EXIT_TERMINATED)

    def kill(self) -> None:
        """End the job by SIGKILL."""
        self.end(137)

    def end(self, exit_code: int) -> None:
        """End the job unless it has ended."""
        if not self._ended.done():
            self._ended.set_result(Exit(exit_code))

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self._ended.done()


@dataclass
class MemoryRunner:
    """Lets every job take the same time; so they end in the order in which they began."""

    container: Container
    buckets: Mapping[str, Bucket]
    records: Records
    job_s: float

    def __post_init__(self) -> None:
        """Begin with no jobs."""
        self._waiting: deque[_MemoryJob] = deque()

    async def start(self, launch: Launch) -> Running:
        """Start a job."""
        job = _MemoryJob(launch, time.monotonic() + self.job_s)
        self._waiting.append(job)
        if len(self._waiting) == 1:
            self._look_again(self.job_s)
        return job

    async def close(self) -> None:
        """Hold nothing."""

    def _look_again(self, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(max(delay_s, 0), self._run_due)

    def _run_due(self) -> None:
        slice_end_s = time.monotonic() + SLICE_S
        while self._waiting:
            now_s = time.monotonic()
            if self._waiting[0].due_s > now_s or now_s > slice_end_s:
                self._look_again(self._waiting[0].due_s - now_s)
                return
            job = self._waiting.popleft()
            if not job.is_over:
                job.end(self._run(job.launch))

    def _run(self, launch: Launch) -> int:
        try:
            ended = self.container(launch.command, launch.environment, self.buckets)
        except Exception:
            log.exception("the job %s could not be run", launch.job_id)
            return EXIT_RUNTIME_FAULT
        for task in ended.tasks:
            self.records.ended(launch.job_id, task)
        return ended.exit_code
