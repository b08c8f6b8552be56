"""Processes that are forked for one piece of work, or that must not outlive their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def start(work: Callable[[], None]) -> int:
    """Fork a process that does the work and ends at once; return its id.

    In a process that the work itself forks and lets run out of it, this raises what ends that process as
    Python would.
    """
    with warnings.catch_warnings():
        # That the user's code has threads is no news to tell the user in the job's log.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _do(work)
    return pid


def die_with(parent_pid: int) -> None:
    """Ask Linux to kill this process when its parent dies, which would orphan it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it was faster
        os.kill(os.getpid(), signal.SIGKILL)


def _do(work: Callable[[], None]) -> NoReturn:
    pid = os.getpid()
    exit_code = 1
    try:
        work()
        exit_code = 0
    finally:
        if os.getpid() == pid:
            os._exit(exit_code)  # exit handlers and open streams are the parent's
    sys.exit()
