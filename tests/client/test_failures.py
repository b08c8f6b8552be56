"""A job without a value raises an error of its own kind, which says what happened, and where it did."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from covalent_awsbatch_plugin import errors
from covalent_awsbatch_plugin.client import AWSBatch, Job
from covalent_awsbatch_plugin.errors import JobFailedError
from covalent_awsbatch_plugin.job import console_url
from tests.client.surroundings import LONG_S, Gate
from tests.e2e.surroundings import AWS, eventually

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"

SetFaults = Callable[[dict[str, Any]], None]


@pytest.fixture
def happens(aws: AWS) -> Iterator[SetFaults]:
    """Sets what happens to all jobs from now on, until the end of the test."""
    yield lambda effect: aws.control("PUT", "faults", {"faults": [{"effect": effect}]})
    aws.control("DELETE", "faults")


def once(aws: AWS) -> AWSBatch:
    """A client whose jobs are started only once."""
    return AWSBatch(**{**aws.settings, "retry_attempts": 1})


def failure_of(job: Job[Any]) -> JobFailedError:
    error = job.exception(LONG_S)
    assert isinstance(error, JobFailedError)
    return error


def detail(aws: AWS, job: Job[Any]) -> dict[str, Any]:
    (found,) = aws.batch.describe_jobs(jobs=[job.batch_id])["jobs"]
    return dict(found)


# --- what became of the container ---------------------------------------------------------------------------


def test_out_of_memory(aws: AWS, batch: AWSBatch, gate: Gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    aws.control("POST", f"jobs/{job.batch_id}/kill", {"reason": OUT_OF_MEMORY})
    error = failure_of(job)
    assert type(error) is errors.OutOfMemoryError
    assert str(error).startswith(
        f"The job ran out of memory: Essential container in task exited: {OUT_OF_MEMORY} (exit code 137). "
        f"Next step: raise memory, or let it climb with memory_on_oom: its limit was 256 MiB (memory=0.25).\n"
    )
    assert (error.container_reason, error.exit_code) == (OUT_OF_MEMORY, 137)
    assert error.advice.startswith("raise memory")


def test_an_error_has_all_that_is_known_of_its_job_for_people_and_for_programs(aws: AWS, gate: Gate):
    hold = gate.hold

    def speak() -> None:
        print("my last words", flush=True)
        hold()

    job = once(aws).submit(speak)
    gate.wait_for(1)
    eventually(lambda: "my last words" in "".join(aws.log_lines(job.batch_id)))
    aws.control("POST", f"jobs/{job.batch_id}/kill")
    error = failure_of(job)
    known = detail(aws, job)
    assert type(error) is errors.JobKilledError
    assert (error.job_id, error.job_name) == (known["jobId"], known["jobName"])
    assert error.console_url == console_url("us-east-1", known["jobId"])
    assert error.log_group == aws.settings["batch_job_log_group_name"]
    assert error.log_stream == known["container"]["logStreamName"]
    assert (error.status_reason, error.container_reason, error.exit_code) == (known["statusReason"], "", 137)
    assert [each.exit_code for each in error.attempts] == [137]
    assert error.log_lines == ["my last words"]
    assert str(error).splitlines() == [
        "The job was killed (SIGKILL): Essential container in task exited (exit code 137). Next step: if "
        "nobody killed it, it most likely needed more memory than it had: raise memory.",
        "",
        f"AWS Batch job {job.batch_id} ({error.job_name}): FAILED",
        "  error: JobKilledError",
        "  status reason: Essential container in task exited",
        "  exit code: 137",
        "  attempt: 1 of 1",
        f"  log: {error.log_group} {error.log_stream}",
        f"  console: {error.console_url}",
        "",
        "The last log lines:",
        "my last words",
    ]


def test_an_error_can_be_copied_and_pickled(aws: AWS, gate: Gate):
    job = once(aws).submit(gate.hold)
    gate.wait_for(1)
    aws.control("POST", f"jobs/{job.batch_id}/kill")
    error = failure_of(job)
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))


def test_a_lost_host_and_what_became_of_each_attempt(aws: AWS, happens: SetFaults):
    happens({"lose_host": "RUNNING"})
    job = AWSBatch(**{**aws.settings, "retry_attempts": 2}).submit(lambda: 1)
    error = failure_of(job)
    assert type(error) is errors.HostLostError
    assert str(error).startswith("The job lost its host, and all its attempts with it: Host EC2 (instance i-")
    lines = [line for line in str(error).splitlines() if line.startswith("  attempt ")]
    assert len(lines) == len(error.attempts) == 2
    for number, line, attempt in zip((1, 2), lines, error.attempts, strict=True):
        assert line.startswith(f"  attempt {number} of 2: {attempt.status_reason}, ")
        assert line.endswith(" s")
    assert error.exit_code is None


def test_a_spot_task_that_was_taken_back(aws: AWS, happens: SetFaults):
    happens({"lose_host": "RUNNING", "fargate": True})
    assert type(failure_of(once(aws).submit(lambda: 1))) is errors.SpotReclaimedError


def test_the_time_limit(aws: AWS, gate: Gate):
    job = AWSBatch(**{**aws.settings, "time_limit": 60}).submit(gate.hold)
    error = failure_of(job)
    assert type(error) is errors.TimeLimitError
    assert str(error).startswith(
        "The job ran into its time limit: Job attempt duration exceeded timeout (exit code 143). Next step: "
        "raise time_limit, or give the job more vCPUs.\n"
    )


# --- a job that never started -------------------------------------------------------------------------------

NEVER_STARTED = [
    ({"cannot_pull": "missing"}, errors.ImageMissingError, "could not get its image: there is no such"),
    ({"cannot_pull": "forbidden"}, errors.ImageForbiddenError, "may not pull its image, or there is none"),
    ({"cannot_pull": "architecture"}, errors.ImageArchitectureError, "has an image for another processor"),
    ({"cannot_pull": "disk_full"}, errors.ImageDiskFullError, "could not get its image: its host's disk is"),
    (
        {"cannot_pull": "rate_limit"},
        errors.ImageRateLimitError,
        "could not get its image: the registry gives",
    ),
    ({"cannot_pull": "no_route"}, errors.ImageUnreachableError, "could not get its image: there is no route"),
    ({"cannot_start": "create"}, errors.ContainerStartError, "could not make its container: its host's disk"),
    ({"cannot_start": "start"}, errors.ContainerStartError, "could not start its container"),
    ({"cannot_start": "timeout"}, errors.ContainerStartError, "was not started in time by its host"),
    ({"agent_gone": True}, errors.ContainerStartError, "was placed on a host whose ECS agent had gone"),
    ({"resource_initialization": True}, errors.RoleOrSecretError, "could not reach what its secrets"),
    ({"role": True}, errors.RoleOrSecretError, "could not get its role"),
    ({"network_interface": True}, errors.ContainerStartError, "did not get a network interface in time"),
    ({"end_with": {"status_reason": "What nobody has met"}}, JobFailedError, "ended without leaving"),
]


@pytest.mark.parametrize(("effect", "kind", "cause"), NEVER_STARTED)
def test_a_job_that_never_started_says_why_and_not_that_an_object_is_missing(
    aws: AWS, happens: SetFaults, effect: dict[str, Any], kind: type[JobFailedError], cause: str
):
    happens(effect)
    job = once(aws).submit(lambda: 1)
    error = failure_of(job)
    assert type(error) is kind
    assert str(error).startswith(f"The job {cause}")
    known = detail(aws, job)
    for reason in (known["statusReason"], known["container"].get("reason", "")):
        assert reason in str(error).splitlines()[0]
    assert f"Next step: {error.advice}." in str(error).splitlines()[0]
    for other in ("NoSuchKey", "404 Not Found", "outcomes/"):
        assert other not in str(error)


def test_a_job_whose_dependency_failed(batch: AWSBatch):
    error = failure_of(batch.submit(lambda: 1, depends_on=[batch.submit(lambda: 1 // 0)]))
    assert type(error) is errors.DependencyFailedError


# --- who ended it -------------------------------------------------------------------------------------------


def test_somebody_else_ended_it(aws: AWS, batch: AWSBatch, gate: Gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    aws.batch.terminate_job(jobId=job.batch_id, reason="it took too long, \x1b[31mI thought")
    error = failure_of(job)
    assert type(error) is errors.JobTerminatedError
    assert str(error).startswith(
        "The job was ended by somebody else: it took too long, \\x1b[31mI thought (exit code 143)."
    )
    assert not job.cancelled()


def test_somebody_else_ended_it_before_it_began(aws: AWS, batch: AWSBatch):
    aws.control("POST", "pause")
    try:
        job = batch.submit(lambda: 1)
        job.wait_until_submitted()
        aws.batch.cancel_job(jobId=job.batch_id, reason="not today")
        error = failure_of(job)
    finally:
        aws.control("POST", "resume")
    assert type(error) is errors.JobTerminatedError
    assert str(error).startswith("The job was ended by somebody else: not today (no exit code).")


def test_the_user_cancelled_it(batch: AWSBatch, gate: Gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    job.cancel()
    with pytest.raises(CancelledError) as raised:
        job.result(LONG_S)
    cause = raised.value.__cause__
    assert type(cause) is errors.JobCancelledError
    assert cause.job_id == job.batch_id
    assert job.batch_id in str(cause)


@pytest.mark.parametrize("reason", ["cancelled in Covalent", "cancelled by the user"])
def test_the_user_cancelled_it_from_another_process(aws: AWS, batch: AWSBatch, gate: Gate, reason: str):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    aws.batch.terminate_job(jobId=job.batch_id, reason=reason)
    with pytest.raises(CancelledError):
        job.result(LONG_S)
    assert job.cancelled()


def test_what_was_cancelled_before_it_had_a_job_says_so(unanswered: AWSBatch):
    job = unanswered.submit(lambda: 1)
    job.cancel()
    with pytest.raises(CancelledError) as raised:
        job.result(LONG_S)
    assert type(raised.value.__cause__) is errors.JobCancelledError


# --- the function itself ------------------------------------------------------------------------------------


def test_the_users_exception_has_the_remote_one_as_its_cause(batch: AWSBatch):
    def explode() -> None:
        print("about to explode")
        raise ValueError("boom")

    job = batch.submit(explode)
    error = job.exception(LONG_S)
    assert type(error) is ValueError
    cause = error.__cause__
    assert type(cause) is errors.FunctionRaisedError
    assert str(cause).startswith("ValueError: boom\n\nTraceback ")
    assert (cause.job_id, cause.exit_code) == (job.batch_id, 101)
    assert cause.log_lines[0] == "about to explode"
    assert "ValueError: boom" in cause.log_lines


def test_an_exception_that_cannot_be_had_is_told(batch: AWSBatch):
    class Stubborn(Exception):
        def __init__(self) -> None:
            super().__init__("it has\n\ta lock \x1b[2J")
            self.lock = threading.Lock()

    def fail() -> None:
        raise Stubborn

    error = failure_of(batch.submit(fail))
    assert type(error) is errors.FunctionRaisedError
    assert "Stubborn: it has\n\ta lock \\x1b[2J\n" in str(error)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_a_process_that_was_killed(batch: AWSBatch, chunk_size: int | None):
    def kill(number: int) -> int:
        import os
        import signal

        if number:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    options = {} if chunk_size is None else {"chunk_size": chunk_size}
    found = list(batch.map(kill, [0, 1], **options).results(return_exceptions=True, timeout=LONG_S))
    assert (found[0], type(found[1])) == (0, errors.JobKilledError)
    assert "SIGKILL" in str(found[1])


def test_a_log_does_nothing_to_the_terminal_that_shows_an_error(aws: AWS, gate: Gate):
    hold = gate.hold

    def write() -> None:
        print("\x1b[2J\x1b[31mred\x07 and\ta tab", flush=True)
        hold()

    job = once(aws).submit(write)
    gate.wait_for(1)
    eventually(lambda: "a tab" in "".join(aws.log_lines(job.batch_id)))
    aws.control("POST", f"jobs/{job.batch_id}/kill")
    error = failure_of(job)
    assert error.log_lines == ["\\x1b[2J\\x1b[31mred\\x07 and\ta tab"]
    assert error.log_lines[0] in str(error)
    for text in (str(error), job.stderr):
        assert "\x1b" not in text
    assert list(job.logs()) == ["\x1b[2J\x1b[31mred\x07 and\ta tab"]  # for programs it is as it was


# --- without a job ------------------------------------------------------------------------------------------


def test_what_kept_it_from_being_submitted_is_the_cause(aws: AWS):
    nowhere = AWSBatch(**{**aws.settings, "batch_queue": "no-such-queue"})
    for job in (nowhere.submit(lambda: 1), *nowhere.map(lambda number: number, range(2))):
        error = failure_of(job)
        assert type(error.__cause__) is errors.QueueError
        assert str(error) == f"{error.__cause__} `covalent-awsbatch doctor` looks at the whole set-up."
        assert error.job_id == ""


def test_a_job_that_waits_for_none_is_of_the_same_kind_as_one_that_aws_ends(aws: AWS, batch: AWSBatch):
    nowhere = AWSBatch(**{**aws.settings, "batch_queue": "no-such-queue"})
    found = [failure_of(batch.submit(lambda: 1, depends_on=[nowhere.submit(lambda: 1)])) for _ in range(2)]
    assert [type(each) for each in found] == [errors.DependencyFailedError] * 2
