"""Tasks that another process has submitted: found from their names alone."""

from __future__ import annotations

from functools import partial

from . import contract, outcome, packs, preflight, submit, tidying, verdict
from .job import child_id
from .running import CANCEL_REASON, Running, follow
from .session import Session, open_session
from .settings import Settings
from .settling import failures, settle_when_signed
from .verdict import Verdict


async def recover(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that another process submitted, as `follow_up` does; never raises."""
    try:
        return await follow_up(task)
    except Exception as error:  # noqa: BLE001 — as in pipeline._run
        return failures(task, error)


async def follow_up(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that another process submitted, from its names alone.

    Follows the job to its end where it still runs. Raises SetupError where AWS does not let us look.
    """
    await tidying.enter([task], is_own=False)
    try:
        verdicts = await _follow_up(task)
    except Exception:
        tidying.leave(task, [])
        raise
    tidying.leave(task, verdicts)
    return verdicts


async def _follow_up(task: Running) -> list[Verdict]:
    try:
        session = open_session(task.settings)
        job_id, task.rung = await find_job(session, task.settings, task.dispatch_id, task.group_id)
        if not job_id:
            return await _settle_forgotten(session, task, await _attempts(session, task))
        followed = await follow(session, task, job_id)
        if task.is_cancelled:
            task.end_job()
        settle_when_signed(session, task, followed, task.verdicts.reach)
        return await task.verdicts.wait()
    finally:
        task.submitted.reach(None)


async def take_over(session: Session, task: Running) -> list[Verdict] | None:
    """Take over a group that an earlier process has submitted, so that nothing runs twice.

    Its job is followed; where AWS Batch has forgotten that, the verdicts are those of the outcomes that it
    left. None where there is nothing to be told yet: it is followed, or was never submitted.

    Raises SetupError for what is missing.
    """
    bucket, dispatch_id = task.settings.s3_bucket_name, task.dispatch_id
    await preflight.check(session, task.settings)  # says best what is missing
    # Asked once for each dispatch, when it is met first: from then on this process knows what it submits.
    look = partial(packs.read, session, bucket, dispatch_id)
    known = await session.once(("packs of earlier processes", bucket, dispatch_id), look)
    if task.group_id not in known:
        return None
    tidying.disown(task)
    job_id, task.rung = await find_job(session, task.settings, dispatch_id, task.group_id)
    if job_id:
        await follow(session, task, job_id)
        return None
    attempts = await _attempts(session, task)
    if any(attempts.values()):
        return await _settle_forgotten(session, task, attempts)
    task.rung = known[task.group_id][0].rung + 1  # what it claimed then must not stop it now
    return None


async def _attempts(session: Session, task: Running) -> dict[int, list[int]]:
    """Return which attempts of a group's tasks have left an outcome, by node."""
    bucket, dispatch_id = task.settings.s3_bucket_name, task.dispatch_id
    return {each: await outcome.attempts_of(session, bucket, dispatch_id, each) for each in task.node_ids}


async def _settle_forgotten(session: Session, task: Running, attempts: dict[int, list[int]]) -> list[Verdict]:
    """Return the verdicts on a group whose job AWS Batch does not know any more, from these outcomes."""
    verdicts: list[Verdict] = []
    for node_id, some in attempts.items():
        found = await outcome.find(session, task.settings, task.dispatch_id, node_id, some)
        settled = await verdict.settle(
            session,
            task.settings,
            node_id=node_id,
            found=found,
            job=None,
            job_id="",
            was_cancelled=task.is_cancelled,
        )
        verdicts.append(settled)
    return verdicts


async def find_job(session: Session, settings: Settings, dispatch_id: str, group_id: int) -> tuple[str, int]:
    """Return the id of the job, or child of an array, that was submitted last for a group, and its rung.

    The id is empty where there is none, or where AWS Batch has forgotten it.
    """
    for packed in await packs.find(session, settings.s3_bucket_name, dispatch_id, group_id):
        name = contract.job_name(dispatch_id, packed.first_group_id, packed.rung)
        # What was submitted for the first time is in the task's own queue.
        for queue in settings.queues if packed.rung > 0 else [settings.batch_queue]:
            find = partial(submit.find, session, queue, name)
            found = await session.once(("job", queue, name), find)  # all children of an array ask
            if found:
                return child_id(found[0][0], packed.index if packed.size > 1 else None), packed.rung
            session.forget(("job", queue, name))
    return "", 0


async def cancel(settings: Settings, dispatch_id: str, group_id: int) -> None:
    """End the job of a group that another process submitted; where there is none, nothing happens."""
    session = open_session(settings)
    job_id, _ = await find_job(session, settings, dispatch_id, group_id)
    if job_id:
        await submit.terminate(session, job_id, CANCEL_REASON)
