"""Jobs that end with the process that waits for them."""

from __future__ import annotations

import asyncio
import threading
import uuid

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.client.job import Job
from covalent_awsbatch_plugin.departure import Known, Unseen, end
from tests.client.surroundings import Gate, has_status
from tests.e2e.surroundings import AWS, Counted, eventually

REASON = "cancelled in Covalent: its server was stopped"


def unseen(batch: AWSBatch, jobs: list[Job[object]]) -> list[Unseen]:
    """What somebody knows of jobs who has only their names."""
    return [
        Unseen(batch.settings, run_id, int(number))
        for run_id, _, number in (job.id.partition("/") for job in jobs)
    ]


def reason_of(aws: AWS, job_id: str) -> str | None:
    (job,) = aws.batch.describe_jobs(jobs=[job_id])["jobs"]
    return job.get("statusReason")


def test_an_array_of_which_nothing_is_wanted_ends_with_one_call(aws, batch, gate, counted):
    jobs, other = batch.map(gate.hold, range(40)), batch.submit(gate.hold)
    other.wait_until_submitted()
    jobs[0].wait_until_submitted()
    asyncio.run(end([], unseen(batch, list(jobs))))
    assert counted("batch", "TerminateJob") == 1
    jobs.wait()
    assert all(job.done() for job in jobs)
    assert reason_of(aws, jobs[39].batch_id) == REASON
    assert not other.done()


def test_of_an_array_only_those_children_end_that_are_meant(aws, batch, gate, counted):
    jobs = batch.map(gate.hold, range(3))
    gate.wait_for(3)
    asyncio.run(end([], unseen(batch, [jobs[0], jobs[2]])))
    assert counted("batch", "TerminateJob") == 2
    gate.open()
    jobs.wait()
    assert jobs[1].result() == 1
    assert [reason_of(aws, jobs[each].batch_id) for each in (0, 2)] == [REASON] * 2


def test_a_job_that_has_ended_is_left_alone(batch, gate, counted):
    job = batch.submit(lambda: None)
    assert has_status(job, "SUCCEEDED")
    asyncio.run(end([], unseen(batch, [job])))
    assert counted("batch", "TerminateJob") == 0


def test_one_that_cannot_be_ended_keeps_no_other_from_its_end(aws, batch, gate):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    nowhere = batch.settings.model_copy(update={"s3_bucket_name": "b", "batch_queue": "no-such-queue"})
    lost = Unseen(nowhere, str(uuid.uuid4()), 0)
    asyncio.run(end([Known(batch.settings, job.batch_id)], [lost]))
    job.wait()
    assert reason_of(aws, job.batch_id) == REASON


def test_a_job_that_aws_batch_was_just_taking_ends_too(aws: AWS, batch: AWSBatch, gate: Gate):
    """Its submission was on its way when the process was told to end, so nobody has heard its id."""
    definition = aws.batch.register_job_definition(
        jobDefinitionName="coming",
        type="container",
        containerProperties={
            "image": "any",
            "command": ["sleep", "600"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "128"}],
        },
    )["jobDefinitionArn"]
    dispatch_id = str(uuid.uuid4())
    coming = Unseen(batch.settings, dispatch_id, 0, is_coming=True)
    looked = Counted(aws)
    ending = threading.Thread(target=lambda: asyncio.run(end([], [coming])))
    ending.start()
    eventually(lambda: looked("batch", "ListJobs") >= 5)  # one for each state: it has looked once
    job_id = aws.batch.submit_job(
        jobName=contract.job_name(dispatch_id, 0), jobQueue=aws.queue, jobDefinition=definition
    )["jobId"]
    ending.join()
    eventually(lambda: reason_of(aws, job_id) == REASON)
