"""The end of a task group: its results, or why there are none, as verdicts on its nodes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from . import outcome, submit, verdict
from .contract import EXIT_DUPLICATE
from .diagnosis import could_not_pull
from .errors import AWSBatchError, ImageError, SetupError
from .explanation import SEE_DOCTOR
from .job import Job, child_id, split_id
from .ladder import next_rung
from .outcome import Found, Stored
from .preparation import forget_image_of
from .refusals import error_message, is_denied
from .resubmission import follow_twin, submit_again
from .running import Running
from .session import Session
from .verdict import Verdict
from .vigil import refused
from .watch import Followed

SettleWith = Callable[[list[Verdict]], None]
"""Takes the verdicts on a group, when there are some."""


def settle_when_signed(session: Session, task: Running, followed: Followed, settle_with: SettleWith) -> None:
    """See to a group's verdicts when there is something to see; until then nothing waits."""
    followed.signed.then(partial(_settle_in_turn, session, task, followed, settle_with))


def _settle_in_turn(session: Session, task: Running, followed: Followed, settle_with: SettleWith) -> None:
    crew = session.crew("settling", task.settings.transfers_at_once)
    crew.add(partial(_settle, session, task, followed, settle_with))


async def _settle(session: Session, task: Running, followed: Followed, settle_with: SettleWith) -> None:
    try:
        verdicts = await _verdicts(session, task, followed, settle_with)
    except Exception as error:  # noqa: BLE001 — anything that escaped would leave the nodes RUNNING
        verdicts = failures(task, error)
    if verdicts is not None:
        settle_with([with_notes(task, each) for each in verdicts] if task.notes else verdicts)


async def _verdicts(
    session: Session, task: Running, followed: Followed, settle_with: SettleWith
) -> list[Verdict] | None:
    """Return the verdicts on a group's nodes; None where they are yet to come.

    A value says enough. Without one the job may yet be retried; and what AWS Batch says of it belongs into
    the error.
    """
    if followed.error is not None:
        raise followed.error
    found = await _find(session, task, followed)
    has_values = all(map(_has_value, found.values()))
    if not has_values and not followed.ended.is_reached:
        followed.expect_end()
        followed.ended.then(partial(_settle_in_turn, session, task, followed, settle_with))
        return None
    for remark in followed.flight.remarks:
        task.note(remark)
    goes_on = None if has_values or task.is_cancelled else await _next_job(session, task, followed)
    if goes_on is not None:
        _begin(_go_on(session, task, followed, found, goes_on, settle_with))
        return None
    return await _judge(session, task, followed, found)


async def _judge(
    session: Session, task: Running, followed: Followed, found: dict[int, Found]
) -> list[Verdict]:
    job = refused(followed)
    if job is not None and task.kind is not None and could_not_pull(job):
        forget_image_of(session, task.kind)
    verdicts: list[Verdict] = []
    for node_id, each in found.items():
        settled = await verdict.settle(
            session,
            task.settings,
            node_id=node_id,
            found=each,
            job=job,
            job_id=followed.id,
            was_cancelled=task.is_cancelled,
        )
        verdicts.append(settled)
    return verdicts


# --- another job for the same task ------------------------------------------------------------------------

_going_on: set[asyncio.Task[None]] = set()
"""An event loop itself does not keep its tasks."""


def _begin(work: Coroutine[Any, Any, None]) -> None:
    _going_on.add(task := asyncio.create_task(work))
    task.add_done_callback(_going_on.discard)


async def _next_job(
    session: Session, task: Running, followed: Followed
) -> Callable[[], Awaitable[Followed]] | None:
    """Return what finds or submits another job for a group whose job has ended; None at the end."""
    job = followed.job
    if job is None:
        return None
    if job.exit_code == EXIT_DUPLICATE:
        twin_id = await _twin(session, task, job)
        return partial(follow_twin, session, task, job, twin_id) if twin_id else None
    rung = next_rung(task.settings, job)
    return None if rung is None else partial(submit_again, session, task, job, rung)


async def _twin(session: Session, task: Running, job: Job) -> str:
    """Return the other job of the same name: AWS Batch had taken it although nobody heard of it."""
    array_id, index = split_id(job.id)
    found = await submit.find(session, job.queue_arn or task.settings.batch_queue, job.name)
    others = [job_id for job_id, _ in found if job_id != array_id]
    return child_id(others[-1], index) if others else ""


async def _go_on(
    session: Session,
    task: Running,
    ended: Followed,
    found: dict[int, Found],
    next_job: Callable[[], Awaitable[Followed]],
    settle_with: SettleWith,
) -> None:
    try:
        settle_when_signed(session, task, await next_job(), settle_with)
        return
    except asyncio.CancelledError:
        if not task.is_cancelled:
            raise
        verdicts = all_cancelled(task)
    except Exception as error:  # noqa: BLE001 — anything that escaped would leave the nodes RUNNING
        task.note(f"it could not be submitted again: {explain(error)}")
        verdicts = await _judged_safely(session, task, ended, found)
    settle_with([with_notes(task, each) for each in verdicts])


async def _judged_safely(
    session: Session, task: Running, ended: Followed, found: dict[int, Found]
) -> list[Verdict]:
    try:
        return await _judge(session, task, ended, found)
    except Exception as error:  # noqa: BLE001 — anything that escaped would leave the nodes RUNNING
        return failures(task, error)


# --- verdicts ---------------------------------------------------------------------------------------------


def with_notes(task: Running, given: Verdict) -> Verdict:
    """Return a verdict whose stderr begins with what was done for the task outside its job."""
    notes = "".join(f"{note}\n" for note in task.notes)
    return replace(given, stderr=notes + given.stderr)


def _has_value(found: Found) -> bool:
    return isinstance(found, Stored) and found.has_value


async def _find(session: Session, task: Running, followed: Followed) -> dict[int, Found]:
    found: dict[int, Found] = {}
    for node_id in task.node_ids:  # no comprehension: it would be a coroutine more for each that waits
        attempts = followed.attempts.get(node_id, ())
        found[node_id] = await outcome.find(session, task.settings, task.dispatch_id, node_id, attempts)
    return found


def all_cancelled(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that was cancelled before it started."""
    return [verdict.cancelled(node_id) for node_id in task.node_ids]


def failures(task: Running, error: Exception) -> list[Verdict]:
    """Return the verdicts on a group that an error has kept from its end."""
    text, job_id = explain(error), task.job_id
    if job_id:
        text = (
            f"{text}\n\nThe job {job_id} was submitted, and may run on: when that is mended, its id finds it "
            f"and its outcome."
        )
    return [verdict.failed(node_id, text, error, job_id=job_id) for node_id in task.node_ids]


def explain(error: BaseException) -> str:
    """Return what a user should read of an error: our own are clear, others keep their traceback."""
    from botocore.exceptions import ClientError

    # What an image lacks is told with the commands that make it, for the clipboard.
    if isinstance(error, SetupError) and not isinstance(error, ImageError):
        return f"{error} {SEE_DOCTOR}"
    if isinstance(error, AWSBatchError):
        return str(error)
    if isinstance(error, ClientError):
        advice = " Give these credentials that right." if is_denied(error) else ""
        return f"AWS refused {error.operation_name}: {error_message(error)}{advice}"
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    headline = f"{type(error).__name__}: {error}"
    return f"A fault of covalent-awsbatch-plugin, please report it: {headline}\n\n{lines}"
