"""What happens to the attempts of jobs: hosts, images, memory, and places that never come.

Everything goes through the engine, as its own switches do: an attempt that is struck is one like any
other, and `retryStrategy` decides what follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from covalent_awsbatch_plugin.job import JobStatus

from ..engine import Engine
from ..jobs import Job
from ..placement import BLOCK_REASONS
from ..runner import OUT_OF_MEMORY
from .effects import InspectError, JobEffect, Killed, LoseHost, OutOfMemory, Stuck
from .plan import JobFault
from .standing import Standing, takes
from .texts import UNSEEN_END, StartEffect, start_ending


class JobFaults:
    """Strikes attempts when their jobs reach a state; of several faults for one moment the first strikes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._standing: Sequence[Standing[JobFault]] = ()
        self._held: dict[str, str] = {}

    def begin(self, standing: Sequence[Standing[JobFault]]) -> None:
        """Take over these faults and forget the ones before; whom they held goes on."""
        self._standing, self._held = standing, {}
        self._engine.placement.wake()

    def held(self, job: Job) -> str | None:
        """Return the statusReason of a job that is stuck (it may be empty), None for one that is not."""
        return self._held.get(job.id)

    def moved(self, job: Job, _: JobStatus) -> None:
        """Strike a job that has reached a state, where a fault waits for that."""
        for standing in self._standing:
            if job.status is _moment(standing.fault.effect) and not job.children and takes(standing, job):
                self._strike(standing, standing.fault.effect, job)
                return

    def _strike(self, standing: Standing[JobFault], effect: JobEffect, job: Job) -> None:
        if isinstance(effect, Stuck):
            self._hold(effect, job)
        elif isinstance(effect, LoseHost):
            self._after(
                effect.after_s, standing, job, lambda: self._engine.lose_host(job, fargate=effect.fargate)
            )
        elif isinstance(effect, OutOfMemory):
            self._after(effect.after_s, standing, job, lambda: self._engine.kill(job, OUT_OF_MEMORY))
        elif isinstance(effect, Killed):
            self._after(effect.after_s, standing, job, lambda: self._engine.kill(job))
        elif isinstance(effect, InspectError):
            self._engine.misreport(job, UNSEEN_END)
        elif isinstance(effect, StartEffect):
            self._engine.fail_start(job, start_ending(effect, job))

    def _hold(self, effect: Stuck, job: Job) -> None:
        self._held[job.id] = BLOCK_REASONS.get(effect.stuck, effect.stuck)
        if effect.for_s is not None:
            asyncio.get_running_loop().call_later(effect.for_s, self._release, self._held, job)

    def _release(self, held: dict[str, str], job: Job) -> None:
        if held.pop(job.id, None) is not None:
            self._engine.placement.wake()

    def _after(
        self, after_s: float, standing: Standing[JobFault], job: Job, strike: Callable[[], None]
    ) -> None:
        """Strike an attempt some time later; a blow that comes too late is not counted."""
        if after_s == 0:
            strike()
            return
        attempt = job.current

        def strike_now() -> None:
            up = job.current is attempt and job.status in (JobStatus.STARTING, JobStatus.RUNNING)
            if up and standing in self._standing:
                strike()
            else:
                standing.struck -= 1

        asyncio.get_running_loop().call_later(after_s, strike_now)


def _moment(effect: JobEffect) -> JobStatus | None:
    """Return the state in which a fault strikes an attempt, None where it only changes what is seen of it."""
    if isinstance(effect, Stuck):
        return JobStatus.RUNNABLE
    if isinstance(effect, LoseHost):
        return JobStatus(effect.lose_host)
    if isinstance(effect, OutOfMemory | Killed):
        return JobStatus.RUNNING
    return JobStatus.STARTING if isinstance(effect, InspectError | StartEffect) else None
