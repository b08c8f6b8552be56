"""The end of a task group: its results, or why there are none, as verdicts on its nodes."""

from __future__ import annotations

import traceback
from dataclasses import replace

from . import outcome
from .errors import AWSBatchError
from .job import Job
from .outcome import Found, Stored, Verdict
from .refusals import error_message
from .running import Running
from .session import Session
from .watch import Followed


async def settle(session: Session, task: Running, followed: Followed) -> list[Verdict]:
    """Wait for the results of a group, or for its job's end, and return the verdicts on its nodes."""
    await followed.sign()
    found = await _find(session, task, followed)
    job: Job | None = None
    if not all(isinstance(each, Stored) and each.has_value for each in found.values()):
        # It may yet be retried; and what AWS Batch says of the job belongs into the error.
        job = await followed.end()
        found = await _find(session, task, followed)
    # After a restart only the job itself remembers that the user cancelled it.
    cancelled_before = job is not None and job.status_reason == task.cancel_reason
    verdicts = [
        await outcome.settle(
            session,
            task.settings,
            node_id=node_id,
            found=each,
            job=job,
            job_id=followed.id,
            was_cancelled=cancelled_before or task.is_cancelled,
        )
        for node_id, each in found.items()
    ]
    if not task.notes:
        return verdicts
    notes = "".join(f"{note}\n" for note in task.notes)
    return [replace(verdict, stderr=notes + verdict.stderr) for verdict in verdicts]


async def _find(session: Session, task: Running, followed: Followed) -> dict[int, Found]:
    attempts = followed.attempts
    return {
        node_id: await outcome.find(
            session, task.settings, task.dispatch_id, node_id, attempts.get(node_id, ())
        )
        for node_id in task.node_ids
    }


def all_cancelled(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that was cancelled before it started."""
    return [outcome.cancelled(node_id) for node_id in task.node_ids]


def failures(task: Running, error: Exception) -> list[Verdict]:
    """Return the verdicts on a group that an error has kept from its end."""
    return [outcome.failed(node_id, explain(error)) for node_id in task.node_ids]


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
