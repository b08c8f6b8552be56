"""One watcher for all jobs of a session: a result in S3 is the sign of success, AWS Batch tells of failures.

In each round it asks AWS Batch about many jobs at once (of an array only about the whole) and lists the
outcomes of their dispatches. An outcome is in S3 some seconds before AWS Batch says that its job has ended,
and a listing has a thousand of them. Children of an array are asked about only where they failed.

How soon it looks again: after a tenth of the time since a job was submitted, or since something happened in
its array, `poll_freq` at most; and when its time has come, as jobs of its kind have taken before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import contract
from .errors import AWSBatchError, BucketError
from .fairness import in_turns
from .job import Job, JobStatus, child_id, split_id
from .milestone import Milestone
from .refusals import store_message
from .session import Session

log = logging.getLogger(__name__)

MAX_IDS_PER_CALL = 100
"""AWS Batch's limit for DescribeJobs."""

FIRST_INTERVAL_S = 0.25
INTERVAL_SHARE_OF_AGE = 0.1
"""A job is looked at again after a tenth of its age: noticed at most 10 % late, and seldom when long."""

GATHER_S = 0.1
"""Jobs that are due within this time are asked about together."""

UNKNOWN_PATIENCE_S = 60
"""AWS Batch may not know a fresh job yet; after this time it is taken for lost."""

ERROR_PATIENCE_S = 300
"""How long AWS may fail to answer before the tasks that wait are failed."""

ERROR_PAUSE_S = 2

SMOOTHING = 0.3
"""Of how long jobs of a kind take: the newest one counts for so much."""


class Followed:
    """A job, or a child of an array, that somebody waits for; made by `Watcher.follow`."""

    __slots__ = (
        *("after_attempt", "attempts", "ended", "error", "flight", "index", "is_expected", "job"),
        *("node_ids", "remarks_path", "signed", "unknown_since_s", "_watcher"),
    )

    def __init__(
        self,
        watcher: Watcher,
        flight: Flight,
        index: int | None,
        node_ids: Sequence[int],
        after_attempt: int,
        remarks_path: str,
    ) -> None:
        self.attempts: dict[int, tuple[int, ...]] = {}
        """The attempts that have left an outcome, by node."""
        self.signed: Milestone[None] = Milestone()
        """Reached when all of its tasks have left an outcome, or the job has ended without."""
        self.ended: Milestone[None] = Milestone()
        """Reached when the job has ended and was asked about, as `expect_end` wants it."""
        self.job: Job | None = None
        """The job, when it has ended; None where AWS Batch does not know it."""
        self.error: Exception | None = None
        """Why there is nothing to be known of it: AWS has not answered for minutes."""
        self.index = index
        self.node_ids = node_ids
        self.after_attempt = after_attempt
        """Outcomes of attempts up to this one are of jobs before."""
        self.remarks_path = remarks_path
        """The file that its user wants to read remarks in while it runs; empty: none."""
        self.flight = flight
        self.is_expected = False
        self.unknown_since_s: float | None = None
        """Since when AWS Batch, asked about this child, has not known it."""
        self._watcher = watcher

    @property
    def id(self) -> str:
        """The id of the job, or of the child."""
        return child_id(self.flight.job_id, self.index)

    def expect_end(self) -> None:
        """Ask AWS Batch about this job itself, and soon: it has just ended, or was told to."""
        if not self.is_expected and not self.ended.is_reached:
            self.is_expected = True
            self._watcher.hurry(self)

    def give_up(self) -> None:
        """Let those who wait go on without the job."""
        self._watcher.note_end(self, None)

    @property
    def is_ending(self) -> bool:
        """Whether somebody waits for the job's end."""
        return self.is_expected and not self.ended.is_reached

    def is_whole(self, size: int) -> bool:
        """Tell whether so many are all that are still waited for in its array."""
        return len(self.flight.members) <= size

    def note_outcome(self, node_id: int, attempt: int) -> bool:
        """Take note of an outcome in S3 and tell whether it was the last one that was missing."""
        known = self.attempts.get(node_id, ())
        if attempt <= self.after_attempt:
            return False
        if attempt not in known:
            self.attempts[node_id] = (*known, attempt)
        if self.signed.is_reached or len(self.attempts) < len(self.node_ids):
            return False
        self.signed.reach(None)
        return True

    def resolve(self, job: Job | None) -> None:
        """Let those who wait know the job's end."""
        self.job = job
        self.signed.reach(None)
        self.ended.reach(None)

    def end_like(self, other: Followed) -> None:
        """Take over what another handle of the same job has learned."""
        self.attempts.update(other.attempts)
        self.error = other.error
        self.resolve(other.job)

    def fail(self, error: Exception) -> None:
        """Let those who wait know that nothing is to be known."""
        self.error = error
        self.resolve(None)


