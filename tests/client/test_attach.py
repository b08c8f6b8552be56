"""Jobs found again by their ids, from another process: while they run, after, and when AWS has forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError

import pytest

from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.errors import JobFailedError, UnknownJobError
from tests.client.surroundings import LONG_S, Gate, OtherProcess, has_status
from tests.e2e.surroundings import AWS, Counted


def failing() -> Callable[[int], int]:
    def fail(number: int) -> int:
        print("tried", number)
        return 10 // number

    return fail


def test_another_process_follows_jobs_that_run_by_any_of_their_ids(aws: AWS, batch: AWSBatch, gate: Gate):
    job, array = batch.submit(gate.hold, "alone"), batch.map(gate.hold, range(3))
    gate.wait_for(4)
    other = OtherProcess(
        aws,
        """
        run_id, *ids = arguments
        jobs, array = [batch.job(id) for id in ids], batch.array(run_id)
        print("attached", flush=True)
        print(json.dumps([[job.result() for job in jobs], list(array.results()), [job.id for job in jobs]]))
        """,
        array.id,
        *(job.id, job.batch_id, array[1].id, array[2].batch_id),
    )
    assert other.line() == "attached"
    gate.open()
    ids = [job.id, job.id, array[1].id, array[2].id]
    assert other.answer() == [["alone", "alone", 1, 2], [0, 1, 2], ids]


def test_another_process_learns_what_became_of_jobs(aws: AWS, batch: AWSBatch):
    array = batch.map(failing(), range(3))
    array.wait(LONG_S)
    other = OtherProcess(
        aws,
        """
        array = batch.array(arguments[0])
        found = [repr(each) for each in array.results(return_exceptions=True)]
        told = [job.stdout for job in array], array.exit_codes, [job.status.value for job in array]
        print(json.dumps([found, *told]))
        """,
        array.id,
    )
    found, stdout, exit_codes, status = other.answer()
    assert found == ["ZeroDivisionError('integer division or modulo by zero')", "10", "5"]
    assert (stdout, exit_codes) == (["tried 0\n", "tried 1\n", "tried 2\n"], [101, 0, 0])
    assert status == ["FAILED", "SUCCEEDED", "SUCCEEDED"]


def test_another_process_cancels_an_array_with_one_call(
    aws: AWS, batch: AWSBatch, gate: Gate, counted: Counted
):
    array = batch.map(gate.hold, range(3))
    gate.wait_for(3)
    other = OtherProcess(
        aws,
        """
        array = batch.array(arguments[0])
        for job in array:
            job.wait_until_submitted()
        array.cancel()
        array.wait()
        print(json.dumps([job.cancelled() for job in array]))
        """,
        array.id,
    )
    assert other.answer() == [True] * 3
    array.wait(LONG_S)
    assert [job.cancelled() for job in array] == [True] * 3
    assert counted("batch", "TerminateJob") == 1


def test_several_handles_of_one_job_all_learn_of_its_end(batch: AWSBatch, gate: Gate):
    array = batch.map(gate.hold, range(2))
    gate.wait_for(2)
    handles = [*array, batch.job(array[0].id), batch.job(array[1].batch_id), *batch.array(array.id)]
    assert all(has_status(handle, "RUNNING") for handle in handles)
    gate.open()
    assert [handle.result(LONG_S) for handle in handles] == [0, 1, 0, 1, 0, 1]
    assert [batch.job(handle.id).result(LONG_S) for handle in array] == [0, 1]


def test_a_handle_of_a_cancelled_job_knows_that_it_was_cancelled(batch: AWSBatch, gate: Gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    handle = batch.job(job.id)
    handle.cancel()
    for each in (handle, job, batch.job(job.id)):
        with pytest.raises(CancelledError):
            each.result(LONG_S)


def test_all_that_one_client_has_submitted_is_found_as_an_array(batch: AWSBatch):
    jobs = [batch.submit(pow, number, 2) for number in range(2)]
    jobs[0].wait(LONG_S)
    jobs.append(batch.submit(pow, 2, 2))
    assert [job.result(LONG_S) for job in jobs] == [0, 1, 4]
    array = batch.array(jobs[0].id.split("/")[0])
    assert list(array.results(timeout=LONG_S)) == [0, 1, 4]


# --- unknown --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job_id", ["", "no-such-job", "f-0/x", "f-0/", "f-0/²", "f-0/1/2", "6f0e:1"])
def test_an_id_that_is_none_is_refused(batch: AWSBatch, job_id: str):
    with pytest.raises(UnknownJobError):
        batch.job(job_id)


def test_an_array_that_nobody_submitted_is_refused(batch: AWSBatch):
    with pytest.raises(UnknownJobError, match="has nothing of the run 'no-such-run'"):
        batch.array("no-such-run")


def test_a_job_of_somebody_else_is_refused(aws: AWS, batch: AWSBatch):
    definition = aws.batch.register_job_definition(
        jobDefinitionName="foreign",
        type="container",
        containerProperties={
            "image": "local/image",
            "command": ["true"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        },
    )
    foreign = aws.batch.submit_job(
        jobName="foreign", jobQueue=aws.queue, jobDefinition=definition["jobDefinitionArn"]
    )
    with pytest.raises(UnknownJobError, match=r"\(foreign\) is none of covalent-awsbatch"):
        batch.job(foreign["jobId"])


def test_the_id_of_a_whole_array_is_no_jobs(batch: AWSBatch):
    array = batch.map(pow, [2, 3], [2, 2])
    array.wait(LONG_S)
    with pytest.raises(UnknownJobError, match=rf"is an array of 2 jobs: array\('{array.id}'\) finds it"):
        batch.job(array[0].batch_id.split(":")[0])


def test_an_unknown_number_is_a_job_without_a_value(batch: AWSBatch):
    with pytest.raises(JobFailedError, match="left no outcome"):
        batch.job("no-such-run/0").result(LONG_S)


# --- forgotten ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forgetful() -> Iterator[AWS]:
    """An AWS whose Batch has never heard of the jobs whose objects are in its S3."""
    local = AWS("--vcpus", "1")
    yield local
    local.stop()


def copy_objects(source: AWS, target: AWS, run_id: str) -> None:
    bucket = source.settings["s3_bucket_name"]
    listing = source.s3.list_objects_v2(Bucket=bucket, Prefix=f"covalent-awsbatch/{run_id}/")
    for each in listing["Contents"]:
        body = source.s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
        target.s3.put_object(Bucket=target.settings["s3_bucket_name"], Key=each["Key"], Body=body)


def test_a_job_that_aws_batch_has_forgotten_is_found_by_its_outcome(
    aws: AWS, forgetful: AWS, batch: AWSBatch, gate: Gate
):
    hold = gate.hold

    def run(number: int) -> int:
        print("tried", number)
        if number == 2:
            hold()
        return 10 // number

    array = batch.map(run, range(3))
    array[0].wait(LONG_S)
    array[1].wait(LONG_S)
    copy_objects(aws, forgetful, array.id)
    failed, succeeded, unfinished = AWSBatch(**forgetful.settings).array(array.id)
    assert (succeeded.result(LONG_S), succeeded.stdout, succeeded.exit_code) == (10, "tried 1\n", 0)
    with pytest.raises(ZeroDivisionError):
        failed.result(LONG_S)
    assert (failed.stdout, failed.status.value, failed.exit_code) == ("tried 0\n", "FAILED", None)
    with pytest.raises(JobFailedError, match="does not know the job of this task any more"):
        unfinished.result(LONG_S)
    with pytest.raises(UnknownJobError, match=f"does not know the job '{array[1].batch_id}'"):
        AWSBatch(**forgetful.settings).job(array[1].batch_id)
