"""`JobArray`: the jobs of a `map`."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeVar, overload

from .. import background
from ..progress import Bar
from ..running import Running
from . import conversation
from .job import Job, all_ended
from .pickles import Raised

T = TypeVar("T")


class JobArray(Sequence[Job[T]]):
    """The jobs of a `map`, in the order of its items; made by `AWSBatch`.

    Its members are jobs by index. It can be awaited: `await array` is the list of its results.
    """

    def __init__(self, run_id: str, jobs: Sequence[Job[T]]) -> None:
        self._id = run_id
        self._jobs = jobs

    def __repr__(self) -> str:
        return f"<JobArray {self.id}, {sum(job.done() for job in self)} of {len(self)} ended>"

    @property
    def id(self) -> str:
        """What `AWSBatch.array` finds it by, now and on any other day."""
        return self._id

    @property
    def tasks(self) -> list[Running]:
        """What of it stands in the core."""
        return [job.task for job in self]

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, index: int) -> Job[T]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Job[T]]: ...
    def __getitem__(self, index: int | slice) -> Job[T] | Sequence[Job[T]]:
        """Return a child by its index."""
        return self._jobs[index]

    def done(self) -> bool:
        """Tell whether all have ended."""
        return all(job.done() for job in self)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until all have ended, at most `timeout` seconds.

        Raises TimeoutError when these have passed.
        """
        for _ in self.as_completed(timeout):
            pass

    def as_completed(self, timeout: float | None = None) -> Iterator[Job[T]]:
        """Yield the jobs as they end, at most for `timeout` seconds.

        Raises TimeoutError when these have passed.
        """
        deadline_s = None if timeout is None else time.monotonic() + timeout
        ended: queue.SimpleQueue[Job[T]] = queue.SimpleQueue()
        for job in self:
            job.add_done_callback(ended.put)
        for _ in range(len(self)):
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            try:
                yield ended.get(timeout=left_s)
            except queue.Empty as error:
                raise TimeoutError(f"the array {self.id} has not ended within {timeout:g} s") from error

    def results(
        self, *, as_completed: bool = False, return_exceptions: bool = False, timeout: float | None = None
    ) -> Iterator[T]:
        """Yield the value of each item, in the items' order, or as they come.

        Where an item has none, its exception is raised, as from `Job.result`; or, with `return_exceptions`,
        yielded in its place. Raises TimeoutError when `timeout` seconds have passed.
        """
        deadline_s = None if timeout is None else time.monotonic() + timeout
        for job in self.as_completed(timeout) if as_completed else self:
            left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
            for each in job.items(left_s):
                if isinstance(each, Raised) and not return_exceptions:
                    raise each.error
                yield each.error if isinstance(each, Raised) else each  # type: ignore[misc]  # as asked for

    def cancel(self) -> None:
        """End all that have not ended, the whole array with one call; does not wait for it."""
        background.start(conversation.cancel_all([job.task for job in self if not job.done()]))

    @property
    def exit_codes(self) -> list[int | None]:
        """The exit code of each child that has ended; None for the others, and where it has none."""
        return [job.exit_code if job.done() else None for job in self]

    @property
    def status_reasons(self) -> list[str]:
        """Why each child that has ended without a value did so, in AWS's words; empty for the others."""
        return [job.status_reason if job.done() and not job.succeeded else "" for job in self]

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._awaited().__await__()

    async def _awaited(self) -> list[T]:
        await all_ended(self)
        return await asyncio.to_thread(lambda: list(self.results()))

    def show_progress(self, label: str) -> None:
        """Show a bar on the terminal until all have ended."""
        bar = Bar(label, len(self))
        for job in self:
            job.add_done_callback(lambda ended: bar.advance(failed=not ended.succeeded))
