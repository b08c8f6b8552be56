"""Many calls of one function as one task, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from covalent_awsbatch_plugin.contract import Chunk, Failure
from covalent_awsbatch_plugin.runtime import child, exception, streams, value
from covalent_awsbatch_plugin.runtime.failure import describe, describe_death
from covalent_awsbatch_plugin.runtime.interruption import Interruption, Terminated
from covalent_awsbatch_plugin.runtime.process import STDERR_FD, Death

Entry = dict[str, Any]
"""What became of an item, as `Chunk` has it."""


def run_chunk(function: Callable[..., Any], items: Sequence[tuple[Any, ...]], at_once: int = 1) -> Chunk:
    """Call the function with each item's arguments, at most `at_once` (1 or more) at a time.

    Returns what became of each item, in their order. Every item has a process of its own, also where they run
    one after the other: what crashes one, or fills its memory, leaves the others alone. The processes are
    forked, so function and items are opened once. SIGTERM is raised in all of them.
    """
    worker_pid = os.getpid()
    directory = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-chunk-"))
    running = _Running()
    try:
        return _run(function, items, max(1, at_once), running, directory)
    except Terminated:
        running.interrupt()
        raise
    finally:
        if os.getpid() == worker_pid:  # and not a process that an item forked and let run out of it
            running.kill()
            shutil.rmtree(directory, ignore_errors=True)


def _run(
    function: Callable[..., Any],
    items: Sequence[tuple[Any, ...]],
    at_once: int,
    running: _Running,
    directory: Path,
) -> Chunk:
    entries: dict[int, Entry] = {}
    all_files = [_Files.of(directory, index) for index in range(len(items))]
    waiting = list(reversed(range(len(items))))
    while len(entries) < len(items):
        while waiting and len(running) < at_once:
            index = waiting.pop()
            running.start(index, partial(_perform, function, items[index], all_files[index], os.getpid()))
        index, status = running.wait()
        entries[index] = _take_entry(all_files[index], status)
    return Chunk(entries[index] for index in range(len(items)))


class _Running:
    """The processes of the items that run now."""

    def __init__(self) -> None:
        self._indices: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._indices)

    def start(self, index: int, work: Callable[[], None]) -> None:
        streams.flush()  # what is held back now would be written by both processes
        self._indices[child.start(work)] = index

    def wait(self) -> tuple[int, int]:
        """Wait until an item has ended; return its index and wait status."""
        while True:
            # Any child: nobody else in this process waits for one while the function runs.
            pid, status = os.waitpid(-1, 0)
            if pid in self._indices:
                return self._indices.pop(pid), status

    def interrupt(self) -> None:
        """Let all end by themselves. The supervisor's patience is the limit: it kills the process group."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Leave none behind."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        for pid in self._indices:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while self._indices:
            pid, _ = self._indices.popitem()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


@dataclass(frozen=True)
class _Files:
    """What an item leaves: the last to appear, a value or a failure, does so whole or not at all."""

    value: Path
    failure: Path
    exception: Path
    part: Path

    @classmethod
    def of(cls, directory: Path, index: int) -> _Files:
        return cls(*(directory / f"{index}.{name}" for name in ("value", "failure", "exception", "part")))


def _perform(function: Callable[..., Any], args: tuple[Any, ...], files: _Files, worker_pid: int) -> None:
    """Call the function, in the item's process, and leave what came of it."""
    child.die_with(worker_pid)
    signal.signal(signal.SIGTERM, Interruption())
    _renew_randomness()
    item_pid = os.getpid()
    try:
        returned = function(*args)
        if os.getpid() != item_pid:
            sys.exit()
        value.write_pickle(returned, files.part)
        files.part.rename(files.value)
    except BaseException as error:  # SystemExit ends the item, not the chunk
        if os.getpid() != item_pid:
            raise
        _leave_failure(error, files)
    streams.flush()


def _leave_failure(error: BaseException, files: _Files) -> None:
    failure = describe(error)
    streams.flush()
    with contextlib.suppress(OSError), open(STDERR_FD, "wb", closefd=False) as stderr:
        stderr.write(failure.traceback.encode())
    exception.leave(error, files.exception)
    files.part.write_text(json.dumps(asdict(failure)))
    files.part.rename(files.failure)


def _take_entry(files: _Files, status: int) -> Entry:
    """Return what the item left, and free the disk."""
    if files.value.exists():
        return {"value": _take(files.value)}
    if files.failure.exists():
        return {**json.loads(_take(files.failure)), "exception": _take(files.exception)}
    return _entry_of_death(describe_death(Death.from_wait_status(status)))


def _entry_of_death(failure: Failure) -> Entry:
    return {**asdict(failure), "exception": b""}


def _take(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    path.unlink()
    return content


def _renew_randomness() -> None:
    """Give NumPy a seed of its own in each process, as Python does for `random`: forks would draw alike."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
