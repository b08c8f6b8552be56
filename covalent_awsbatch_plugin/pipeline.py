"""The way of one task group, as every door walks it: glue, ground, image, payload, job, verdict.

What runs is kept in `running`, so that a cancellation, which comes through another executor object, finds
it. Nothing but verdicts leaves this module: an exception that escaped would leave a node RUNNING.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import time
import traceback
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from . import contract, definition, glue, outcome, payload, preflight, submit
from .diagnosis import could_not_pull
from .errors import AWSBatchError, DefinitionGoneError
from .image.environment import Recipe, recipe
from .image.provide import environment_for, provide
from .image.provide import forget as forget_image
from .job import Job
from .outcome import Verdict
from .payload import Call, Group
from .preflight import Ground
from .session import Account, Session, error_message, in_thread, session_for
from .settings import Settings
from .transportable import Transportable
from .watch import watcher_for

log = logging.getLogger(__name__)

T = TypeVar("T")

CANCEL_REASON = "cancelled in Covalent"

CANCEL_PATIENCE_S = 60
"""How long a cancelled task waits for its job's end: SIGTERM, AWS's 30 s, SIGKILL, and some slack."""


class _CancelledBeforeSubmission(Exception):
    """The task was cancelled while there was no job yet."""


@dataclass
class Running:
    """A task group on its way; `cancel()` may come at any moment."""

    settings: Settings
    dispatch_id: str
    group_id: int
    node_ids: list[int]
    spool_dir: Path
    job_id: str = ""
    started_s: float = field(default_factory=time.monotonic)
    notes: list[str] = field(default_factory=list)
    """What was done for the task outside its job; it goes before the task's stderr."""
    cancel_requested: asyncio.Event = field(default_factory=asyncio.Event)
    verdicts: asyncio.Task[list[Verdict]] | None = None

    @property
    def job_name(self) -> str:
        """Return the name of the group's job."""
        return contract.job_name(self.dispatch_id, self.group_id)

    def cancel(self) -> None:
        """End the job, or keep it from being submitted; the verdicts follow when that is done."""
        self.cancel_requested.set()

    async def unless_cancelled(self, step: Coroutine[Any, Any, T]) -> T:
        """Do a step that may be given up at any moment."""
        doing = asyncio.ensure_future(step)
        cancelling = asyncio.ensure_future(self.cancel_requested.wait())
        try:
            await asyncio.wait({doing, cancelling}, return_when=asyncio.FIRST_COMPLETED)
            if self.cancel_requested.is_set():
                raise _CancelledBeforeSubmission
            return doing.result()
        finally:
            cancelling.cancel()
            doing.cancel()


running: dict[tuple[str, int], Running] = {}
"""The groups on their way, by dispatch and node, until their verdicts are fetched."""


def start(task: Running, calls: list[Call]) -> None:
    """Set a task group on its way, in the background of this event loop."""
    for node_id in task.node_ids:
        running[task.dispatch_id, node_id] = task
    task.verdicts = asyncio.create_task(run(task, calls), name=task.job_name)


async def ended(dispatch_id: str, node_ids: list[int]) -> None:
    """Wait until the group of these nodes has its verdicts."""
    task = running[dispatch_id, node_ids[0]]
    if task.verdicts is not None:
        await asyncio.shield(task.verdicts)


