"""AWS's limits on the rate of calls."""

from __future__ import annotations

import time
from collections.abc import Callable

SUBMIT_CALLS_PER_S = 50.0
"""AWS's fixed limit for an account in a region."""

OTHER_CALLS_PER_S = 50.0
"""Not published by AWS; what its support texts speak of for all other Batch calls together."""


class TokenBucket:
    """Allows a rate of calls, and one second's worth of them at once."""

    def __init__(self, calls_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls_per_s = calls_per_s
        self._clock = clock
        self._tokens = calls_per_s
        self._filled_at = clock()

    def take(self) -> bool:
        """Tell whether another call is allowed now, and count it."""
        now = self._clock()
        self._tokens = min(self._calls_per_s, self._tokens + (now - self._filled_at) * self._calls_per_s)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class BatchThrottle:
    """Batch's rates: one for SubmitJob and one for all other calls."""

    def __init__(self) -> None:
        self._submit = TokenBucket(SUBMIT_CALLS_PER_S)
        self._other = TokenBucket(OTHER_CALLS_PER_S)

    def take(self, operation: str) -> bool:
        """Tell whether a call is allowed now, and count it."""
        return (self._submit if operation == "SubmitJob" else self._other).take()
