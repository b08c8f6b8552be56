"""ListJobs: AWS's paging and odd defaults."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .driving import Driver, sh, until


def ids(answer: dict[str, Any]) -> list[str]:
    return [summary["jobId"] for summary in answer["jobSummaryList"]]


@pytest.fixture
def queue(local: Driver) -> str:
    return local.new_queue(vcpus=1)


def test_only_running_jobs_are_listed_unless_a_status_is_given(local: Driver, queue: str) -> None:
    done = local.wait(local.submit(["true"], jobQueue=queue))
    running = local.submit(sh("sleep 30"), jobQueue=queue)
    local.wait(running, "RUNNING")
    waiting = local.submit(["true"], jobQueue=queue)
    local.wait(waiting, "RUNNABLE")
    assert ids(local.batch.list_jobs(jobQueue=queue)) == [running]
    assert ids(local.batch.list_jobs(jobQueue=queue, jobStatus="RUNNABLE")) == [waiting]
    (summary,) = local.batch.list_jobs(jobQueue=queue, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert summary["container"] == {"exitCode": 0}
    assert {name: summary[name] for name in ("jobId", "jobName", "createdAt", "startedAt", "stoppedAt")} == {
        name: done[name] for name in ("jobId", "jobName", "createdAt", "startedAt", "stoppedAt")
    }
    assert "isCancelled" not in summary
    local.batch.terminate_job(jobId=running, reason="enough")
    local.wait(running)
    (failed,) = local.batch.list_jobs(jobQueue=queue, jobStatus="FAILED")["jobSummaryList"]
    assert (failed["isTerminated"], failed["statusReason"]) == (True, "enough")


def test_children_are_listed_with_their_array_only(local: Driver, queue: str) -> None:
    parent = local.submit(sh("sleep 0.3"), jobQueue=queue, arrayProperties={"size": 2})
    local.wait(f"{parent}:0", "RUNNING")
    assert ids(local.batch.list_jobs(arrayJobId=parent)) == [f"{parent}:0"]
    assert ids(local.batch.list_jobs(jobQueue=queue)) == []
    (summary,) = local.batch.list_jobs(jobQueue=queue, jobStatus="PENDING")["jobSummaryList"]
    assert summary["arrayProperties"]["size"] == 2
    local.wait(parent)
    listed = local.batch.list_jobs(arrayJobId=parent, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [child["arrayProperties"] for child in listed] == [{"index": 1}, {"index": 0}]


def test_filters_do_not_apply_to_children(local: Driver, queue: str) -> None:
    parent = local.submit(["true"], jobQueue=queue, arrayProperties={"size": 2})
    local.wait(parent)
    filters = [{"name": "JOB_NAME", "values": ["other"]}]
    answer = local.batch.list_jobs(arrayJobId=parent, jobStatus="SUCCEEDED", filters=filters)
    assert len(ids(answer)) == 2


def test_a_filter_lists_every_status_newest_first(local: Driver, queue: str) -> None:
    definition = local.define(["true"])
    alpha = local.submit(jobDefinition=definition, jobQueue=queue, jobName="Alpha-1")
    local.wait(alpha)
    other = local.submit(jobDefinition=definition, jobQueue=queue, jobName="alpha-2")
    local.submit(["true"], jobQueue=queue, jobName="beta")

    def named(value: str) -> list[str]:
        filters = [{"name": "JOB_NAME", "values": [value]}]
        return ids(local.batch.list_jobs(jobQueue=queue, filters=filters, jobStatus="FAILED"))

    assert named("ALPHA*") == [other, alpha]
    assert named("alpha-1") == [alpha]
    assert named("alpha") == []
    name = definition.rpartition("/")[2].partition(":")[0]
    for value in (definition, name, f"{name[:-1]}*"):
        filters = [{"name": "JOB_DEFINITION", "values": [value]}]
        assert ids(local.batch.list_jobs(jobQueue=queue, filters=filters)) == [other, alpha]
    filters = [{"name": "JOB_DEFINITION", "values": [name.upper()]}]
    assert ids(local.batch.list_jobs(jobQueue=queue, filters=filters)) == []


def test_jobs_are_filtered_by_their_time(local: Driver, queue: str) -> None:
    early = local.submit(["true"], jobQueue=queue)
    time.sleep(0.02)
    late = local.submit(["true"], jobQueue=queue)
    between = str(local.job(early)["createdAt"] + 1)
    before = [{"name": "BEFORE_CREATED_AT", "values": [between]}]
    after = [{"name": "AFTER_CREATED_AT", "values": [between]}]
    assert ids(local.batch.list_jobs(jobQueue=queue, filters=before)) == [early]
    assert ids(local.batch.list_jobs(jobQueue=queue, filters=after)) == [late]


def test_pages_hold_what_was_asked_for_and_never_repeat(local: Driver, queue: str) -> None:
    parent = local.submit(["true"], jobQueue=queue, arrayProperties={"size": 25})
    local.wait(parent)
    pages = list(
        local.batch.get_paginator("list_jobs").paginate(
            arrayJobId=parent, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 10}
        )
    )
    assert [len(page["jobSummaryList"]) for page in pages] == [10, 10, 5]
    listed = [job_id for page in pages for job_id in ids(page)]
    assert sorted(listed) == sorted(f"{parent}:{index}" for index in range(25))


def test_a_page_has_1000_jobs_by_status_and_100_by_filter(paused: Driver) -> None:
    queue = paused.new_queue()
    parent = paused.submit(["true"], jobQueue=queue, arrayProperties={"size": 1001})
    until(lambda: paused.job(parent)["arrayProperties"]["statusSummary"]["RUNNABLE"] == 1001)
    page = paused.batch.list_jobs(arrayJobId=parent, jobStatus="RUNNABLE", maxResults=5000)
    assert (len(ids(page)), "nextToken" in page) == (1000, True)
    definition = paused.define(["true"])
    singles = [paused.submit(jobDefinition=definition, jobQueue=queue, jobName="one") for _ in range(101)]
    filters = [{"name": "JOB_NAME", "values": ["one"]}]
    page = paused.batch.list_jobs(jobQueue=queue, filters=filters, maxResults=1000)
    assert ids(page) == singles[:0:-1]
    rest = paused.batch.list_jobs(jobQueue=queue, filters=filters, nextToken=page["nextToken"])
    assert (ids(rest), "nextToken" in rest) == (singles[:1], False)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"jobQueue": "q", "arrayJobId": "a"},
        {"jobQueue": "no-such-queue"},
        {"arrayJobId": "no-such-job"},
        {"jobQueue": "covalent-awsbatch-local", "jobStatus": "SLEEPING"},
        {"jobQueue": "covalent-awsbatch-local", "nextToken": "made-up"},
        {"jobQueue": "covalent-awsbatch-local", "maxResults": 0},
        {"jobQueue": "covalent-awsbatch-local", "filters": [{"name": "COLOUR", "values": ["red"]}]},
        {"jobQueue": "covalent-awsbatch-local", "filters": [{"name": "JOB_NAME", "values": ["a", "b"]}]},
        {"jobQueue": "covalent-awsbatch-local", "filters": [{"name": "JOB_NAME", "values": ["a"]}] * 2},
        {
            "jobQueue": "covalent-awsbatch-local",
            "filters": [{"name": "AFTER_CREATED_AT", "values": ["noon"]}],
        },
    ],
)
def test_listings_that_make_no_sense_are_refused(local: Driver, wrong: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="ClientException"):
        local.batch.list_jobs(**wrong)
