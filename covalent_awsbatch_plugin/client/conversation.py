"""What the client does on the event loop; its own methods only start this, or wait for it."""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass
from functools import cache

from .. import arrays, background, contract, logs, packs, pipeline, recovery, tidying, watch
from ..errors import DependencyFailedError, JobFailedError, UnknownJobError
from ..fairness import in_turns
from ..job import Job, split_id
from ..payload import Call, Group
from ..plain_text import encodable
from ..running import Running
from ..session import Session, open_session
from ..settings import Settings
from ..settling import SettleWith, all_cancelled, failures, settle_when_signed
from ..submit import Dependency

log = logging.getLogger(__name__)

EXIT_PATIENCE_S = 20
"""How long the end of the process waits for what is being deleted."""


@dataclass(frozen=True)
class Awaited:
    """What a job waits for: the tasks of a job or an array; without any, each child for the one before it."""

    id: str
    tasks: Sequence[Running]
    n_to_n: bool = False


async def run(task: Running, call: Call, settle_with: SettleWith) -> None:
    """Run a task, gathered with others."""
    pipeline.launch(task, [call], settle_with)


async def run_array(
    tasks: Sequence[Running],
    groups: list[Group],
    settle_with: Sequence[SettleWith],
    awaited: Sequence[Awaited],
    *,
    is_whole_run: bool,
) -> None:
    """Run tasks of one function as an array job of their own; of a whole run no other task follows."""
    session = open_session(tasks[0].settings)
    problem: Exception | None = None
    preparing = asyncio.ensure_future(_prepare(session, tasks, groups, awaited, is_whole_run))

    def give_up() -> None:
        # From the end: an array is cancelled in order, so mostly the first look says that some are left.
        if all(task.is_cancelled for task in reversed(tasks)):
            preparing.cancel()

    for task in tasks:
        task.when_cancelled = give_up
    try:
        give_up()
        prepared, depends_on = await preparing
        await arrays.submit_array(session, prepared, depends_on)
    except asyncio.CancelledError:
        if not preparing.cancelled():  # else all tasks were, before there was a job
            raise
    except Exception as error:  # noqa: BLE001 — it belongs to those who wait for the tasks
        problem = error
    async for task, settle in in_turns(zip(tasks, map(tidying.noting, tasks, settle_with), strict=True)):
        task.submitted.reach(None)
        if task.followed is not None:
            settle_when_signed(session, task, task.followed, settle)
        elif problem is not None and not task.is_cancelled:
            settle(failures(task, problem))
        else:
            settle(all_cancelled(task))


async def _prepare(
    session: Session,
    tasks: Sequence[Running],
    groups: list[Group],
    awaited: Sequence[Awaited],
    is_whole_run: bool,
) -> tuple[arrays.Prepared, list[Dependency]]:
    await tidying.enter(tasks, is_complete=is_whole_run)
    depends_on = [each for one in awaited for each in await _dependencies(one, len(tasks))]
    return await arrays.prepare(session, tasks, groups), depends_on


async def recover(task: Running, settle_with: SettleWith) -> None:
    """Find a task that another process has submitted, and follow it to its end."""
    settle_with(await recovery.recover(task))


def note_taken(task: Running) -> None:
    """Let what a task has left in S3 go, as its settings say: its result was taken."""
    background.event_loop().call_soon_threadsafe(tidying.deliver, task)
    _tidy_at_exit()


async def tidy(settings: Settings) -> None:
    """Delete now what the settings do not keep, of all runs that have nothing on its way."""
    await tidying.finish(open_session(settings))


@cache
def _tidy_at_exit() -> None:
    atexit.register(_tidy_before_exit)


def _tidy_before_exit() -> None:
    """Give what is still to be deleted some time: the event loop ends with the process."""
    try:
        background.start(tidying.finish_all()).result(EXIT_PATIENCE_S)
    except LateError:  # until Python 3.11 not the builtin one
        log.warning("What keep_artifacts would delete was not deleted within %d s", EXIT_PATIENCE_S)


async def _dependencies(awaited: Awaited, size: int) -> list[Dependency]:
    """Return what AWS Batch is to be told, once it knows what is waited for.

    Raises DependencyFailedError where that was never submitted.
    """
    if not awaited.tasks:
        return [Dependency()] if size > 1 else []
    job_ids = [await _job_id(each, awaited.id) for each in awaited.tasks]
    if len(awaited.tasks) == 1 and not awaited.n_to_n:
        return [Dependency(job_id) for job_id in job_ids]
    whole_ids = list(dict.fromkeys(split_id(job_id)[0] for job_id in job_ids))
    if awaited.n_to_n and len(whole_ids) > 1:
        raise JobFailedError(f"{awaited.id} became several array jobs: n_to_n needs a single one.")
    return [Dependency(whole_id, n_to_n=awaited.n_to_n and size > 1) for whole_id in whole_ids]


