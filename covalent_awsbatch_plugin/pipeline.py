"""The way of one task group, as every door walks it: glue, image, definition, parcel, job, verdict.

What Covalent has started is kept in `running`, so that a cancellation, which comes through another executor
object, finds it. Nothing but verdicts leaves this way: an exception that escaped would leave a node RUNNING.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from . import glue, payload, recovery, tidying, verdict
from .errors import DefinitionGoneError, SetupError
from .payload import Call, Group
from .preparation import forget_kind, kind_of, needs_of, parcel_of
from .running import Running, follow
from .session import Session, open_session
from .settings import Settings
from .settling import SettleWith, all_cancelled, failures, settle_when_signed
from .submission import submit_gathered
from .threads import in_thread
from .transportable import Transportable
from .verdict import Verdict

log = logging.getLogger(__name__)

running: dict[tuple[str, int], Running] = {}
"""The groups on their way, by dispatch and node, until their verdicts are fetched."""

_beginning: set[asyncio.Task[None]] = set()
"""An event loop itself does not keep its tasks."""


def start(task: Running, calls: list[Call]) -> None:
    """Set a task group on its way, in the background of this event loop, where `cancel` can find it."""
    task.may_be_known = True
    for node_id in task.node_ids:
        running[task.dispatch_id, node_id] = task
    launch(task, calls, task.verdicts.reach)


async def ended(dispatch_id: str, node_ids: Sequence[int]) -> None:
    """Wait until the group of these nodes has its verdicts."""
    await running[dispatch_id, node_ids[0]].verdicts.wait()


async def finish(dispatch_id: str, node_ids: Sequence[int]) -> list[Verdict] | None:
    """Return the verdicts on these nodes and forget their group; None where it was not started here."""
    task = running.get((dispatch_id, node_ids[0]))
    if task is None:
        return None
    verdicts = await task.verdicts.wait()
    for node_id in node_ids:
        running.pop((dispatch_id, node_id), None)
    return [verdict for verdict in verdicts if verdict.node_id in node_ids]


RECOVER = {"recover": True}
"""What Covalent's REST API is given for a node that an earlier server has left RUNNING."""


async def recover(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that an earlier process has submitted, after following its job.

    Meanwhile `cancel` finds it. There are none where it is on its way here already, or where AWS does not let
    us look: a result that nobody could read is not lost as long as its node is not called FAILED.
    """
    keys = [(task.dispatch_id, node_id) for node_id in task.node_ids]
    if any(key in running for key in keys):
        return []
    running.update((key, task) for key in keys)
    try:
        return await recovery.follow_up(task)
    except SetupError as error:
        log.error("The nodes %s of %s are not brought in: %s", task.node_ids, task.dispatch_id, error)
        tidying.deliver(task)  # there is nothing to be taken
        return []
    except Exception as error:  # noqa: BLE001 — as in `_run`
        return failures(task, error)
    finally:
        for key in keys:
            running.pop(key, None)


# --- the way of one group ---------------------------------------------------------------------------------


def launch(task: Running, calls: list[Call], settle_with: SettleWith) -> None:
    """Set a task group on its way; there will be a verdict for each of its nodes, whatever happens."""
    task.calls = calls
    # `runner` is set when it has begun: before, a cancellation would keep it from giving any verdict.
    _beginning.add(beginning := asyncio.create_task(_run(task, settle_with)))
    beginning.add_done_callback(_beginning.discard)


async def _run(task: Running, settle_with: SettleWith) -> None:
    task.runner = asyncio.current_task()
    session: Session | None = None
    verdicts: list[Verdict] | None = None
    settle_with = tidying.noting(task, settle_with)
    try:
        if task.is_cancelled:
            raise asyncio.CancelledError
        answered = await answer_glue(task.calls)
        if answered is not None:
            verdicts = [answered]
        else:
            session = open_session(task.settings)
            await tidying.enter([task])
            verdicts = await recovery.take_over(session, task) if task.may_be_known else None
            if verdicts is None and task.followed is None:
                await _until_submitted(session, task)
    except asyncio.CancelledError:
        if not task.is_cancelled:
            raise
        verdicts = all_cancelled(task)
    except Exception as error:  # noqa: BLE001 — anything that escaped would leave the nodes RUNNING
        verdicts = failures(task, error)
    task.runner = None
    task.submitted.reach(None)
    if verdicts is not None:
        settle_with(verdicts)
    elif session is not None and task.followed is not None:
        settle_when_signed(session, task, task.followed, settle_with)


async def _until_submitted(session: Session, task: Running) -> None:
    group = Group(task.dispatch_id, task.group_id, list(task.calls))
    group, needs = await needs_of(session, task.settings, group)
    task.kind = await kind_of(session, task, needs)
    task.calls = ()
    parcel = await parcel_of(task.settings, group)
    (parcel,) = await payload.upload_contents(session, task.settings, [parcel])
    try:
        job_id = await submit_gathered(session, task, task.kind, parcel)
    except DefinitionGoneError:  # deregistered since it was found, and perhaps its image was deleted
        forget_kind(session, task.kind)
        task.kind = await kind_of(session, task, needs)
        job_id = await submit_gathered(session, task, task.kind, parcel)
    await follow(session, task, job_id)
    if task.is_cancelled:
        task.end_job()


async def answer_glue(calls: Sequence[Call]) -> Verdict | None:
    """Return the verdict on one of Covalent's glue nodes, or None where a job must find it."""
    if len(calls) != 1 or not isinstance(calls[0].function, Transportable):
        return None
    if not glue.may_be_glue(calls[0].function):
        return None
    return await in_thread(partial(_composed, calls[0], calls[0].function))


def _composed(call: Call, function: Transportable) -> Verdict | None:
    args = [each for each in call.args if isinstance(each, Transportable)]
    kwargs = {name: each for name, each in call.kwargs.items() if isinstance(each, Transportable)}
    found = glue.compose(function, args, kwargs)
    return None if found is None else verdict.composed(call.node_id, found, function)


async def cancel(settings: Settings, dispatch_id: str, node_id: int, group_id: int | None) -> None:
    """End the job of a node, wherever it is on its way, and also where another process submitted it.

    There is no `group_id` where nothing was ever submitted for the node.
    """
    task = running.get((dispatch_id, node_id))
    if task is not None:
        task.cancel()
    elif group_id is not None:
        await recovery.cancel(settings, dispatch_id, group_id)
