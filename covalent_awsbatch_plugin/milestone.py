"""Something that happens once and that several wait for; lighter than a future that all of them share."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Milestone(Generic[T]):
    """Has a value from some moment on; who gives up waiting for it takes nothing from the others."""

    __slots__ = ("_is_reached", "_value", "_waiting")

    def __init__(self) -> None:
        self._is_reached = False
        self._value: T | None = None
        self._waiting: tuple[asyncio.Future[T], ...] = ()

    @property
    def is_reached(self) -> bool:
        """Whether it has its value."""
        return self._is_reached

    def reach(self, value: T) -> None:
        """Give the value to those who wait, and to whoever comes; the first one stays."""
        if not self._is_reached:
            self._is_reached, self._value = True, value
            waiting, self._waiting = self._waiting, ()
            for each in waiting:
                if not each.done():
                    each.set_result(value)

    async def wait(self) -> T:
        """Return the value as soon as there is one."""
        if self._is_reached:
            return self._value  # type: ignore[return-value]  # it is set by now
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting = (*self._waiting, waiting)
        return await waiting
