"""How long the local Batch takes for what takes AWS seconds to minutes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """The delays of the local Batch.

    `time_scale` divides the times that users set (attemptDurationSeconds, maxTimeSeconds) and the
    grace after SIGTERM, because AWS's shortest time limit is a minute.
    """

    admit_delay_s: float = 0.01
    start_delay_s: float = 0.05
    settle_delay_s: float = 0.05
    blocked_reason_delay_s: float = 2.0
    stop_grace_s: float = 30.0
    time_scale: float = 1.0

    @property
    def grace_s(self) -> float:
        """The time between SIGTERM and SIGKILL."""
        return self.scaled(self.stop_grace_s)

    def scaled(self, seconds: float) -> float:
        """Return how long a user's time lasts here."""
        return seconds / self.time_scale
