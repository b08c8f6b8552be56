"""`AWSBatch`: the door to AWS Batch for plain Python."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from .. import background
from ..configuration import configured
from ..diagnosis import CANCELLED_BY_THE_USER
from ..errors import UnknownJobError
from ..payload import Call, Group
from ..progress import is_wanted
from ..running import Running
from ..runtime.chunk import run_chunk
from ..settings import resolve
from ..submit import MAX_DEPENDENCIES
from . import conversation
from .array import JobArray
from .conversation import Awaited
from .job import ID_SEPARATOR, Job
from .pickles import pickled

log = logging.getLogger(__name__)

T = TypeVar("T")

CANCEL_REASON = CANCELLED_BY_THE_USER

MAX_FUNCTION_NAME_CHARS = 40
RUN_ID_BYTES = 6
"""Of a random number: AWS allows the names of two runs to be the same, we do not."""


class AWSBatch:
    """Runs Python functions as AWS Batch jobs.

    Takes the executor's options as keywords, such as `vcpu`, `memory` (GB) and `batch_queue`; what is not
    written comes from `[executors.awsbatch]` in Covalent's configuration file, and else has its default.
    `progress` shows a bar for each `map`; None: where stderr is a terminal.

    Raises SettingsError for what AWS would refuse and UnknownOptionError for a misspelt keyword.
    """

    def __init__(self, *, progress: bool | None = None, **options: Any) -> None:
        resolution = resolve(options, configured())
        for text in resolution.warnings:
            log.warning("%s", text)
        self.settings = resolution.settings
        self._progress = progress
        self._run_id = _new_run_id("submit")
        self._numbers = itertools.count()
        self._unfinished: set[Job[Any]] = set()
        self._lock = threading.Lock()

    # --- to submit ------------------------------------------------------------------------------------------

    def submit(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        depends_on: Sequence[Job[Any] | JobArray[Any]] = (),
        **kwargs: Any,
    ) -> Job[T]:
        """Run `function(*args, **kwargs)` as a job and return at once.

        Jobs that are submitted within a tenth of a second or so become one array job. A job with
        `depends_on` (up to 20) starts when those have succeeded, and fails when one of them fails.

        Raises TypeError, AttributeError or PicklingError where something cannot be pickled.
        """
        number = next(self._numbers)
        call = Call(
            number,
            pickled(function),
            [pickled(each) for each in args],
            {name: pickled(each) for name, each in kwargs.items()},
        )
        job: Job[T] = Job(self._task(self._run_id, number))
        awaited = _awaited(depends_on)
        self._keep([job])
        if depends_on:
            group = Group(self._run_id, number, [call])
            running = conversation.run_array([job.task], [group], [job.settle], awaited, is_whole_run=False)
            background.start(running)
        else:
            background.start(conversation.run(job.task, call, job.settle))
        return job

    def map(
        self,
        function: Callable[..., T],
        *iterables: Iterable[Any],
        chunk_size: int = 1,
        depends_on: Sequence[Job[Any] | JobArray[Any]] = (),
        n_to_n: Sequence[JobArray[Any]] = (),
        sequential: bool = False,
    ) -> JobArray[T]:
        """Run `function` for each item, or for the items of several iterables side by side, as an array job.

        `chunk_size` items run in each child, in processes of their own, as many at a time as it has vCPUs.
        The array starts when the jobs in `depends_on` have succeeded; with `n_to_n` each child starts when
        the child of the same index of those arrays, which must be as long, has succeeded; with
        `sequential` each child starts when the one before it has. All in all 20 dependencies at most.

        Raises ValueError for lengths that do not fit, and what pickling raises.
        """
        items = list(zip(*iterables, strict=False))
        if chunk_size < 1:
            raise ValueError(f"chunk_size={chunk_size} is refused: the minimum is 1")
        if chunk_size > 1:
            calls = _chunked(function, items, chunk_size, max(1, int(self.settings.vcpu)))
        else:
            once = pickled(function)
            calls = [
                Call(number, once, [pickled(each) for each in args]) for number, args in enumerate(items)
            ]
        name = getattr(function, "__name__", type(function).__name__)
        run_id = _new_run_id(name)
        jobs: list[Job[T]] = [Job(self._task(run_id, call.node_id)) for call in calls]
        array = JobArray(run_id, jobs)
        awaited = _awaited(depends_on, n_to_n, sequential=sequential, size=len(jobs))
        if jobs:
            self._keep(jobs)
            if is_wanted(self._progress):
                array.show_progress(name)
            groups = [Group(run_id, call.node_id, [call]) for call in calls]
            settles = [job.settle for job in jobs]
            tasks = [job.task for job in jobs]
            background.start(conversation.run_array(tasks, groups, settles, awaited, is_whole_run=True))
        return array

    def _task(self, run_id: str, number: int) -> Running:
        return Running(
            settings=self.settings,
            dispatch_id=run_id,
            group_id=number,
            node_ids=(number,),
            cancel_reason=CANCEL_REASON,
        )

    def _keep(self, jobs: Iterable[Job[Any]]) -> None:
        forget = self._forget
        for job in jobs:
            with self._lock:
                self._unfinished.add(job)
            job.add_done_callback(forget)

    def _forget(self, job: Job[Any]) -> None:
        with self._lock:
            self._unfinished.discard(job)

    # --- to find again --------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job[Any]:
        """Attach to a job by its `id`, or by AWS Batch's own, from another process or on another day.

        By its `id` it is found as long as its outcome is in S3, also when AWS Batch has forgotten the job; of
        a job of Covalent's, that is the dispatch, a slash and the node.

        Raises UnknownJobError where AWS Batch's id is not, or no longer, known.
        """
        run_id, separator, number = job_id.partition(ID_SEPARATOR)
        if not separator:
            run_id, group_id = background.wait_for(conversation.names_of(self.settings, job_id))
        elif number.isdecimal():
            group_id = int(number)
        else:
            raise UnknownJobError(f"{job_id!r} is no job's id, such as 'f-0a1b2c3d4e5f/0'.")
        return self._attached(run_id, group_id)

    def array(self, run_id: str) -> JobArray[Any]:
        """Attach to an array by its `id`, from another process or on another day.

        Raises UnknownJobError where S3 holds nothing of it.
        """
        group_ids = background.wait_for(conversation.group_ids(self.settings, run_id))
        return JobArray(run_id, [self._attached(run_id, each) for each in group_ids])

    def _attached(self, run_id: str, group_id: int) -> Job[Any]:
        job: Job[Any] = Job(self._task(run_id, group_id))
        background.start(conversation.recover(job.task, job.settle))
        return job

    # --- the end --------------------------------------------------------------------------------------------

    def shutdown(self, *, wait: bool = True) -> None:
        """Wait until all jobs have ended, or, with `wait=False`, only until they are submitted.

        Jobs that are not waited for go on at AWS, and can be found again by their ids. What the jobs whose
        results were taken have left in S3 is deleted meanwhile, where `keep_artifacts` says so.
        """
        with self._lock:
            unfinished = list(self._unfinished)
        for job in unfinished:
            if wait:
                job.wait()
            else:
                job.wait_until_submitted()
        if wait and self.settings.keep_artifacts != "all":
            background.wait_for(conversation.tidy(self.settings))

    def __enter__(self) -> AWSBatch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Who leaves by an exception, or Ctrl-C, does not want to wait; what is computed is not to be lost.
        self.shutdown(wait=error is None)


def _chunked(
    function: Callable[..., Any], items: list[tuple[Any, ...]], chunk_size: int, at_once: int
) -> list[Call]:
    """Return the calls that run so many items each, at most so many at once."""
    once = pickled(partial(run_chunk, function, at_once=at_once))
    chunks = [items[start : start + chunk_size] for start in range(0, len(items), chunk_size)]
    return [Call(number, once, [pickled(chunk)]) for number, chunk in enumerate(chunks)]


def _awaited(
    depends_on: Sequence[Job[Any] | JobArray[Any]],
    n_to_n: Sequence[JobArray[Any]] = (),
    *,
    sequential: bool = False,
    size: int = 1,
) -> list[Awaited]:
    """Return what a job, or an array of a size, waits for.

    Raises ValueError for what AWS Batch would refuse.
    """
    for array in n_to_n:
        if len(array) != size:
            raise ValueError(f"n_to_n is refused: {array.id} has {len(array)} jobs, this array {size}")
    found = [Awaited(each.id, each.tasks) for each in depends_on if each.tasks]
    found += [Awaited(each.id, each.tasks, n_to_n=True) for each in n_to_n]
    found += [Awaited("", ())] if sequential else []
    if len(found) > MAX_DEPENDENCIES:
        raise ValueError(f"{len(found)} dependencies are refused: AWS Batch takes {MAX_DEPENDENCIES} at most")
    return found


def _new_run_id(name: str) -> str:
    """Return a name for what is submitted together, readable in the console, that nobody else has."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:MAX_FUNCTION_NAME_CHARS]
    return f"{readable or 'function'}-{secrets.token_hex(RUN_ID_BYTES)}"
