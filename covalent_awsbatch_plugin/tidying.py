"""When the objects of a dispatch are deleted: in one pass when it is quiet, as `keep_artifacts` says.

A task's objects may go when its result was taken, by Covalent or by the user, and its job is over. A pass
lists the dispatch and deletes in bulk: two requests for a thousand objects, none for a task. Groups that
start during a pass wait for its end, and upload anew what it has deleted.

What another process still needs of the same dispatch cannot be known here. So what tasks share goes only
where neither S3 nor AWS Batch shows anything of the dispatch whose result was not taken here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from . import contract, packs, payload, submit
from .artifacts import Fate, Plan, Task
from .errors import AWSBatchError, OutcomeDamagedError, UnclearSubmissionError
from .refusals import store_message
from .running import Running
from .session import Session, open_session, open_sessions
from .verdict import Verdict

log = logging.getLogger(__name__)

QUIET_S = 30.0
"""How long a dispatch must have been quiet: Covalent starts a later node within seconds of the one before,
and by then has copied what it was given."""

TRIES = 3
"""Passes over a dispatch that may fail; then its objects are left to the bucket's own rule."""

MAX_KEPT = 1_000
"""Dispatches that are remembered although nothing of them is on its way: their results were not taken, or
another process has begun them."""

SettleWith = Callable[[list[Verdict]], None]


# --- what happens to a group ------------------------------------------------------------------------------


async def enter(tasks: Sequence[Running], *, is_own: bool = True, is_complete: bool = False) -> None:
    """Take note of groups of one dispatch that start, before they touch S3; `leave` is to follow for each.

    They are not the process's own where another one has submitted them; with `is_complete` no other group
    will ever follow. Waits for the end of a pass over the dispatch.
    """
    tidier = open_session(tasks[0].settings).companion(Tidier)
    dispatch = await tidier.undisturbed(tasks[0])
    if tasks[0].settings.keep_artifacts == "all":
        # From then on its pack, which nobody here knows, keeps what it needs.
        dispatch.on_their_way.add(tasks[-1])
        tasks[-1].submitted.then(partial(tidier.leave, dispatch, tasks[-1]))
        return
    dispatch.is_complete = dispatch.is_complete or is_complete
    for task in tasks:
        dispatch.enter(task, is_own)


def disown(task: Running) -> None:
    """Take note that another process has submitted a group that was thought to start here."""
    found = _of(task)
    if found is not None:
        found[1].disown(task)


def noting(task: Running, settle_with: SettleWith) -> SettleWith:
    """Return what takes the verdicts on a group in place of `settle_with`, and notes how it ended."""
    return settle_with if task.settings.keep_artifacts == "all" else partial(_settle, task, settle_with)


def _settle(task: Running, settle_with: SettleWith, verdicts: list[Verdict]) -> None:
    leave(task, verdicts)
    settle_with(verdicts)


def leave(task: Running, verdicts: Sequence[Verdict]) -> None:
    """Take note of how a group ended, without verdicts where that could not be found out.

    Nothing happens where it never started.
    """
    found = _of(task)
    if found is None or task not in found[1].on_their_way:
        return
    tidier, dispatch = found
    for node_id in task.node_ids:
        noted = dispatch.tasks[node_id]
        noted.fate = fate_of(verdicts, never_had_job=noted.is_own and task.job_id == "")
    tidier.leave(dispatch, task)


def deliver(task: Running) -> None:
    """Take note that the results of a group were taken, by one of those who started or attached to it."""
    found = _of(task)
    if found is not None:
        tidier, dispatch = found
        dispatch.deliver(task.node_ids)
        tidier.wait_for_quiet(dispatch)


async def finish(session: Session) -> None:
    """Delete now what may go, of all dispatches of a session that have nothing on their way."""
    await session.companion(Tidier).finish()


async def finish_all() -> None:
    """Delete now what may go, of all sessions of this event loop."""
    await asyncio.gather(*(finish(session) for session in open_sessions()))


def fate_of(verdicts: Sequence[Verdict], *, never_had_job: bool) -> Fate:
    """Return how a group ended, as far as its objects matter."""
    if verdicts and all(each.value is not None for each in verdicts):
        return Fate.VALUE
    is_over = verdicts and all(_is_over(each, never_had_job) for each in verdicts)
    return Fate.NO_VALUE if is_over else Fate.UNKNOWN


