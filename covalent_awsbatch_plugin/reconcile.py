"""After Covalent's server was killed or stopped: what it still calls RUNNING, and what runs without it.

Values and errors come in through the server, which has the executor's `receive()` find them; here is only
found out for which nodes, and looked whether they came.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from . import contract, outcome, recovery, submit, watch
from .covalent_server import ENDED, RUNNING, CovalentServer, Dispatch, Node
from .diagnosis import ENDED_AS_ORPHANED
from .errors import UnknownJobError
from .job import Job
from .pipeline import RECOVER
from .session import Session, open_session
from .settings import Settings

EXECUTOR = "awsbatch"

END_REASON = ENDED_AS_ORPHANED

SettingsOf = Callable[[Mapping[str, Any]], Settings]
"""Returns the settings of an executor with these options."""

FIRST_LOOK_S = 0.5
LAST_LOOK_S = 10.0
INTERVAL_SHARE_OF_WAIT = 0.1
"""Covalent is asked again after a tenth of the time since the last node came in."""

PATIENCE_S = 60.0
"""How long a node whose job has ended may take to come in: the server fetches its value meanwhile."""

SETTLE_S = 20.0
"""How long Covalent may take from its last node's end to its next one's start, or to the dispatch's end."""

AFTERGLOW = timedelta(minutes=2)
"""So long after its dispatch a job may still run and be no orphan: a value in S3 ends a node before AWS Batch
sees the job's end, and a cancelled job has 30 s for its own."""


@dataclass(frozen=True)
class Stranded:
    """A node that Covalent calls RUNNING, and what is known of its job."""

    node: Node
    settings: Settings
    job: Job | None
    """None where there is none, or where AWS Batch has forgotten it."""
    has_outcome: bool
    """Whether its job, in some attempt, has left an outcome in S3."""

    @property
    def is_lost(self) -> bool:
        """Tell whether there is nothing that could be brought in: no job, and no outcome."""
        return self.job is None and not self.has_outcome

    @property
    def has_ended(self) -> bool:
        """Tell whether it can be brought in without waiting."""
        return self.has_outcome or (self.job is not None and self.job.status.is_final)

    def is_older(self, before: datetime) -> bool:
        """Tell whether Covalent started it before a time."""
        return self.node.started_at is not None and self.node.started_at < before


@dataclass(frozen=True)
class Orphan:
    """A job or array that has not ended, of a dispatch that the server does not know or calls ended."""

    job: Job
    settings: Settings
    dispatch_id: str
    dispatch_status: str
    """Empty where the server does not know its dispatch."""

    def is_older(self, before: datetime) -> bool:
        """Tell whether it was submitted before a time."""
        return self.job.created_at is not None and self.job.created_at < before


@dataclass(frozen=True)
class Survey:
    """What a server that was started again has to be told of."""

    stranded: list[Stranded]
    orphans: list[Orphan]
    """The oldest first. Another server's jobs look the same."""


@dataclass(frozen=True)
class Standing:
    """Where a dispatch stands when its nodes have come in."""

    dispatch: Dispatch
    states: Mapping[int, str]

    @property
    def failed(self) -> list[int]:
        """Return the nodes that failed."""
        return sorted(number for number, state in self.states.items() if state == "FAILED")

    @property
    def is_forgotten(self) -> bool:
        """Tell whether Covalent itself does not know how to go on: no node has failed, or runs."""
        if self.dispatch.status == "FAILED":
            return not self.failed
        return self.dispatch.status == RUNNING and not self.goes_on

    @property
    def goes_on(self) -> bool:
        """Tell whether some node runs."""
        return any(state not in ENDED and state != "NEW_OBJECT" for state in self.states.values())


# --- what Covalent waits for, and what runs without it ----------------------------------------------------


async def survey(server: CovalentServer, settings_of: SettingsOf, dispatch_id: str | None = None) -> Survey:
    """Return the nodes of this executor that are RUNNING, and the jobs that no node waits for.

    Of one dispatch; or the nodes of all dispatches that are RUNNING or have a job that is not over, and the
    jobs of the queue. Raises CovalentServerError where the server does not answer, UnknownJobError where
    nobody knows the dispatch, SetupError or SubmissionError where AWS does not let us look, SettingsError
    for an executor that it would refuse.
    """
    listed = await (server.known([dispatch_id]) if dispatch_id else server.running())
    settings = settings_of({})
    jobs = [(job, its) for job, its in await _unfinished(settings) if its == (dispatch_id or its)]
    known = listed | await server.known(its for _, its in jobs if its not in listed)
    if dispatch_id and not jobs and not known:
        raise UnknownJobError(
            f"Covalent's server at {server.url} does not know the dispatch {dispatch_id!r}, and the queue "
            f"{settings.batch_queue!r} has no job of it that is not over."
        )
    nodes = await _running_nodes(server, known)
    stranded = await _located([(node, settings_of(node.executor_options)) for node in nodes])
    awaited = {node.dispatch_id for node in nodes}
    orphans = [
        Orphan(job, settings, its, known[its].status if its in known else "")
        for job, its in jobs
        if its not in awaited and _is_over(known.get(its))
    ]
    return Survey(stranded, orphans)


async def _running_nodes(server: CovalentServer, dispatch_ids: Iterable[str]) -> list[Node]:
    """Return the nodes of this executor that the server calls RUNNING, in their order."""
    found = await asyncio.gather(*(server.nodes(each) for each in sorted(dispatch_ids)))
    return [node for nodes in found for node in nodes if node.executor == EXECUTOR and node.status == RUNNING]


