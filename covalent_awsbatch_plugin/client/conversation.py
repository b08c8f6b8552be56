"""What the client does on the event loop; its own methods only start this, or wait for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlparse

from .. import arrays, contract, logs, payload, pipeline, recovery, watch
from ..errors import JobFailedError, UnknownJobError
from ..fairness import in_turns
from ..job import Job, split_id
from ..outcome import Verdict
from ..payload import Group
from ..running import Running
from ..session import open_session
from ..settings import Settings
from ..submit import Dependency

Settle = Callable[[Verdict], None]
"""Takes the verdict on one job."""


@dataclass(frozen=True)
class Awaited:
    """What a job waits for: the tasks of a job or an array; without any, each child for the one before it."""

    id: str
    tasks: Sequence[Running]
    n_to_n: bool = False


async def run(task: Running, settle: Settle) -> None:
    """Run a task, gathered with others."""
    (verdict,) = await pipeline.run(task)
    settle(verdict)


async def run_array(
    tasks: Sequence[Running], groups: list[Group], settles: Sequence[Settle], awaited: Sequence[Awaited]
) -> None:
    """Run tasks of one function as an array job of their own."""
    session = open_session(tasks[0].settings)
    try:
        depends_on = [each for one in awaited for each in await _dependencies(one, len(tasks))]
        await arrays.submit_array(session, tasks, groups, depends_on)
    except Exception as error:  # noqa: BLE001 — it belongs to those who wait for the tasks
        for task in tasks:
            task.error = task.error or error
            task.note_submitted()
    async for task, settle in in_turns(zip(tasks, settles, strict=True)):
        arrays.start_settling(session, task, settle)


async def recover(task: Running, settle: Settle) -> None:
    """Find a task that another process has submitted, and follow it to its end."""
    (verdict,) = await recovery.recover(task)
    settle(verdict)


async def _dependencies(awaited: Awaited, size: int) -> list[Dependency]:
    """Return what AWS Batch is to be told, once it knows what is waited for.

    Raises JobFailedError where that was never submitted.
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
    await task.submitted()
    if task.job_id == "":
        raise JobFailedError(f"It was to wait for {awaited_id}, which was not submitted: see that job.")
    return task.job_id


async def cancel_all(tasks: Sequence[Running]) -> None:
    """End tasks, those of one array with one call."""
    arrays.cancel_together(tasks)


async def describe(task: Running) -> Job | None:
    """Ask AWS Batch for a task's job; None where it does not know it."""
    session = open_session(task.settings)
    return (await watch.describe(session, [task.job_id])).get(task.job_id)


async def log_lines(task: Running, stream: str, position: logs.Position) -> list[str]:
    """Return the lines that a job has written since a position, which moves on."""
    session = open_session(task.settings)
    return await logs.read(session, task.settings.batch_job_log_group_name, stream, position)


async def names_of(settings: Settings, batch_id: str) -> tuple[str, int]:
    """Return run and number of a job by AWS Batch's own id: its environment names its pack.

    Raises UnknownJobError where AWS Batch does not know it, or it is none of ours.
    """
    session = open_session(settings)
    job = (await watch.describe(session, [batch_id])).get(batch_id)
    if job is None:
        raise UnknownJobError(
            f"AWS Batch does not know the job {batch_id!r}, or not any more; the id that covalent-awsbatch "
            f"gave it, a run and a number, finds its outcome as long as it is in S3."
        )
    key = urlparse(job.environment.get(contract.ENV_PAYLOAD, "")).path.removeprefix("/")
    try:
        dispatch_id, first_group_id = contract.pack_of(key)
    except ValueError as error:
        raise UnknownJobError(f"The job {batch_id!r} ({job.name}) is none of covalent-awsbatch.") from error
    index = split_id(batch_id)[1] or 0
    packed = await payload.packs(session, settings.s3_bucket_name, dispatch_id)
    found = {(each.first_group_id, each.index): group_id for group_id, each in packed.items()}
    if (first_group_id, index) not in found:
        raise UnknownJobError(f"The bucket has no pack {key!r} with the task of {batch_id!r} any more.")
    return dispatch_id, found[first_group_id, index]


async def group_ids(settings: Settings, run_id: str) -> list[int]:
    """Return the numbers of the jobs of a run.

    Raises UnknownJobError where S3 holds nothing of it.
    """
    session = open_session(settings)
    found = sorted(await payload.packs(session, settings.s3_bucket_name, run_id))
    if not found:
        raise UnknownJobError(f"The bucket {settings.s3_bucket_name!r} has nothing of the run {run_id!r}.")
    return found
