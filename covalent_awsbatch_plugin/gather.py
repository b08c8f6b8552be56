"""Tasks that ask for the same thing within a short time are submitted together, as one array job.

How long the first one waits for others is a bargain. Waiting costs those who wait; who joins saves an upload,
a SubmitJob of AWS's 50 a second and a place among the hundred jobs of a DescribeJobs. So:

- Nobody waits longer than a tenth of what a task of this kind has taken so far, from submission to result
  (`SHARE_OF_TURNAROUND`), nor longer than the setting `gather_window`, and at least `LONE_WINDOW_S`.
- Waiting ends early where nobody comes: after `LONE_WINDOW_S`, or, in a stream that brings enough within
  the window, after twice its usual gap.

A lone task therefore waits `LONE_WINDOW_S`. A burst leaves in arrays of what came within it. A stream of
eight a second, which is what Covalent's dispatcher gives, is gathered where jobs take several seconds or
more, as on AWS they do, and hardly where they take one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

LONE_WINDOW_S = 0.1
SHARE_OF_TURNAROUND = 0.1

ENOUGH_IN_WINDOW = 4
"""A stream is waited for where it brings at least so many within the window: each then waits for few."""

PATIENCE_GAPS = 2
"""A stream has ended when nobody came for so many of its usual gaps."""

SMOOTHING = 0.3
"""Of the usual gap: the newest one counts for so much."""


class Kind(Hashable, Protocol):
    """What tasks must have in common to go together, and how they may."""

    @property
    def of_any_dispatch(self) -> Hashable:
        """What is remembered of how often such tasks come; there are few of these, and they come again."""

    @property
    def gather_window_s(self) -> float:
        """The longest time to wait for others."""

    @property
    def max_array_size(self) -> int:
        """The most that go together."""

    @property
    def max_bytes(self) -> int:
        """The most bytes that go together."""


K = TypeVar("K", bound=Kind)
T = TypeVar("T")


class Waiting(Generic[T]):
    """One who waits to be submitted; `job_id` has the job, or child of an array, that it became."""

    __slots__ = ("content", "is_sealed", "job_id")

    def __init__(self, content: T) -> None:
        self.content = content
        self.is_sealed = False
        """Whether it is on its way, and must be waited for."""
        self.job_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def submitted_as(self, job_id: str) -> None:
        """Tell who waits the job's id."""
        if not self.job_id.done():  # the event loop may have ended meanwhile
            self.job_id.set_result(job_id)

    def fail(self, error: Exception) -> None:
        """Raise an error in who waits."""
        if not self.job_id.done():
            self.job_id.set_exception(error)

    def withdraw(self) -> bool:
        """Take it out, if it is not on its way yet, and tell whether that was so."""
        if not self.is_sealed:
            self.job_id.cancel()
        return not self.is_sealed


@dataclass
class _Batch(Generic[T]):
    opened_s: float
    newest_s: float
    waiting: list[Waiting[T]] = field(default_factory=list)
    size_bytes: int = 0
    is_full: asyncio.Event = field(default_factory=asyncio.Event)


class Gatherer(Generic[K, T]):
    """Gathers what goes together and hands it on; `send` gives each its job's id, or an error.

    `turnaround_s` tells how long tasks of a kind have taken; None where that is not known.
    """

    def __init__(
        self,
        send: Callable[[K, list[Waiting[T]]], Awaitable[None]],
        turnaround_s: Callable[[K], float | None],
    ) -> None:
        self._send = send
        self._turnaround_s = turnaround_s
        self._open: dict[K, _Batch[T]] = {}
        self._gaps_s: dict[Hashable, float] = {}
        self._newest_s: dict[Hashable, float] = {}
        self._sending: set[asyncio.Task[None]] = set()

    def add(self, kind: K, content: T, size_bytes: int) -> Waiting[T]:
        """Let something wait for others of its kind."""
        now_s = time.monotonic()
        self._note_gap(kind, now_s)
        batch = self._open.get(kind)
        if batch is not None and batch.size_bytes + size_bytes > kind.max_bytes:
            self._close(kind, batch)
            batch = None
        if batch is None:
            batch = self._open[kind] = _Batch(now_s, now_s)
            sending = asyncio.create_task(self._send_when_due(kind, batch))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
        waiting = Waiting(content)
        batch.waiting.append(waiting)
        batch.size_bytes += size_bytes
        batch.newest_s = now_s
        if len(batch.waiting) >= kind.max_array_size:
            self._close(kind, batch)
        return waiting

    def _close(self, kind: K, batch: _Batch[T]) -> None:
        batch.is_full.set()
        if self._open.get(kind) is batch:
            del self._open[kind]

    def _note_gap(self, kind: K, now_s: float) -> None:
        alike = kind.of_any_dispatch
        before_s = self._newest_s.get(alike)
        self._newest_s[alike] = now_s
        if before_s is not None:
            gap_s = min(now_s - before_s, kind.gather_window_s)
            usual_s = self._gaps_s.get(alike, gap_s)
            self._gaps_s[alike] = usual_s + SMOOTHING * (gap_s - usual_s)

    async def _send_when_due(self, kind: K, batch: _Batch[T]) -> None:
        while not batch.is_full.is_set():
            delay_s = self._due_s(kind, batch) - time.monotonic()
            if delay_s <= 0:
                break
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(batch.is_full.wait(), delay_s)
        self._close(kind, batch)
        wanted = [each for each in batch.waiting if not each.job_id.done()]
        for each in wanted:
            each.is_sealed = True
        if wanted:
            await self._send(kind, wanted)

    def _due_s(self, kind: K, batch: _Batch[T]) -> float:
        lone_s = min(LONE_WINDOW_S, kind.gather_window_s)
        turnaround_s = self._turnaround_s(kind) or 0.0
        window_s = max(min(turnaround_s * SHARE_OF_TURNAROUND, kind.gather_window_s), lone_s)
        gap_s = self._gaps_s.get(kind.of_any_dispatch, window_s)
        is_stream = gap_s * ENOUGH_IN_WINDOW <= window_s
        patience_s = max(gap_s * PATIENCE_GAPS, lone_s) if is_stream else lone_s
        return min(batch.opened_s + window_s, batch.newest_s + patience_s)
