"""The way of one task group, as every door walks it: glue, image, definition, parcel, job, verdict.

What runs is kept in `running`, so that a cancellation, which comes through another executor object, finds
it. Nothing but verdicts leaves `run()`: an exception that escaped would leave a node RUNNING.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from . import contract, definition, glue, outcome, payload, preflight, submit
from .diagnosis import could_not_pull
from .errors import AWSBatchError, DefinitionGoneError
from .fairness import in_turns
from .gather import Gatherer, Waiting
from .image.environment import Recipe, recipe
from .image.provide import environment_for, provide
from .image.provide import forget as forget_image
from .job import Job, child_id, split_id
from .outcome import Found, Stored, Verdict
from .payload import Call, Group, Parcel
from .session import Account, Session, error_message, in_thread, session_for
from .settings import Settings
from .shipment import Kind, shares, ship
from .submit import Dependency
from .transportable import Transportable
from .watch import Followed, Watcher, watcher_for

log = logging.getLogger(__name__)

CANCEL_REASON = "cancelled in Covalent"

CANCEL_PATIENCE_S = 60
"""How long a cancelled task waits for its job's end: SIGTERM, AWS's 30 s, SIGKILL, and some slack."""


SMALL_BYTES = 64 << 10
"""Pickles of this size are read and hashed sooner than a thread takes them over."""


@dataclass(slots=True, eq=False)
class Running:
    """A task group on its way; `cancel()` may come at any moment."""

    settings: Settings
    dispatch_id: str
    group_id: int
    node_ids: Sequence[int]
    calls: Sequence[Call] = ()
    """What is to run, until it is in the parcel: ten thousand tasks must not hold all of it to their end."""
    cancel_reason: str = CANCEL_REASON
    started_s: float = field(default_factory=time.monotonic)
    notes: Sequence[str] = ()
    """What was done for the task outside its job; it goes before the task's stderr."""
    is_cancelled: bool = False
    error: Exception | None = None
    """What kept its array from being submitted."""
    is_submitted: bool = False
    """Whether AWS Batch has its job, or it has ended without."""
    waiting_for_submission: Sequence[asyncio.Future[None]] = ()
    runner: asyncio.Task[Any] | None = None
    """What walks its way; until the task waits for its submission it may be given up at any moment."""
    waiting: Waiting[Parcel] | None = None
    followed: Followed | None = None
    ending: asyncio.Task[None] | None = None
    verdicts: asyncio.Task[list[Verdict]] | None = None
    settling: asyncio.Task[None] | None = None

    @property
    def job_id(self) -> str:
        """Return the id of the group's job, or child of an array; empty before its submission."""
        return "" if self.followed is None else self.followed.id

    async def submitted(self) -> None:
        """Wait until AWS Batch has the job, or the task has ended without."""
        if not self.is_submitted:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting_for_submission = [*self.waiting_for_submission, waiting]
            await waiting

    def note_submitted(self) -> None:
        """Tell those who wait that AWS Batch has the job, or will never have it."""
        self.is_submitted = True
        for waiting in self.waiting_for_submission:
            if not waiting.done():
                waiting.set_result(None)
        self.waiting_for_submission = ()

    def cancel(self) -> None:
        """End the job, or keep it from being submitted; the verdicts follow when that is done.

        While it is being submitted nothing is given up: a job whose id we never saw could not be ended.
        """
        self.is_cancelled = True
        if self.followed is not None:
            self.end_job()
        elif self.waiting is not None:
            self.waiting.withdraw()
        elif self.runner is not None:
            self.runner.cancel()

    def end_job(self) -> None:
        """Terminate the job, in the background of this event loop."""
        if self.ending is None and self.followed is not None:
            self.ending = asyncio.create_task(_end(self, self.followed.id, [self.followed]))


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


