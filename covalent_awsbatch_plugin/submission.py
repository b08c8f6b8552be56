"""A group's way into AWS Batch once it is a parcel: it waits for others of its kind, and goes with them."""

from __future__ import annotations

from functools import partial

from .fairness import in_turns
from .gather import Gatherer, Waiting
from .payload import Parcel
from .running import Running
from .session import Session
from .shipment import Kind, ship
from .watch import watcher_for


async def submit_gathered(session: Session, task: Running, kind: Kind, parcel: Parcel) -> str:
    """Return the id of the job, or of the child of an array, that a group has become.

    It may be withdrawn as long as it waits for others. Raises BucketError where S3 does not take it,
    SubmissionError where AWS Batch refuses it, DefinitionGoneError where its definition is gone.
    """
    gatherer = await _gatherer(session)
    task.waiting = gatherer.add(kind, parcel, len(parcel.payload))
    try:
        return await task.waiting.job_id
    finally:
        task.waiting = None


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
