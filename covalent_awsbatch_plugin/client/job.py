"""`Job`: a function call on AWS Batch, as `concurrent.futures` would have it, and what AWS knows of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, Generic, TypeVar

from .. import background, contract
from ..errors import JobFailedError
from ..job import Attempt, JobStatus
from ..job import Job as JobDetail
from ..running import Running
from ..verdict import Verdict, VerdictStatus
from . import conversation
from .pickles import Raised, entry, unpickled, unpickled_exception

log = logging.getLogger(__name__)

T = TypeVar("T")

ID_SEPARATOR = "/"
"""Between a run and a job's number in it; AWS Batch's own ids have a colon."""


_settling = threading.Lock()
"""For all jobs: one each would be most of what ten thousand of them are made of."""


class Job(Generic[T]):
    """A function call that runs, ran or will run as an AWS Batch job; made by `AWSBatch`.

    It can be awaited: `await job` is its result.
    """

    def __init__(self, task: Running) -> None:
        self.task = task
        """Its way through the core, which belongs to the event loop."""
        self._verdict: Verdict | None = None
        self._when_done: tuple[Callable[[Job[T]], Any], ...] = ()
        self._detail: JobDetail | None = None
        self._is_taken = False

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.status.value if self.done() else 'on its way'}>"

    @property
    def id(self) -> str:
        """What `AWSBatch.job` finds it by, now and on any other day."""
        return f"{self.task.dispatch_id}{ID_SEPARATOR}{self.task.group_id}"

    @property
    def batch_id(self) -> str:
        """AWS Batch's own id, as in its console; empty before the submission."""
        return self.task.job_id

    @property
    def tasks(self) -> list[Running]:
        """What of it stands in the core: of a job one, of an array many."""
        return [self.task]

    @property
    def succeeded(self) -> bool:
        """Whether it has ended with a value."""
        return self._verdict is not None and self._verdict.status is VerdictStatus.COMPLETED

    @property
    def index(self) -> int:
        """Its place in the `map` that it is part of."""
        return self.task.group_id

    # --- as concurrent.futures.Future -----------------------------------------------------------------------

    def done(self) -> bool:
        """Tell whether it has ended, in whatever way."""
        return self._verdict is not None

    def cancelled(self) -> bool:
        """Tell whether it ended because it was cancelled."""
        return self._verdict is not None and self._verdict.status is VerdictStatus.CANCELLED

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds.

        Raises TimeoutError when these have passed.
        """
        self._ended(timeout)

    def result(self, timeout: float | None = None) -> T:
        """Return the value, after at most `timeout` seconds.

        Raises the user's own exception where it could be pickled, FunctionRaisedError where not; another
        JobFailedError where something else has ended the job; CancelledError, and TimeoutError.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        value = self._value
        if not isinstance(value, contract.Chunk):
            return value
        return [_or_raised(each) for each in self.items()]  # type: ignore[return-value]  # of a chunk: a list

    def exception(self, timeout: float | None = None) -> Exception | None:
        """Return what `result` would raise; None where the job has ended with a value.

        A chunk has one also where items of it failed: then `result` raises what the first of them raised.
        The `__cause__` of a user's exception is a JobFailedError with the remote traceback and what AWS says;
        that of one without a job the error that kept it from being submitted. Raises CancelledError, whose
        `__cause__` is a JobCancelledError, and TimeoutError.
        """
        verdict = self._ended(timeout)
        error = self._error  # it may be large, and still in S3
        if verdict.value is None:
            self._note_taken()
        if verdict.status is VerdictStatus.CANCELLED:
            raise CancelledError(f"the job {self.id} was cancelled") from verdict.failure
        return error

    def cancel(self) -> bool:
        """End the job, or keep it from starting, without waiting; False where it has ended already."""
        if self.done():
            return False
        background.event_loop().call_soon_threadsafe(self.task.cancel)
        return True

    def add_done_callback(self, function: Callable[[Job[T]], Any]) -> None:
        """Call a function with this job when it has ended, in a thread that it must not hold up.

        What it raises is logged.
        """
        with _settling:
            if self._verdict is None:
                self._when_done = (*self._when_done, function)
                return
        self._tell(function)

    def __await__(self) -> Generator[Any, None, T]:
        return self._awaited().__await__()

    async def _awaited(self) -> T:
        await all_ended([self])
        return await asyncio.to_thread(self.result)  # a large value is fetched from S3 now

    # --- what AWS knows of it -------------------------------------------------------------------------------

    @property
    def status(self) -> JobStatus:
        """Its state; asks AWS Batch, unless it has ended."""
        if self.succeeded:
            return JobStatus.SUCCEEDED
        detail = self._described()
        if detail is not None:
            return detail.status
        return JobStatus.FAILED if self.done() else JobStatus.SUBMITTED

    @property
    def stdout(self) -> str:
        """What it has printed; empty until it has ended. `logs` shows it while it runs."""
        return "" if self._verdict is None else self._verdict.stdout

    @property
    def stderr(self) -> str:
        """What it has printed as errors; empty until it has ended."""
        return "" if self._verdict is None else self._verdict.stderr

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None before it has one."""
        if self.succeeded:
            return contract.EXIT_VALUE
        detail = self._described()
        return None if detail is None else detail.exit_code

    @property
    def status_reason(self) -> str:
        """Why it is in its state, in AWS's words; empty where AWS says nothing, or has forgotten it."""
        detail = self._described()
        return "" if detail is None else detail.status_reason

    @property
    def waiting(self) -> str:
        """What keeps it from its place, as it was found last; empty where it does not wait, or not long."""
        followed = self.task.followed
        return "" if self.done() or followed is None else followed.flight.waits_for

    @property
    def attempts(self) -> list[Attempt]:
        """Its attempts that have ended, as AWS Batch tells them."""
        detail = self._described()
        return [] if detail is None else detail.attempts

    @property
    def created_at(self) -> datetime | None:
        """When it was submitted, in UTC."""
        detail = self._described()
        return None if detail is None else detail.created_at

    @property
    def started_at(self) -> datetime | None:
        """When its last attempt began, in UTC."""
        outcome = None if self._verdict is None else self._verdict.outcome
        if outcome is not None:
            return datetime.fromtimestamp(outcome.started_at, timezone.utc)
        detail = self._described()
        return None if detail is None else detail.started_at

    @property
    def stopped_at(self) -> datetime | None:
        """When its last attempt ended, in UTC."""
        outcome = None if self._verdict is None else self._verdict.outcome
        if outcome is not None:
            return datetime.fromtimestamp(outcome.finished_at, timezone.utc)
        detail = self._described()
        return None if detail is None else detail.stopped_at

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yield the lines that it has written to CloudWatch Logs; with `follow`, as they come, to its end."""
        self.wait_until_submitted()
        if self.batch_id == "":
            return
        lines = conversation.log_lines(self.task.settings, self.batch_id, follow=follow)
        while (line := background.wait_for(_next(lines))) is not None:
            yield line

    def wait_until_submitted(self) -> None:
        """Wait until AWS Batch has the job, or it has ended without."""
        background.wait_for(self.task.submitted.wait())

    # --- within this package --------------------------------------------------------------------------------

    def items(self, timeout: float | None = None) -> Iterator[Any]:
        """Yield what became of each item, Raised where there is no value; only a chunk has several."""
        try:
            error = self.exception(timeout)
        except CancelledError as cancelled:
            error = cancelled
        if error is not None:
            yield Raised(error)
        elif isinstance(self._value, contract.Chunk):
            yield from map(entry, self._value)
        else:
            yield self._value

    def settle(self, verdicts: list[Verdict]) -> None:
        """Take the verdict, which is the only one; called once, from the event loop."""
        with _settling:
            (self._verdict,) = verdicts
            functions, self._when_done = self._when_done, ()
        for function in functions:
            self._tell(function)

    def _tell(self, function: Callable[[Job[T]], Any]) -> None:
        try:
            function(self)
        except Exception:
            log.exception("A callback of the job %s failed", self.id)

    def _ended(self, timeout: float | None) -> Verdict:
        if self._verdict is None:
            ended = threading.Event()
            self.add_done_callback(lambda _: ended.set())
            ended.wait(timeout)
        if self._verdict is None:
            raise TimeoutError(f"the job {self.id} has not ended within {timeout:g} s")
        return self._verdict

    def _described(self) -> JobDetail | None:
        """Ask AWS Batch, unless it has said all that it will ever say."""
        if self._detail is None or not self._detail.status.is_final:
            self._detail = None if self._verdict is None else self._verdict.job
            if self._detail is None and self.batch_id:
                self._detail = background.wait_for(conversation.describe(self.task))
        return self._detail

    @cached_property
    def _error(self) -> Exception | None:
        verdict = self._ended(None)
        failure = verdict.failure
        if failure is None or verdict.status is not VerdictStatus.FAILED:
            return None
        original = None if verdict.exception is None else unpickled_exception(verdict.exception)
        if original is None:
            return failure
        failure.__cause__, original.__cause__ = original.__cause__, failure
        return original

    @cached_property
    def _value(self) -> T:
        verdict = self._ended(None)
        if verdict.value is None:
            raise JobFailedError(f"The job {self.id} has ended without a value.")
        value: T = unpickled(verdict.value.pickle)
        self._note_taken()
        return value

    def _note_taken(self) -> None:
        """Tell, once, that nothing of it is needed in S3 any more."""
        if self.task.settings.keep_artifacts == "all":
            return
        with _settling:
            was_taken, self._is_taken = self._is_taken, True
        if not was_taken:
            conversation.note_taken(self.task)


async def _next(lines: AsyncIterator[str]) -> str | None:
    return await anext(lines, None)


def _or_raised(item: Any) -> Any:
    if isinstance(item, Raised):
        raise item.error
    return item


async def all_ended(jobs: Sequence[Job[Any]]) -> None:
    """Wait for jobs on any event loop; who gives up waiting leaves no thread that waits on."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    left = len(jobs)

    def count_down(_: Job[Any]) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            ended.set()

    def note_end(job: Job[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits any more
            loop.call_soon_threadsafe(count_down, job)

    for job in jobs:
        job.add_done_callback(note_end)
    if jobs:
        await ended.wait()