@dataclass(eq=False)
class Flight:
    """What one SubmitJob has submitted: a job, or an array; `members` are those who are waited for."""

    job_id: str
    bucket: str
    dispatch_id: str
    kind: Hashable
    poll_interval_limit_s: float
    since_s: float
    active_s: float
    due_s: float
    last_known_s: float
    runnable_timeout_s: float
    """How long it may wait where it can never run; 0: for ever."""
    members: dict[int | None, Followed] = field(default_factory=dict)
    failed: set[int | None] = field(default_factory=set)
    """Children that are known to have failed."""
    waiting_since_s: float | None = None
    """Since when it could run and does not: RUNNABLE, or an array with such children and none that runs."""
    remarks: tuple[str, ...] = ()
    """What was found to keep it waiting, in order."""
    refusal: str = ""
    """The reason with which it was ended because it can never run."""

    @property
    def waits_for(self) -> str:
        """Return what keeps it waiting, as it was found last; empty where nothing does, or is known to."""
        return self.remarks[-1] if self.waiting_since_s is not None and self.remarks else ""

    def reschedule(self, now_s: float, expected_s: float | None) -> None:
        """Set when to look again; `expected_s` is when jobs of this kind have ended before."""
        if expected_s is not None and self.active_s < expected_s <= now_s:
            self.active_s = expected_s
        share_s = (now_s - self.active_s) * INTERVAL_SHARE_OF_AGE
        # The limit may be below the first interval: a user's poll_freq always holds.
        self.due_s = now_s + min(max(share_s, FIRST_INTERVAL_S), self.poll_interval_limit_s)
        if expected_s is not None and now_s < expected_s:
            self.due_s = min(self.due_s, expected_s)

    def to_ask(self, job: Job | None) -> set[int | None]:
        """Return the children that AWS Batch is to be asked about, given what it says of their array."""
        ending = {index for index, each in self.members.items() if each.is_ending}
        if job is not None and job.status.is_final:
            return ending | {index for index, each in self.members.items() if not each.signed.is_reached}
        return ending

    def has_unexplained_failures(self, job: Job) -> bool:
        """Tell whether an array has more failed children than we know, or are asking about."""
        ending = sum(each.is_ending for each in self.members.values())
        return job.children.get(JobStatus.FAILED, 0) > len(self.failed) + ending


_Bucket = tuple[str, str]
"""Bucket and dispatch, whose outcomes one listing shows."""


