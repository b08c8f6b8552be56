"""The way of one task group, as every door walks it: glue, image, definition, parcel, job, verdict.

What Covalent has started is kept in `running`, so that a cancellation, which comes through another executor
object, finds it. Nothing but verdicts leaves this way: an exception that escaped would leave a node RUNNING.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from . import glue, payload, recovery, verdict
from .errors import DefinitionGoneError
from .fairness import in_turns
from .gather import Gatherer, Waiting
from .payload import Call, Group, Parcel
from .preparation import forget_kind, kind_of, needs_of, parcel_of
from .running import Running, follow
from .session import Session, open_session
from .settings import Settings
from .settling import SettleWith, all_cancelled, failures, settle_when_signed
from .shipment import Kind, ship
from .threads import in_thread
from .transportable import Transportable
from .verdict import Verdict
from .watch import watcher_for

running: dict[tuple[str, int], Running] = {}
"""The groups on their way, by dispatch and node, until their verdicts are fetched."""

_beginning: set[asyncio.Task[None]] = set()
"""An event loop itself does not keep its tasks."""


def start(task: Running, calls: list[Call]) -> None:
    """Set a task group on its way, in the background of this event loop, where `cancel` can find it."""
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
    try:
        if task.is_cancelled:
            raise asyncio.CancelledError
        answered = await answer_glue(task.calls)
        if answered is not None:
            verdicts = [answered]
        else:
            session = open_session(task.settings)
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
    parcel = await parcel_of(group)
    (parcel,) = await payload.upload_contents(session, task.settings.s3_bucket_name, [parcel])
    try:
        job_id = await _submit(session, task, task.kind, parcel)
    except DefinitionGoneError:  # deregistered since it was found, and perhaps its image was deleted
        forget_kind(session, task.kind)
        task.kind = await kind_of(session, task, needs)
        job_id = await _submit(session, task, task.kind, parcel)
    await follow(session, task, job_id)
    if task.is_cancelled:
        task.end_job()


async def _submit(session: Session, task: Running, kind: Kind, parcel: Parcel) -> str:
    gatherer = await _gatherer(session)
    task.waiting = gatherer.add(kind, parcel, len(parcel.payload))
    try:
        return await task.waiting.job_id
    finally:
        task.waiting = None


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


# --- together ---------------------------------------------------------------------------------------------


async def _gatherer(session: Session) -> Gatherer[Kind, Parcel]:
    """Return the session's gatherer; there is one."""

    async def make() -> Gatherer[Kind, Parcel]:
        watcher = await watcher_for(session)

        def turnaround_s(kind: Kind) -> float | None:
            return watcher.turnaround_s(kind.of_any_dispatch)

        return Gatherer(partial(_send, session), turnaround_s)

    return await session.once("gatherer", make)


async def _send(session: Session, kind: Kind, together: list[Waiting[Parcel]]) -> None:
    try:
        job_ids = await ship(session, kind, [each.content for each in together])
    except Exception as error:  # noqa: BLE001 — each of those who wait must learn of it
        for each in together:
            each.fail(error)
    else:
        async for each, job_id in in_turns(zip(together, job_ids, strict=True)):
            each.submitted_as(job_id)


async def cancel(settings: Settings, dispatch_id: str, node_id: int, group_id: int | None) -> None:
    """End the job of a node, wherever it is on its way, and also where another process submitted it.

    There is no `group_id` where nothing was ever submitted for the node.
    """
    task = running.get((dispatch_id, node_id))
    if task is not None:
        task.cancel()
    elif group_id is not None:
        await recovery.cancel(settings, dispatch_id, group_id)