async def _unfinished(settings: Settings) -> list[tuple[Job, str]]:
    """Return the jobs of dispatches that have not ended, with their dispatches, the oldest first."""
    session = open_session(settings)
    found: list[tuple[Job, str]] = []
    for queue in settings.queues:
        for job in await submit.unfinished(session, queue, contract.JOB_NAME_PREFIX):
            if dispatch_id := _dispatch_of(job):
                found.append((job, dispatch_id))
    return sorted(found, key=lambda each: each[0].created_at or datetime.max.replace(tzinfo=timezone.utc))


def _dispatch_of(job: Job) -> str:
    """Return the dispatch of a job of Covalent's; empty for others: the client's runs have no UUIDs."""
    with contextlib.suppress(ValueError):
        dispatch_id = contract.run_of(job.name).dispatch_id
        if str(uuid.UUID(dispatch_id)) == dispatch_id:
            return dispatch_id
    return ""


def _is_over(dispatch: Dispatch | None) -> bool:
    if dispatch is None:
        return True
    recently = datetime.now(timezone.utc) - AFTERGLOW
    return dispatch.status in ENDED and (dispatch.ended_at is None or dispatch.ended_at < recently)


async def _located(nodes: Sequence[tuple[Node, Settings]]) -> list[Stranded]:
    ids = await asyncio.gather(*(_job_id(node, settings) for node, settings in nodes))
    by_session: dict[Session, list[str]] = {}
    for (_, settings), job_id in zip(nodes, ids, strict=True):
        by_session.setdefault(open_session(settings), []).extend([job_id] if job_id else [])
    jobs: dict[str, Job] = {}
    for session, some in by_session.items():
        jobs |= await watch.describe(session, list(dict.fromkeys(some)))
    has_outcome = await asyncio.gather(*(_has_outcome(node, settings) for node, settings in nodes))
    return [
        Stranded(node, settings, jobs.get(job_id), left)
        for (node, settings), job_id, left in zip(nodes, ids, has_outcome, strict=True)
    ]


async def _job_id(node: Node, settings: Settings) -> str:
    session = open_session(settings)
    return (await recovery.find_job(session, settings, node.dispatch_id, node.group_id))[0]


async def _has_outcome(node: Node, settings: Settings) -> bool:
    session, bucket = open_session(settings), settings.s3_bucket_name
    return bool(await outcome.attempts_of(session, bucket, node.dispatch_id, node.node_id))


# --- to bring in --------------------------------------------------------------------------------------------


async def bring_in(
    server: CovalentServer, stranded: Iterable[Stranded], came: Callable[[Stranded, str], None]
) -> list[Stranded]:
    """Have the server bring nodes in, and call `came` for each with the state that it then has.

    Waits for jobs that still run; the server follows each of them by itself, also when nobody waits here any
    more. Returns the nodes that did not come in although nothing keeps them: the server's log says why.
    Raises CovalentServerError where the server does not answer.
    """
    missing = {(each.node.dispatch_id, each.node.node_id): each for each in stranded}
    await asyncio.gather(*(server.receive(*key, RECOVER) for key in missing))
    came_s = looked_s = time.monotonic()
    while missing:
        waited_s = time.monotonic() - came_s
        await asyncio.sleep(min(max(FIRST_LOOK_S, waited_s * INTERVAL_SHARE_OF_WAIT), LAST_LOOK_S))
        for key, state in (await _ended(server, missing)).items():
            came_s = looked_s = time.monotonic()
            came(missing.pop(key), state)
        if missing and time.monotonic() - looked_s > PATIENCE_S:
            if all(each.has_ended or each.is_lost for each in missing.values()):
                return list(missing.values())
            again = await _located([(each.node, each.settings) for each in missing.values()])
            missing = dict(zip(missing, again, strict=True))
            looked_s = time.monotonic()
    return []


async def _ended(server: CovalentServer, nodes: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return the states of those nodes that are not RUNNING any more."""
    states = {dispatch_id: await server.states(dispatch_id) for dispatch_id in {each for each, _ in nodes}}
    now = {(dispatch_id, node_id): states[dispatch_id][node_id] for dispatch_id, node_id in nodes}
    return {key: state for key, state in now.items() if state != RUNNING}


async def standing(server: CovalentServer, dispatch_ids: Iterable[str]) -> list[Standing]:
    """Return where dispatches stand, once Covalent had the time to go on with them.

    Raises CovalentServerError where the server does not answer.
    """
    ids = list(dict.fromkeys(dispatch_ids))
    deadline_s = time.monotonic() + SETTLE_S
    while True:
        known = await server.known(ids)
        found = [Standing(known[each], await server.states(each)) for each in ids]
        if time.monotonic() > deadline_s or all(_is_clear(each) for each in found):
            return found
        await asyncio.sleep(FIRST_LOOK_S)


def _is_clear(found: Standing) -> bool:
    return found.dispatch.status in ENDED or found.goes_on


# --- to end -------------------------------------------------------------------------------------------------


async def end(orphans: Iterable[Orphan]) -> None:
    """End orphans, arrays with one call each.

    Raises SetupError or botocore's ClientError where AWS refuses it.
    """
    await asyncio.gather(
        *(submit.terminate(open_session(each.settings), each.job.id, END_REASON) for each in orphans)
    )
