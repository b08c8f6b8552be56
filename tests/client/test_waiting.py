"""Jobs that wait for their place: what their user learns, what it costs, and which of them are ended."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from covalent_awsbatch_plugin import vigil
from covalent_awsbatch_plugin.client import AWSBatch, Job
from covalent_awsbatch_plugin.errors import NeverPlacedError, QueueInvalidError
from tests.client.surroundings import LONG_S, Gate, has_status
from tests.e2e.surroundings import AWS, Counted, eventually

SIZE = 4


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What AWS takes minutes for."""
    monkeypatch.setattr(vigil, "DWELL_S", 0.2)
    monkeypatch.setattr(vigil, "KEPT_S", 0.1)
    monkeypatch.setattr(vigil, "FRESH_S", 0)
    monkeypatch.setattr(vigil, "PERSISTENCE_S", 0.5)


@pytest.fixture
def paused(aws: AWS) -> Iterator[Callable[[], None]]:
    """No job is placed until this is called."""
    aws.control("POST", "pause")
    yield lambda: aws.control("POST", "resume")
    aws.control("POST", "resume")


def environment(aws: AWS, max_vcpus: int) -> str:
    name = f"environment-{uuid.uuid4().hex}"
    resources = {
        **{"type": "EC2", "minvCpus": 0, "maxvCpus": max_vcpus, "instanceTypes": ["optimal"]},
        **{"instanceRole": "ecsInstanceRole", "subnets": [], "securityGroupIds": []},
    }
    aws.batch.create_compute_environment(
        computeEnvironmentName=name, type="MANAGED", computeResources=resources
    )
    eventually(lambda: _is_valid(aws.batch.describe_compute_environments(computeEnvironments=[name])))
    return name


def queue(aws: AWS, environment_name: str) -> str:
    name = f"queue-{uuid.uuid4().hex}"
    order = [{"order": 1, "computeEnvironment": environment_name}]
    aws.batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order)
    eventually(lambda: _is_valid(aws.batch.describe_job_queues(jobQueues=[name])))
    return name


def _is_valid(answer: dict[str, Any]) -> bool:
    (found,) = answer.get("jobQueues") or answer["computeEnvironments"]
    return found["status"] == "VALID"


@pytest.fixture
def small(aws: AWS) -> str:
    """A compute environment of two vCPUs."""
    return environment(aws, max_vcpus=2)


@pytest.fixture
def small_queue(aws: AWS, small: str) -> str:
    return queue(aws, small)


def batch_for(aws: AWS, batch_queue: str, **options: Any) -> AWSBatch:
    return AWSBatch(**{**aws.settings, "poll_freq": 0.2, "batch_queue": batch_queue, **options})


def waiting(job: Job[Any]) -> str:
    """Return what is found to keep a job."""
    return str(eventually(lambda: job.waiting))


# --- what its user learns ---------------------------------------------------------------------------------


def test_a_job_that_waits_tells_its_place_and_runs_when_it_may(
    aws: AWS, paused: Callable[[], None], small_queue: str
):
    batch = batch_for(aws, small_queue)
    first = batch.submit(lambda: 1)
    waiting(first)
    second = batch.submit(lambda: 2)
    assert waiting(second).startswith(f"the job {second.batch_id} has waited ")
    assert f"in the queue {small_queue!r}: place 2 of 2 in it. Next step: wait" in waiting(second)
    paused()
    assert (first.result(LONG_S), second.result(LONG_S), second.waiting) == (1, 2, "")
    note, *_ = second.stderr.splitlines()
    assert note.startswith(f"covalent-awsbatch: the job {second.batch_id} has waited ")
    assert note.endswith("place 2 of 2 in it. Next step: wait, for others are before it.")


def test_an_array_is_looked_into_as_a_whole(
    aws: AWS, paused: Callable[[], None], small_queue: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vigil, "KEPT_S", 60)
    counted = Counted(aws)
    array = batch_for(aws, small_queue).map(lambda number: number, range(SIZE))
    assert f"place 1 of {SIZE} in it" in waiting(array[0])
    assert {job.waiting for job in array} == {waiting(array[0])}
    assert (
        counted("batch", "GetJobQueueSnapshot"),
        counted("batch", "DescribeComputeEnvironments"),
        counted("batch", "DescribeJobQueues"),
    ) == (1, 1, 2)  # one queue was looked at before the submission
    paused()
    assert list(array.results(timeout=LONG_S)) == list(range(SIZE))
    assert all(f"place 1 of {SIZE} in it" in job.stderr for job in array)


