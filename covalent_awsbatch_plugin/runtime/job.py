"""The supervisor's story: read the payload, run each task, leave each outcome, end with the exit code."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
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
    Failure,
    OutcomeStatus,
    Task,
)
from covalent_awsbatch_plugin.runtime import versions
from covalent_awsbatch_plugin.runtime.claim import claim
from covalent_awsbatch_plugin.runtime.failure import describe_death
from covalent_awsbatch_plugin.runtime.fault import RuntimeFault, complain
from covalent_awsbatch_plugin.runtime.files import TaskFiles, takes_value
from covalent_awsbatch_plugin.runtime.messages import Hello, Report
from covalent_awsbatch_plugin.runtime.outcomes import Ending, Outcomes
from covalent_awsbatch_plugin.runtime.payload import Location, PayloadReader
from covalent_awsbatch_plugin.runtime.process import Channels, Death, WorkerProcess
from covalent_awsbatch_plugin.runtime.store import Store
from covalent_awsbatch_plugin.runtime.termination import Termination

_WORKER_END_GRACE_S = 5.0
"""For the worker's own end: exit handlers, and threads that the user's code left behind."""

_SKIPPED = Ending(
    OutcomeStatus.SKIPPED,
    Failure("Skipped", "An earlier task of the same job did not return a value, so this one did not run."),
)


def supervise(channels: Channels, worker_pid: int, termination: Termination) -> NoReturn:
    """Run the job and end this process with the exit code."""
    worker = WorkerProcess(channels, worker_pid)
    directory = Path(tempfile.mkdtemp(prefix="covalent-awsbatch-"))
    job = Job(worker, termination, directory)

    def ask() -> None:
        if not job.has_begun:
            last_resort()  # nothing is lost
        worker.signal(signal.SIGTERM)

    def kill() -> None:
        worker.kill_group()

    def last_resort() -> NoReturn:
        try:
            job.give_up()
        finally:
            _end(directory, EXIT_TERMINATED)

    termination.watch(ask, kill, last_resort)
    try:
        job.open()
        exit_code = job.run()
    except RuntimeFault as fault:
        complain(str(fault))
        exit_code = EXIT_TERMINATED if termination.received else fault.exit_code
    except Exception as error:  # noqa: BLE001 - what nobody foresaw leaves an outcome too
        exit_code = job.leave_fault(f"The runtime failed: {type(error).__qualname__}: {error}")
    worker.end(_WORKER_END_GRACE_S)
    if termination.received:
        worker.kill_group()  # nothing that the user's code started outlives the job, in a container or not
    _end(directory, exit_code)


class Job:
    """The tasks of one payload, run in order until one does not return a value."""

    def __init__(self, worker: WorkerProcess, termination: Termination, directory: Path) -> None:
        """Do nothing yet; `open` may take long, and SIGTERM may come meanwhile."""
        self._worker = worker
        self._termination = termination
        self._directory = directory
        self._waiting: list[Task] = []
        self._has_begun = False
        self._started_at = time.time()

    @property
    def has_begun(self) -> bool:
        """Whether there are tasks whose outcomes matter, or were."""
        return self._has_begun

    def open(self) -> None:
        """Read the payload's header, and make its tasks this job's.

        Raises RuntimeFault where it cannot be read, Duplicate or Conflict where nothing is left to do.
        """
        location = Location.from_environment(os.environ)
        store = Store(location.bucket)
        self._reader = PayloadReader(store, location)
        payload = self._reader.payload
        if payload.kms_key_id:
            store = Store(location.bucket, payload.kms_key_id)
        claim(store, payload, os.environ)  # while the worker still starts
        self._hello = _greet(self._worker)
        self._outcomes = Outcomes(store, payload, self._hello, os.environ)
        self._waiting = list(payload.tasks)
        self._has_begun = True

    def run(self) -> int:
        """Run every task, leave every outcome and return the exit code.

        Raises RuntimeFault where an outcome cannot be left.
        """
        exit_code = EXIT_VALUE
        while self._waiting and exit_code == EXIT_VALUE:
            exit_code = self._run_next_task()
        self._leave_rest(_SKIPPED)
        return exit_code

    def give_up(self) -> None:
        """Leave the outcomes of what has none, from the thread that watches for SIGTERM."""
        ending = _terminated(self._started_at, "")
        if not self._has_begun and ending.failure is not None:
            complain(ending.failure.message)
        self._leave_rest(ending)

    def leave_fault(self, sentence: str) -> int:
        """Leave the outcomes of what has none, and return the exit code."""
        if not self._waiting:
            complain(sentence)
        try:
            self._leave_rest(_fault(sentence))
        except RuntimeFault as fault:
            complain(str(fault))
            return fault.exit_code
        return EXIT_RUNTIME_FAULT

    def _leave_rest(self, ending: Ending) -> None:
        for task in list(self._waiting):
            self._leave(task, ending, {})
            ending = _SKIPPED

    def _run_next_task(self) -> int:
        task = self._waiting[0]
        self._started_at = time.time()
        files = TaskFiles(self._reader, self._directory, task)
        ending = self._run_task(task, files)
        has_value = ending.status is OutcomeStatus.VALUE
        if len(self._waiting) == 1 or not has_value:
            self._worker.dismiss()  # it ends while the outcome is uploaded
        self._leave(task, ending, _sections(ending, files))
        files.remove(keep_value=any(takes_value(each, task.node_id) for each in self._waiting))
        return ending.exit_code

    def _run_task(self, task: Task, files: TaskFiles) -> Ending:
        problem = versions.mismatch(task, self._hello)
        if problem is not None:
            return _fault(problem)
        try:
            call = files.fetch()
        except (RuntimeFault, OSError) as error:
            return _fault(str(error))
        if self._termination.received:
            return _terminated(self._started_at, "")
        return self._ending(self._worker.call(call))

    def _ending(self, event: Report | Death) -> Ending:
        if isinstance(event, Death):
            if self._termination.received:
                return _terminated(self._started_at, "")
            exit_code = EXIT_USER_EXCEPTION if event.signal_number is None else event.exit_code
            return Ending(OutcomeStatus.EXCEPTION, describe_death(event), crash_exit_code=exit_code)
        if self._termination.received and (event.is_interrupted or event.failure is not None):
            return _terminated(self._started_at, "" if event.failure is None else event.failure.traceback)
        if event.failure is not None:
            return Ending(OutcomeStatus.EXCEPTION, event.failure)
        return Ending(OutcomeStatus.VALUE, container=event.container)

    def _leave(self, task: Task, ending: Ending, sections: dict[str, Path | str]) -> None:
        empty: dict[str, Path | str] = {SECTION_VALUE: "", SECTION_OBJECT_STRING: ""}
        stdout, stderr = self._worker.stdout.take(), self._worker.stderr.take()
        if ending.status is OutcomeStatus.FAULT and ending.failure is not None:
            stderr += complain(ending.failure.message)
        streams = {SECTION_STDOUT: stdout, SECTION_STDERR: stderr}
        self._outcomes.leave(task.node_id, ending, self._started_at, {**empty, **sections, **streams})
        self._waiting.remove(task)


def _greet(worker: WorkerProcess) -> Hello:
    event = worker.next_event()
    if isinstance(event, Hello):
        return event
    raise RuntimeFault(f"The process that was to run the function ended at its start: {event}.")


def _sections(ending: Ending, files: TaskFiles) -> dict[str, Path | str]:
    if ending.status is OutcomeStatus.VALUE:
        return {SECTION_VALUE: files.value, SECTION_OBJECT_STRING: files.object_string}
    if ending.is_raised and files.exception.exists():
        return {SECTION_VALUE: files.exception}
    return {}


def _fault(sentence: str) -> Ending:
    return Ending(OutcomeStatus.FAULT, Failure("RuntimeFault", sentence))


def _terminated(started_at: float, traceback: str) -> Ending:
    ran_s = time.time() - started_at
    return Ending(
        OutcomeStatus.TERMINATED,
        Failure(
            "Terminated",
            f"SIGTERM ended the job {ran_s:.1f} s after this task began: its time limit, a termination, "
            "or the reclaim of a Spot instance.",
            traceback,
        ),
    )


def _end(directory: Path, exit_code: int) -> NoReturn:
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(exit_code)  # no thread of this process is worth waiting for
