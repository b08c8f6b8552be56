"""What a process can say about its own use of the machine, and how long its event loops stood still."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path

BEAT_S = 0.01

BEGAN_S = time.monotonic()
"""When this process had imported little more than the standard library."""


def peak_memory_mb() -> float:
    """Return the most memory that this process has ever held, in MB; Linux's VmHWM."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


class Collections:
    """Tells how long Python's garbage collection held everything up; it grows with what a process holds."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self.longest_s = 0.0
        self._began_s = 0.0

    def install(self) -> None:
        """Count from now on."""
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _info: dict[str, int]) -> None:
        now_s = time.monotonic()
        if phase == "start":
            self._began_s = now_s
            return
        self.total_s += now_s - self._began_s
        self.longest_s = max(self.longest_s, now_s - self._began_s)


class Heartbeat(asyncio.DefaultEventLoopPolicy):
    """Gives every event loop that asyncio makes in this process a beat, and keeps the longest delay.

    A policy reaches loops that run in threads of somebody else's too, with nothing of theirs changed.
    """

    def __init__(
        self, collections: Collections, make_loop: Callable[[], asyncio.AbstractEventLoop] | None = None
    ) -> None:
        """Have loops made by a function; None: as asyncio makes them."""
        super().__init__()
        self._collections = collections
        self._make_loop = make_loop or super().new_event_loop
        self.longest_stall_s = 0.0
        self.longest_stall_without_gc_s = 0.0

    def install(self) -> None:
        """Watch the loops that are made from now on."""
        asyncio.set_event_loop_policy(self)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return a loop that beats as soon as it runs."""
        loop = self._make_loop()
        loop.call_soon(self._begin, loop)
        return loop

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(BEAT_S, self._beat, loop, time.monotonic() + BEAT_S, self._collections.total_s)

    def _beat(self, loop: asyncio.AbstractEventLoop, due_s: float, gc_before_s: float) -> None:
        now_s, gc_s = time.monotonic(), self._collections.total_s
        stall_s = now_s - due_s
        self.longest_stall_s = max(self.longest_stall_s, stall_s)
        self.longest_stall_without_gc_s = max(self.longest_stall_without_gc_s, stall_s - (gc_s - gc_before_s))
        loop.call_later(BEAT_S, self._beat, loop, now_s + BEAT_S, gc_s)
