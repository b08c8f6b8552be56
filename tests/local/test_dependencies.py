"""Jobs that wait for jobs, and arrays."""

from __future__ import annotations

from typing import Any

import pytest

from .driving import FINAL, Driver, sh, until

SHOW_ARRAY = sh('echo "$AWS_BATCH_JOB_ID $AWS_BATCH_JOB_ARRAY_INDEX $AWS_BATCH_JOB_ARRAY_SIZE"')


def array(size: int) -> dict[str, int]:
    return {"size": size}


def children(local: Driver, parent: str, size: int) -> list[dict[str, Any]]:
    jobs = local.batch.describe_jobs(jobs=[f"{parent}:{index}" for index in range(size)])["jobs"]
    return sorted(jobs, key=lambda job: int(job["arrayProperties"]["index"]))


def test_a_dependent_job_is_pending_until_its_parent_succeeds(local: Driver) -> None:
    parent = local.submit(sh("sleep 0.5"))
    child = local.submit(["true"], dependsOn=[{"jobId": parent}])
    pending = local.wait(child, "PENDING")
    assert pending["dependsOn"] == [{"jobId": parent}]
    done = local.wait(child)
    assert done["status"] == "SUCCEEDED"
    assert local.job(parent)["stoppedAt"] <= done["startedAt"]


def test_a_dependent_job_waits_for_all_its_parents(local: Driver) -> None:
    parents = [local.submit(sh(f"sleep 0.{n}")) for n in (1, 3, 5)]
    child = local.wait(local.submit(["true"], dependsOn=[{"jobId": parent} for parent in parents]))
    assert all(local.job(parent)["stoppedAt"] <= child["startedAt"] for parent in parents)


def test_a_failed_parent_fails_its_dependents_after_all_retries(local: Driver) -> None:
    parent = local.submit(sh("sleep 0.1; exit 1"), retryStrategy={"attempts": 2})
    child = local.submit(["true"], dependsOn=[{"jobId": parent}])
    grandchild = local.submit(["true"], dependsOn=[{"jobId": child}])
    for job_id in (child, grandchild):
        job = local.wait(job_id)
        assert (job["status"], job["statusReason"]) == ("FAILED", "Dependent Job failed")
        assert job["attempts"] == []
    assert len(local.job(parent)["attempts"]) == 2
    assert local.job(child)["stoppedAt"] >= local.job(parent)["stoppedAt"]


def test_parents_that_are_over_count_as_they_ended(local: Driver) -> None:
    good, bad = local.run(["true"])["jobId"], local.run(["false"])["jobId"]
    assert local.run(["true"], dependsOn=[{"jobId": good}])["status"] == "SUCCEEDED"
    failed = local.run(["true"], dependsOn=[{"jobId": good}, {"jobId": bad}])
    assert (failed["status"], failed["statusReason"]) == ("FAILED", "Dependent Job failed")


