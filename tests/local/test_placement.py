"""What runs when: capacity, order, priorities, and jobs that can never run."""

from __future__ import annotations

from uuid import uuid4

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.timing import Timing

from .driving import Driver, sh, until

MAX_VCPUS = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet "
    "the CPU requirement of the job."
)
TOO_MUCH = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher "
    "than that can be met by the CE(s) attached to the job queue."
)


def most_at_once(local: Driver, parent: str, size: int) -> int:
    """Return how many children of a finished array held capacity at the same time."""
    ids = [f"{parent}:{index}" for index in range(size)]
    spans: list[tuple[int, int]] = [
        (job["startedAt"], job["stoppedAt"]) for job in local.batch.describe_jobs(jobs=ids)["jobs"]
    ]
    return max(sum(start <= moment < stop for start, stop in spans) for moment, _ in spans)


def test_vcpus_limit_what_runs_at_once(local: Driver) -> None:
    queue = local.new_queue(vcpus=3)
    parent = local.submit(sh("sleep 0.2"), jobQueue=queue, arrayProperties={"size": 8})
    local.wait(parent)
    assert most_at_once(local, parent, 8) == 3


def test_memory_limits_what_runs_at_once(local: Driver) -> None:
    queue = local.new_queue(vcpus=8, memory_mib=1024)
    definition = local.define(sh("sleep 0.2"), memory="500")
    parent = local.submit(jobDefinition=definition, jobQueue=queue, arrayProperties={"size": 4})
    local.wait(parent)
    assert most_at_once(local, parent, 4) == 2


def test_a_queue_is_first_in_first_out_and_its_head_blocks(local: Driver) -> None:
    queue = local.new_queue(vcpus=2)
    small, wide = local.define(sh("sleep 0.5")), local.define(["true"], vcpus="2")
    running = local.submit(jobDefinition=small, jobQueue=queue)
    local.wait(running, "RUNNING")
    head = local.submit(jobDefinition=wide, jobQueue=queue)
    behind = local.submit(jobDefinition=small, jobQueue=queue)
    local.wait(behind, "RUNNABLE")
    assert local.wait(head)["startedAt"] >= local.job(running)["stoppedAt"]
    assert local.wait(behind)["startedAt"] >= local.job(head)["stoppedAt"]


def test_queues_of_higher_priority_go_first(paused: Driver) -> None:
    name = paused.new_queue(vcpus=1)
    urgent = f"urgent-{uuid4().hex[:8]}"
    order = [{"order": 1, "computeEnvironment": name}]
    paused.batch.create_job_queue(jobQueueName=urgent, priority=9, computeEnvironmentOrder=order)
    until(lambda: paused.queue_detail(urgent)["status"] == "VALID")
    later = paused.submit(["true"], jobQueue=name)
    first = paused.submit(["true"], jobQueue=urgent)
    paused.wait(later, "RUNNABLE")
    paused.wait(first, "RUNNABLE")
    paused.local("POST", "resume")
    assert paused.wait(later)["startedAt"] >= paused.wait(first)["stoppedAt"]


def test_a_second_environment_takes_what_the_first_cannot(local: Driver) -> None:
    small, large = local.new_queue(vcpus=1), local.new_queue(vcpus=4)
    both = f"both-{uuid4().hex[:8]}"
    order = [{"order": 5, "computeEnvironment": large}, {"order": 2, "computeEnvironment": small}]
    local.batch.create_job_queue(jobQueueName=both, priority=1, computeEnvironmentOrder=order)
    until(lambda: local.queue_detail(both)["status"] == "VALID")
    orders = [each["order"] for each in local.queue_detail(both)["computeEnvironmentOrder"]]
    assert orders == [2, 5]
    show = sh("echo $AWS_BATCH_CE_NAME")
    narrow = local.submit(show, jobQueue=both)
    assert local.output(local.wait(narrow)) == [small]
    wide = local.submit(jobDefinition=local.define(show, vcpus="3"), jobQueue=both)
    assert local.output(local.wait(wide)) == [large]


