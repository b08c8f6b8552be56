"""An event loop whose clock jumps to the next timer, and a runner that only pretends.

With them the engine's state machine is explored in hundreds of random runs within seconds.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from covalent_awsbatch_plugin.local.runner import Exit, Launch, StartFailure


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("everything waits for something that will never come")
            self.now += timeout
        return list(events)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Sleeps take no time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the seconds that have passed in the loop's own world."""
        return self._jumping.now


def run_virtual(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine in virtual time; what goes wrong in callbacks and tasks beside it counts too."""
    loop = VirtualTimeLoop()
    mishaps: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: mishaps.append(context))
    tasks: list[asyncio.Task[Any]] = []

    def remembered(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        tasks.append(asyncio.Task(coroutine, loop=loop, **options))
        return tasks[-1]

    loop.set_task_factory(remembered)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert mishaps == []
    assert [task.exception() for task in tasks] == [None] * len(tasks)


@dataclass
class PretendedRun:
    """An attempt that ends after a time, by itself or by a signal."""

    launch: Launch
    code: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    stops: list[float] = field(default_factory=list)

    def end(self, code: int) -> None:
        if not self.ended.is_set():
            self.code = code
            self.ended.set()

    async def wait(self) -> Exit:
        await self.ended.wait()
        return Exit(self.code)

    def stop(self, grace_s: float) -> None:
        self.stops.append(grace_s)
        asyncio.get_running_loop().call_later(min(grace_s, 1.0), self.end, 143)

    def kill(self) -> None:
        self.end(137)


@dataclass
class PretendingRunner:
    """Runs nothing; `plan` says how long an attempt takes and its exit code, None for a failed start."""

    plan: Callable[[Launch], tuple[float, int | None]]
    runs: list[PretendedRun] = field(default_factory=list)
    closed: bool = False

    async def start(self, launch: Launch) -> PretendedRun:
        duration_s, code = self.plan(launch)
        if code is None:
            raise StartFailure("CannotPullContainerError: pretended")
        run = PretendedRun(launch, code)
        self.runs.append(run)
        asyncio.get_running_loop().call_later(duration_s, run.end, code)
        return run

    async def close(self) -> None:
        self.closed = True


class NoLogs:
    """Takes output and forgets it."""

    def open(self, container: dict[str, Any], stream: str) -> NoLogs:
        return self

    def write(self, data: bytes) -> None:
        """Forget the output."""

    def close(self) -> None:
        """Nothing is left to hand over."""
