"""Where a named fault is played: a client of its own, tasks that note each run, and a look at AWS Batch."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any
from uuid import uuid4

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.client import AWSBatch, Job
from covalent_awsbatch_plugin.errors import AWSBatchError
from covalent_awsbatch_plugin.job import split_id
from covalent_awsbatch_plugin.local.aws import LocalAWS
from tests.local.driving import Driver, until

ENOUGH_S = 60.0
"""Nothing takes so long here: who waits longer waits for ever."""

ON_DEMAND = "on-demand"
"""A second queue, for what cannot be had in the first."""

GATE = "open"
LARGE_BYTES = 9 << 20
"""More than one part of a multipart upload."""

ANOTHERS_KEY = bytes(32)


class Scene:
    """A local AWS with one fault, the client that meets it, and what can be seen of both."""

    def __init__(self, aws: LocalAWS, directory: Path, settings: Mapping[str, Any]) -> None:
        self.aws = aws
        self.driver = Driver(aws)
        self._runs = directory / "runs"
        self._runs.mkdir()
        self._directory = directory
        self.settings: dict[str, Any] = {
            **aws.settings,
            "memory": 0.25,
            "poll_freq": 0.2,
            "time_limit": 3600,
            **settings,
        }
        self.batch = AWSBatch(progress=False, **self.settings)
        self.jobs: list[Job[Any]] = []

    def begin_anew(self, **settings: Any) -> None:
        """Make a client that knows nothing yet, as that of another process, with a definition of its own."""
        credentials = self._directory / f"credentials-{uuid4().hex[:8]}"
        shutil.copy(self.aws.settings["credentials"], credentials)
        self.settings |= {
            "credentials": str(credentials),  # each file of them has a session of its own
            "batch_job_definition_name": f"named-{uuid4().hex[:8]}",
            **settings,
        }
        self.batch = AWSBatch(progress=False, **self.settings)

    # --- the functions that run in jobs -----------------------------------------------------------------

    def function(self, end: str = "", *, waits: bool = False) -> Callable[..., Any]:
        """Return a function that notes its run and returns its argument, or ends otherwise."""
        return _noting(str(self._runs), end, waits, LARGE_BYTES)

    def open_gate(self) -> None:
        """Let those go on that wait."""
        (self._runs / GATE).touch()

    @property
    def runs(self) -> int:
        """How often functions have begun."""
        return len(list(self._runs.glob("ran-*")))

    def wait_for_runs(self, count: int) -> None:
        """Wait until functions have begun so often."""
        until(lambda: self.runs >= count, ENOUGH_S)

    def wait_until_struck(self) -> None:
        """Wait until each fault of the plan has struck."""
        until(lambda: all(self.aws.faults_struck.values()), ENOUGH_S)

    # --- what AWS Batch has ----------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        """What all names of these jobs have in common."""
        return self.jobs[0].task.dispatch_id

    def batch_id(self, number: int = 0) -> str:
        """Return AWS Batch's id of a job, when the client knows it: the job may be sooner."""
        self.jobs[number].wait_until_submitted()
        return self.jobs[number].batch_id

    def submitted(self) -> list[dict[str, Any]]:
        """Return the jobs, or arrays, that AWS Batch has of it."""
        names = [self.settings["batch_queue"], ON_DEMAND]
        queues = self.driver.batch.describe_job_queues(jobQueues=names)["jobQueues"]  # one may be deleted
        filters = [{"name": "JOB_NAME", "values": [f"{contract.JOB_NAME_PREFIX}{self.run_id}*"]}]
        return [
            each
            for queue in queues
            for each in self.driver.batch.list_jobs(jobQueue=queue["jobQueueArn"], filters=filters)[
                "jobSummaryList"
            ]
        ]

    def are_over(self) -> bool:
        """Tell whether none of its jobs is left that may yet run."""
        return all(each["status"] in ("SUCCEEDED", "FAILED") for each in self.submitted())

    # --- what others do --------------------------------------------------------------------------------

    def terminate(self, reason: str) -> None:
        """End the job as somebody does in AWS's console."""
        self.driver.batch.terminate_job(jobId=split_id(self.batch_id())[0], reason=reason)

    def leave_outcome(self, content: bytes) -> None:
        """Put an object where the first attempt's outcome belongs."""
        key = contract.outcome_key(self.run_id, self.jobs[0].index, 1)
        self.driver.s3.put_object(Bucket=self.settings["s3_bucket_name"], Key=key, Body=content)

    def outcome(self) -> contract.Outcome:
        """Return an outcome of the first attempt as somebody else would make it up."""
        now_s = time.time()
        return contract.Outcome(
            dispatch_id=self.run_id,
            node_id=self.jobs[0].index,
            status=contract.OutcomeStatus.VALUE,
            job_id=self.batch_id(),
            attempt=1,
            started_at=now_s,
            finished_at=now_s,
            python_version="3.11.7",
            cloudpickle_version="3.1.1",
        )


