"""A small process that outlives the local AWS just long enough to clean up after it.

The server tells it on standard input what is running, one line each:

    add <process group> <marker>      remove <process group>

When that input ends, the server is gone, whether it stopped or was killed. What is still on the list
then is killed and the directory given on the command line is removed. Standard library only, run by
path with `python -I -S`, so that it is up in milliseconds.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

PROC = Path("/proc")

KILL_ROUNDS = 100
KILL_INTERVAL_S = 0.01
"""A marked process may have started another while it was looked for, so the search is repeated."""


def signal_group(process_group: int, number: int) -> None:
    """Send a signal to a process group; one that is gone already is what is wanted."""
    try:
        os.killpg(process_group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM where only zombies are left
        return


def kill_marked(marker: str) -> None:
    """Kill the processes whose environment holds the entry `marker`, wherever they moved themselves.

    A process that left its group (setsid) still carries the environment it was started with. Systems
    without /proc have only the group.
    """
    entry = b"\0" + marker.encode() + b"\0"
    for _ in range(KILL_ROUNDS):
        marked = [pid for pid in _own_pids() if entry in _environment(pid)]
        if not marked:
            return
        for pid in marked:
            _kill(pid)
        time.sleep(KILL_INTERVAL_S)


def _own_pids() -> list[int]:
    if not PROC.is_dir():
        return []
    return [int(name) for name in os.listdir(PROC) if name.isdecimal() and int(name) != os.getpid()]


def _environment(pid: int) -> bytes:
    try:
        return b"\0" + (PROC / str(pid) / "environ").read_bytes()
    except OSError:  # gone meanwhile, or another user's
        return b""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def ignore_terminal_signals() -> None:
    """Leave it to the end of the input when to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def main(directory: str) -> None:
    """Keep the list until standard input ends, then clean up."""
    ignore_terminal_signals()
    running: dict[int, str] = {}
    for line in sys.stdin:
        verb, process_group, *marker = line.rstrip("\n").split(" ", 2)
        if verb == "add":
            running[int(process_group)] = marker[0]
        else:
            running.pop(int(process_group), None)
    for process_group, mark in running.items():
        signal_group(process_group, signal.SIGKILL)
        kill_marked(mark)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
