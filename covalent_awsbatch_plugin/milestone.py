"""Something that happens once and that several wait for; lighter than a future that all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class Milestone(Generic[T]):
    """Has a value from some moment on; who gives up waiting for it takes nothing from the others."""

    __slots__ = ("_is_reached", "_then", "_value")

    def __init__(self) -> None:
        self._is_reached = False
        self._value: T | None = None
        self._then: tuple[Callable[[], object], ...] = ()

    @property
    def is_reached(self) -> bool:
        """Whether it has its value."""
        return self._is_reached

    def reach(self, value: T) -> None:
        """Give the value to those who wait, and to whoever comes; the first one stays."""
        if not self._is_reached:
            self._is_reached, self._value = True, value
            functions, self._then = self._then, ()
            for function in functions:
                function()

    def then(self, function: Callable[[], object]) -> None:
        """Call a function as soon as there is a value: it costs less than to wait."""
        if self._is_reached:
            function()
        else:
            self._then = (*self._then, function)

    async def wait(self) -> T:
        """Return the value as soon as there is one."""
        if not self._is_reached:
            reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(partial(_fulfil, reached))
            await reached
        return self._value  # type: ignore[return-value]  # it is set by now


def _fulfil(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():  # who waited may have given up
        waiting.set_result(None)
