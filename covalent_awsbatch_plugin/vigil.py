"""Looks after jobs that wait long for their place: tells what keeps them, and ends what can never run.

An array is looked into as a whole, as often as a job. What is found goes to the log, to the file that the
user wants errors in, and to the stderr of its tasks. Only what can never run, and stays so, is ended, and
only where `runnable_timeout` is set.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from pathlib import Path
from weakref import WeakKeyDictionary

from . import submit
from .errors import AWSBatchError
from .examination import KEPT_S, examine
from .job import Job, JobStatus
from .refusals import error_message
from .session import Session
from .threads import in_thread
from .waiting import Finding, reason_to_end
from .watch import Flight, Followed, Watcher, describe, watcher_for

log = logging.getLogger(__name__)

DWELL_S = 180.0
"""When a job that waits is looked into first: before, AWS Batch itself gives no reason."""

LONGEST_INTERVAL_S = 1800.0
"""A job is looked into again when it has waited twice as long, but within this time."""

PERSISTENCE_S = 600.0
"""How long AWS Batch must say so where it says "never" also of what it has not started instances for."""

FRESH_S = 10.0
"""How old what is known of a queue may be where a job is ended for it."""

MAX_NODES_TOLD = 5


@dataclass(slots=True)
class _Wait:
    """How long a job has waited, and what was found to keep it."""

    since_s: float
    due_s: float
    """When to look into it; never while it is looked into."""
    finding: Finding | None = None
    never_since_s: float | None = None
    """Since when it was found, each time, that it can never run."""

    def note(self, finding: Finding, now_s: float) -> bool:
        """Take note of a finding and tell whether it is a new one."""
        is_new = finding != self.finding
        self.finding = finding
        if not finding.can_never_run:
            self.never_since_s = None
        elif self.never_since_s is None:
            self.never_since_s = now_s
        return is_new

    def is_in_vain(self, timeout_s: float, now_s: float) -> bool:
        """Tell whether a job has waited as long as it may for what never comes."""
        return timeout_s > 0 and self.never_since_s is not None and now_s >= self._end_s(timeout_s)

    def next_look_s(self, timeout_s: float, now_s: float) -> float:
        """Return when to look into the job again."""
        waited_s = now_s - self.since_s
        due_s = now_s + min(max(waited_s, KEPT_S), LONGEST_INTERVAL_S)
        end_s = self._end_s(timeout_s)
        return min(due_s, end_s) if timeout_s > 0 and end_s > now_s else due_s

    def _end_s(self, timeout_s: float) -> float:
        """Return when the job's time is over, as far as it is known now."""
        may_pass = self.finding is not None and self.finding.may_pass
        persisted_s = self.never_since_s + PERSISTENCE_S if may_pass and self.never_since_s else 0.0
        return max(self.since_s + timeout_s, persisted_s)


class Vigil:
    """Keeps an eye on the jobs of one session that wait; made once for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waits: WeakKeyDictionary[Flight, _Wait] = WeakKeyDictionary()
        self._looking: set[asyncio.Task[None]] = set()

    def note_waiting(self, flight: Flight, job: Job) -> None:
        """Look into a job that waits for its place, where it is time to."""
        since_s, now_s = flight.waiting_since_s, time.monotonic()
        if since_s is None:
            return
        wait = self._waits.get(flight)
        if wait is None or wait.since_s != since_s:  # it may have run, and wait anew
            dwell_s = min(DWELL_S, flight.runnable_timeout_s or DWELL_S)
            wait = self._waits[flight] = _Wait(since_s, since_s + dwell_s)
        if now_s >= wait.due_s:
            wait.due_s = float("inf")
            self._looking.add(task := asyncio.create_task(self._look_into(flight, job, wait)))
            task.add_done_callback(self._looking.discard)

    async def _look_into(self, flight: Flight, job: Job, wait: _Wait) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        timeout_s = flight.runnable_timeout_s
        try:
            if await self._find(flight, job, wait, KEPT_S) and wait.is_in_vain(timeout_s, time.monotonic()):
                await self._end(flight, wait)
        except (AWSBatchError, BotoCoreError, ClientError) as error:
            log.warning("The job %s, which waits, could not be ended: %s", job.id, error_message(error))
        finally:
            wait.due_s = wait.next_look_s(timeout_s, time.monotonic())

    async def _find(self, flight: Flight, job: Job, wait: _Wait, kept_s: float) -> bool:
        """Find out what keeps a job and tell it, where that is new; return whether it waits still."""
        finding = await examine(self._session, job, kept_s=kept_s)
        if flight.waiting_since_s != wait.since_s:
            return False
        if wait.note(finding, time.monotonic()):
            await _tell(flight, job, finding, time.monotonic() - wait.since_s)
        return True

    async def _end(self, flight: Flight, wait: _Wait) -> None:
        """End a job that can never run, or a whole array, if all that is still so."""
        job = (await describe(self._session, [flight.job_id])).get(flight.job_id)
        if job is None or not job.waits_for_place or not await self._find(flight, job, wait, FRESH_S):
            return
        now_s = time.monotonic()
        if wait.finding is None or not wait.is_in_vain(flight.runnable_timeout_s, now_s):
            return
        # Not terminated: what has started in this very moment is to run.
        reason = reason_to_end(wait.finding, now_s - wait.since_s)
        await submit.cancel(self._session, job.id, reason)
        flight.refusal = reason
        log.warning("%s: the job %s was %s", _tasks_of(flight), job.id, reason)


def refused(followed: Followed) -> Job | None:
    """Return a job that has ended, with our own reason where it was ended here.

    Whether AWS Batch tells an array's children why their array was ended was not seen.
    """
    job, reason = followed.job, followed.flight.refusal
    if job is None or not reason or job.status is not JobStatus.FAILED or job.attempts:
        return job
    return replace(job, status_reason=reason)


# --- where it is told -------------------------------------------------------------------------------------


async def _tell(flight: Flight, job: Job, finding: Finding, waited_s: float) -> None:
    remark = f"the job {job.id} {finding.after(waited_s)}"
    flight.remarks = (*flight.remarks, remark)
    text = f"{_tasks_of(flight)}: {remark}"
    log.log(logging.WARNING if finding.can_never_run else logging.INFO, "%s", text)
    paths = {each.remarks_path for each in flight.members.values()} - {""}
    if paths:
        await in_thread(partial(_append, sorted(paths), text))


def _tasks_of(flight: Flight) -> str:
    """Name the tasks that wait for a job, a few of many."""
    nodes = sorted(node_id for each in flight.members.values() for node_id in each.node_ids)
    more = f" and {len(nodes) - MAX_NODES_TOLD} more" if len(nodes) > MAX_NODES_TOLD else ""
    noun = "node" if len(nodes) == 1 else "nodes"
    return f"{flight.dispatch_id}, {noun} {', '.join(map(str, islice(nodes, MAX_NODES_TOLD)))}{more}"


def _append(paths: Iterable[str], text: str) -> None:
    line = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC covalent-awsbatch: {text}\n"
    for path in paths:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line)
        except OSError as error:
            log.warning("log_stderr %r cannot be written: %s", path, error)


async def attended(session: Session) -> Watcher:
    """Return the session's watcher, whose jobs that wait long are looked into."""

    async def make() -> Watcher:
        watcher = await watcher_for(session)
        watcher.when_waiting = Vigil(session).note_waiting
        return watcher

    return await session.once("attended watcher", make)
