"""The end of a task group: its results, or why there are none, as verdicts on its nodes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from . import outcome, verdict
from .diagnosis import could_not_pull
from .errors import AWSBatchError
from .outcome import Found, Stored
from .preparation import forget_image_of
from .refusals import error_message
from .running import Running
from .session import Session
from .verdict import Verdict
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
        verdicts = await _verdicts(session, task, followed)
    except Exception as error:  # noqa: BLE001 — anything that escaped would leave the nodes RUNNING
        verdicts = failures(task, error)
    if verdicts is not None:
        settle_with(verdicts)
        return
    followed.expect_end()
    followed.ended.then(partial(_settle_in_turn, session, task, followed, settle_with))


async def _verdicts(session: Session, task: Running, followed: Followed) -> list[Verdict] | None:
    """Return the verdicts on a group's nodes; None where its job's end is to be waited for.

    A value says enough. Without one the job may yet be retried; and what AWS Batch says of it belongs into
    the error.
    """
    if followed.error is not None:
        raise followed.error
    has_ended = followed.ended.is_reached
    found = await _find(session, task, followed)
    if not all(map(_has_value, found.values())) and not has_ended:
        return None
    job = followed.job
    if job is not None and task.kind is not None and could_not_pull(job):
        forget_image_of(session, task.kind)
    # After a restart only the job itself remembers that the user cancelled it.
    cancelled_before = job is not None and job.status_reason == task.cancel_reason
    verdicts: list[Verdict] = []
    for node_id, each in found.items():
        settled = await verdict.settle(
            session,
            task.settings,
            node_id=node_id,
            found=each,
            job=job,
            job_id=followed.id,
            was_cancelled=cancelled_before or task.is_cancelled,
        )
        verdicts.append(settled)
    return [with_notes(task, each) for each in verdicts] if task.notes else verdicts


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
    return [verdict.failed(node_id, explain(error)) for node_id in task.node_ids]


def explain(error: BaseException) -> str:
    """Return what a user should read of an error: our own are clear, others keep their traceback."""
    from botocore.exceptions import ClientError

    if isinstance(error, AWSBatchError):
        return str(error)
    if isinstance(error, ClientError):
        return f"AWS refused {error.operation_name}: {error_message(error)}"
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    headline = f"{type(error).__name__}: {error}"
    return f"A fault of covalent-awsbatch-plugin, please report it: {headline}\n\n{lines}"
