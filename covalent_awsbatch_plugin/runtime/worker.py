"""The process that runs the user's code: it takes calls from the supervisor and answers each."""

from __future__ import annotations

import faulthandler
import os
import platform
import signal
import sys
import threading
from dataclasses import replace

from covalent_awsbatch_plugin.runtime import child, streams
from covalent_awsbatch_plugin.runtime.interruption import Interruption
from covalent_awsbatch_plugin.runtime.messages import Call, Hello, Report
from covalent_awsbatch_plugin.runtime.process import STDERR_FD, Channels


def serve(channels: Channels) -> None:
    """Answer calls until the supervisor closes the channel."""
    _keep_worker_ends(channels)
    # A signal to the whole group reaches the supervisor alone, which passes it on once.
    os.setpgid(0, 0)
    child.die_with(os.getppid())
    output = streams.adopt(channels.stdout.write_fd, channels.stderr.write_fd)
    faulthandler.enable(STDERR_FD)
    _prepare_forks(channels)
    with open(channels.calls.read_fd, "rb") as calls:
        _answer(channels, Hello(platform.python_version(), _cloudpickle_version()))
        for line in calls:
            _answer(channels, _perform(Call.from_line(line), output))


def _perform(call: Call, output: streams.Output) -> Report:
    # cloudpickle has been tried by now; a container without it gets no call.
    from covalent_awsbatch_plugin.runtime.call import perform

    interruption = Interruption()
    signal.signal(signal.SIGTERM, interruption)
    report = perform(call)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    streams.flush()
    streams.renew(output)
    if report.failure is not None:
        print(report.failure.traceback, file=sys.stderr, end="", flush=True)
    return replace(report, is_interrupted=interruption.has_happened)


def _answer(channels: Channels, message: Hello | Report) -> None:
    with open(channels.answers.write_fd, "wb", closefd=False) as answers:
        answers.write(message.to_line())


def _cloudpickle_version() -> str | None:
    try:
        import cloudpickle
    except ImportError:
        return None
    return str(cloudpickle.__version__)


def _keep_worker_ends(channels: Channels) -> None:
    for fd in (
        channels.calls.write_fd,
        channels.answers.read_fd,
        channels.stdout.read_fd,
        channels.stderr.read_fd,
    ):
        os.close(fd)


def _prepare_forks(channels: Channels) -> None:
    """Let processes that the user's code forks be ordinary ones, which SIGTERM ends.

    SIGTERM is held back during the fork: Python forgets a signal that reaches the child before its
    handler is reset.
    """
    masks = threading.local()
    worker_pid = os.getpid()

    def hold_back() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def leave_service() -> None:
        if os.getppid() == worker_pid:  # and not a child of such a process
            os.close(channels.answers.write_fd)
        if isinstance(signal.getsignal(signal.SIGTERM), Interruption):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_through()

    os.register_at_fork(before=hold_back, after_in_parent=let_through, after_in_child=leave_service)