def _noting(directory: str, end: str, waits: bool, large_bytes: int) -> Callable[..., Any]:
    # A function within a function travels whole: jobs need not import the tests.
    def function(value: Any = "value") -> Any:
        import os
        import signal
        import time
        import uuid
        from pathlib import Path

        Path(directory, f"ran-{uuid.uuid4().hex}").touch()
        while waits and not Path(directory, "open").exists():
            time.sleep(0.02)
        if end == "raise":
            raise ValueError("boom")
        if end == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if end == "large":
            return b"x" * large_bytes
        return len(value) if isinstance(value, bytes) else value

    return function


# --- what is submitted ----------------------------------------------------------------------------------

Submit = Callable[[Scene], Sequence[Job[Any]]]


def a_task(scene: Scene) -> list[Job[Any]]:
    """Submit a function that returns a value."""
    return [scene.batch.submit(scene.function())]


def a_task_that_waits(scene: Scene) -> list[Job[Any]]:
    """Submit a function that waits until it may go on."""
    return [scene.batch.submit(scene.function(waits=True))]


def a_task_that_raises(scene: Scene) -> list[Job[Any]]:
    """Submit a function that raises."""
    return [scene.batch.submit(scene.function("raise"))]


def a_task_that_crashes(scene: Scene) -> list[Job[Any]]:
    """Submit a function whose process crashes."""
    return [scene.batch.submit(scene.function("crash"))]


def a_large_value(scene: Scene) -> list[Job[Any]]:
    """Submit a function whose value does not fit into its outcome."""
    return [scene.batch.submit(scene.function("large"))]


def a_large_argument(scene: Scene) -> list[Job[Any]]:
    """Submit a function with an argument that does not fit into a pack."""
    return [scene.batch.submit(scene.function(), b"x" * LARGE_BYTES)]


def an_array(scene: Scene) -> list[Job[Any]]:
    """Submit an array of four."""
    return list(scene.batch.map(scene.function(), range(4)))


def an_array_that_waits(scene: Scene) -> list[Job[Any]]:
    """Submit an array of four that waits until it may go on."""
    return list(scene.batch.map(scene.function(waits=True), range(4)))


def two_in_a_row(scene: Scene) -> list[Job[Any]]:
    """Submit a task that waits for another one; the second one is looked at."""
    first = scene.batch.submit(scene.function())
    return [scene.batch.submit(scene.function(), depends_on=[first]), first]


# --- what a user gets -----------------------------------------------------------------------------------


def what_came(job: Job[Any]) -> tuple[type[Exception] | None, str]:
    """Return the class of the error, None where there is a value, and what the user reads."""
    try:
        job.result(ENOUGH_S)
    except CancelledError as error:
        return type(error), str(error.__cause__)
    except Exception as error:  # noqa: BLE001 — it is what is looked at
        return type(error), str(error if isinstance(error, AWSBatchError) else error.__cause__)
    return None, job.stderr
