"""The worker process as its supervisor sees it: channels, messages and death."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from dataclasses import dataclass

from covalent_awsbatch_plugin.runtime.capture import Stream
from covalent_awsbatch_plugin.runtime.fault import RuntimeFault
from covalent_awsbatch_plugin.runtime.messages import Call, Hello, Report, answer_from_line

STDOUT_FD = 1
STDERR_FD = 2


@dataclass(frozen=True)
class Pipe:
    """Two file descriptors."""

    read_fd: int
    write_fd: int


@dataclass(frozen=True)
class Channels:
    """The pipes between the two processes."""

    calls: Pipe
    answers: Pipe
    stdout: Pipe
    stderr: Pipe

    @classmethod
    def open(cls) -> Channels:
        """Make the pipes, before the fork."""
        return cls(*(Pipe(*os.pipe()) for _ in range(4)))


@dataclass(frozen=True)
class Death:
    """The worker has ended: by a signal, or else with an exit code."""

    signal_number: int | None
    exit_code: int

    @classmethod
    def from_wait_status(cls, status: int) -> Death:
        """Read what `waitpid` returned."""
        code = os.waitstatus_to_exitcode(status)
        return cls(-code, 128 - code) if code < 0 else cls(None, code)


class WorkerProcess:
    """The supervisor's end of everything."""

    def __init__(self, channels: Channels, pid: int) -> None:
        """Take the supervisor's ends of the channels and start to listen."""
        for fd in (
            channels.calls.read_fd,
            channels.answers.write_fd,
            channels.stdout.write_fd,
            channels.stderr.write_fd,
        ):
            os.close(fd)
        self._pid = pid
        self._calls_fd = channels.calls.write_fd
        self._answers_fd = channels.answers.read_fd
        self._events: queue.SimpleQueue[Hello | Report | Death] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._is_dismissed = False
        self.stdout = Stream(channels.stdout.read_fd, STDOUT_FD)
        self.stderr = Stream(channels.stderr.read_fd, STDERR_FD)
        self._listener = threading.Thread(target=self._listen, name="answers", daemon=True)
        self._listener.start()
        threading.Thread(target=self._wait_for_death, name="worker-death", daemon=True).start()

    def next_event(self) -> Hello | Report | Death:
        """Wait for what the worker says next, or for its death, which is the last event."""
        return self._events.get()

    def call(self, call: Call) -> Report | Death:
        """Have the worker perform a call, and wait until it has."""
        # A dead worker cannot read; its death is already among the events.
        with contextlib.suppress(BrokenPipeError):
            _write_line(self._calls_fd, call.to_line())
        event = self.next_event()
        if isinstance(event, Hello):
            raise RuntimeFault("The process that runs the function began anew.")
        return event

    def signal(self, number: signal.Signals) -> None:
        """Send the worker a signal, if it still lives."""
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def kill_group(self) -> None:
        """Kill the worker and every process that the user's code forked and left in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)

    def dismiss(self) -> None:
        """Tell the worker that no call will come: it ends as any Python program does."""
        if not self._is_dismissed:
            self._is_dismissed = True
            os.close(self._calls_fd)

    def end(self, grace_s: float) -> None:
        """Dismiss the worker, and kill it after the grace: the user's threads may never end."""
        self.dismiss()
        if not self._ended.wait(grace_s):
            self.signal(signal.SIGKILL)
            self._ended.wait(grace_s)

    def _listen(self) -> None:
        with open(self._answers_fd, "rb") as answers:
            for line in answers:
                if line.endswith(b"\n"):  # a dying worker may leave half a line
                    self._events.put(answer_from_line(line))

    def _wait_for_death(self) -> None:
        # As process 1 of a container the supervisor inherits every orphan, so it waits for any child.
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self._pid:
                break
        self._ended.set()
        # What the worker said last comes before its death; a process that it forked may keep the
        # channel open, so the wait is bounded.
        self._listener.join(timeout=1.0)
        self._events.put(Death.from_wait_status(status))


def _write_line(fd: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(fd, rest) :]
