"""A job without a value, through both of Covalent's doors: one message and, from `run()`, the typed error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import covalent as ct
import pytest
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError

from covalent_awsbatch_plugin import errors
from tests.e2e.test_run import call, executor_for
from tests.e2e.test_workflows import lattice


@pytest.fixture
def missing_image(aws) -> Iterator[None]:
    """Every job's image cannot be pulled."""
    aws.control("PUT", "faults", {"faults": [{"effect": {"cannot_pull": "missing"}}]})
    yield
    aws.control("DELETE", "faults")


def told_once(text: str, sentence: str) -> bool:
    return text.count(sentence) == 1


# --- a workflow -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("missing_image")
@pytest.mark.parametrize("door", ["awsbatch", "awsbatch_run"])
def test_a_job_that_never_started_gives_the_pull_error_and_no_missing_object(dispatch, aws, door):
    @ct.electron(executor=door)
    def never():
        return 1

    run = dispatch(lattice(lambda: never()))
    node = run.node("never")
    (job,) = aws.jobs_of(run.id)
    assert str(node["status"]) == "FAILED"
    told = node["stderr"] if door == "awsbatch_run" else node["error"]
    assert told.startswith(
        "The job could not get its image: there is no such repository or tag: Task failed to start: "
        "CannotPullContainerError: "
    )
    assert "Next step: check container_image_uri if it is set" in told.splitlines()[0]
    assert "error: ImageMissingError" in told
    assert job["jobId"] in told
    assert "console.aws.amazon.com/batch/home?region=us-east-1#jobs/detail/" in told
    for other in ("NoSuchKey", "outcomes/", "Traceback"):
        assert other not in told


def test_who_else_ended_a_job_is_told_and_the_node_has_failed(dispatch, aws):
    @ct.electron(executor="awsbatch")
    def sleep():
        import time

        time.sleep(300)

    run = dispatch(lattice(lambda: sleep()))
    job = aws.wait_for_job(run.id, "RUNNING")
    aws.batch.terminate_job(jobId=job["jobId"], reason="not this week")
    node = run.node("sleep")
    assert str(node["status"]) == "FAILED"
    assert node["error"].startswith(
        "The job was ended by somebody else: not this week (exit code 143). Next "
    )


# --- run() ------------------------------------------------------------------------------------------------


async def raised_by(executor: Any, function: Any, dispatch_id: str) -> tuple[TaskRuntimeError, str]:
    with pytest.raises(TaskRuntimeError) as raised:
        await call(executor, function, dispatch_id=dispatch_id)
    return raised.value, executor._task_stderr.getvalue()


async def test_what_run_raises_has_the_typed_error_as_its_cause(aws):
    error, stderr = await raised_by(executor_for(aws), lambda: 1 / 0, "typed-exception")
    cause = error.__cause__
    assert type(cause) is errors.FunctionRaisedError
    assert str(cause) == str(error)
    assert (cause.exit_code, cause.job_id) == (101, aws.jobs_of("typed-exception")[0]["jobId"])
    assert told_once(stderr, str(error))


@pytest.mark.usefixtures("missing_image")
async def test_what_run_raises_of_a_job_that_never_started(aws):
    error, stderr = await raised_by(executor_for(aws, retry_attempts=1), lambda: 1, "typed-pull")
    assert type(error.__cause__) is errors.ImageMissingError
    assert told_once(stderr, str(error))


async def test_what_run_raises_before_there_is_a_job(aws):
    error, _ = await raised_by(executor_for(aws, batch_queue="no-such-queue"), lambda: 1, "typed-queue")
    assert isinstance(error.__cause__, errors.JobFailedError)
    assert type(error.__cause__.__cause__) is errors.QueueError


async def test_what_run_raises_of_a_job_that_was_cancelled(aws):
    def sleep():
        import time

        time.sleep(300)

    executor = executor_for(aws)
    running = asyncio.create_task(call(executor, sleep, dispatch_id="typed-cancelled"))
    job = await asyncio.to_thread(aws.wait_for_job, "typed-cancelled", "RUNNING")
    await executor.cancel({"dispatch_id": "typed-cancelled", "node_id": 0}, None)
    with pytest.raises(TaskCancelledError) as raised:
        await running
    cause = raised.value.__cause__
    assert type(cause) is errors.JobCancelledError
    assert cause.job_id == job["jobId"]
