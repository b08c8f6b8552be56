"""SIGTERM in a process that runs the user's code: an exception there, raised once."""

from __future__ import annotations

from types import FrameType


class Terminated(SystemExit):
    """SIGTERM ends the job. Libraries that catch everything, asyncio too, let a SystemExit pass."""


class Interruption:
    """The handler for SIGTERM while a call runs; the user's code may install another."""

    def __init__(self) -> None:
        self.has_happened = False

    def __call__(self, _signal_number: int, _frame: FrameType | None) -> None:
        """Raise Terminated, the first time."""
        if not self.has_happened:  # a second one must not break the user's clean-up off
            self.has_happened = True
            raise Terminated("SIGTERM")
