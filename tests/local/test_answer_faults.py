"""What clients see of jobs: late, out of date, with states left out, or nothing more at all."""

from __future__ import annotations

from typing import Any

import pytest

from .driving import Driver, sh, until


def described(driver: Driver, *job_ids: str) -> list[str]:
    return [job["jobId"] for job in driver.batch.describe_jobs(jobs=list(job_ids))["jobs"]]


def listed(driver: Driver, **request: Any) -> list[str]:
    return [job["jobId"] for job in driver.batch.list_jobs(**request)["jobSummaryList"]]


def by_name(driver: Driver, name: str) -> list[str]:
    return listed(driver, jobQueue=driver.queue, filters=[{"name": "JOB_NAME", "values": [name]}])


def test_a_fresh_job_is_unknown_for_some_looks(faulty: Driver) -> None:
    definition = faulty.define(["true"])
    faulty.fault({"unknown_looks": 2}, job={"nth": 1})
    late, known = (faulty.submit(jobDefinition=definition) for _ in range(2))
    assert [described(faulty, late, known) for _ in range(3)] == [[known], [known], [late, known]]
    assert faulty.wait(late)["status"] == "SUCCEEDED"
    assert faulty.aws.faults_struck == {"fault 1": 1}


def test_a_fresh_job_is_not_listed_for_some_looks(faulty: Driver) -> None:
    definition = faulty.define(["true"])
    faulty.fault({"unlisted_looks": 2}, times=1)
    late, known = (faulty.submit(jobDefinition=definition, jobName="listed-late") for _ in range(2))
    looks = [by_name(faulty, "listed-late") for _ in range(3)]
    assert [len(look) for look in looks] == [1, 1, 2]
    assert described(faulty, late, known) == [late, known]


def test_children_are_overlooked_each_for_itself(faulty: Driver) -> None:
    faulty.fault({"unknown_looks": 1}, job={"index": 1})
    array = faulty.submit(["true"], arrayProperties={"size": 2})
    children = [f"{array}:{index}" for index in range(2)]
    assert described(faulty, array, *children) == [array, children[0]]
    assert described(faulty, array, *children) == [array, *children]


def test_an_array_has_a_summary_of_some_time_ago(faulty: Driver) -> None:
    faulty.fault({"stale_summary_s": 60})
    array = faulty.submit(["true"], arrayProperties={"size": 2})
    faulty.wait(array)
    stale = faulty.job(array)["arrayProperties"]
    assert stale["statusSummary"]["SUBMITTED"] == sum(stale["statusSummary"].values()) == 2
    faulty.local("DELETE", "faults")
    current = faulty.job(array)["arrayProperties"]
    assert current["statusSummary"]["SUCCEEDED"] == 2
    assert current["statusSummaryLastUpdatedAt"] > stale["statusSummaryLastUpdatedAt"]


def test_a_stale_summary_catches_up(faulty: Driver) -> None:
    faulty.fault({"stale_summary_s": 0.3})
    array = faulty.submit(["true"], arrayProperties={"size": 2})
    faulty.wait(array)
    until(lambda: faulty.job(array)["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 2)


@pytest.mark.parametrize(
    ("skipped", "shown_instead"), [(["RUNNING"], "STARTING"), (["STARTING", "RUNNING"], "RUNNABLE")]
)
def test_states_are_skipped(faulty: Driver, skipped: list[str], shown_instead: str) -> None:
    faulty.fault({"skip_states": skipped})
    job_id = faulty.submit(sh("sleep 0.3"))
    states = []
    while not states or states[-1] not in ("SUCCEEDED", "FAILED"):
        job = faulty.job(job_id)
        states.append(job["status"])
        assert job_id not in listed(faulty, jobQueue=faulty.queue, jobStatus="RUNNING")
        assert ("startedAt" in job) is (job["status"] == "SUCCEEDED")
    assert not set(skipped) & set(states)
    assert states[-2:] == [shown_instead, "SUCCEEDED"]
    assert faulty.job(job_id)["startedAt"] > 0


def test_a_job_vanishes_and_runs_on(faulty: Driver, tmp_path: Any) -> None:
    done = tmp_path / "done"
    faulty.fault({"vanish": "RUNNING"})
    job_id = faulty.submit(sh(f"sleep 0.2; touch {done}"), jobName="vanishing")
    until(lambda: described(faulty, job_id) == [])
    assert by_name(faulty, "vanishing") == []
    faulty.batch.terminate_job(jobId=job_id, reason="AWS answers 200 for an unknown job")
    until(done.exists)
    assert described(faulty, job_id) == []
    faulty.local("DELETE", "faults")
    assert faulty.wait(job_id)["status"] == "SUCCEEDED"


def test_an_array_vanishes_with_its_children(faulty: Driver) -> None:
    faulty.fault({"vanish": "PENDING"})
    array = faulty.submit(["true"], arrayProperties={"size": 2})
    until(lambda: described(faulty, array, f"{array}:0", f"{array}:1") == [])
    assert listed(faulty, arrayJobId=array, jobStatus="SUCCEEDED") == []
