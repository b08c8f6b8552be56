"""Tasks that are submitted again: with more memory, to another queue, or because AWS Batch did not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.errors import OutOfMemoryError
from tests.client.surroundings import Gate
from tests.e2e.surroundings import AWS, Counted, eventually

OUT_OF_MEMORY = {"reason": "OutOfMemoryError: Container killed due to memory usage"}


def memory_of(job: dict[str, Any]) -> str:
    resources = job["container"]["resourceRequirements"]
    return next(str(each["value"]) for each in resources if each["type"] == "MEMORY")


def running(aws: AWS, run_id: str, count: int) -> list[dict[str, Any]]:
    """Return the jobs of a run as soon as so many of them run."""

    def look() -> list[dict[str, Any]] | None:
        found = [job for job in aws.jobs_of(run_id) if job["status"] == "RUNNING"]
        return found if len(found) == count else None

    return list(eventually(look))


def strike(aws: AWS, job: dict[str, Any]) -> None:
    aws.control("POST", f"jobs/{job['jobId']}/kill", OUT_OF_MEMORY)


@pytest.fixture
def climbing(aws: AWS) -> AWSBatch:
    return AWSBatch(**{**aws.settings, "memory_on_oom": [0.5, 1]})


def test_more_memory_is_given_and_told(aws: AWS, climbing: AWSBatch, gate: Gate):
    job = climbing.submit(gate.hold, "made it")
    run_id = job.id.partition("/")[0]
    for arrived in (1, 2):
        gate.wait_for(arrived)
        strike(aws, running(aws, run_id, 1)[0])
    gate.wait_for(3)
    gate.open()
    assert job.result(60) == "made it"
    first, second, third = aws.jobs_of(run_id)
    assert [memory_of(each) for each in (first, second, third)] == ["256", "512", "1024"]
    assert [each["jobName"].partition(run_id)[2] for each in (first, second, third)] == ["-0", "-0r1", "-0r2"]
    assert job.batch_id == third["jobId"]
    assert job.stderr.splitlines() == [
        f"covalent-awsbatch: the job {first['jobId']} ran out of memory with 256 MiB: submitted again with "
        f"512 MiB, as job {second['jobId']}",
        f"covalent-awsbatch: the job {second['jobId']} ran out of memory with 512 MiB: submitted again with "
        f"1024 MiB, as job {third['jobId']}",
    ]


def test_where_no_memory_is_enough_the_last_failure_is_told(aws: AWS, gate: Gate):
    batch = AWSBatch(**{**aws.settings, "memory_on_oom": [0.5]})
    job = batch.submit(gate.hold)
    for arrived in (1, 2):
        gate.wait_for(arrived)
        strike(aws, running(aws, job.id.partition("/")[0], 1)[0])
    error = job.exception(60)
    assert isinstance(error, OutOfMemoryError)
    assert "512 MiB" in str(error)
    assert "submitted again with 512 MiB" in job.stderr


def test_of_an_array_only_the_child_that_needs_it_climbs(aws: AWS, climbing: AWSBatch, gate: Gate):
    jobs = climbing.map(gate.hold, range(3))
    gate.wait_for(3)
    strike(aws, running(aws, jobs.id, 3)[1])
    gate.wait_for(4)
    gate.open()
    assert list(jobs.results()) == [0, 1, 2]
    assert [memory_of(each) for each in aws.jobs_of(jobs.id)] == ["256", "256", "256", "512"]
    assert [bool(job.stderr) for job in jobs] == [False, True, False]


def test_children_that_climb_together_are_an_array_again(
    aws: AWS, climbing: AWSBatch, gate: Gate, counted: Counted
):
    jobs = climbing.map(gate.hold, range(4))
    gate.wait_for(4)
    for job in running(aws, jobs.id, 4)[:3]:
        strike(aws, job)
    gate.wait_for(7)
    gate.open()
    assert list(jobs.results()) == [0, 1, 2, 3]
    assert counted("batch", "SubmitJob") < 4
    assert AWSBatch(**aws.settings).job(f"{jobs.id}/2").result(60) == 2


def test_a_task_that_is_cancelled_does_not_climb(aws: AWS, climbing: AWSBatch, gate: Gate, counted: Counted):
    job = climbing.submit(gate.hold)
    gate.wait_for(1)
    job.cancel()
    eventually(job.done)
    assert job.cancelled()
    assert counted("batch", "SubmitJob") == 1


def test_a_lost_host_is_left_for_the_other_queue(aws: AWS, gate: Gate):
    environment = aws.batch.describe_job_queues(jobQueues=[aws.queue])["jobQueues"][0]
    aws.batch.create_job_queue(
        jobQueueName="on-demand", priority=1, computeEnvironmentOrder=environment["computeEnvironmentOrder"]
    )
    batch = AWSBatch(**{**aws.settings, "on_demand_queue": "on-demand", "retry_attempts": 2})
    job = batch.submit(gate.hold, "made it")
    for arrived in (1, 2):
        gate.wait_for(arrived)
        (struck,) = running(aws, job.id.partition("/")[0], 1)
        aws.control("POST", f"jobs/{struck['jobId']}/lose-host")
    gate.wait_for(3)
    gate.open()
    assert job.result(60) == "made it"
    (last,) = aws.batch.describe_jobs(jobs=[job.batch_id])["jobs"]
    assert last["jobQueue"].endswith("/on-demand")
    assert "lost the hosts of all its 2 attempts (Host EC2" in job.stderr
    found = AWSBatch(**{**aws.settings, "on_demand_queue": "on-demand"}).job(job.id)
    assert found.result(60) == "made it"


# --- retry_on -------------------------------------------------------------------------------------------


def counting(directory: Path) -> Any:
    """Return a function that notes each of its runs, and raises up to the given one."""
    path = str(directory)

    def fail_until(good_run: int) -> int:
        import uuid
        from pathlib import Path

        Path(path, uuid.uuid4().hex).touch()
        run = len(list(Path(path).iterdir()))
        if run < good_run:
            raise ValueError(f"run {run}")
        return run

    return fail_until


def test_any_failure_is_retried_where_the_user_wants_it(aws: AWS, tmp_path: Path):
    batch = AWSBatch(**{**aws.settings, "retry_on": "any", "retry_attempts": 3})
    assert batch.submit(counting(tmp_path), 3).result(60) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_a_function_runs_as_often_as_it_may_and_no_more(aws: AWS, tmp_path: Path):
    batch = AWSBatch(**{**aws.settings, "retry_on": "any", "retry_attempts": 2})
    with pytest.raises(ValueError, match="run 2"):
        batch.submit(counting(tmp_path), 9).result(60)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_exception_is_final_else(aws: AWS, tmp_path: Path):
    with pytest.raises(ValueError, match="run 1"):
        AWSBatch(**{**aws.settings, "retry_attempts": 3}).submit(counting(tmp_path), 2).result(60)
    assert len(list(tmp_path.iterdir())) == 1
