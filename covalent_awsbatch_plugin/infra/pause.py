"""How long to wait between two looks at CloudFormation."""

from __future__ import annotations

import asyncio

FIRST_S = 0.1
LONGEST_S = 2.0
GROWTH = 1.5
"""It refuses those who ask often; an environment takes minutes on AWS, and nothing at all on a local one."""


class Pause:
    """Pauses that are short at first and grow, up to two seconds."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    def shorten(self) -> None:
        """Begin with short pauses again: something has moved."""
        self._next_s = FIRST_S

    async def take(self) -> None:
        """Wait."""
        await asyncio.sleep(self._next_s)
        self._next_s = min(self._next_s * GROWTH, LONGEST_S)
