"""One trivial job through the client, and how long each of its stages takes."""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .. import background, preflight
from ..client import AWSBatch, Job
from ..client.conversation import describe
from ..errors import AWSBatchError
from ..image.progress import Report
from ..image.provide import provide
from ..job import Job as JobDetail
from ..job import JobStatus
from ..session import Session, open_session
from ..settings import Settings
from .finding import Finding, failed, ok
from .images import recipe_here
from .rights import builds_image

CHECK = "run"

LOOK_S = 0.5
"""Between two looks at the job: AWS Batch has no time of its own for the begin of STARTING."""

RUNNABLE_TIMEOUT_S = 900
"""A job that can never run is ended after this, unless `runnable_timeout` says otherwise."""

OURS = "this machine's"
AWS_BATCH = "AWS Batch's"
CONTAINER = "the container's"

Tell = Callable[[str], object]
"""Takes what is happening just now."""


@dataclass(frozen=True)
class Stage:
    """A part of the time from the call to its result."""

    name: str
    seconds: float
    clock: str
    """Whose clock; of two, the one at the end less the one at the beginning."""


@dataclass(frozen=True)
class Trial:
    """What became of the job, and its stages in their order; after a failure those that it came through."""

    finding: Finding
    stages: list[Stage] = field(default_factory=list)


def run(settings: Settings, tell: Tell, report: Report | None = None) -> Trial:
    """Run a job that does next to nothing; blocks until it has ended.

    What it leaves in the bucket is deleted. `report` learns of the steps of a build, if there is one.
    """
    stages: list[Stage] = []
    try:
        session = background.wait_for(_opened(settings))
        stages.append(_timed("preparation", preflight.check(session, settings)))
        if builds_image(settings):
            tell("looking for the image, or building it")
            stages.append(_timed("image", _have_image(session, settings, report)))
        return _run_job(settings, stages, tell)
    except AWSBatchError as error:
        return Trial(_failure(error, "covalent-awsbatch doctor"), stages)


async def _opened(settings: Settings) -> Session:
    return open_session(settings)


def _timed(name: str, work: Coroutine[Any, Any, object]) -> Stage:
    """Do something on the client's event loop, which keeps what it found for the job."""
    begun_s = time.time()
    background.wait_for(work)
    return Stage(name, time.time() - begun_s, OURS)


async def _have_image(session: Session, settings: Settings, report: Report | None) -> None:
    made = await recipe_here(session, settings)
    await provide(session, settings, await preflight.identity(session), made, report)


def _run_job(settings: Settings, stages: list[Stage], tell: Tell) -> Trial:
    limits = {
        "keep_artifacts": "none",
        "runnable_timeout": settings.runnable_timeout or RUNNABLE_TIMEOUT_S,
    }
    with AWSBatch(progress=False, **{**settings.model_dump(), **limits}) as batch:
        begun_s = time.time()
        job = batch.submit(platform.platform)
        watched = _Watched(job)
        job.wait_until_submitted()
        submitted_s = time.time()
        watched.until_ended(tell)
        stages.append(Stage("upload and submission", submitted_s - begun_s, OURS))
        stages += watched.stages()
        return Trial(_finding(job), stages)


def _finding(job: Job[str]) -> Finding:
    try:
        return ok(CHECK, f"the job {job.id} ran on {job.result()}")
    except (AWSBatchError, CancelledError) as error:
        return _failure(error.__cause__ or error, f"covalent-awsbatch job {job.id}")


def _failure(error: BaseException, mend: str) -> Finding:
    what = str(error).partition("\n\n")[0]
    return failed(CHECK, what.rstrip("."), "what befalls this job befalls all tasks", mend)


class _Watched:
    """A job whose states are looked at until its end."""

    def __init__(self, job: Job[str]) -> None:
        self._job = job
        self._seen_s: dict[JobStatus, float] = {}
        self._noticed_s = 0.0
        job.add_done_callback(self._note_end)

    def _note_end(self, _: Job[str]) -> None:
        self._noticed_s = time.time()

    def until_ended(self, tell: Tell) -> None:
        """Look until the job has ended, and tell of each new state."""
        while not self._job.done():
            status = self._job.status
            if status not in self._seen_s:
                self._seen_s[status] = time.time()
                tell(f"the job {self._job.id} is {status.value}")
            with contextlib.suppress(TimeoutError):
                self._job.wait(LOOK_S)

    def stages(self) -> list[Stage]:
        """Return the stages after the submission, as far as AWS Batch and the container tell."""
        if not self._job.batch_id:
            return []
        detail = background.wait_for(describe(self._job.task))
        if detail is None or detail.created_at is None or detail.started_at is None:
            return []
        return [*self._before(detail.created_at, detail.started_at), *self._after(detail)]

    def _before(self, created_at: datetime, started_at: datetime) -> list[Stage]:
        created_s, started_s = created_at.timestamp(), started_at.timestamp()
        starting_s = self._seen_s.get(JobStatus.STARTING, 0.0)
        if not created_s < starting_s < started_s:
            return [Stage("place and start", _span(created_s, started_s), AWS_BATCH)]
        return [
            Stage("place (RUNNABLE)", starting_s - created_s, f"{OURS} less {AWS_BATCH}"),
            Stage("start (STARTING)", started_s - starting_s, f"{AWS_BATCH} less {OURS}"),
        ]

    def _after(self, detail: JobDetail) -> list[Stage]:
        began_at, ended_at = self._job.started_at, self._job.stopped_at
        if detail.started_at is None or began_at is None or ended_at is None:
            return []
        started_s, began_s, ended_s = (each.timestamp() for each in (detail.started_at, began_at, ended_at))
        return [
            Stage("program's start", _span(started_s, began_s), f"{CONTAINER} less {AWS_BATCH}"),
            Stage("running", _span(began_s, ended_s), CONTAINER),
            Stage("result noticed", _span(ended_s, self._noticed_s), f"{OURS} less {CONTAINER}"),
        ]


def _span(begin_s: float, end_s: float) -> float:
    """Return the time between; what the clocks are apart is no negative time."""
    return max(0.0, end_s - begin_s)