class Watcher:
    """Waits for jobs of one session; made once for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._flights: dict[str, Flight] = {}
        self._nodes: dict[_Bucket, dict[int, Followed]] = {}
        self._changed = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._failing_since_s: float | None = None
        self._turnarounds_s: dict[Hashable, float] = {}
        self.when_waiting: Callable[[Flight, Job], None] | None = None
        """Called in each look at a job, or an array, that waits for its place."""

    def follow(
        self,
        job_id: str,
        *,
        bucket: str,
        dispatch_id: str,
        node_ids: Sequence[int],
        kind: Hashable,
        poll_interval_limit_s: float,
        after_attempt: int = 0,
        runnable_timeout_s: float = 0,
        remarks_path: str = "",
    ) -> Followed:
        """Begin to watch a job, or a child of an array, that runs these tasks of a dispatch.

        What is learned of how long it takes counts for all of the same `kind`. Where the tasks were submitted
        before, `after_attempt` is the last attempt that those jobs may have had. `runnable_timeout_s` is how
        long the job may wait for its place in vain, `remarks_path` the file to tell in why it waits.
        """
        flight_id, index = split_id(job_id)
        now_s = time.monotonic()
        flight = self._flights.get(flight_id)
        if flight is None:
            due_s = now_s + min(FIRST_INTERVAL_S, poll_interval_limit_s)
            flight = Flight(
                *(flight_id, bucket, dispatch_id, kind, poll_interval_limit_s),
                *(now_s, now_s, due_s, now_s, runnable_timeout_s),
            )
        followed = flight.members.get(index)
        if followed is None:  # else somebody follows it already, through another handle
            followed = Followed(self, flight, index, node_ids, after_attempt, remarks_path)
            self._enter(followed)
        return followed

    def turnaround_s(self, kind: Hashable) -> float | None:
        """Return how long jobs of a kind take from submission to result; None before there was one."""
        return self._turnarounds_s.get(kind)

    def hurry(self, followed: Followed) -> None:
        """Look at a job as if it were fresh."""
        other = self._other_handle(followed)
        if other is not None:
            other.ended.then(partial(followed.end_like, other))
            other.expect_end()
            return
        self._enter(followed)
        flight = followed.flight
        flight.active_s = time.monotonic()
        flight.reschedule(flight.active_s, None)

    def note_end(self, followed: Followed, job: Job | None) -> None:
        """Take note of a job's end; None where AWS Batch does not know it, or nobody is to wait any more."""
        flight = followed.flight
        if job is not None and job.status is JobStatus.FAILED:
            flight.failed.add(followed.index)
        flight.active_s = time.monotonic()
        self._leave(followed)
        followed.resolve(job)

    def _other_handle(self, followed: Followed) -> Followed | None:
        """Return who follows the same job since this one left."""
        flight = self._flights.get(followed.flight.job_id)
        other = None if flight is None else flight.members.get(followed.index)
        return None if other is followed else other

    def _enter(self, followed: Followed) -> None:
        if not self._flights:
            self._failing_since_s = None  # since then nobody has asked AWS, which may have answered
        # It may come back, to wait for its end, when others of its array are followed anew.
        flight = self._flights.setdefault(followed.flight.job_id, followed.flight)
        followed.flight = flight
        flight.members[followed.index] = followed
        nodes = self._nodes.setdefault((flight.bucket, flight.dispatch_id), {})
        nodes.update(dict.fromkeys(followed.node_ids, followed))
        self._changed.set()
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.create_task(self._watch_all(), name="awsbatch watcher")
            self._loop_task.add_done_callback(self._pass_on_fault)

    def _leave(self, followed: Followed) -> None:
        """Stop watching a job that nobody waits for at present."""
        flight = followed.flight
        flight.members.pop(followed.index, None)
        if not flight.members:
            self._flights.pop(flight.job_id, None)
        key = flight.bucket, flight.dispatch_id
        nodes = self._nodes.get(key, {})
        for node_id in followed.node_ids:
            nodes.pop(node_id, None)
        if not nodes:
            self._nodes.pop(key, None)

    def _pass_on_fault(self, done: asyncio.Task[None]) -> None:
        """Fail those who wait if the watcher itself fails: they would wait for ever."""
        error = None if done.cancelled() else done.exception()
        if isinstance(error, Exception):
            for flight in list(self._flights.values()):
                self._fail(flight, error)

    def _fail(self, flight: Flight, error: Exception) -> None:
        for followed in list(flight.members.values()):
            self._leave(followed)
            followed.fail(error)

    # --- rounds -------------------------------------------------------------------------------------------

    async def _watch_all(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        while self._flights:
            await self._sleep_until_due()
            horizon_s = time.monotonic() + GATHER_S
            due = [flight for flight in self._flights.values() if flight.due_s <= horizon_s]
            try:
                await self._look_at(due)
            except (AWSBatchError, BotoCoreError, ClientError) as error:
                await self._bear(due, error)
            else:
                self._failing_since_s = None

    async def _sleep_until_due(self) -> None:
        self._changed.clear()
        delay_s = min(flight.due_s for flight in self._flights.values()) - time.monotonic()
        if delay_s > 0:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), delay_s)

    async def _look_at(self, due: list[Flight]) -> None:
        """Learn what became of these; a job's outcomes are listed after its end was seen, never before."""
        if not due:
            return
        jobs = await describe(self._session, [flight.job_id for flight in due])
        await self._list_outcomes(due)
        ended = {
            flight.members[None]: job
            for flight in due
            if (job := jobs.get(flight.job_id)) and job.status.is_final and None in flight.members
        }
        children, lost = await self._ended_children(due, jobs)
        if children or lost:
            await self._list_outcomes(due)
        for followed, job in (ended | children).items():
            self.note_end(followed, job)
        for followed in lost:
            self.note_end(followed, None)
        now_s = time.monotonic()
        for flight in due:
            self._note_known(flight, flight.job_id in jobs, now_s)
            turnaround_s = self._turnarounds_s.get(flight.kind)
            expected_s = None if turnaround_s is None else flight.since_s + turnaround_s
            flight.reschedule(now_s, expected_s)
            self._note_waiting(flight, jobs.get(flight.job_id), now_s)

    def _note_waiting(self, flight: Flight, job: Job | None, now_s: float) -> None:
        if job is None:  # AWS Batch does not always know what it knows
            return
        if not job.waits_for_place or not flight.members:
            flight.waiting_since_s = None
            return
        if flight.waiting_since_s is None:
            flight.waiting_since_s = now_s
        if self.when_waiting is not None:
            self.when_waiting(flight, job)

    async def _ended_children(
        self, due: Iterable[Flight], jobs: dict[str, Job]
    ) -> tuple[dict[Followed, Job], list[Followed]]:
        """Return those children of arrays that have ended, as outcomes do not tell it, and those lost."""
        asked: dict[str, Followed] = {}
        for flight in due:
            job = jobs.get(flight.job_id)
            indices = flight.to_ask(job) - {None}
            if job is not None and not job.status.is_final and flight.has_unexplained_failures(job):
                indices |= await self._failed_children(flight)
            members = {index: flight.members.get(index) for index in indices}  # some may have left meanwhile
            asked.update({child_id(flight.job_id, index): each for index, each in members.items() if each})
        children = await describe(self._session, list(asked))
        lost = [each for name, each in asked.items() if _is_lost(each, name in children)]
        return {asked[name]: job for name, job in children.items() if job.status.is_final}, lost

    async def _failed_children(self, flight: Flight) -> set[int | None]:
        pages = self._session.batch_pages(
            "list_jobs",
            f"list the failed children of the array {flight.job_id}",
            "jobSummaryList",
            arrayJobId=flight.job_id,
            jobStatus=JobStatus.FAILED.value,
        )
        failed = {split_id(each["jobId"])[1] async for each in pages}
        # What is followed here has failed when it is described so; until then it is asked about.
        flight.failed |= {index for index in failed if index not in flight.members}
        return {index for index in failed if index in flight.members}

    async def _list_outcomes(self, due: Iterable[Flight]) -> None:
        for bucket, dispatch_id in {(flight.bucket, flight.dispatch_id): None for flight in due}:
            store = await self._session.store(bucket)
            await self._list_dispatch(store, bucket, dispatch_id)

    async def _list_dispatch(self, store: Any, bucket: str, dispatch_id: str) -> None:
        import obstore
        from obstore.exceptions import BaseError

        nodes = self._nodes.get((bucket, dispatch_id))
        if not nodes:
            return
        # Keys stand in the nodes' order: what lies before the first that is waited for is known.
        begin = contract.outcome_prefix(dispatch_id, min(nodes))
        try:
            listing = obstore.list(store, contract.outcomes_prefix(dispatch_id), offset=begin)
            async for page in listing:
                await self._note_outcomes(nodes, page)
        except (BaseError, FileNotFoundError) as error:
            text = f"The outcomes in the bucket {bucket!r} cannot be listed: {store_message(error)}"
            raise BucketError(text) from None

    async def _note_outcomes(self, nodes: dict[int, Followed], page: Iterable[Any]) -> None:
        async for meta in in_turns(page):
            try:
                node_id, attempt = contract.outcome_of(meta["path"])
            except ValueError:
                log.warning("The object %r is none of ours", meta["path"])
                continue
            followed = nodes.get(node_id)
            if followed is not None and followed.note_outcome(node_id, attempt):
                self._note_success(followed)

    def _note_success(self, followed: Followed) -> None:
        flight = followed.flight
        flight.active_s = time.monotonic()
        took_s = flight.active_s - flight.since_s
        before_s = self._turnarounds_s.get(flight.kind, took_s)
        self._turnarounds_s[flight.kind] = before_s + SMOOTHING * (took_s - before_s)
        if not followed.is_ending:
            self._leave(followed)

    def _note_known(self, flight: Flight, is_known: bool, now_s: float) -> None:
        if is_known:
            flight.last_known_s = now_s
        elif now_s - flight.last_known_s > UNKNOWN_PATIENCE_S:
            for followed in list(flight.members.values()):
                self.note_end(followed, None)

    async def _bear(self, due: list[Flight], error: Exception) -> None:
        """Take a failed call as passing for some minutes; then those who wait are told."""
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        failing_s = now_s - self._failing_since_s
        log.warning("AWS could not be asked about %d jobs (%.0f s): %s", len(due), failing_s, error)
        if failing_s > ERROR_PATIENCE_S:
            for flight in due:
                self._fail(flight, error)
        await asyncio.sleep(ERROR_PAUSE_S)


def _is_lost(child: Followed, is_known: bool) -> bool:
    """Note whether AWS Batch knows a child, and tell whether it has not for too long."""
    now_s = time.monotonic()
    if is_known:
        child.unknown_since_s = None
    elif child.unknown_since_s is None:
        child.unknown_since_s = now_s
    return child.unknown_since_s is not None and now_s - child.unknown_since_s > UNKNOWN_PATIENCE_S


async def describe(session: Session, job_ids: Sequence[str]) -> dict[str, Job]:
    """Return what AWS Batch says of jobs, by their ids; what it does not know is left out."""
    known: dict[str, Job] = {}
    for start in range(0, len(job_ids), MAX_IDS_PER_CALL):
        some = list(job_ids[start : start + MAX_IDS_PER_CALL])
        answer = await session.batch("describe_jobs", "describe the jobs", jobs=some)
        known.update({detail["jobId"]: Job.from_aws(detail) for detail in answer["jobs"]})
    return known


async def watcher_for(session: Session) -> Watcher:
    """Return the session's watcher; there is one."""

    async def make() -> Watcher:
        return Watcher(session)

    return await session.once("watcher", make)
