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

    def watch(self, signal_worker: Callable[[signal.Signals], None], last_resort: Callable[[], None]) -> None:
        """Start the thread that ends the job once SIGTERM has come.

        The worker gets SIGTERM, after the grace SIGKILL; `last_resort` is called where even then the
        main thread does not end the process, and has to end it.
        """

        def end_job() -> None:
            self._wait_for_sigterm()
            self._received.set()
            signal_worker(signal.SIGTERM)
            time.sleep(GRACE_S)
            signal_worker(signal.SIGKILL)
            time.sleep(LAST_RESORT_S)
            last_resort()

        threading.Thread(target=end_job, name="termination", daemon=True).start()

    def _wait_for_sigterm(self) -> None:
        while signal.SIGTERM not in os.read(self._read_fd, 64):
            pass


def _do_nothing(_signal_number: int, _frame: FrameType | None) -> None:
    """Stand in for a handler: without one, no byte reaches the wake-up file."""
