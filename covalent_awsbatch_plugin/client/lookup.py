"""What a person asks about jobs, by any of their ids: which they are, and what AWS Batch and S3 say of them.

Nothing here waits for a job's end, and nothing opens a pickle.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from itertools import islice

from .. import contract, outcome, packs, recovery, submit, watch
from ..errors import BucketError, UnknownJobError
from ..examination import examine
from ..job import Job, JobStatus, split_id
from ..outcome import Found, Stored
from ..session import Session
from ..settings import Settings
from ..waiting import Finding
from . import conversation
from .batch import CANCEL_REASON
from .conversation import number_of, places, run_of
from .job import ID_SEPARATOR

_BATCH_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?::\d+)?")
_RUN_ID = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Member:
    """A job of a run, or a child of one of its arrays."""

    run_id: str
    number: int | None
    """None where only its pack could tell, and that is gone."""
    job: Job | None = None
    """None where AWS Batch does not know it, or not any more."""
    outcome: Found = None

    @property
    def id(self) -> str:
        """What it is found by; AWS Batch's own id where there is no other."""
        if self.number is None:
            return self.job.id if self.job is not None else self.run_id
        return f"{self.run_id}{ID_SEPARATOR}{self.number}"


@dataclass(frozen=True)
class Run:
    """What was submitted by one `map`, one client or one dispatch; or a single array of it."""

    id: str
    jobs: list[Job]
    """Its jobs and arrays that AWS Batch knows, newest first."""
    numbers: list[int]
    """Of its jobs, where AWS Batch knows none of them any more."""

    @property
    def states(self) -> dict[JobStatus, int]:
        """How many of its jobs, arrays' children each, are in which state."""
        total: Counter[JobStatus] = Counter()
        for job in self.jobs:
            total.update(states_of(job))
        return {status: total[status] for status in JobStatus if total[status]}


def id_of(job: Job) -> str:
    """Return what a job of a queue's listing is found by: an array's run, or run and number.

    Raises UnknownJobError where it is none of ours.
    """
    run_id = run_of(job)
    return run_id if job.array_size else f"{run_id}{ID_SEPARATOR}{number_of(job, {})}"


def states_of(job: Job) -> dict[JobStatus, int]:
    """Return how many of an array's children are in which state; any other job is one in its own."""
    if job.array_size is None:
        return {job.status: 1}
    return {status: count for status, count in job.children.items() if count} or {job.status: job.array_size}


# --- to find ----------------------------------------------------------------------------------------------


async def recent(session: Session, settings: Settings, limit: int, status: JobStatus | None) -> list[Job]:
    """Return the newest jobs and arrays of the queue, in a state; an array is in those of its children.

    Raises SubmissionError where AWS Batch does not list them.
    """
    found: list[Job] = []
    async for job in submit.newest_first(session, settings.batch_queue, contract.JOB_NAME_PREFIX):
        if _is_ours(job) and (status is None or status in (job.status, *states_of(job))):
            found.append(job)
            if len(found) == limit:
                break
    return found


async def look_up(session: Session, settings: Settings, given: str) -> Member | Run:
    """Return what an id means: `run/number`, a run, or AWS Batch's own id of a job, an array or a child.

    Raises UnknownJobError where there is nothing of it, or it is none of ours.
    """
    run_id, separator, number = given.partition(ID_SEPARATOR)
    if separator:
        if not (_RUN_ID.fullmatch(run_id) and number.isdecimal()):
            raise UnknownJobError(f"{given!r} is no job's id, such as 'f-0a1b2c3d4e5f/0'.")
        return await _member(session, settings, run_id, int(number))
    if _BATCH_ID.fullmatch(given):
        job = (await watch.describe(session, [given])).get(given)
        if job is not None:
            return await _by_job(session, settings, job)
        if split_id(given)[1] is not None:
            raise UnknownJobError(f"AWS Batch does not know the job {given!r}, or not any more.")
    return await _run(session, settings, given)  # a dispatch's id looks like AWS Batch's


async def look_up_one(session: Session, settings: Settings, given: str) -> Member:
    """Return the one job that an id means.

    Raises UnknownJobError where there is none, or several.
    """
    found = await look_up(session, settings, given)
    if isinstance(found, Member):
        return found
    if len(found.jobs) == 1 and found.jobs[0].array_size is None:
        return Member(found.id, number_of(found.jobs[0], {}), found.jobs[0])
    count = sum(found.states.values()) or len(found.numbers)
    firsts = [contract.run_of(job.name).group_id for job in found.jobs]
    example = found.numbers[0] if found.numbers else min(firsts)
    raise UnknownJobError(
        f"{given!r} is not one job but {count}: name one of them, such as {found.id}{ID_SEPARATOR}{example}."
    )


async def _by_job(session: Session, settings: Settings, job: Job) -> Member | Run:
    run_id = run_of(job)
    if job.array_size:
        return Run(run_id, [job], [])
    is_child = split_id(job.id)[1] is not None
    numbers = await places(session, settings, run_id) if is_child else {}
    return Member(run_id, number_of(job, numbers), job)


async def _member(session: Session, settings: Settings, run_id: str, number: int) -> Member:
    bucket = settings.s3_bucket_name
    job_id, _ = await recovery.find_job(session, settings, run_id, number)
    job = (await watch.describe(session, [job_id])).get(job_id) if job_id else None
    is_known = job is not None or await outcome.attempts_of(session, bucket, run_id, number)
    if not is_known and not await packs.find(session, bucket, run_id, number):
        raise _unknown(settings, f"{run_id}{ID_SEPARATOR}{number}")
    return Member(run_id, number, job)


