"""Tasks that another process has submitted: found from their names alone."""

from __future__ import annotations

from functools import partial

from . import contract, outcome, payload, submit, verdict
from .job import child_id
from .running import CANCEL_REASON, Running, follow
from .session import Session, open_session
from .settings import Settings
from .settling import failures, settle_when_signed
from .verdict import Verdict


async def recover(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that another process submitted, from its names alone.

    Follows the job to its end where it still runs.
    """
    try:
        session = open_session(task.settings)
        job_id = await find_job(session, task.settings, task.dispatch_id, task.group_id)
        if job_id:
            followed = await follow(session, task, job_id)
            if task.is_cancelled:
                task.end_job()
            settle_when_signed(session, task, followed, task.verdicts.reach)
            return await task.verdicts.wait()
        return [await _settle_forgotten(session, task, node_id) for node_id in task.node_ids]
    except Exception as error:  # noqa: BLE001 — as in pipeline._run
        return failures(task, error)
    finally:
        task.submitted.reach(None)


async def _settle_forgotten(session: Session, task: Running, node_id: int) -> Verdict:
    """Return the verdict on a task whose job AWS Batch does not know any more."""
    bucket = task.settings.s3_bucket_name
    attempts = await outcome.attempts_of(session, bucket, task.dispatch_id, node_id)
    found = await outcome.find(session, task.settings, task.dispatch_id, node_id, attempts)
    return await verdict.settle(
        session,
        task.settings,
        node_id=node_id,
        found=found,
        job=None,
        job_id="",
        was_cancelled=task.is_cancelled,
    )


async def find_job(session: Session, settings: Settings, dispatch_id: str, group_id: int) -> str:
    """Return the id of the job, or child of an array, that another process submitted for a group.

    Empty where there is none, or where AWS Batch has forgotten it.
    """
    packed = await payload.find(session, settings.s3_bucket_name, dispatch_id, group_id)
    if packed is None:
        return ""
    name = contract.job_name(dispatch_id, packed.first_group_id)
    find = partial(submit.find, session, settings.batch_queue, name)
    found = await session.once(("job", name), find)  # all children of an array ask
    if not found:
        session.forget(("job", name))
        return ""
    return child_id(found[0][0], packed.index if packed.size > 1 else None)


async def cancel(settings: Settings, dispatch_id: str, group_id: int) -> None:
    """End the job of a group that another process submitted; where there is none, nothing happens."""
    session = open_session(settings)
    job_id = await find_job(session, settings, dispatch_id, group_id)
    if job_id:
        await submit.terminate(session, job_id, CANCEL_REASON)
