"""Job definitions, queues, compute environments and tags."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from .driving import Driver, until


def test_every_registration_makes_a_new_revision(local: Driver) -> None:
    name = f"revisions-{uuid4().hex[:8]}"
    first, second = local.define(["true"], name=name), local.define(["true"], name=name)
    assert (first.rpartition(":")[2], second.rpartition(":")[2]) == ("1", "2")
    local.batch.deregister_job_definition(jobDefinition=f"{name}:2")
    third = local.define(["true"], name=name)
    assert third.rpartition(":")[2] == "3"

    def described(**request: Any) -> list[tuple[int, str]]:
        answer = local.batch.describe_job_definitions(**request)["jobDefinitions"]
        return sorted((each["revision"], each["status"]) for each in answer)

    assert described(jobDefinitionName=name) == [(1, "ACTIVE"), (2, "INACTIVE"), (3, "ACTIVE")]
    assert described(jobDefinitionName=name, status="ACTIVE") == [(1, "ACTIVE"), (3, "ACTIVE")]
    assert described(jobDefinitions=[f"{name}:2", third]) == [(2, "INACTIVE"), (3, "ACTIVE")]
    assert described(jobDefinitions=[f"{name}:9", "no-such:1"]) == []
    assert local.wait(local.submit(jobDefinition=name))["jobDefinition"] == third
    assert local.wait(local.submit(jobDefinition=f"{name}:1"))["jobDefinition"] == first


def test_a_definition_is_described_as_it_was_registered(local: Driver) -> None:
    container = {
        "jobRoleArn": "arn:aws:iam::123456789012:role/job",
        "environment": [{"name": "A", "value": "1"}],
        "linuxParameters": {"initProcessEnabled": True},
        "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/aws/batch/job"}},
    }
    more: dict[str, Any] = {
        "retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "RETRY"}]},
        "timeout": {"attemptDurationSeconds": 120},
        "parameters": {"p": "v"},
        "tags": {"t": "u"},
        "propagateTags": True,
    }
    arn = local.define(["true"], container=container, **more)
    (described,) = local.batch.describe_job_definitions(jobDefinitions=[arn])["jobDefinitions"]
    assert {name: described[name] for name in more} == more
    assert container.items() <= described["containerProperties"].items()
    job = local.wait(local.submit(jobDefinition=arn))
    assert (job["retryStrategy"], job["timeout"]) == (more["retryStrategy"], more["timeout"])
    assert (job["propagateTags"], job["parameters"], job["tags"]) == (True, {"p": "v"}, {})
    assert container.items() <= job["container"].items()


def test_definitions_come_in_pages(local: Driver) -> None:
    name = f"paged-{uuid4().hex[:8]}"
    for _ in range(5):
        local.define(["true"], name=name)
    paginator = local.batch.get_paginator("describe_job_definitions")
    pages = list(paginator.paginate(jobDefinitionName=name, PaginationConfig={"PageSize": 2}))
    assert [len(page["jobDefinitions"]) for page in pages] == [2, 2, 1]


def test_an_environment_becomes_valid_and_says_so(local: Driver) -> None:
    name = local.new_queue(vcpus=3)
    environment = local.environment(name)
    assert (environment["state"], environment["status"]) == ("ENABLED", "VALID")
    assert environment["statusReason"] == "ComputeEnvironment Healthy"
    assert environment["computeResources"]["maxvCpus"] == 3
    queue = local.queue_detail(name)
    assert (queue["state"], queue["status"], queue["statusReason"]) == (
        "ENABLED",
        "VALID",
        "JobQueue Healthy",
    )
    assert queue["computeEnvironmentOrder"] == [
        {"order": 1, "computeEnvironment": environment["computeEnvironmentArn"]}
    ]


def test_queues_and_environments_are_deleted_in_awss_order(local: Driver) -> None:
    name = local.new_queue()
    batch = local.batch
    job_id = local.submit(jobDefinition=local.define(["true"], vcpus="9"), jobQueue=name)
    local.wait(job_id, "RUNNABLE")
    with pytest.raises(ClientError, match="DISABLED"):
        batch.delete_job_queue(jobQueue=name)
    with pytest.raises(ClientError, match="DISABLED"):
        batch.delete_compute_environment(computeEnvironment=name)
    batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    until(lambda: local.environment(name)["status"] == "VALID")
    with pytest.raises(ClientError, match="Cannot delete, found existing JobQueue relationship"):
        batch.delete_compute_environment(computeEnvironment=name)
    batch.update_job_queue(jobQueue=name, state="DISABLED")
    with pytest.raises(ClientError, match="resource is being modified"):
        batch.delete_job_queue(jobQueue=name)
    until(lambda: local.queue_detail(name)["status"] == "VALID")
    batch.delete_job_queue(jobQueue=name)
    until(lambda: batch.describe_job_queues(jobQueues=[name])["jobQueues"] == [])
    job = local.job(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "JobQueue deleted")
    batch.delete_compute_environment(computeEnvironment=name)
    until(
        lambda: batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"] == []
    )


def managed(**resources: Any) -> dict[str, Any]:
    given = {"type": "EC2", "maxvCpus": 1, "instanceRole": "r", **resources}
    wanted = {name: value for name, value in given.items() if value is not None}
    return {"computeEnvironmentName": "refused", "type": "MANAGED", "computeResources": wanted}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (managed(instanceRole=None), "Instance role is required."),
        (
            managed(type="FARGATE", instanceRole=None, desiredvCpus=1),
            "desiredvCpus is not applicable for Fargate.",
        ),
        (managed(type="FARGATE", instanceRole=None, tags={"a": "b"}), "tags is not applicable for Fargate."),
        (managed() | {"computeEnvironmentName": "a b"}, "name should match valid pattern"),
        (managed() | {"computeEnvironmentName": "covalent-awsbatch-local"}, "Object already exists"),
        ({"computeEnvironmentName": "refused", "type": "MANAGED"}, "computeResources"),
        (managed() | {"tags": {"local:memory-mib": "much"}}, "local:memory-mib"),
    ],
)
def test_environments_are_refused_in_awss_words(
    local: Driver, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        local.batch.create_compute_environment(**request_)


ORDER = [{"order": 1, "computeEnvironment": "covalent-awsbatch-local"}]


@pytest.mark.parametrize(
    "wrong",
    [
        {"jobQueueName": "a b"},
        {"jobQueueName": "covalent-awsbatch-local"},
        {"computeEnvironmentOrder": []},
        {"computeEnvironmentOrder": ORDER * 4},
        {"computeEnvironmentOrder": [{"order": 1, "computeEnvironment": "no-such"}]},
        {"priority": -1},
        {"jobStateTimeLimitActions": [
            {"reason": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", "state": "RUNNABLE",
             "maxTimeSeconds": 599, "action": "CANCEL"}]},
    ],
)  # fmt: skip
def test_queues_are_refused(local: Driver, wrong: dict[str, Any]) -> None:
    request = {"jobQueueName": "refused", "priority": 1, "computeEnvironmentOrder": ORDER, **wrong}
    with pytest.raises(ClientError, match="ClientException"):
        local.batch.create_job_queue(**request)


def test_an_environment_must_be_valid_before_a_queue_has_it(local: Driver) -> None:
    name = f"fresh-{uuid4().hex[:8]}"
    local.batch.create_compute_environment(**managed() | {"computeEnvironmentName": name})
    order = [{"order": 1, "computeEnvironment": name}]
    with pytest.raises(ClientError, match="must be valid before attaching"):
        local.batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order)


def test_unknown_resources_are_refused_by_name(local: Driver) -> None:
    with pytest.raises(ClientError, match="no-such does not exist"):
        local.batch.update_job_queue(jobQueue="no-such", priority=2)
    with pytest.raises(ClientError, match="no-such does not exist"):
        local.batch.update_compute_environment(computeEnvironment="no-such")
    with pytest.raises(ClientError, match="no-such does not exist"):
        local.batch.get_job_queue_snapshot(jobQueue="no-such")
    with pytest.raises(ClientError, match="JobDefinition no-such:1 not found"):
        local.batch.deregister_job_definition(jobDefinition="no-such:1")
    assert local.batch.describe_job_queues(jobQueues=["no-such"])["jobQueues"] == []


def test_tags_can_be_read_added_and_removed(local: Driver) -> None:
    job = local.run(["true"], tags={"kept": "1", "changed": "1"})
    arns = [
        job["jobArn"],
        job["jobQueue"],
        job["jobDefinition"],
        local.environment(local.queue)["computeEnvironmentArn"],
    ]
    for arn in arns:
        local.batch.tag_resource(resourceArn=arn, tags={"changed": "2", "a key/with:signs": "ü"})
        local.batch.untag_resource(resourceArn=arn, tagKeys=["a key/with:signs"])
        assert local.batch.list_tags_for_resource(resourceArn=arn)["tags"]["changed"] == "2"
    assert local.job(job["jobId"])["tags"] == {"kept": "1", "changed": "2"}
    assert local.environment(local.queue)["tags"]["changed"] == "2"


def test_tags_have_limits_and_children_have_none(local: Driver) -> None:
    parent = local.submit(["true"], arrayProperties={"size": 2})
    arn = local.job(parent)["jobArn"]
    local.batch.tag_resource(resourceArn=arn, tags={str(number): "" for number in range(50)})
    for wrong in (
        {"resourceArn": arn, "tags": {"one": "more"}},
        {"resourceArn": f"{arn}:0", "tags": {"a": "b"}},
    ):
        with pytest.raises(ClientError, match="ClientException"):
            local.batch.tag_resource(**wrong)