async def _job_id(task: Running, awaited_id: str) -> str:
    await task.submitted.wait()
    if task.job_id == "":
        text = f"It was to wait for {awaited_id}, which was not submitted: see that job."
        raise DependencyFailedError(text)
    return task.job_id


async def cancel_all(tasks: Sequence[Running]) -> None:
    """End tasks, those of one array with one call."""
    arrays.cancel_together(tasks)


async def describe(task: Running) -> Job | None:
    """Ask AWS Batch for a task's job; None where it does not know it."""
    session = open_session(task.settings)
    return (await watch.describe(session, [task.job_id])).get(task.job_id)


async def log_lines(settings: Settings, job_id: str, *, follow: bool) -> AsyncIterator[str]:
    """Yield the lines that a job's last attempt has written; with `follow`, as they come, to the job's end.

    Raises LogsError where CloudWatch does not let us read.
    """
    session, group = open_session(settings), settings.batch_job_log_group_name
    positions: dict[str, logs.Position] = {}
    stream = ""
    while True:
        # What had ended before its lines were read has no more of them. A value is known sooner than that.
        job = (await watch.describe(session, [job_id])).get(job_id)
        if job is None:
            return
        # Each attempt has a stream of its own; what one wrote at last comes before the next one's lines.
        for each in dict.fromkeys((stream, job.log_stream)):
            for line in await logs.read(session, group, each, positions.setdefault(each, logs.Position())):
                yield encodable(line)
        stream = job.log_stream
        if job.status.is_final or not follow:
            return
        await asyncio.sleep(logs.FOLLOW_INTERVAL_S)


async def names_of(settings: Settings, batch_id: str) -> tuple[str, int]:
    """Return run and number of a job by AWS Batch's own id.

    Raises UnknownJobError where AWS Batch does not know it, or it is a whole array or none of ours, or its
    pack is gone.
    """
    session = open_session(settings)
    job = (await watch.describe(session, [batch_id])).get(batch_id)
    if job is None:
        raise UnknownJobError(
            f"AWS Batch does not know the job {batch_id!r}, or not any more; the id that covalent-awsbatch "
            f"gave it, a run and a number, finds its outcome as long as it is in S3."
        )
    run_id = run_of(job)
    if job.array_size:
        size = job.array_size
        raise UnknownJobError(f"{batch_id!r} is an array of {size} jobs: array({run_id!r}) finds it.")
    number = number_of(job, await places(session, settings, run_id))
    if number is None:
        raise UnknownJobError(f"The bucket has no pack with the task of {batch_id!r} any more.")
    return run_id, number


def run_of(job: Job) -> str:
    """Return the run that a job belongs to.

    Raises UnknownJobError where it is none of ours.
    """
    try:
        return contract.run_of(job.name).dispatch_id
    except ValueError as error:
        raise UnknownJobError(f"The job {job.id!r} ({job.name}) is none of covalent-awsbatch.") from error


Place = tuple[int, int, int]
"""A job's place in its run: the first number of its pack, the pack's rung, and the index in it."""


async def places(session: Session, settings: Settings, run_id: str) -> dict[Place, int]:
    """Return the numbers of a run's jobs by where they are.

    Raises BucketError where the bucket cannot be read.
    """
    found = await packs.read(session, settings.s3_bucket_name, run_id)
    return {
        (each.first_group_id, each.rung, each.index): number
        for number, packed in found.items()
        for each in packed
    }


def number_of(job: Job, numbers: dict[Place, int]) -> int | None:
    """Return the number of a job of ours, or of an array's child, in its run; None where its pack is gone."""
    name, index = contract.run_of(job.name), split_id(job.id)[1]
    return name.group_id if index is None else numbers.get((name.group_id, name.rung, index))


async def group_ids(settings: Settings, run_id: str) -> list[int]:
    """Return the numbers of the jobs of a run.

    Raises UnknownJobError where S3 holds nothing of it.
    """
    session = open_session(settings)
    found = sorted(await packs.read(session, settings.s3_bucket_name, run_id))
    if not found:
        raise UnknownJobError(f"The bucket {settings.s3_bucket_name!r} has nothing of the run {run_id!r}.")
    return found
