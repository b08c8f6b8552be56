"""Long loops on an event loop that others use too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")

TURN_SIZE = 100
"""Of items that take some ten microseconds each: a turn is over in a few milliseconds."""


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items and let others have the event loop now and then."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % TURN_SIZE == 0:
            await asyncio.sleep(0)
