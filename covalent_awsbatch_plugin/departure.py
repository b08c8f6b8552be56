"""Jobs that end with the process that waits for them: many at once, on whatever event loop still runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import contract, packs, submit
from .errors import AWSBatchError
from .job import Job, child_id
from .running import CANCEL_REASON
from .session import Session, open_session
from .settings import Settings

log = logging.getLogger(__name__)

STOP_REASON = f"{CANCEL_REASON}: its server was stopped"

Places = Mapping[int, Sequence[packs.Packed]]
"""Where the groups of a dispatch are packed."""

LOOK_AGAIN_AFTER_S = (1.0, 3.0)
"""A submission that nobody heard the answer of is listed some moments after AWS Batch has taken it."""


@dataclass(frozen=True)
class Known:
    """A job, an array or a child that is to end."""

    settings: Settings
    job_id: str


@dataclass(frozen=True)
class Unseen:
    """A task group whose job is known by its name only: submitted by an earlier process, or just now."""

    settings: Settings
    dispatch_id: str
    group_id: int
    is_coming: bool = False
    """Whether its job may be accepted at this moment."""


async def end(known: Sequence[Known], unseen: Sequence[Unseen]) -> None:
    """End jobs, of those without ids all that the queues have; what cannot be ended is logged.

    Needs nothing of the event loop that the jobs were submitted on.
    """
    by_queue: dict[tuple[Session, str], list[Unseen]] = {}
    for each in unseen:
        for queue in each.settings.queues:
            by_queue.setdefault((open_session(each.settings), queue), []).append(each)
    await asyncio.gather(
        *(_terminate(open_session(each.settings), each.job_id) for each in known),
        *(_end_in(session, queue, groups) for (session, queue), groups in by_queue.items()),
    )


async def _end_in(session: Session, queue: str, groups: list[Unseen]) -> None:
    pauses_s = LOOK_AGAIN_AFTER_S if any(each.is_coming for each in groups) else ()
    ended: set[str] = set()
    try:
        for pause_s in (0.0, *pauses_s):
            await asyncio.sleep(pause_s)
            found = await _jobs_of(session, queue, groups) - ended
            await asyncio.gather(*(_terminate(session, job_id) for job_id in found))
            ended |= found
    except AWSBatchError as error:
        log.error("Jobs in the queue %s should have ended with this server and run on: %s", queue, error)


async def _terminate(session: Session, job_id: str) -> None:
    from botocore.exceptions import ClientError

    try:
        await submit.terminate(session, job_id, STOP_REASON)
    except (AWSBatchError, ClientError) as error:
        log.error("The job %s should have ended with this server and runs on: %s", job_id, error)


async def _jobs_of(session: Session, queue: str, groups: list[Unseen]) -> set[str]:
    """Return the ids of what has to end in a queue: jobs, arrays that are these groups', or children."""
    by_dispatch: dict[str, dict[int, Unseen]] = {}
    for each in groups:
        by_dispatch.setdefault(each.dispatch_id, {})[each.group_id] = each
    found: set[str] = set()
    places: dict[str, Places] = {}
    for job, name in _named(await submit.unfinished(session, queue, contract.JOB_NAME_PREFIX)):
        wanted = by_dispatch.get(name.dispatch_id, {})
        if job.array_size is None:
            found |= {job.id} if name.group_id in wanted else set()
        elif wanted:
            if name.dispatch_id not in places:
                bucket = next(iter(wanted.values())).settings.s3_bucket_name
                places[name.dispatch_id] = await packs.read(session, bucket, name.dispatch_id)
            found |= _part_of(job, name, wanted, places[name.dispatch_id])
    return found


def _named(jobs: Iterable[Job]) -> Iterator[tuple[Job, contract.JobName]]:
    for job in jobs:
        with contextlib.suppress(ValueError):  # somebody else's, whose name begins like ours
            yield job, contract.run_of(job.name)


def _part_of(array: Job, name: contract.JobName, wanted: Iterable[int], places: Places) -> set[str]:
    """Return the array's id where all of its groups are wanted, else those of its children that are."""
    indexes = [
        packed.index
        for group_id in wanted
        for packed in places.get(group_id, ())
        if (packed.first_group_id, packed.rung) == (name.group_id, name.rung)
    ]
    if len(indexes) == array.array_size:
        return {array.id}
    return {child_id(array.id, index) for index in indexes}
