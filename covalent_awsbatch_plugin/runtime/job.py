"""The supervisor's story: read the payload, run each task, leave each outcome, end with the exit code."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from covalent_awsbatch_plugin.contract import (
    EXIT_RUNTIME_FAULT,
    EXIT_TERMINATED,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    SECTION_OBJECT_STRING,
    SECTION_STDERR,
    SECTION_STDOUT,
    SECTION_VALUE,
    Container,
    Failure,
    Outcome,
    OutcomeStatus,
    Task,
)
from covalent_awsbatch_plugin.runtime import envelope, versions
from covalent_awsbatch_plugin.runtime.failure import describe_death
from covalent_awsbatch_plugin.runtime.fault import RuntimeFault
from covalent_awsbatch_plugin.runtime.files import TaskFiles
from covalent_awsbatch_plugin.runtime.messages import Hello, Report
from covalent_awsbatch_plugin.runtime.payload import Location, PayloadReader
from covalent_awsbatch_plugin.runtime.process import Channels, Death, WorkerProcess
from covalent_awsbatch_plugin.runtime.store import Store
from covalent_awsbatch_plugin.runtime.termination import Termination

_WORKER_END_GRACE_S = 5.0
"""For the worker's own end: exit handlers, and threads that the user's code left behind."""

_SKIPPED = Failure("Skipped", "An earlier task of the same job did not return a value, so this one did not run.")


def supervise(channels: Channels, worker_pid: int, termination: Termination) -> NoReturn:
    """Run the job and end this process with the exit code."""
    worker = WorkerProcess(channels, worker_pid)
    directory = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-"))
    job = Job(worker, termination, directory)

    def end(exit_code: int) -> NoReturn:
        shutil.rmtree(directory, ignore_errors=True)
        os._exit(exit_code)  # no thread of this process is worth waiting for

    def last_resort() -> NoReturn:
        job.leave_terminated()
        end(EXIT_TERMINATED)

    termination.watch(worker.signal, last_resort)
    try:
        exit_code = job.run()
    except RuntimeFault as fault:
        complain(str(fault))
        exit_code = EXIT_TERMINATED if termination.received else EXIT_RUNTIME_FAULT
    worker.end(_WORKER_END_GRACE_S)
    end(exit_code)


def complain(sentence: str) -> None:
    """Tell the job's log what the runtime itself could not do."""
    print(f"covalent-awsbatch: {sentence}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Ending:
    """How a task ended, and the exit code which that is."""

    status: OutcomeStatus
    exit_code: int
    failure: Failure | None = None
    container: Container | None = None


class Job:
    """The tasks of one payload, run in order until one does not return a value."""

    def __init__(self, worker: WorkerProcess, termination: Termination, directory: Path) -> None:
        """Do nothing yet."""
        self._worker = worker
        self._termination = termination
        self._directory = directory
        self._identity = Identity.from_environment(os.environ)
        self._open: OpenJob | None = None

    def run(self) -> int:
        """Run every task and leave every outcome; return the exit code.

        Raises RuntimeFault where the payload cannot be read, or an outcome not be left.
        """
        location = Location.from_environment(os.environ)
        store = Store(location.bucket)
        reader = PayloadReader(store, location.key)
        hello = self._worker.next_event()
