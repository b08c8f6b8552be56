"""The pace of this process's calls to AWS Batch, one for all its event loops and threads.

AWS counts the calls of an account in a region, whoever makes them. So they take turns here: each waits in a
lane, first come, first served, and those who describe jobs go before those who submit more. Where AWS
throttles one call, all slow down.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable
from enum import Enum

import anyio

log = logging.getLogger(__name__)

LIMIT_PER_S = 50
"""AWS's fixed limit for SubmitJob, for an account in a region (the user guide's page on service limits). For
other calls none is published; AWS's support speaks of 50 for Batch's calls in general
(https://repost.aws/knowledge-center/aws-batch-requests-error). Counted together, all stay below both."""

BURST = 5
"""How many calls go at once after a rest: what one task asks of AWS Batch before its job is submitted."""

RATE_PER_S = float(LIMIT_PER_S - BURST)
"""Turns that are added in a second. A second may begin with a whole burst, so both together are the limit;
and who goes on for long stays a tenth below it, which is for what the network crowds together."""

SLOWEST_PER_S = 1.0
"""However much AWS throttles, we have to find out that it has stopped."""

CLIMB_PER_S = 1.0
"""A second's worth of calls that were not throttled makes us faster by so many calls a second."""

PAUSE_S = 1.0
"""About so long nobody sends after a call was throttled, half as much more or less: AWS's counts are by the
second, and several processes should not come back together."""

LONGEST_BACK_OFF_S = 20.0
"""As in the standard mode of the AWS SDK's retries."""

LOOK_AGAIN_S = 0.5
"""Who is next looks at least so often whether its turn has come sooner than it seemed."""

LEAST_WAIT_S = 0.001
"""The resolution of an event loop's timers."""

GONE_AFTER_S = 2.0
"""An event loop whose first in line has not looked for so long stands still, and holds up nobody."""


class Lane(Enum):
    """Where a call waits for its turn."""

    DESCRIBE = "describe"
    """Goes first: what is known of jobs, and their end, must not wait until others have begun."""
    SUBMIT = "submit"


class _Line:
    """Those of one event loop who wait in a lane; only the first of them looks and sleeps."""

    def __init__(self) -> None:
        # Wakes one at a time, in the order in which they came; asyncio's would keep its event loop for ever.
        self.order = anyio.Lock()
        self.waiting = 0
        self.looked_s = -math.inf


_Lines = dict[Lane, _Line]


class Pace:
    """Gives turns to all callers of one AWS account and region; made by `pace_for`.

    `clock` gives seconds that never go back, `sleep` lets them pass, `chance` gives a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lines] = (
            weakref.WeakKeyDictionary()
        )
        self._rate_per_s = RATE_PER_S
        self._turns = float(BURST)
        self._filled_s = clock()
        self._slowed_s = -math.inf

    @property
    def rate_per_s(self) -> float:
        """How many calls a second are made at present, at most and in the long run."""
        return self._rate_per_s

    async def turn(self, lane: Lane) -> float:
        """Wait until a call may be made, and return when that is, in seconds of the pace's own clock.

        The turn is taken whether the call is made or not.
        """
        line = self._join(lane)
        try:
            async with line.order:
                # Nothing is taken before it is given: who is cancelled here leaves everything to the next.
                while True:
                    now_s, wait_s = self._look(lane, line)
                    if wait_s == 0:
                        return now_s
                    await self._sleep(wait_s)
        finally:
            self._leave(line)

    def throttled(self, turn_s: float) -> None:
        """Slow everybody down: AWS has refused the call of this turn because of its rate."""
        with self._lock:
            if turn_s <= self._slowed_s:
                return  # it tells of the rate before: calls of the same moment are throttled together
            self._slowed_s = self._clock()
            self._rate_per_s = max(self._rate_per_s / 2, SLOWEST_PER_S)
            self._turns = 0.0
            # Until then nothing is added, so nobody sends; and the pause does not end in a burst.
            self._filled_s = self._slowed_s + PAUSE_S * (0.5 + self._chance())
        log.info("AWS Batch throttles: from now on %.1f calls a second", self._rate_per_s)

    def succeeded(self) -> None:
        """Become a little faster again: AWS has answered a call, in whatever way."""
        with self._lock:
            self._fill(self._clock())
            self._rate_per_s = min(self._rate_per_s + CLIMB_PER_S / self._rate_per_s, RATE_PER_S)

    async def back_off(self, failures: int) -> None:
        """Wait before a call that has failed so often is made again, by chance longer and longer."""
        await self._sleep(self._chance() * min(2.0 ** (failures - 1), LONGEST_BACK_OFF_S))

    def _join(self, lane: Lane) -> _Line:
        with self._lock:
            lines = self._lines.setdefault(asyncio.get_running_loop(), {})
            line = lines.setdefault(lane, _Line())
            line.waiting += 1
            return line

    def _leave(self, line: _Line) -> None:
        with self._lock:
            line.waiting -= 1

    def _look(self, lane: Lane, line: _Line) -> tuple[float, float]:
        """Take a turn where there is one; return the time, and the seconds until the next look, or 0."""
        with self._lock:
            now_s = self._clock()
            line.looked_s = now_s
            self._fill(now_s)
            before = self._urgent(now_s) if lane is Lane.SUBMIT else 0
            if before == 0 and self._turns >= 1:
                self._turns -= 1
                return now_s, 0.0
            wait_s = self._filled_s - now_s + (before + 1 - self._turns) / self._rate_per_s
            return now_s, min(max(wait_s, LEAST_WAIT_S), LOOK_AGAIN_S)

    def _fill(self, now_s: float) -> None:
        if now_s > self._filled_s:
            gained = (now_s - self._filled_s) * self._rate_per_s
            self._turns = min(self._turns + gained, float(BURST))
            self._filled_s = now_s

    def _urgent(self, now_s: float) -> int:
        lines = [of_loop[Lane.DESCRIBE] for of_loop in self._lines.values() if Lane.DESCRIBE in of_loop]
        return sum(line.waiting for line in lines if now_s - line.looked_s <= GONE_AFTER_S)


_paces: dict[Hashable, Pace] = {}
_paces_lock = threading.Lock()


def pace_for(key: Hashable) -> Pace:
    """Return the process's pace for whatever AWS counts together: an account, its region, the endpoint."""
    with _paces_lock:
        return _paces.setdefault(key, Pace())