def all_cancelled(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that was cancelled before it started."""
    return [outcome.cancelled(node_id) for node_id in task.node_ids]


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
        forget_image(session, task.settings, needs)
    return verdicts


async def _prepare(session: Session, task: Running) -> tuple[Kind, Recipe | None, Parcel]:
    """Do all that comes before the submission, but for the payload's own upload."""
    group = Group(task.dispatch_id, task.group_id, list(task.calls))
    group, needs = await needs_of(session, task.settings, group)
    kind = await kind_of(session, task, needs)
    task.calls = ()
    parcel = await _parcel(group)
    (parcel,) = await payload.upload_contents(session, task.settings.s3_bucket_name, [parcel])
    return kind, needs, parcel


async def _submit(session: Session, task: Running, kind: Kind, parcel: Parcel) -> str:
    gatherer = await _gatherer(session)
    task.waiting = gatherer.add(kind, parcel, len(parcel.payload))
    try:
        return await task.waiting.job_id
    finally:
        task.waiting = None


async def _parcel(group: Group) -> Parcel:
    if payload.length_of(group) <= SMALL_BYTES:
        return payload.parcel(group)
    return await in_thread(partial(payload.parcel, group))


async def needs_of(session: Session, settings: Settings, group: Group) -> tuple[Group, Recipe | None]:
    """Return the recipe of a group's image, and the group without the hooks that this image makes needless.

    There is no recipe where the user has set an image; then DepsPip installs in the container.
    """
    if settings.container_image_uri:
        return group, None
    group, pip_packages = payload.without_pip(group)
    function = group.calls[0].function
    needed = await environment_for(
        session,
        settings,
        dispatch_id=group.dispatch_id,
        python_version=function.python_version,
        cloudpickle_version=function.cloudpickle_version,
        pip_packages=pip_packages,
    )
    return group, recipe(needed)


async def kind_of(session: Session, task: Running, needs: Recipe | None) -> Kind:
    """Return what a group's job is to be like, when its image and its definition are there.

    Raises SetupError where something is missing that it stands on, SubmissionError for its definition.
    """
    settings = task.settings
    ground = await preflight.check(session, settings)
    image = settings.container_image_uri
    if needs is not None:
        provided = await provide(session, settings, ground.identity, needs)
        image = provided.uri
        if provided.made_at_s > task.started_s:
            task.notes = tuple(f"covalent-awsbatch: {note}" for note in provided.notes)
    return Kind(
        dispatch_id=task.dispatch_id,
        definition_arn=await definition.ensure(session, settings, ground, image),
        asked=settings.asked,
        settings=settings,
        image=image,
        ground=ground,
    )


def forget_kind(session: Session, gone: Kind, needs: Recipe | None) -> None:
    """Look for definition and image anew the next time: they are not there any more."""
    definition.forget(session, gone.settings, gone.ground, gone.image)
    if needs is not None:
        forget_image(session, gone.settings, needs)


def open_session(settings: Settings) -> Session:
    """Return the session of the account that the settings name."""
    return session_for(
        Account(settings.credentials, settings.profile, settings.region, settings.endpoint_url)
    )


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
            each.job_id.set_exception(error)
    else:
        for each, job_id in zip(together, job_ids, strict=True):
            each.job_id.set_result(job_id)


async def submit_array(
    session: Session, tasks: Sequence[Running], groups: list[Group], depends_on: Sequence[Dependency]
) -> None:
    """Submit groups of one function without waiting for others, and follow their jobs.

    Where they are more than an array may have, there are several; where they depend on each other one by
    one, each array also waits for the one before it. Raises what submission raises; tasks that have no job
    then will not get one.
    """
    settings = tasks[0].settings
    _, needs = await needs_of(session, settings, groups[0])
    kind = await kind_of(session, tasks[0], needs)
    parcels = await in_thread(lambda: [payload.parcel(group) for group in groups])
    parcels = await payload.upload_contents(session, settings.s3_bucket_name, parcels)
    before: list[Dependency] = []
    remaining = iter(tasks)
    for share in shares(parcels, kind):
        job_ids = await _ship_unless_cancelled(session, kind, share, tasks, [*depends_on, *before])
        if job_ids and Dependency() in depends_on:
            before = [Dependency(split_id(job_ids[0])[0])]
        # zip() takes of its first argument first: `remaining` must not lose one to the end of `job_ids`.
        async for job_id, task in in_turns(zip(job_ids, remaining, strict=False)):
            await follow(session, task, job_id, kind.of_any_dispatch)
    cancel_together([task for task in tasks if task.is_cancelled])


async def _ship_unless_cancelled(
    session: Session,
    kind: Kind,
    share: list[Parcel],
    tasks: Sequence[Running],
    depends_on: Sequence[Dependency],
) -> list[str]:
    if all(task.is_cancelled for task in tasks):
        return []
    return await ship(session, kind, share, depends_on)


def start_settling(session: Session, task: Running, settle_with: Callable[[Verdict], None]) -> None:
    """Wait in the background for the end of a task of an array, and hand its verdict on."""
    start_now = partial(_start_settling_now, session, task, settle_with)
    # Ten thousand tasks that only wait would be a burden to all others, and to the garbage collector.
    if task.followed is None:
        start_now()
    else:
        task.followed.when_signed(start_now)


def _start_settling_now(session: Session, task: Running, settle_with: Callable[[Verdict], None]) -> None:
    task.settling = asyncio.create_task(_settle_with(session, task, settle_with))


async def _settle_with(session: Session, task: Running, settle_with: Callable[[Verdict], None]) -> None:
    (verdict,) = await _settle_submitted(session, task)
    task.settling = None
    settle_with(verdict)


async def _settle_submitted(session: Session, task: Running) -> list[Verdict]:
    if task.followed is None:
        if task.is_cancelled or task.error is None:
            return all_cancelled(task)
        return failures(task, task.error)
    try:
        return await settle(session, task, task.followed)
    except Exception as error:  # noqa: BLE001 — as in run()
        return failures(task, error)


def cancel_together(tasks: Sequence[Running]) -> None:
    """End tasks, and where they are all of an array's that still run, the array with one call."""
    of_array: dict[str, list[Running]] = {}
    for task in tasks:
        if task.followed is None:
            task.cancel()
        else:
            of_array.setdefault(split_id(task.job_id)[0], []).append(task)
    for array_id, members in of_array.items():
        for task in members:
            task.is_cancelled = True
        first = members[0].followed
        if len(members) > 1 and first is not None and first.is_whole(len(members)):
            cancelled = [task.followed for task in members if task.followed is not None]
            members[0].ending = asyncio.create_task(_end(members[0], array_id, cancelled))
        else:
            for task in members:
                task.end_job()


# --- to the end -------------------------------------------------------------------------------------------


async def follow(session: Session, task: Running, job_id: str, kind: Any) -> Followed:
    """Begin to watch a group's job; one that was cancelled meanwhile is ended."""
    watcher: Watcher = await watcher_for(session)
    task.followed = watcher.follow(
        job_id,
        bucket=task.settings.s3_bucket_name,
        dispatch_id=task.dispatch_id,
        node_ids=task.node_ids,
        kind=kind,
        poll_interval_limit_s=task.settings.poll_freq,
    )
    task.note_submitted()
    return task.followed


async def _end(task: Running, job_id: str, cancelled: Sequence[Followed]) -> None:
    """Terminate a job, or a whole array, and see to it that nobody waits for its end for ever."""
    try:
        await submit.terminate(open_session(task.settings), job_id, task.cancel_reason)
        ends = [asyncio.ensure_future(each.end()) for each in cancelled]
        await asyncio.wait(ends, timeout=CANCEL_PATIENCE_S)
        late = [each for each in cancelled if each.is_ending]
        if late:
            text = "%d cancelled jobs have not ended after %d s, %s among them"
            log.warning(text, len(late), CANCEL_PATIENCE_S, late[0].id)
        for each in late:
            each.give_up()
    except Exception as error:  # noqa: BLE001 — nobody waits for this task, but for the job's end
        for each in cancelled:
            each.fail(error)


async def settle(session: Session, task: Running, followed: Followed) -> list[Verdict]:
    """Wait for the results of a group, or for its job's end, and return the verdicts on its nodes."""
    await followed.sign()
    found = await _find(session, task, followed)
    job: Job | None = None
    if not all(isinstance(each, Stored) and each.has_value for each in found.values()):
        # It may yet be retried; and what AWS Batch says of the job belongs into the error.
        job = await followed.end()
        found = await _find(session, task, followed)
    # After a restart only the job itself remembers that the user cancelled it.
    cancelled_before = job is not None and job.status_reason == task.cancel_reason
    verdicts = [
        await outcome.settle(
            session,
            task.settings,
            node_id=node_id,
            found=each,
            job=job,
            job_id=followed.id,
            was_cancelled=cancelled_before or task.is_cancelled,
        )
        for node_id, each in found.items()
    ]
    if not task.notes:
        return verdicts
    notes = "".join(f"{note}\n" for note in task.notes)
    return [replace(verdict, stderr=notes + verdict.stderr) for verdict in verdicts]


async def _find(session: Session, task: Running, followed: Followed) -> dict[int, Found]:
    attempts = followed.attempts
    return {
        node_id: await outcome.find(
            session, task.settings, task.dispatch_id, node_id, attempts.get(node_id, ())
        )
        for node_id in task.node_ids
    }


# --- from another process ---------------------------------------------------------------------------------


async def recover(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that another process submitted, from its names alone.

    Follows the job to its end where it still runs.
    """
    try:
        session = open_session(task.settings)
        job_id = await find_job(session, task.settings, task.dispatch_id, task.group_id)
        if job_id:
            task.followed = await follow(session, task, job_id, kind="recovered")
            if task.is_cancelled:
                task.end_job()
            return await settle(session, task, task.followed)
        return [await _settle_forgotten(session, task, node_id) for node_id in task.node_ids]
    except Exception as error:  # noqa: BLE001 — as in run()
        return failures(task, error)
    finally:
        task.note_submitted()


async def _settle_forgotten(session: Session, task: Running, node_id: int) -> Verdict:
    """Return the verdict on a task whose job AWS Batch does not know any more."""
    bucket = task.settings.s3_bucket_name
    attempts = await outcome.attempts_of(session, bucket, task.dispatch_id, node_id)
    found = await outcome.find(session, task.settings, task.dispatch_id, node_id, attempts)
    return await outcome.settle(
        session,
        task.settings,
        node_id=node_id,
        found=found,
        job=None,
        job_id="",
        was_cancelled=task.is_cancelled,
    )


async def find_job(session: Session, settings: Settings, dispatch_id: str, group_id: int) -> str:
    """Return the id of the job, or child of an array, that another process submitted for a group.

    Empty where there is none, or where AWS Batch has forgotten it.
    """
    packed = await payload.find(session, settings.s3_bucket_name, dispatch_id, group_id)
    if packed is None:
        return ""
    name = contract.job_name(dispatch_id, packed.first_group_id)
    find = partial(submit.find, session, settings.batch_queue, name)
    found = await session.once(("job", name), find)  # all children of an array ask
    if not found:
        session.forget(("job", name))
        return ""
    return child_id(found[0][0], packed.index if packed.size > 1 else None)


async def cancel(settings: Settings, dispatch_id: str, node_id: int, group_id: int | None) -> None:
    """End the job of a node, wherever it is on its way, and also where another process submitted it.

    There is no `group_id` where nothing was ever submitted for the node.
    """
    task = running.get((dispatch_id, node_id))
    if task is not None:
        task.cancel()
    elif group_id is not None:
        session = open_session(settings)
        job_id = await find_job(session, settings, dispatch_id, group_id)
        if job_id:
            await submit.terminate(session, job_id, CANCEL_REASON)


def failures(task: Running, error: Exception) -> list[Verdict]:
    """Return the verdicts on a group that an error has kept from its end."""
    return [outcome.failed(node_id, explain(error)) for node_id in task.node_ids]


def explain(error: BaseException) -> str:
    """Return what a user should read of an error: our own are clear, others keep their traceback."""
    from botocore.exceptions import ClientError

    if isinstance(error, AWSBatchError):
        return str(error)
    if isinstance(error, ClientError):
        return f"AWS refused {error.operation_name}: {error_message(error)}"
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    headline = f"{type(error).__name__}: {error}"
    return f"A fault of covalent-awsbatch-plugin, please report it: {headline}\n\n{lines}"