def test_jobs_of_one_queue_are_looked_into_together(
    aws: AWS, paused: Callable[[], None], small_queue: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vigil, "KEPT_S", 60)
    counted = Counted(aws)
    jobs = [batch_for(aws, small_queue, time_limit=60 + number).submit(lambda: 1) for number in range(SIZE)]
    for job in jobs:
        waiting(job)
    assert counted("batch", "SubmitJob") == SIZE
    assert counted("batch", "GetJobQueueSnapshot") == counted("batch", "DescribeComputeEnvironments") == 1


def test_jobs_that_do_not_wait_cost_nothing(aws: AWS, small_queue: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    counted = Counted(aws)
    array = batch_for(aws, small_queue).map(lambda number: number, range(SIZE))
    assert list(array.results(timeout=LONG_S)) == list(range(SIZE))
    assert counted("batch", "GetJobQueueSnapshot") == counted("batch", "DescribeComputeEnvironments") == 0
    assert counted("batch", "DescribeJobQueues") <= 1
    assert [job.stderr for job in array] == [""] * SIZE


def test_an_array_of_which_some_run_does_not_wait(aws: AWS, small_queue: str, gate: Gate):
    counted = Counted(aws)
    array = batch_for(aws, small_queue).map(gate.hold, range(SIZE))
    gate.wait_for(2)
    asked = counted("batch", "DescribeJobs")
    eventually(lambda: counted("batch", "DescribeJobs") > asked + 3)
    assert [job.waiting for job in array] == [""] * SIZE
    gate.open()
    assert list(array.results(timeout=LONG_S)) == list(range(SIZE))


# --- what can never run -----------------------------------------------------------------------------------


def test_what_can_never_run_waits_on_unless_its_user_says_otherwise(aws: AWS, small_queue: str):
    counted = Counted(aws)
    job = batch_for(aws, small_queue, vcpu=3).submit(lambda: 1)
    assert "allows 2 vCPUs, the job asks for 3. Next step: ask for fewer vCPUs (vcpu)" in waiting(job)
    asked = counted("batch", "GetJobQueueSnapshot")
    eventually(lambda: counted("batch", "GetJobQueueSnapshot") > asked + 1)  # it is looked into, and left
    assert (job.status.value, job.done()) == ("RUNNABLE", False)
    assert counted("batch", "CancelJob") == counted("batch", "TerminateJob") == 0
    job.cancel()
    job.wait(LONG_S)
    assert job.cancelled()


def test_what_can_never_run_fails_when_its_time_is_over(aws: AWS, small: str, small_queue: str):
    counted = Counted(aws)
    batch = batch_for(aws, small_queue, vcpu=3, runnable_timeout=1)
    job = batch.submit(lambda: 1)
    error = job.exception(LONG_S)
    assert isinstance(error, NeverPlacedError)
    found = f"the compute environment {small!r} allows 2 vCPUs, the job asks for 3"
    assert found in str(error)
    assert found in job.stderr.splitlines()[0]
    assert error.status_reason.startswith(
        f"ended by covalent-awsbatch, for it could never be placed: {found}"
    )
    assert not job.cancelled()
    assert counted("batch", "CancelJob") == 1
    assert counted("batch", "TerminateJob") == 0
    again = batch.job(job.id).exception(LONG_S)  # as another process would find it
    assert isinstance(again, NeverPlacedError)
    assert found in str(again)


def test_an_array_that_can_never_run_is_ended_as_a_whole(aws: AWS, small_queue: str):
    """AWS Batch says itself that there are no GPUs; it is believed when it has said so for some time."""
    counted = Counted(aws)
    array = batch_for(aws, small_queue, num_gpus=1, runnable_timeout=1).map(
        lambda number: number, range(SIZE)
    )
    errors = [job.exception(LONG_S) for job in array]
    assert {type(each) for each in errors} == {NeverPlacedError}
    assert all("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT" in str(each) for each in errors)
    assert counted("batch", "CancelJob") == 1


def test_what_aws_batch_may_say_of_what_only_begins_is_not_believed_at_once(
    aws: AWS, small_queue: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vigil, "PERSISTENCE_S", 600)
    counted = Counted(aws)
    job = batch_for(aws, small_queue, num_gpus=1, runnable_timeout=1).submit(lambda: 1)
    eventually(lambda: "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT" in job.waiting)
    asked = counted("batch", "GetJobQueueSnapshot")
    eventually(lambda: counted("batch", "GetJobQueueSnapshot") > asked)
    assert (job.status.value, counted("batch", "CancelJob")) == ("RUNNABLE", 0)
    job.cancel()
    job.wait(LONG_S)


def test_a_queue_whose_environments_take_nothing_fails_what_waits_in_it(
    aws: AWS, small: str, small_queue: str
):
    aws.batch.update_compute_environment(computeEnvironment=small, state="DISABLED")
    job = batch_for(aws, small_queue, runnable_timeout=1).submit(lambda: 1)
    error = job.exception(LONG_S)
    assert isinstance(error, QueueInvalidError)
    assert f"the compute environment {small!r} is DISABLED" in str(error)


def test_an_environment_that_is_mended_in_time_runs_what_waited(aws: AWS, small: str, small_queue: str):
    batch = batch_for(aws, small_queue, vcpu=3, runnable_timeout=3600)
    job = batch.submit(lambda: 1)
    assert "allows 2 vCPUs, the job asks for 3" in waiting(job)
    aws.batch.update_compute_environment(computeEnvironment=small, computeResources={"maxvCpus": 4})
    assert job.result(LONG_S) == 1
    assert "allows 2 vCPUs, the job asks for 3" in job.stderr


@pytest.fixture
def strike(aws: AWS) -> Iterator[Callable[..., None]]:
    """Have the local AWS do wrong what this says."""
    yield lambda *faults: aws.control("PUT", "faults", {"faults": faults})
    aws.control("DELETE", "faults")


def test_what_only_aws_batch_knows_of_a_queue_fails_what_waits_in_it(
    aws: AWS, small_queue: str, strike: Callable[..., None]
):
    strike({"effect": {"stuck": "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS"}})
    job = batch_for(aws, small_queue, runnable_timeout=1).submit(lambda: 1)
    error = job.exception(LONG_S)
    assert isinstance(error, QueueInvalidError)
    assert "SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue" in str(error)


def test_who_may_not_look_at_the_queue_still_learns_what_aws_batch_says(
    aws: AWS, small_queue: str, strike: Callable[..., None]
):
    job = batch_for(aws, small_queue, vcpu=3, runnable_timeout=3600).submit(lambda: 1)
    assert "allows 2 vCPUs" in waiting(job)
    denied = {"status": 403, "code": "AccessDeniedException", "message": "not authorized"}
    looks = ("DescribeJobQueues", "DescribeComputeEnvironments", "GetJobQueueSnapshot")
    strike(*({"operation": each, "effect": denied} for each in looks))
    text = f"in the queue {small_queue!r}: AWS Batch says 'MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
    eventually(lambda: text in job.waiting)
    job.cancel()
    job.wait(LONG_S)


# --- what only waits --------------------------------------------------------------------------------------


def test_a_queue_that_is_disabled_keeps_what_it_has(aws: AWS, paused: Callable[[], None], small_queue: str):
    job = batch_for(aws, small_queue, runnable_timeout=1).submit(lambda: 1)
    waiting(job)
    aws.batch.update_job_queue(jobQueue=small_queue, state="DISABLED")
    eventually(lambda: "the queue is DISABLED, and takes no new jobs" in job.waiting)
    assert job.status.value == "RUNNABLE"
    paused()
    assert job.result(LONG_S) == 1


def test_a_job_that_waits_for_capacity_never_fails(aws: AWS, small_queue: str, gate: Gate):
    running = batch_for(aws, small_queue, vcpu=2).submit(gate.hold)
    assert has_status(running, "RUNNING")
    counted = Counted(aws)
    job = batch_for(aws, small_queue, runnable_timeout=1).submit(lambda: 1)
    assert "place 1 of 1 in it; AWS Batch gives no reason, or none yet" in waiting(job)
    asked = counted("batch", "GetJobQueueSnapshot")
    eventually(lambda: counted("batch", "GetJobQueueSnapshot") > asked + 3)
    assert (job.status.value, counted("batch", "CancelJob")) == ("RUNNABLE", 0)
    gate.open()
    assert job.result(LONG_S) == 1


def test_a_job_for_which_aws_has_no_instances_never_fails(
    aws: AWS, small_queue: str, strike: Callable[..., None]
):
    strike({"effect": {"stuck": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"}})
    counted = Counted(aws)
    job = batch_for(aws, small_queue, runnable_timeout=1).submit(lambda: 1)
    eventually(lambda: "place 1 of 1 in it; AWS Batch says 'CAPACITY:INSUFFICIENT_INSTANCE" in job.waiting)
    asked = counted("batch", "GetJobQueueSnapshot")
    eventually(lambda: counted("batch", "GetJobQueueSnapshot") > asked)
    assert (job.status.value, counted("batch", "CancelJob")) == ("RUNNABLE", 0)
    strike()
    assert job.result(LONG_S) == 1


def test_who_holds_up_a_queue_is_named(aws: AWS, small_queue: str):
    large = batch_for(aws, small_queue, vcpu=3).submit(lambda: 1)
    waiting(large)
    job = batch_for(aws, small_queue, runnable_timeout=1).submit(lambda: 2)
    eventually(lambda: "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE" in job.waiting)
    assert f"place 2 of 2 in it; the job {large.batch_id} (covalent-" in job.waiting
    assert job.status.value == "RUNNABLE"
    large.cancel()
    assert job.result(LONG_S) == 2
