"""Tasks that are an array by themselves: submitted without waiting for others, and ended together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import origin, payload
from .fairness import in_turns
from .job import split_id
from .payload import Group, Parcel
from .preparation import kind_of, needs_of
from .running import Running, end, follow
from .session import Session
from .shipment import Kind, shares, ship
from .submit import Dependency
from .threads import in_thread


@dataclass(frozen=True)
class Prepared:
    """Tasks of one function that can be submitted as an array, each with its parcel."""

    tasks: Sequence[Running]
    parcels: list[Parcel]
    kind: Kind


async def prepare(session: Session, tasks: Sequence[Running], groups: list[Group]) -> Prepared:
    """Do all that comes before the submission; it may be given up at any moment.

    Raises SetupError or SubmissionError for what is missing, BucketError where S3 does not take something.
    """
    settings = tasks[0].settings
    _, needs = await needs_of(session, settings, groups[0])
    kind = await kind_of(session, tasks[0], needs)
    origin_key = await origin.dispatch_key(settings, tasks[0].dispatch_id)
    pack = partial(payload.parcel, origin_key=origin_key, kms_key_id=settings.kms_key_id)
    parcels = await in_thread(lambda: [pack(group) for group in groups])
    parcels = await payload.upload_contents(session, settings, parcels)
    return Prepared(tasks, parcels, kind)


async def submit_array(session: Session, prepared: Prepared, depends_on: Sequence[Dependency]) -> None:
    """Submit tasks without waiting for others, and follow their jobs.

    Where they are more than an array may have, there are several; where they depend on each other one by
    one, each array also waits for the one before it. Not to be given up half-way. Raises what submission
    raises; tasks that have no job then will not get one.
    """
    tasks, kind = prepared.tasks, prepared.kind
    in_order = Dependency() in depends_on
    before: list[Dependency] = []
    submissions: list[Coroutine[Any, Any, str]] = []
    first = 0
    for share in shares(prepared.parcels, kind):
        some = tasks[first : first + len(share)]
        first += len(share)
        # One job has no children that could wait for each other.
        own = [each for each in depends_on if each != Dependency() or len(share) > 1]
        submission = _submit_share(session, kind, some, share, [*own, *before])
        if in_order:
            before = [Dependency(split_id(await submission)[0])]
        else:
            submissions.append(submission)
    answers = await asyncio.gather(*submissions, return_exceptions=True)  # none is to be left half-way
    cancel_together([task for task in tasks if task.is_cancelled])
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer


async def _submit_share(
    session: Session,
    kind: Kind,
    tasks: Sequence[Running],
    parcels: list[Parcel],
    depends_on: Sequence[Dependency],
) -> str:
    """Submit one job or array, and return the id of its first."""
    job_ids = await ship(session, kind, parcels, depends_on)
    async for job_id, task in in_turns(zip(job_ids, tasks, strict=True)):
        task.kind = kind
        await follow(session, task, job_id)
    return job_ids[0]


def cancel_together(tasks: Sequence[Running]) -> None:
    """End tasks, and where they are all of an array's that still run, the array with one call."""
    for task in tasks:
        if task.followed is None:
            task.cancel()
    for job_id, members in jobs_to_end(tasks).items():
        for task in members:
            task.is_cancelled = True
        if len(members) > 1:
            cancelled = [task.followed for task in members if task.followed is not None]
            members[0].ending = asyncio.create_task(end(members[0], job_id, cancelled))
        else:
            members[0].end_job()


def jobs_to_end(tasks: Sequence[Running]) -> dict[str, list[Running]]:
    """Return the jobs with which tasks end, each with its tasks: an array where no other of its still runs.

    Tasks that have no job yet are left out.
    """
    of_array: dict[str, list[Running]] = {}
    for task in tasks:
        if task.followed is not None:
            of_array.setdefault(split_id(task.job_id)[0], []).append(task)
    ends: dict[str, list[Running]] = {}
    for array_id, members in of_array.items():
        first = members[0].followed
        if len(members) > 1 and first is not None and first.is_whole(len(members)):
            ends[array_id] = members
        else:
            ends |= {task.job_id: [task] for task in members}
    return ends