def _is_over(verdict: Verdict, never_had_job: bool) -> bool:
    """Tell whether nothing of a task runs any more, and all that it left was read.

    A verdict may say only that AWS did not answer.
    """
    failure, job = verdict.failure, verdict.job
    if verdict.outcome is not None or verdict.value is not None:
        return True
    if failure is None or isinstance(failure, OutcomeDamagedError):
        return False  # what could not be read is to be looked at, and may be sealed on another machine
    if job is not None:
        return job.status.is_final and not isinstance(failure.__cause__, AWSBatchError)
    return never_had_job and not isinstance(failure.__cause__, UnclearSubmissionError)


def _of(task: Running) -> tuple[Tidier, _Dispatch] | None:
    """Return what is known of a group's dispatch."""
    if task.settings.keep_artifacts == "all":
        return None
    tidier = open_session(task.settings).companion(Tidier)
    dispatch = tidier.known(task)
    return None if dispatch is None else (tidier, dispatch)


# --- what is known ----------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Dispatch:
    """What is known here of a dispatch."""

    bucket: str
    id: str
    tasks: dict[int, Task] = field(default_factory=dict)
    """By node; only those that are not to stay in any case."""
    on_their_way: set[Running] = field(default_factory=set)
    untaken: int = 0
    """Results that nobody has taken yet."""
    queues: set[str] = field(default_factory=set)
    """Where jobs may be that other processes have submitted; none where there were no such processes."""
    is_complete: bool = False
    has_news: bool = False
    """Whether anything has happened since the last pass."""
    touched_s: float = 0.0
    due: asyncio.TimerHandle | None = None
    passing: asyncio.Task[None] | None = None
    failures: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """Return what it is known by."""
        return self.bucket, self.id

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is on its way, and nothing of it is being deleted."""
        return not self.on_their_way and self.passing is None

    def enter(self, task: Running, is_own: bool) -> None:
        self.on_their_way.add(task)
        for node_id in task.node_ids:
            if node_id not in self.tasks:
                self.tasks[node_id] = Task(task.group_id, task.settings.keep_artifacts)
            self.tasks[node_id].untaken += 1
            self.untaken += 1
        if not is_own:
            self.disown(task)

    def disown(self, task: Running) -> None:
        for node_id in task.node_ids:
            self.tasks[node_id].is_own = False
        self.queues.update(task.settings.queues)

    def deliver(self, node_ids: Sequence[int]) -> None:
        for node_id in node_ids:
            noted = self.tasks.get(node_id)
            if noted is not None and noted.untaken > 0:
                noted.untaken -= 1
                self.untaken -= 1


class Tidier:
    """Deletes what a session's dispatches have left; there is one for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dispatches: dict[tuple[str, str], _Dispatch] = {}
        self._warned: set[str] = set()

    def known(self, task: Running) -> _Dispatch | None:
        """Return what is known of a group's dispatch, if anything."""
        return self._dispatches.get((task.settings.s3_bucket_name, task.dispatch_id))

    async def undisturbed(self, task: Running) -> _Dispatch:
        """Return what is known of a group's dispatch, as soon as nothing of it is being deleted."""
        while True:
            dispatch = self.known(task) or self._begin(task)
            if dispatch.passing is None:
                return dispatch
            await asyncio.wait([dispatch.passing])

    def _begin(self, task: Running) -> _Dispatch:
        if len(self._dispatches) >= MAX_KEPT:
            idle = next((each for each in self._dispatches.values() if each.is_idle), None)
            if idle is not None:
                self._forget(idle)
        dispatch = _Dispatch(task.settings.s3_bucket_name, task.dispatch_id)
        self._dispatches[dispatch.key] = dispatch
        return dispatch

    def _forget(self, dispatch: _Dispatch) -> None:
        self._dispatches.pop(dispatch.key, None)
        if dispatch.due is not None:
            dispatch.due.cancel()

    def leave(self, dispatch: _Dispatch, task: Running) -> None:
        """Let a group go that is not on its way any more."""
        dispatch.on_their_way.discard(task)
        self.wait_for_quiet(dispatch)

    # --- when -------------------------------------------------------------------------------------------

    def wait_for_quiet(self, dispatch: _Dispatch) -> None:
        """Begin a pass when the dispatch has been quiet; at once where nothing can follow."""
        dispatch.touched_s = asyncio.get_running_loop().time()
        dispatch.has_news = True
        if not dispatch.is_idle:
            return
        if not dispatch.tasks:
            self._forget(dispatch)
        elif dispatch.is_complete and dispatch.untaken == 0:
            self._start_pass(dispatch)
        else:
            self._arm(dispatch)

    def _arm(self, dispatch: _Dispatch) -> None:
        if dispatch.due is None:
            dispatch.due = asyncio.get_running_loop().call_later(QUIET_S, self._look, dispatch)

    def _look(self, dispatch: _Dispatch) -> None:
        dispatch.due = None
        if not dispatch.is_idle:
            return  # when it has left, this begins anew
        loop = asyncio.get_running_loop()
        left_s = dispatch.touched_s + QUIET_S - loop.time()
        if left_s > 0:
            dispatch.due = loop.call_later(left_s, self._look, dispatch)
        else:
            self._start_pass(dispatch)

    def _start_pass(self, dispatch: _Dispatch) -> None:
        if dispatch.due is not None:
            dispatch.due.cancel()
            dispatch.due = None
        has_news, dispatch.has_news = dispatch.has_news, False
        if has_news and any(task.may_go for task in dispatch.tasks.values()):
            dispatch.passing = asyncio.create_task(self._pass(dispatch))
        elif dispatch.untaken == 0 and not dispatch.queues:
            self._forget(dispatch)

    async def finish(self) -> None:
        """Begin all passes that could be due, and wait for their end."""
        for dispatch in list(self._dispatches.values()):
            if dispatch.is_idle:
                self._start_pass(dispatch)
        passing = [each.passing for each in self._dispatches.values() if each.passing is not None]
        if passing:
            await asyncio.wait(passing)

    # --- a pass -----------------------------------------------------------------------------------------

    async def _pass(self, dispatch: _Dispatch) -> None:
        is_done = True
        try:
            await self._delete(dispatch)
        except AWSBatchError as error:
            is_done = self._bear(dispatch, str(error))
        except Exception as error:  # noqa: BLE001 — nobody waits for this; S3's refusals are of many kinds
            is_done = self._bear(dispatch, store_message(error))
        finally:
            dispatch.passing = None
        if not is_done:
            dispatch.has_news = True
            self._arm(dispatch)
        elif dispatch.has_news:  # of the time of the pass
            self.wait_for_quiet(dispatch)
        elif dispatch.untaken == 0 and not dispatch.queues:
            self._forget(dispatch)  # what is left of it is to stay; other processes' may come one by one

    def _bear(self, dispatch: _Dispatch, said: str) -> bool:
        """Tell of a pass that failed, and whether to leave it at that; no task fails for it."""
        if "AccessDenied" in said:
            self._warn_of_right(dispatch.bucket, said)
            return True
        dispatch.failures += 1
        log.warning("What %s has left in %r is not deleted yet: %s", dispatch.id, dispatch.bucket, said)
        return dispatch.failures >= TRIES

    def _warn_of_right(self, bucket: str, said: str) -> None:
        if bucket in self._warned:
            return
        self._warned.add(bucket)
        text = (
            "The bucket %r keeps what keep_artifacts would delete: s3:DeleteObject on %s/* is missing, or "
            "s3:ListBucket (%s) Grant it, or set keep_artifacts='all'."
        )
        log.warning(text, bucket, contract.KEY_PREFIX, said)

    async def _delete(self, dispatch: _Dispatch) -> None:
        import obstore

        store = await self._session.store(dispatch.bucket)
        plan = Plan(dispatch.id, dispatch.tasks)
        async for batch in obstore.list(store, contract.dispatch_prefix(dispatch.id)):
            for meta in batch:
                plan.add(meta["path"])
        if plan.shared and plan.foreign_packs and not await self._is_all_ours(dispatch, plan):
            plan.keep_shared()
        try:
            # Claims last: with its pack alone a job that was submitted twice would run again.
            for keys in (plan.shared, plan.of_tasks, plan.claims):
                if keys:
                    await obstore.delete_async(store, keys)
        finally:
            if plan.shared:
                payload.forget_functions(self._session, dispatch.bucket, dispatch.id)
                packs.forget(self._session, dispatch.bucket, dispatch.id)

    async def _is_all_ours(self, dispatch: _Dispatch, plan: Plan) -> bool:
        """Tell whether, beside packs of other processes, nothing speaks of tasks that were not taken here."""
        found = await packs.read(self._session, dispatch.bucket, dispatch.id)
        may_go = {
            (contract.pack_key(dispatch.id, each.first_group_id, each.rung), group_id in plan.groups)
            for group_id, placed in found.items()
            for each in placed
        }
        # A pack that cannot be read has neither.
        if any((key, False) in may_go or (key, True) not in may_go for key in plan.foreign_packs):
            return False
        for queue in dispatch.queues:
            if await submit.any_unfinished(self._session, queue, dispatch.id):
                return False
        return True
