"""Cancelling: before the submission and after, one child and whole arrays."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest

from covalent_awsbatch_plugin.client import AWSBatch
from tests.client.surroundings import LONG_S, Gate
from tests.e2e.surroundings import AWS, Counted, eventually


def reasons(aws: AWS, *batch_ids: str) -> list[str]:
    jobs = aws.batch.describe_jobs(jobs=list(batch_ids))["jobs"]
    return [job.get("statusReason", "") for job in jobs]


def test_a_job_that_is_not_submitted_yet_is_cancelled_at_once(unanswered: AWSBatch):
    job = unanswered.submit(lambda: 1)
    assert (job.status.value, job.batch_id, job.done()) == ("SUBMITTED", "", False)
    assert job.cancel()
    with pytest.raises(CancelledError):
        job.result(LONG_S)
    assert (job.done(), job.cancelled(), job.cancel()) == (True, True, False)
    assert (job.batch_id, job.status.value, job.exit_code) == ("", "FAILED", None)


def test_an_array_that_is_not_submitted_yet_is_cancelled_at_once(unanswered: AWSBatch):
    array = unanswered.map(lambda number: number, range(3))
    array.cancel()
    array.wait(LONG_S)
    assert [job.cancelled() for job in array] == [True] * 3


def test_a_job_that_waits_for_the_submission_of_another_is_cancelled_at_once(
    batch: AWSBatch, unanswered: AWSBatch
):
    job = batch.submit(lambda: 1, depends_on=[unanswered.submit(lambda: 1)])
    job.cancel()
    job.wait(LONG_S)
    assert job.cancelled()


def test_what_is_cancelled_right_after_the_call_leaves_nothing_behind(batch: AWSBatch, counted: Counted):
    array = batch.map(lambda number: number, range(3))
    array.cancel()
    found = list(array.results(return_exceptions=True, timeout=LONG_S))
    assert [type(each) for each in found] == [CancelledError] * 3
    assert counted("batch", "SubmitJob") == counted("batch", "TerminateJob")


def test_those_who_wait_for_a_submission_hear_that_there_will_be_none(unanswered: AWSBatch):
    job = unanswered.submit(lambda: 1)
    job.cancel()
    job.wait_until_submitted()
    assert list(job.logs()) == []


def test_a_running_job_is_ended(aws: AWS, batch: AWSBatch, gate: Gate, counted: Counted):
    job = batch.submit(gate.hold)
    gate.wait_for(1)
    assert job.cancel()
    assert job.cancel()  # it has not ended yet, and is told once
    with pytest.raises(CancelledError, match=job.id):
        job.result(LONG_S)
    with pytest.raises(CancelledError):
        job.exception()
    assert job.cancelled()
    assert reasons(aws, job.batch_id) == ["cancelled by the user"] == [job.status_reason]
    assert counted("batch", "TerminateJob") == 1


def test_one_call_ends_a_whole_array(batch: AWSBatch, gate: Gate, counted: Counted):
    array = batch.map(gate.hold, range(12))  # more than there is room for
    gate.wait_for(8)
    array.cancel()
    array.wait(LONG_S)
    assert [job.cancelled() for job in array] == [True] * 12
    assert set(array.status_reasons) == {"cancelled by the user"}
    assert counted("batch", "TerminateJob") == 1


def test_who_cancels_in_the_midst_of_submissions_leaves_no_job_behind(aws: AWS, gate: Gate, counted: Counted):
    array = AWSBatch(**{**aws.settings, "max_array_size": 1}).map(gate.hold, range(30))
    eventually(lambda: counted("batch", "SubmitJob") > 0)
    array.cancel()
    array.wait(LONG_S)
    assert [job.cancelled() for job in array] == [True] * 30
    assert counted("batch", "SubmitJob") == counted("batch", "TerminateJob")


def test_what_has_ended_is_not_cancelled_with_the_rest(batch: AWSBatch, gate: Gate, counted: Counted):
    hold = gate.hold
    array = batch.map(lambda number: hold(number) if number else number, range(3))
    array[0].wait(LONG_S)
    gate.wait_for(2)
    array.cancel()
    array.wait(LONG_S)
    assert [job.cancelled() for job in array] == [False, True, True]
    assert counted("batch", "TerminateJob") == 1
    array.cancel()
    batch.submit(lambda: 1).wait(LONG_S)  # and with it all that was asked for before
    assert counted("batch", "TerminateJob") == 1


def test_a_cancelled_child_leaves_its_neighbours_alone(aws: AWS, batch: AWSBatch, gate: Gate):
    array = batch.map(gate.hold, range(3))
    gate.wait_for(3)
    array[1].cancel()
    array[1].wait(LONG_S)
    assert [job.done() for job in array] == [False, True, False]
    gate.open()
    found = list(array.results(return_exceptions=True, timeout=LONG_S))
    assert (found[0], type(found[1]), found[2]) == (0, CancelledError, 2)
    assert reasons(aws, array[1].batch_id) == ["cancelled by the user"]
