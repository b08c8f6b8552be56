"""The way of one task group, as every door walks it: glue, image, definition, parcel, job, verdict.

What runs is kept in `running`, so that a cancellation, which comes through another executor object, finds
it. Nothing but verdicts leaves `run()`: an exception that escaped would leave a node RUNNING.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from . import glue, outcome, payload, recovery
from .diagnosis import could_not_pull
from .errors import DefinitionGoneError
from .fairness import in_turns
from .gather import Gatherer, Waiting
from .image.environment import Recipe
from .image.provide import forget as forget_image
from .outcome import Verdict
from .payload import Call, Group, Parcel
from .preparation import forget_kind, kind_of, needs_of, parcel_of
from .running import Running, follow
from .session import Session, open_session
from .settings import Settings
from .settling import all_cancelled, failures, settle
from .shipment import Kind, ship
from .threads import in_thread
from .transportable import Transportable
from .watch import watcher_for

running: dict[tuple[str, int], Running] = {}
"""The groups on their way, by dispatch and node, until their verdicts are fetched."""


def start(task: Running, calls: list[Call]) -> None:
    """Set a task group on its way, in the background of this event loop."""
    for node_id in task.node_ids:
        running[task.dispatch_id, node_id] = task
    task.calls = calls
    task.verdicts = asyncio.create_task(run(task))


async def ended(dispatch_id: str, node_ids: Sequence[int]) -> None:
    """Wait until the group of these nodes has its verdicts."""
    task = running[dispatch_id, node_ids[0]]
    if task.verdicts is not None:
        await asyncio.wait([task.verdicts])


async def finish(dispatch_id: str, node_ids: Sequence[int]) -> list[Verdict] | None:
    """Return the verdicts on these nodes and forget their group; None where it was not started here."""
    task = running.get((dispatch_id, node_ids[0]))
    if task is None or task.verdicts is None:
        return None
    await asyncio.wait([task.verdicts])  # who gives up waiting does not end it
    verdicts = task.verdicts.result()
    for node_id in node_ids:
        running.pop((dispatch_id, node_id), None)
    return [verdict for verdict in verdicts if verdict.node_id in node_ids]


# --- the way of one group ---------------------------------------------------------------------------------


async def run(task: Running) -> list[Verdict]:
    """Walk the whole way of a task group and return a verdict for each of its nodes, whatever happens."""
    if task.is_cancelled:
        return all_cancelled(task)
    task.runner = asyncio.current_task()
    try:
        return await _run(task)
    except asyncio.CancelledError:
        if task.is_cancelled and task.followed is None:
            return all_cancelled(task)
        raise
    except Exception as error:  # noqa: BLE001 — anything that escaped would leave the nodes RUNNING
        return failures(task, error)
    finally:
        task.runner = None
        task.note_submitted()


async def _run(task: Running) -> list[Verdict]:
    answered = await answer_glue(task.calls)
    if answered is not None:
        return [answered]
    session = open_session(task.settings)
    kind, needs, parcel = await _prepare(session, task)
    try:
        job_id = await _submit(session, task, kind, parcel)
    except DefinitionGoneError:  # deregistered since it was found, and perhaps its image was deleted
        forget_kind(session, kind, needs)
        kind = await kind_of(session, task, needs)
        job_id = await _submit(session, task, kind, parcel)
    del parcel
    task.followed = await follow(session, task, job_id, kind.of_any_dispatch)
    if task.is_cancelled:
        task.end_job()
    verdicts = await settle(session, task, task.followed)
    if needs is not None and any(each.job is not None and could_not_pull(each.job) for each in verdicts):
        forget_image(session, task.settings, needs, kind.image)
    return verdicts


async def _prepare(session: Session, task: Running) -> tuple[Kind, Recipe | None, Parcel]:
    """Do all that comes before the submission, but for the payload's own upload."""
    group = Group(task.dispatch_id, task.group_id, list(task.calls))
    group, needs = await needs_of(session, task.settings, group)
    kind = await kind_of(session, task, needs)
    task.calls = ()
    parcel = await parcel_of(group)
    (parcel,) = await payload.upload_contents(session, task.settings.s3_bucket_name, [parcel])
    return kind, needs, parcel


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
    return None if found is None else outcome.composed(call.node_id, found, function)


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