def all_cancelled(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that was cancelled before it started."""
    return [outcome.cancelled(node_id) for node_id in task.node_ids]


async def finish(dispatch_id: str, node_ids: list[int]) -> list[Verdict] | None:
    """Return the verdicts on these nodes and forget their group; None where it was not started here."""
    task = running.get((dispatch_id, node_ids[0]))
    if task is None or task.verdicts is None:
        return None
    verdicts = await asyncio.shield(task.verdicts)
    for node_id in node_ids:
        running.pop((dispatch_id, node_id), None)
    return [verdict for verdict in verdicts if verdict.node_id in node_ids]


async def run(task: Running, calls: list[Call]) -> list[Verdict]:
    """Walk the whole way of a task group and return a verdict for each of its nodes, whatever happens."""
    try:
        return await _run(task, Group(task.dispatch_id, task.group_id, calls))
    except _CancelledBeforeSubmission:
        return all_cancelled(task)
    except Exception as error:  # noqa: BLE001 — anything that escaped would leave the nodes RUNNING
        return [outcome.failed(node_id, explain(error)) for node_id in task.node_ids]


async def _run(task: Running, group: Group) -> list[Verdict]:
    settings = task.settings
    answered = await in_thread(partial(answer_glue, group.calls))
    if answered is not None:
        return [answered]
    session = open_session(settings)
    ground = await task.unless_cancelled(preflight.check(session, settings))
    group, needs = await _needs(session, task, group)
    image = await _image(session, task, ground, needs)
    payload_uri = await task.unless_cancelled(
        payload.upload(session, settings.s3_bucket_name, group, task.spool_dir)
    )
    try:
        task.job_id = await _submit(session, task, ground, image, payload_uri)
    except DefinitionGoneError:  # deregistered since it was found, and perhaps its image was deleted
        definition.forget(session, settings, ground, image)
        if needs is not None:
            forget_image(session, settings, needs)
        image = await _image(session, task, ground, needs)
        task.job_id = await _submit(session, task, ground, image, payload_uri)
    job = await _follow(session, task)
    if job is not None and needs is not None and could_not_pull(job):
        forget_image(session, settings, needs)
    return await _settle(session, task, job)


async def _needs(session: Session, task: Running, group: Group) -> tuple[Group, Recipe | None]:
    """Return the recipe of a group's image, and the group without the hooks that this image makes needless.

    There is no recipe where the user has set an image; then DepsPip installs in the container.
    """
    if task.settings.container_image_uri:
        return group, None
    group, pip_packages = payload.without_pip(group)
    function = group.calls[0].function
    needed = await task.unless_cancelled(
        environment_for(
            session,
            task.settings,
            dispatch_id=task.dispatch_id,
            python_version=function.python_version,
            cloudpickle_version=function.cloudpickle_version,
            pip_packages=pip_packages,
        )
    )
    return group, recipe(needed)


async def _image(session: Session, task: Running, ground: Ground, needs: Recipe | None) -> str:
    if needs is None:
        return task.settings.container_image_uri
    image = await task.unless_cancelled(provide(session, task.settings, ground.identity, needs))
    if image.made_at_s > task.started_s:
        task.notes = [f"covalent-awsbatch: {note}" for note in image.notes]
    return image.uri


async def _submit(session: Session, task: Running, ground: Ground, image: str, payload_uri: str) -> str:
    settings = task.settings
    definition_arn = await task.unless_cancelled(definition.ensure(session, settings, ground, image))
    wanted = submit.request(
        settings,
        job_name=task.job_name,
        definition_arn=definition_arn,
        payload_uri=payload_uri,
        region=ground.identity.region,
    )
    # Not to be given up half-way: a job whose id we never saw could not be ended.
    job_id = await submit.submit(session, wanted)
    log.info("Submitted %s as AWS Batch job %s", task.job_name, job_id)
    return job_id


def open_session(settings: Settings) -> Session:
    """Return the session of the account that the settings name."""
    return session_for(
        Account(settings.credentials, settings.profile, settings.region, settings.endpoint_url)
    )


def answer_glue(calls: list[Call]) -> Verdict | None:
    """Return the verdict on one of Covalent's glue nodes, or None where a job must find it."""
    if len(calls) != 1:
        return None
    call = calls[0]
    args = [each for each in call.args if isinstance(each, Transportable)]
    kwargs = {name: each for name, each in call.kwargs.items() if isinstance(each, Transportable)}
    found = glue.compose(call.function, args, kwargs)
    if found is None:
        return None
    return outcome.composed(call.node_id, found, call.function)


async def _follow(session: Session, task: Running) -> Job | None:
    """Wait for the job's end; when a cancellation comes, end it."""
    watcher = await watcher_for(session)
    ending = asyncio.ensure_future(watcher.wait(task.job_id, task.settings.poll_freq))
    cancelling = asyncio.ensure_future(task.cancel_requested.wait())
    try:
        await asyncio.wait({ending, cancelling}, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            return ending.result()
        await submit.terminate(session, task.job_id, CANCEL_REASON)
        watcher.hurry(task.job_id)
        return await asyncio.wait_for(ending, CANCEL_PATIENCE_S)
    except (TimeoutError, asyncio.TimeoutError):
        log.warning("The cancelled job %s has not ended after %d s", task.job_id, CANCEL_PATIENCE_S)
        return None
    finally:
        cancelling.cancel()
        ending.cancel()


async def _settle(session: Session, task: Running, job: Job | None) -> list[Verdict]:
    # After a restart only the job itself remembers that the user cancelled it.
    cancelled_before = job is not None and job.status_reason == CANCEL_REASON
    verdicts = [
        await outcome.settle(
            session,
            task.settings,
            dispatch_id=task.dispatch_id,
            node_id=node_id,
            job=job,
            job_id=task.job_id,
            was_cancelled=cancelled_before or task.cancel_requested.is_set(),
            spool_dir=task.spool_dir,
        )
        for node_id in task.node_ids
    ]
    notes = "".join(f"{note}\n" for note in task.notes)
    return [replace(verdict, stderr=notes + verdict.stderr) for verdict in verdicts]


async def recover(task: Running) -> list[Verdict]:
    """Return the verdicts on a group that another process submitted, from its names alone.

    Follows the job to its end where it still runs.
    """
    try:
        session = open_session(task.settings)
        found = await submit.find(session, task.settings.batch_queue, task.job_name)
        job: Job | None = None
        if found:
            task.job_id = found[0][0]
            job = await _follow(session, task)
        return await _settle(session, task, job)
    except Exception as error:  # noqa: BLE001 — as in run()
        return [outcome.failed(node_id, explain(error)) for node_id in task.node_ids]


async def cancel(settings: Settings, dispatch_id: str, node_id: int, job_name: str) -> None:
    """End the job of a node, wherever it is on its way, and also where another process submitted it.

    `job_name` is empty where nothing was ever submitted for the node.
    """
    task = running.get((dispatch_id, node_id))
    if task is not None:
        task.cancel()
    elif job_name:
        session = open_session(settings)
        for job_id, status in await submit.find(session, settings.batch_queue, job_name):
            if not status.is_final:
                await submit.terminate(session, job_id, CANCEL_REASON)


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


def spool_dir_for(settings: Settings, dispatch_id: str, group_id: int) -> Path:
    """Return, and make, the directory for a group's files on their way."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    base = Path(settings.cache_dir or f"{cache_home}/covalent/awsbatch").expanduser()
    directory = base / dispatch_id / str(group_id)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def clear(spool_dir: Path) -> None:
    """Delete a group's files, and the dispatch's directory after its last group."""
    shutil.rmtree(spool_dir, ignore_errors=True)
    with contextlib.suppress(OSError):  # other groups still have files there
        spool_dir.parent.rmdir()
