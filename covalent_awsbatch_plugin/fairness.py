"""Much to do on an event loop that others use too: a little in each of its rounds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

TURN_SIZE = 100
"""Of items that take up to a hundred microseconds each: a turn is over in some milliseconds."""


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items and let others have the event loop now and then."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % TURN_SIZE == 0:
            await asyncio.sleep(0)


class Turnstile:
    """Lets a turn's worth of tasks through in each round of the event loop, in the order in which they came.

    Thousands may wait for the same thing; when it comes they would all go on in one round.
    """

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._let_through = 0
        self._is_turning = False

    async def pass_through(self) -> None:
        """Wait for one's turn."""
        loop = asyncio.get_running_loop()
        if not self._is_turning:
            self._is_turning = True
            loop.call_soon(self._turn)
        if self._let_through < TURN_SIZE and not self._waiting:
            self._let_through += 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _turn(self) -> None:
        self._let_through = 0
        while self._waiting and self._let_through < TURN_SIZE:
            turn = self._waiting.popleft()
            if not turn.done():  # it may have been cancelled
                turn.set_result(None)
                self._let_through += 1
        self._is_turning = self._let_through > 0
        if self._is_turning:
            asyncio.get_running_loop().call_soon(self._turn)


class Crew:
    """Does pieces of work, so many at a time, in the order in which they came.

    What waits for its turn is no task yet: ten thousand of them would be a burden to the whole process.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[Callable[[], Coroutine[Any, Any, None]]] = deque()
        self._working: set[asyncio.Task[None]] = set()

    def add(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a piece of work done, which must not raise."""
        self._waiting.append(work)
        if len(self._working) < self._size:
            self._begin()

    def _begin(self) -> None:
        task = asyncio.get_running_loop().create_task(self._waiting.popleft()())
        self._working.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if self._waiting and not task.cancelled():  # else the event loop ends
            self._begin()
