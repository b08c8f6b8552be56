"""SIGTERM: Batch's time limit, a termination or a Spot reclaim, 30 s before SIGKILL."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

GRACE_S = 10.0
"""How long the user's code may take to end by itself."""

LAST_RESORT_S = 12.0
"""How long the supervisor may then take to upload a value that is done, before it is given up."""


class Termination:
    """Notices SIGTERM at once, even while the main thread sits in a call that no signal interrupts."""

    def __init__(self) -> None:
        """Install the handler; a signal that comes before `watch` is kept."""
        self._received = threading.Event()
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, _do_nothing)

    @property
    def received(self) -> bool:
        """Whether SIGTERM has come."""
        return self._received.is_set()

    def abandon(self) -> None:
        """Leave SIGTERM to its default again; for the worker, which has its own handling."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._read_fd)
        os.close(self._write_fd)

    def watch(
        self, ask: Callable[[], None], kill: Callable[[], None], last_resort: Callable[[], None]
    ) -> None:
        """Start the thread that ends the job once SIGTERM has come.

        `ask` is called at once, `kill` after the grace, and `last_resort`, which has to end the process,
        where even then the main thread does not.
        """

        def end_job() -> None:
            self._wait_for_sigterm()
            self._received.set()
            ask()
            time.sleep(GRACE_S)
            kill()
            time.sleep(LAST_RESORT_S)
            last_resort()

        threading.Thread(target=end_job, name="termination", daemon=True).start()

    def _wait_for_sigterm(self) -> None:
        while signal.SIGTERM not in os.read(self._read_fd, 64):
            pass


def _do_nothing(_signal_number: int, _frame: FrameType | None) -> None:
    """Stand in for a handler: without one, no byte reaches the wake-up file."""