async def _run(session: Session, settings: Settings, run_id: str) -> Run:
    if not _RUN_ID.fullmatch(run_id):
        raise UnknownJobError(f"{run_id!r} is the id of no job and no run, such as 'f-0a1b2c3d4e5f'.")
    name_start = f"{contract.JOB_NAME_PREFIX}{run_id}-"
    newest: dict[str, Job] = {}
    async for job in submit.newest_first(session, settings.batch_queue, name_start):
        if _is_ours(job) and run_of(job) == run_id:  # and not that of a run whose name begins like this one's
            newest.setdefault(job.name, job)
    if newest:
        return Run(run_id, list(newest.values()), [])
    numbers = sorted(await packs.read(session, settings.s3_bucket_name, run_id))
    if not numbers:
        raise _unknown(settings, run_id)
    return Run(run_id, [], numbers)


def _is_ours(job: Job) -> bool:
    try:
        run_of(job)
    except UnknownJobError:
        return False
    return True


def _unknown(settings: Settings, given: str) -> UnknownJobError:
    queue, bucket = settings.batch_queue, settings.s3_bucket_name
    return UnknownJobError(f"Neither the queue {queue!r} nor the bucket {bucket!r} knows {given!r}.")


# --- to tell ----------------------------------------------------------------------------------------------


async def with_outcome(session: Session, settings: Settings, member: Member) -> Member:
    """Return a job with its outcome; where that cannot be read, with the reason in its place."""
    if member.number is None:
        return member
    try:
        attempts = await outcome.attempts_of(session, settings.s3_bucket_name, member.run_id, member.number)
    except BucketError as error:
        return replace(member, outcome=error)
    found = await outcome.find(session, settings, member.run_id, member.number, attempts)
    return replace(member, outcome=found)


async def notable(session: Session, settings: Settings, run: Run, limit: int) -> tuple[list[Member], int]:
    """Return the failed jobs of a run with their outcomes, `limit` at most, and how many there are in all.

    Where AWS Batch knows no job of the run any more, only outcomes can tell: then they are all of its jobs.
    Raises SubmissionError where AWS Batch does not list them.
    """
    members = [Member(run.id, number) for number in run.numbers] or await _failed(session, settings, run)
    shown = islice(members, limit)
    return await asyncio.gather(*(with_outcome(session, settings, each) for each in shown)), len(members)


async def _failed(session: Session, settings: Settings, run: Run) -> list[Member]:
    failed = [job for job in run.jobs if job.array_size is None and job.status is JobStatus.FAILED]
    arrays = [job for job in run.jobs if job.array_size and JobStatus.FAILED in states_of(job)]
    for of_array in await asyncio.gather(
        *(submit.children(session, array.id, JobStatus.FAILED) for array in arrays)
    ):
        failed += of_array
    numbers = await places(session, settings, run.id) if arrays else {}
    members = [Member(run.id, number_of(job, numbers), job) for job in failed]
    return sorted(members, key=lambda each: (each.number is None, each.number or 0))


async def kept_waiting(session: Session, jobs: Iterable[Job]) -> dict[str, Finding]:
    """Return what keeps those of the jobs and arrays that wait from their places, by AWS Batch's ids.

    Raises SetupError or botocore's ClientError where AWS Batch does not describe them.
    """
    waiting = [job.id for job in jobs if job.waits_for_place]
    # What was listed tells neither its queue nor what it asks for.
    described = await watch.describe(session, waiting)
    return {job.id: await examine(session, job) for job in described.values() if job.waits_for_place}


async def log_lines(
    session: Session, settings: Settings, member: Member, *, follow: bool
) -> AsyncIterator[str]:
    """Yield the lines of a job's last attempt; with `follow`, as they come, until the job has ended.

    Of a job that AWS Batch has forgotten, these are those of its outcome. Raises LogsError where CloudWatch
    does not let us read.
    """
    if member.job is None:
        for line in _printed((await with_outcome(session, settings, member)).outcome):
            yield line
        return
    async for line in conversation.log_lines(settings, member.job.id, follow=follow):
        yield line


def _printed(found: Found) -> list[str]:
    if not isinstance(found, Stored):
        return []
    return [line for text in found.streams().values() for line in text.splitlines()]


# --- to end -----------------------------------------------------------------------------------------------


def unfinished(found: Iterable[Member | Run]) -> list[tuple[str, Job]]:
    """Return what has not ended, by the ids that a person gives, each but once.

    A child of an array that is among them ends with it.
    """
    jobs: dict[str, tuple[str, Job]] = {}
    for each in found:
        if isinstance(each, Run):
            jobs |= {job.id: (id_of(job), job) for job in each.jobs}
        elif each.job is not None:
            jobs[each.job.id] = each.id, each.job
    return [
        (shown_id, job)
        for job_id, (shown_id, job) in jobs.items()
        if not job.status.is_final and (split_id(job_id)[1] is None or split_id(job_id)[0] not in jobs)
    ]


def how_many(jobs: Iterable[Job]) -> int:
    """Return how many jobs end where these jobs and arrays do, as far as AWS has counted."""
    return sum(max(1, _unfinished_children(job)) for job in jobs)


def _unfinished_children(job: Job) -> int:
    return sum(count for status, count in states_of(job).items() if not status.is_final)


async def end(session: Session, jobs: Iterable[Job]) -> None:
    """End jobs and arrays, each with one call, as the client's own `cancel` would.

    Raises SetupError or botocore's ClientError where AWS refuses it.
    """
    await asyncio.gather(*(submit.terminate(session, job.id, CANCEL_REASON) for job in jobs))
