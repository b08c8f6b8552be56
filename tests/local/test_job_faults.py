"""What happens to the attempts of jobs, in AWS's words, and what retryStrategy makes of it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.effects import Stuck
from covalent_awsbatch_plugin.local.faults.plan import JobFault, Plan
from covalent_awsbatch_plugin.local.timing import Timing

from .driving import Driver, sh, until

EXITED = "Essential container in task exited"
START_FAILED = "Task failed to start"
INTERRUPTED = "Your Spot Task was interrupted."
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"

ON_THE_CLOUD = [
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onStatusReason": "Your Spot Task*", "action": "RETRY"},
    {"onReason": "CannotPull*", "action": "RETRY"},
    {"onReason": "AGENT*", "action": "RETRY"},
    {"onReason": "*", "action": "EXIT"},
]


def ended(attempt: dict[str, Any]) -> tuple[str | None, str | None, int | None]:
    """Return an attempt's statusReason, its container's reason and its exit code."""
    container = attempt["container"]
    return attempt.get("statusReason"), container.get("reason"), container.get("exitCode")


def the_ending(job: dict[str, Any]) -> tuple[str | None, str | None, int | None]:
    """Return how a job that failed at its only attempt ended, as job and attempt say alike."""
    assert job["status"] == "FAILED"
    (attempt,) = job["attempts"]
    told = ended(attempt)
    assert told == (job.get("statusReason"), job["container"].get("reason"), job["container"].get("exitCode"))
    return told


NEVER_RAN = [
    (
        {"cannot_pull": "missing"},
        START_FAILED,
        r"CannotPullContainerError: .*manifest for local/image not found",
    ),
    (
        {"cannot_pull": "forbidden"},
        START_FAILED,
        "CannotPullContainerError: .*pull access denied for local/image",
    ),
    (
        {"cannot_pull": "architecture"},
        START_FAILED,
        "CannotPullContainerError: no matching manifest for linux/",
    ),
    ({"cannot_pull": "disk_full"}, START_FAILED, "CannotPullContainerError: .*no space left on device"),
    ({"cannot_pull": "rate_limit"}, START_FAILED, "CannotPullContainerError: toomanyrequests: "),
    ({"cannot_pull": "no_route"}, START_FAILED, "CannotPullContainerError: .*request canceled while waiting"),
    ({"cannot_start": "create"}, START_FAILED, "CannotCreateContainerError: "),
    ({"cannot_start": "start"}, START_FAILED, "CannotStartContainerError: "),
    ({"cannot_start": "timeout"}, START_FAILED, "DockerTimeoutError: Could not transition to created"),
    ({"agent_gone": True}, START_FAILED, "AGENT$"),
    ({"resource_initialization": True}, "ResourceInitializationError: unable to pull secrets", None),
    ({"role": True}, "ECS was unable to assume the role 'arn:aws:iam::1:role/r'", None),
    ({"network_interface": True}, "Timeout waiting for network interface provisioning to complete.", None),
    ({"lose_host": "STARTING"}, r"Host EC2 \(instance i-[0-9a-f]{17}\) terminated\.", None),
    ({"lose_host": "STARTING", "fargate": True}, r"Your Spot Task was interrupted\.", None),
]


@pytest.mark.parametrize(("effect", "status_reason", "reason"), NEVER_RAN, ids=str)
def test_an_attempt_that_never_ran_ends_in_awss_words(
    faulty: Driver, effect: dict[str, Any], status_reason: str, reason: str | None
) -> None:
    definition = faulty.define(sh("echo it ran"), container={"jobRoleArn": "arn:aws:iam::1:role/r"})
    faulty.fault(effect)
    job = faulty.wait(faulty.submit(jobDefinition=definition))
    told = the_ending(job)
    assert re.match(status_reason, told[0] or "")
    assert told[1] is None if reason is None else re.match(reason, told[1] or "")
    assert told[2] is None
    assert "startedAt" not in job
    assert "logStreamName" not in job["container"]
    assert len(told[1] or "") <= 255


def test_an_attempt_ends_with_any_words(faulty: Driver) -> None:
    texts = {"status_reason": "Something new", "container_reason": "NewError: why", "exit_code": 9}
    faulty.fault({"end_with": texts})
    assert the_ending(faulty.run(["true"])) == ("Something new", "NewError: why", 9)
    faulty.fault({"end_with": {}})
    assert the_ending(faulty.run(["true"])) == (None, None, None)


@pytest.mark.parametrize(
    ("effect", "ending"),
    [
        ({"out_of_memory": True}, (EXITED, OUT_OF_MEMORY, 137)),
        ({"killed": True}, (EXITED, None, 137)),
        ({"lose_host": "RUNNING", "fargate": True}, (INTERRUPTED, None, None)),
        ({"out_of_memory": True, "after_s": 0.2}, (EXITED, OUT_OF_MEMORY, 137)),
        (
            {"lose_host": "RUNNING", "after_s": 0.2, "fargate": True},
            (INTERRUPTED, None, None),
        ),
    ],
    ids=str,
)
def test_what_runs_is_killed(
    faulty: Driver, effect: dict[str, Any], ending: tuple[str | None, str | None, int | None]
) -> None:
    faulty.fault(effect)
    job = faulty.run(["sleep", "60"])
    assert the_ending(job) == ending
    assert job["stoppedAt"] - job["startedAt"] >= effect.get("after_s", 0) * 900


def test_a_blow_that_comes_too_late_is_not_counted(faulty: Driver) -> None:
    faulty.fault({"killed": True, "after_s": 2}, times=1)
    assert faulty.run(["true"])["status"] == "SUCCEEDED"
    until(lambda: faulty.aws.faults_struck == {"fault 1": 0})
    assert faulty.run(["sleep", "60"])["status"] == "FAILED"


def test_a_program_did_its_work_but_nobody_saw_its_end(faulty: Driver) -> None:
    faulty.fault({"inspect_error": True})
    job = faulty.run(sh("echo done"))
    status_reason, reason, exit_code = the_ending(job)
    assert (status_reason, exit_code) == (EXITED, None)
    assert (reason or "").startswith("CannotInspectContainerError: Could not transition to inspecting")
    assert faulty.output(job) == ["done"]


def test_terminating_wins_over_an_end_that_nobody_saw(faulty: Driver) -> None:
    faulty.fault({"inspect_error": True})
    job_id = faulty.submit(["sleep", "60"])
    faulty.wait(job_id, "RUNNING")
    faulty.batch.terminate_job(jobId=job_id, reason="enough")
    assert the_ending(faulty.wait(job_id)) == ("enough", None, 143)


def test_a_struck_attempt_is_retried_like_any_other(faulty: Driver) -> None:
    plan = [
        {"job": {"attempt": 1}, "effect": {"lose_host": "STARTING"}},
        {"job": {"attempt": 2}, "effect": {"cannot_pull": "rate_limit"}},
        {"job": {"attempt": 3}, "effect": {"agent_gone": True}},
        {"job": {"attempt": 4}, "effect": {"lose_host": "RUNNING", "fargate": True}},
    ]
    faulty.local("PUT", "faults", {"faults": plan})
    job = faulty.run(
        sh("echo $AWS_BATCH_JOB_ATTEMPT"), retryStrategy={"attempts": 9, "evaluateOnExit": ON_THE_CLOUD}
    )
    assert job["status"] == "SUCCEEDED"
    assert [ended(attempt)[2] for attempt in job["attempts"]] == [None] * 4 + [0]
    assert faulty.output(job) == ["5"]
    assert faulty.aws.faults_struck == {f"fault {number}": 1 for number in (1, 2, 3, 4)}


def test_what_no_rule_retries_ends_the_job(faulty: Driver) -> None:
    faulty.fault({"cannot_start": "start"})
    job = faulty.run(["true"], retryStrategy={"attempts": 5, "evaluateOnExit": ON_THE_CLOUD})
    assert len(job["attempts"]) == 1
    assert faulty.aws.faults_struck == {"fault 1": 1}


def test_times_limit_how_many_attempts_are_struck(faulty: Driver) -> None:
    faulty.fault({"killed": True}, times=2)
    job = faulty.run(sh("sleep 0.1"), retryStrategy={"attempts": 5})
    assert (job["status"], len(job["attempts"])) == ("SUCCEEDED", 3)


def test_jobs_are_chosen_by_number_name_and_index(faulty: Driver) -> None:
    definition = faulty.define(["true"])

    def failed(*names: str) -> list[bool]:
        ids = [faulty.submit(jobDefinition=definition, jobName=name) for name in names]
        return [faulty.wait(job_id)["status"] == "FAILED" for job_id in ids]

    failed("before-the-plan")
    faulty.fault({"agent_gone": True}, job={"nth": 2})
    assert failed("a", "b", "c") == [False, True, False]
    faulty.fault({"agent_gone": True}, job={"name_contains": "mid"})
    assert failed("first", "in-mid-of", "last") == [False, True, False]
    faulty.fault({"agent_gone": True}, job={"nth": 2, "index": 1})
    arrays = [faulty.submit(jobDefinition=definition, arrayProperties={"size": 3}) for _ in range(2)]
    assert [faulty.wait(array)["arrayProperties"]["statusSummary"]["FAILED"] for array in arrays] == [0, 1]
    assert faulty.status(f"{arrays[1]}:1") == "FAILED"


CODES = [
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED",
    "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS",
    "ACTION_REQUIRED",
    "UNDETERMINED",
]


@pytest.mark.parametrize("code", CODES)
def test_a_stuck_job_says_why_in_awss_words(faulty: Driver, code: str) -> None:
    faulty.fault({"stuck": code})
    job_id = faulty.submit(["true"])
    until(lambda: re.match(rf"{code} [-–] ", faulty.job(job_id).get("statusReason", "")))
    assert faulty.status(job_id) == "RUNNABLE"
    faulty.local("DELETE", "faults")
    assert faulty.wait(job_id)["status"] == "SUCCEEDED"


def test_a_stuck_job_goes_on_when_its_time_is_over(faulty: Driver) -> None:
    faulty.fault({"stuck": "UNDETERMINED", "for_s": 0.5})
    job = faulty.run(["true"])
    assert job["status"] == "SUCCEEDED"
    assert job["startedAt"] - job["createdAt"] >= 450


def test_a_job_that_is_stuck_for_ever_blocks_its_queue_until_it_ends(faulty: Driver) -> None:
    queue = faulty.new_queue(vcpus=1)
    faulty.fault({"stuck": "my own words"}, job={"nth": 1})
    definition = faulty.define(["true"])
    stuck, behind = (faulty.submit(jobDefinition=definition, jobQueue=queue) for _ in range(2))
    until(lambda: faulty.job(stuck).get("statusReason") == "my own words")
    front = faulty.batch.get_job_queue_snapshot(jobQueue=queue)["frontOfQueue"]["jobs"]
    assert [each["jobArn"].rpartition("/")[2] for each in front] == [stuck, behind]
    assert faulty.status(behind) == "RUNNABLE"
    faulty.batch.terminate_job(jobId=stuck, reason="not today")
    assert faulty.wait(stuck)["statusReason"] == "not today"
    assert faulty.wait(behind)["status"] == "SUCCEEDED"


def test_the_end_of_a_plan_frees_what_it_held(faulty: Driver) -> None:
    elsewhere = faulty.new_queue()
    faulty.fault({"stuck": ""}, job={"nth": 1})
    job_id = faulty.submit(["true"])
    assert faulty.run(["true"], jobQueue=elsewhere)["status"] == "SUCCEEDED"
    assert faulty.status(job_id) == "RUNNABLE"
    assert "statusReason" not in faulty.job(job_id)
    faulty.local("DELETE", "faults")
    assert faulty.wait(job_id)["status"] == "SUCCEEDED"


def test_a_queue_may_limit_how_long_capacity_is_missing() -> None:
    code = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY"
    action = {"reason": code, "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}
    timing = Timing(blocked_reason_delay_s=0.1, time_scale=1000)  # ten minutes last 0.6 s
    with LocalAWS(vcpus=1, timing=timing, faults=Plan(faults=[JobFault(effect=Stuck(stuck=code))])) as aws:
        local = Driver(aws)
        queue = local.new_queue(jobStateTimeLimitActions=[action])
        job = local.run(["true"], jobQueue=queue)
    assert job["status"] == "FAILED"
    assert job["statusReason"] == f"Canceled by JobStateTimeLimit action due to reason: {code}"