def test_too_many_vcpus_stay_runnable_with_awss_reason(local: Driver) -> None:
    queue = local.new_queue(vcpus=2)
    job_id = local.submit(jobDefinition=local.define(["true"], vcpus="3"), jobQueue=queue)
    until(lambda: local.job(job_id).get("statusReason") == MAX_VCPUS)
    assert local.status(job_id) == "RUNNABLE"
    (summary,) = local.batch.list_jobs(jobQueue=queue, jobStatus="RUNNABLE")["jobSummaryList"]
    assert summary["statusReason"] == MAX_VCPUS


def test_too_much_memory_and_gpus_stay_runnable_with_awss_reason(local: Driver) -> None:
    for more in ({"type": "MEMORY", "value": "5000"}, {"type": "GPU", "value": "1"}):
        queue = local.new_queue(vcpus=2, memory_mib=4000)
        job_id = local.submit(["true"], jobQueue=queue, containerOverrides={"resourceRequirements": [more]})
        until(lambda job_id=job_id: local.job(job_id).get("statusReason") == TOO_MUCH)  # type: ignore[misc]


def test_a_larger_environment_frees_a_blocked_job(local: Driver) -> None:
    queue = local.new_queue(vcpus=1)
    job_id = local.submit(jobDefinition=local.define(["true"], vcpus="2"), jobQueue=queue)
    until(lambda: "statusReason" in local.job(job_id))
    local.batch.update_compute_environment(computeEnvironment=queue, computeResources={"maxvCpus": 2})
    assert local.wait(job_id)["status"] == "SUCCEEDED"


def test_the_queues_own_time_limit_ends_a_blocked_job() -> None:
    reason = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
    action = {"reason": reason, "state": "RUNNABLE", "maxTimeSeconds": 600, "action": "CANCEL"}
    timing = Timing(blocked_reason_delay_s=0.1, time_scale=1000)  # ten minutes last 0.6 s
    with LocalAWS(vcpus=1, timing=timing) as aws:
        local = Driver(aws)
        queue = local.new_queue(jobStateTimeLimitActions=[action])
        blocked = local.submit(jobDefinition=local.define(["true"], vcpus="2"), jobQueue=queue)
        behind = local.submit(["true"], jobQueue=queue)
        job = local.wait(blocked)
        assert job["statusReason"] == f"Canceled by JobStateTimeLimit action due to reason: {reason}"
        assert job["stoppedAt"] - job["createdAt"] >= 600
        assert local.wait(behind)["status"] == "SUCCEEDED"


def test_nothing_is_placed_on_a_disabled_environment(local: Driver) -> None:
    queue = local.new_queue()
    local.batch.update_compute_environment(computeEnvironment=queue, state="DISABLED")
    until(lambda: local.environment(queue)["status"] == "VALID")
    job_id = local.submit(["true"], jobQueue=queue)
    local.wait(job_id, "RUNNABLE")
    local.batch.update_compute_environment(computeEnvironment=queue, state="ENABLED")
    assert local.wait(job_id)["status"] == "SUCCEEDED"


def test_a_disabled_queue_finishes_what_it_holds(paused: Driver) -> None:
    queue = paused.new_queue()
    job_id = paused.submit(["true"], jobQueue=queue)
    paused.wait(job_id, "RUNNABLE")
    paused.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    paused.local("POST", "resume")
    assert paused.wait(job_id)["status"] == "SUCCEEDED"


def test_the_snapshot_shows_the_front_of_a_queue_and_its_use(local: Driver) -> None:
    queue = local.new_queue(vcpus=2)
    running = local.submit(jobDefinition=local.define(sh("sleep 30"), vcpus="2"), jobQueue=queue)
    local.wait(running, "RUNNING")
    waiting = [local.submit(["true"], jobQueue=queue) for _ in range(3)]
    for job_id in waiting:
        local.wait(job_id, "RUNNABLE")
    snapshot = local.batch.get_job_queue_snapshot(jobQueue=queue)
    front = [each["jobArn"].rpartition("/")[2] for each in snapshot["frontOfQueue"]["jobs"]]
    assert front == waiting
    usage = snapshot["queueUtilization"]["totalCapacityUsage"]
    assert usage == [{"capacityUnit": "VCPU", "quantity": 2.0}]
    local.batch.terminate_job(jobId=running, reason="seen")
