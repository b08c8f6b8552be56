"""What a job tells of itself: its streams, its state, its attempts, its times and its logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from covalent_awsbatch_plugin.client import AWSBatch
from tests.client.surroundings import LONG_S, Gate, has_status
from tests.e2e.surroundings import AWS, eventually


def speaking(hold: Callable[[], None]) -> Callable[[], int]:
    def speak() -> int:
        print("before", flush=True)
        hold()
        print("after")
        return 1

    return speak


def test_a_job_that_ended_well_tells_of_itself(batch: AWSBatch):
    def speak() -> None:
        import sys

        print("out")
        print("err", file=sys.stderr)

    begin_s = time.time()
    job = batch.submit(speak)
    job.wait(LONG_S)
    assert (job.stdout, job.stderr) == ("out\n", "err\n")
    assert (job.status.value, job.exit_code) == ("SUCCEEDED", 0)
    times = [job.created_at, job.started_at, job.stopped_at]
    assert None not in times
    assert sorted(times) == times
    assert begin_s - 1 < times[0].timestamp() < time.time() + 1
    eventually(lambda: [each.exit_code for each in job.attempts] == [0])


def test_a_job_that_failed_tells_of_itself(batch: AWSBatch):
    def fail() -> None:
        import sys

        print("about to")
        sys.exit(3)

    job = batch.submit(fail)
    job.wait(LONG_S)
    assert job.stdout == "about to\n"
    assert "SystemExit: 3" in job.stderr
    assert (job.status.value, job.exit_code) == ("FAILED", 101)
    assert job.status_reason == "Essential container in task exited"
    assert [(each.exit_code, each.log_stream != "") for each in job.attempts] == [(101, True)]


def test_a_job_that_runs_tells_of_itself(batch: AWSBatch, gate: Gate):
    job = batch.submit(speaking(gate.hold))
    gate.wait_for(1)
    assert has_status(job, "RUNNING")
    assert (job.stdout, job.exit_code, job.attempts, job.stopped_at) == ("", None, [], None)
    assert job.created_at is not None
    assert job.started_at is not None
    assert job.created_at <= job.started_at
    assert repr(job) == f"<Job {job.id} on its way>"
    gate.open()
    job.wait(LONG_S)
    assert repr(job) == f"<Job {job.id} SUCCEEDED>"


def test_an_array_that_runs_tells_of_its_children(batch: AWSBatch, gate: Gate):
    array = batch.map(gate.hold, range(2))
    gate.wait_for(2)
    assert (array.exit_codes, repr(array)) == ([None, None], f"<JobArray {array.id}, 0 of 2 ended>")
    gate.open()
    array.wait(LONG_S)
    assert (array.exit_codes, array.status_reasons) == ([0, 0], ["", ""])
    assert repr(array) == f"<JobArray {array.id}, 2 of 2 ended>"


def test_a_lost_host_is_an_attempt_of_its_own(aws: AWS, batch: AWSBatch, tmp_path: Path):
    path = str(tmp_path / "second")

    def stay_the_first_time() -> str:
        import os
        import time
        from pathlib import Path

        if os.environ["AWS_BATCH_JOB_ATTEMPT"] == "1":
            Path(path).touch()
            time.sleep(300)
        return "second"

    job = batch.submit(stay_the_first_time)
    eventually(Path(path).exists)
    aws.control("POST", f"jobs/{job.batch_id}/lose-host")
    assert job.result(LONG_S) == "second"
    eventually(lambda: len(job.attempts) == 2)
    assert [each.exit_code for each in job.attempts] == [None, 0]
    assert job.attempts[0].status_reason.startswith("Host EC2")


# --- logs -----------------------------------------------------------------------------------------------


def test_logs_are_what_was_written_so_far(batch: AWSBatch, gate: Gate):
    job = batch.submit(speaking(gate.hold))
    gate.wait_for(1)
    eventually(lambda: list(job.logs()) == ["before"])
    gate.open()
    job.wait(LONG_S)
    eventually(lambda: list(job.logs()) == ["before", "after"])
    assert list(job.logs()) == ["before", "after"]


def test_logs_are_followed_to_the_end(batch: AWSBatch, gate: Gate):
    job = batch.submit(speaking(gate.hold))
    lines = job.logs(follow=True)
    assert next(lines) == "before"
    assert not job.done()
    gate.open()
    assert list(lines) == ["after"]


def test_logs_are_followed_from_one_attempt_to_the_next(aws: AWS, batch: AWSBatch, gate: Gate):
    hold = gate.hold

    def speak() -> None:
        import os

        print(f"attempt {os.environ['AWS_BATCH_JOB_ATTEMPT']}", flush=True)
        hold()

    job = batch.submit(speak)
    lines = job.logs(follow=True)
    assert next(lines) == "attempt 1"
    aws.control("POST", f"jobs/{job.batch_id}/lose-host")
    gate.wait_for(2)
    gate.open()
    assert list(lines) == ["attempt 2"]