def test_the_children_of_an_array_know_their_place(local: Driver) -> None:
    parent = local.submit(SHOW_ARRAY, arrayProperties=array(3), tags={"whose": "parent"})
    job = local.wait(parent)
    assert (job["status"], job["arrayProperties"]["size"]) == ("SUCCEEDED", 3)
    summary = dict.fromkeys(["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "FAILED"], 0)
    assert job["arrayProperties"]["statusSummary"] == {**summary, "SUCCEEDED": 3}
    assert job["arrayProperties"]["statusSummaryLastUpdatedAt"] <= job["stoppedAt"]
    assert "statusReason" not in job
    for index, child in enumerate(children(local, parent, 3)):
        assert child["jobId"] == f"{parent}:{index}"
        assert child["arrayProperties"] == {"index": index}
        assert child["tags"] == {}
        assert local.output(child) == [f"{parent}:{index} {index} 3"]


def test_an_array_parent_is_pending_while_children_run(local: Driver) -> None:
    parent = local.submit(sh("sleep 0.5"), arrayProperties=array(2))
    seen = set()
    while (status := local.status(parent)) not in FINAL:
        seen.add(status)
    assert seen <= {"SUBMITTED", "PENDING"}
    assert "PENDING" in seen
    job = local.job(parent)
    assert job["startedAt"] == min(child["startedAt"] for child in children(local, parent, 2))


def test_a_failed_child_fails_the_parent_but_not_its_siblings(local: Driver) -> None:
    parent = local.submit(sh('[ "$AWS_BATCH_JOB_ARRAY_INDEX" != 1 ]'), arrayProperties=array(3),
                          retryStrategy={"attempts": 2})  # fmt: skip
    job = local.wait(parent)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Array Child Job failed")
    ended = children(local, parent, 3)
    assert [child["status"] for child in ended] == ["SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert [len(child["attempts"]) for child in ended] == [1, 2, 1]


def test_sequential_children_run_one_after_the_other(local: Driver) -> None:
    parent = local.submit(["true"], arrayProperties=array(3), dependsOn=[{"type": "SEQUENTIAL"}])
    assert local.wait(parent)["status"] == "SUCCEEDED"
    first, second, third = children(local, parent, 3)
    assert first["stoppedAt"] <= second["startedAt"]
    assert second["stoppedAt"] <= third["startedAt"]


def test_a_failed_sequential_child_fails_those_behind_it(local: Driver) -> None:
    script = sh('[ "$AWS_BATCH_JOB_ARRAY_INDEX" != 1 ]')
    parent = local.submit(script, arrayProperties=array(2000), dependsOn=[{"type": "SEQUENTIAL"}])
    job = local.wait(parent)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Array Child Job failed")
    counts = job["arrayProperties"]["statusSummary"]
    assert (counts["SUCCEEDED"], counts["FAILED"]) == (1, 1999)
    reasons = {child["statusReason"] for child in local.batch.describe_jobs(
        jobs=[f"{parent}:2", f"{parent}:1999"])["jobs"]}  # fmt: skip
    assert reasons == {"Dependent Job failed"}


def test_n_to_n_children_wait_for_their_counterparts_only(local: Driver) -> None:
    script = sh('[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 ] || sleep 30')
    first = local.submit(script, arrayProperties=array(2))
    second = local.submit(["true"], arrayProperties=array(2), dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    assert local.wait(f"{second}:0")["status"] == "SUCCEEDED"
    assert local.status(f"{second}:1") == "PENDING"
    assert local.status(second) == "PENDING"
    local.batch.terminate_job(jobId=first, reason="enough")
    assert local.wait(f"{second}:1")["statusReason"] == "Dependent Job failed"
    assert local.wait(second)["statusReason"] == "Array Child Job failed"


def test_an_untyped_dependency_on_an_array_waits_for_all_of_it(local: Driver) -> None:
    first = local.submit(sh('sleep "0.$AWS_BATCH_JOB_ARRAY_INDEX"'), arrayProperties=array(5))
    second = local.submit(["true"], arrayProperties=array(2), dependsOn=[{"jobId": first}])
    assert local.wait(second)["status"] == "SUCCEEDED"
    assert all(child["startedAt"] >= local.job(first)["stoppedAt"] for child in children(local, second, 2))


@pytest.mark.parametrize(("verb", "mark"), [("cancel_job", "isCancelled"), ("terminate_job", "isTerminated")])
def test_ending_a_waiting_array_ends_all_its_children(paused: Driver, verb: str, mark: str) -> None:
    parent = paused.submit(["true"], arrayProperties=array(3))
    until(lambda: paused.job(parent)["arrayProperties"]["statusSummary"]["RUNNABLE"] == 3)
    assert paused.status(parent) == "PENDING"
    getattr(paused.batch, verb)(jobId=parent, reason="not needed")
    job = paused.wait(parent)
    assert (job["status"], job["statusReason"], job[mark]) == ("FAILED", "not needed", True)
    assert {child["statusReason"] for child in children(paused, parent, 3)} == {"not needed"}


def test_terminating_a_running_array_stops_all_its_children(local: Driver) -> None:
    parent = local.submit(sh("sleep 30"), arrayProperties=array(3))
    until(lambda: local.job(parent)["arrayProperties"]["statusSummary"]["RUNNING"] == 3)
    local.batch.terminate_job(jobId=parent, reason="enough")
    assert local.wait(parent)["statusReason"] == "enough"
    assert [child["container"]["exitCode"] for child in children(local, parent, 3)] == [143] * 3


def test_cancelling_an_array_spares_the_children_that_run(local: Driver) -> None:
    queue = local.new_queue(vcpus=1)
    parent = local.submit(sh("sleep 0.5"), arrayProperties=array(3), jobQueue=queue)
    local.wait(f"{parent}:0", "RUNNING")
    local.batch.cancel_job(jobId=parent, reason="enough")
    assert local.wait(parent)["statusReason"] == "enough"
    assert [child["status"] for child in children(local, parent, 3)] == ["SUCCEEDED", "FAILED", "FAILED"]


def test_ending_one_child_ends_only_that_child(local: Driver) -> None:
    parent = local.submit(sh('[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 ] || sleep 30'), arrayProperties=array(2))
    local.wait(f"{parent}:1", "RUNNING")
    local.batch.terminate_job(jobId=f"{parent}:1", reason="only this")
    job = local.wait(parent)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Array Child Job failed")
    assert "isTerminated" not in job
    assert [child["status"] for child in children(local, parent, 2)] == ["SUCCEEDED", "FAILED"]
