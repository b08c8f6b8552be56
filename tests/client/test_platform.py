"""Fargate, and what a submission or a definition may hold beside the function, on a local AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.contract import RUNTIME_COMMAND
from covalent_awsbatch_plugin.errors import JobFailedError, RoleOrSecretError
from tests.client.surroundings import LONG_S
from tests.e2e.surroundings import AWS, Counted, eventually

FARGATE = {"platform": "FARGATE", "vcpu": 0.25, "memory": 0.5}
DENIED_ANYWAY = ("RegisterJobDefinition", "DescribeJobDefinitions", "GetRole")
"""What who uses a definition of their own need not be allowed."""


def reader() -> Callable[..., dict[str, str | None]]:
    """Return a function that tells the variables around it; one within another travels whole."""

    def read(*names: str) -> dict[str, str | None]:
        import os

        return {name: os.environ.get(name) for name in names}

    return read


def detail(aws: AWS, job_id: str) -> dict[str, Any]:
    (found,) = aws.batch.describe_jobs(jobs=[job_id])["jobs"]
    return dict(found)


def definition_of(aws: AWS, job: dict[str, Any]) -> dict[str, Any]:
    described = aws.batch.describe_job_definitions(jobDefinitions=[job["jobDefinition"]])
    return dict(described["jobDefinitions"][0])


def new_queue(aws: AWS, resources: dict[str, Any], **more: Any) -> str:
    """Create a queue with an environment of its own, and return their common name."""
    name = f"own-{uuid4().hex[:8]}"
    aws.batch.create_compute_environment(
        computeEnvironmentName=name,
        type="MANAGED",
        computeResources={"maxvCpus": 8, "subnets": ["s"], "securityGroupIds": ["g"], **resources},
        tags={"local:memory-mib": "8192"},
    )

    def is_valid(kind: str, found: list[dict[str, Any]]) -> bool:
        return [each["status"] for each in found] == ["VALID"]

    def environments() -> Any:
        return aws.batch.describe_compute_environments(computeEnvironments=[name])["computeEnvironments"]

    eventually(lambda: is_valid("environment", environments()))
    order = [{"order": 1, "computeEnvironment": name}]
    aws.batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order, **more)
    eventually(lambda: is_valid("queue", aws.batch.describe_job_queues(jobQueues=[name])["jobQueues"]))
    return name


@pytest.fixture(scope="module")
def fargate(aws: AWS) -> dict[str, Any]:
    """The settings of a queue of Fargate."""
    return {**aws.settings, **FARGATE, "batch_queue": new_queue(aws, {"type": "FARGATE"})}


@pytest.fixture(scope="module")
def secret(aws: AWS) -> str:
    name = f"password-{uuid4().hex[:8]}"
    created = aws.client("secretsmanager").create_secret(Name=name, SecretString='{"token": "hidden"}')
    return str(created["ARN"])


# --- Fargate --------------------------------------------------------------------------------------------


def test_a_function_runs_on_fargate_with_a_part_of_a_vcpu(aws: AWS, fargate: dict[str, Any]):
    batch = AWSBatch(**fargate, assign_public_ip=True, ephemeral_storage=50, cpu_architecture="ARM64")
    job = batch.submit(pow, 2, 5)
    assert job.result(LONG_S) == 32
    found = detail(aws, job.batch_id)
    assert found["platformCapabilities"] == ["FARGATE"]
    container = found["container"]
    assert container["resourceRequirements"] == [
        {"type": "VCPU", "value": "0.25"},
        {"type": "MEMORY", "value": "512"},
    ]
    assert container["networkConfiguration"] == {"assignPublicIp": "ENABLED"}
    assert container["ephemeralStorage"] == {"sizeInGiB": 50}
    assert container["runtimePlatform"]["cpuArchitecture"] == "ARM64"


def test_items_of_a_chunk_run_one_by_one_where_there_is_a_part_of_a_vcpu(fargate: dict[str, Any]):
    assert list(AWSBatch(**fargate).map(abs, [-1, -2, -3], chunk_size=3).results(timeout=LONG_S)) == [1, 2, 3]


def test_the_platform_must_be_the_queues(aws: AWS, fargate: dict[str, Any]):
    text = "can not run Jobs with capability"
    with pytest.raises(JobFailedError, match=f"{text} FARGATE"):
        AWSBatch(**{**fargate, "batch_queue": aws.queue}).submit(abs, 1).result(LONG_S)
    with pytest.raises(JobFailedError, match=f"{text} EC2"):
        AWSBatch(**{**aws.settings, "batch_queue": fargate["batch_queue"]}).submit(abs, 1).result(LONG_S)


# --- the definition -------------------------------------------------------------------------------------


def test_without_new_options_the_definition_is_as_it_was(aws: AWS, batch: AWSBatch):
    job = batch.submit(abs, -1)
    job.result(LONG_S)
    registered = definition_of(aws, detail(aws, job.batch_id))
    assert registered["platformCapabilities"] == ["EC2"]
    assert set(registered["containerProperties"]) == {
        *("image", "command", "resourceRequirements", "jobRoleArn", "executionRoleArn", "logConfiguration")
    }


def test_arm64_on_ec2_is_the_queues_matter(aws: AWS):
    job = AWSBatch(**aws.settings, cpu_architecture="ARM64").submit(abs, -1)
    assert job.result(LONG_S) == 1
    assert "runtimePlatform" not in detail(aws, job.batch_id)["container"]


def test_shared_memory_and_volumes_are_in_the_definition(aws: AWS):
    volumes = [
        {"host": "/tmp", "path": "/tmp", "read_only": True},
        {"efs": "fs-0123abcd", "path": "/mnt/data", "access_point": "fsap-0123abcd", "iam": True},
    ]
    job = AWSBatch(**aws.settings, shared_memory=0.25, volumes=volumes).submit(abs, -1)
    with pytest.raises(JobFailedError, match=r"cannot have volume-1 at /mnt/data; start it"):
        job.result(LONG_S)
    container = detail(aws, job.batch_id)["container"]
    assert container["linuxParameters"] == {"sharedMemorySize": 256}
    assert container["mountPoints"] == [
        {"sourceVolume": "volume-0", "containerPath": "/tmp", "readOnly": True},
        {"sourceVolume": "volume-1", "containerPath": "/mnt/data", "readOnly": False},
    ]
    host, efs = container["volumes"]
    assert host["host"] == {"sourcePath": "/tmp"}
    assert efs["efsVolumeConfiguration"] == {
        "fileSystemId": "fs-0123abcd",
        "rootDirectory": "/",
        "transitEncryption": "ENABLED",
        "authorizationConfig": {"accessPointId": "fsap-0123abcd", "iam": "ENABLED"},
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"shared_memory": 0.25}, {"shared_memory": 0.5}),
        ({"volumes": [{"host": "/tmp", "path": "/tmp"}]}, {"volumes": [{"host": "/var", "path": "/var"}]}),
    ],
)
def test_what_a_definition_holds_makes_another_definition(aws: AWS, one: Any, other: Any):
    jobs = [AWSBatch(**aws.settings, **each).submit(abs, -1) for each in ({}, one, other, one)]
    assert [job.result(LONG_S) for job in jobs] == [1] * 4
    without, first, second, again = (detail(aws, job.batch_id)["jobDefinition"] for job in jobs)
    assert len({without, first, second}) == 3
    assert again == first


# --- variables and secrets ------------------------------------------------------------------------------


def test_the_function_sees_its_variables_and_secrets(aws: AWS, fargate: dict[str, Any], secret: str):
    aws.client("ssm").put_parameter(Name="/lab/token", Value="kept", Type="SecureString")
    parameter = "arn:aws:ssm:us-east-1:123456789012:parameter/lab/token"
    given = {
        "environment": {"OMP_NUM_THREADS": "4", "EMPTY": ""},
        "secrets": {"WHOLE": secret, "PART": f"{secret}:token::", "PARAMETER": parameter},
    }
    seen = {"OMP_NUM_THREADS": "4", "EMPTY": "", "WHOLE": '{"token": "hidden"}', "PART": "hidden"}
    seen["PARAMETER"] = "kept"
    for settings in (aws.settings, fargate):
        array = AWSBatch(**settings, **given).map(reader(), *([name, name] for name in seen))
        assert list(array.results(timeout=LONG_S)) == [seen, seen]
        told = str(detail(aws, array[0].batch_id))
        assert secret in told
        assert "hidden" not in told


def test_a_secret_that_cannot_be_had_is_named(aws: AWS, fargate: dict[str, Any]):
    arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:no-such-AbCdEf"
    job = AWSBatch(**fargate, secrets={"TOKEN": arn}).submit(abs, 1)
    with pytest.raises(
        RoleOrSecretError, match="ResourceInitializationError: unable to pull secrets"
    ) as raised:
        job.result(LONG_S)
    assert "failed to fetch secret arn:aws" in str(raised.value)


# --- what a submission holds ----------------------------------------------------------------------------


def test_tags_are_the_jobs(aws: AWS):
    batch = AWSBatch(**aws.settings, tags={"project": "x", "cost center": "7"}, propagate_tags=True)
    job = batch.submit(abs, -1)
    array = batch.map(abs, [-1, -2])
    assert [job.result(LONG_S), *array.results(timeout=LONG_S)] == [1, 1, 2]
    for job_id in (job.batch_id, array[0].batch_id.partition(":")[0]):
        found = detail(aws, job_id)
        assert found["tags"] == {"project": "x", "cost center": "7"}
        assert found["propagateTags"] is True


def test_a_share_is_taken_on_a_queue_with_a_fair_share_policy(aws: AWS):
    policy = aws.batch.create_scheduling_policy(name=f"fair-{uuid4().hex[:8]}", fairsharePolicy={})["arn"]
    ec2 = {"type": "EC2", "instanceRole": "r"}
    settings = {**aws.settings, "batch_queue": new_queue(aws, ec2, schedulingPolicyArn=policy)}
    job = AWSBatch(**settings, share_identifier="research", scheduling_priority=7).submit(abs, -1)
    assert job.result(LONG_S) == 1
    found = detail(aws, job.batch_id)
    assert (found["shareIdentifier"], found["schedulingPriority"]) == ("research", 7)
    with pytest.raises(JobFailedError, match="shareIdentifier"):
        AWSBatch(**settings).submit(abs, -1).result(LONG_S)
    with pytest.raises(JobFailedError, match="fair share scheduling policy"):
        AWSBatch(**aws.settings, share_identifier="research").submit(abs, -1).result(LONG_S)


def test_tasks_that_are_tagged_otherwise_are_not_submitted_together(aws: AWS):
    one, other = (AWSBatch(**aws.settings, tags={"owner": each}) for each in "ab")
    jobs = [batch.submit(abs, -1) for batch in (one, other)]
    assert [job.result(LONG_S) for job in jobs] == [1, 1]
    assert [detail(aws, job.batch_id)["tags"] for job in jobs] == [{"owner": "a"}, {"owner": "b"}]


# --- a definition of one's own --------------------------------------------------------------------------


@pytest.fixture
def own_definition(aws: AWS) -> str:
    """The name of a definition that has nothing in common with ours but its image."""
    name = f"lab-{uuid4().hex[:8]}"
    aws.batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": "lab/image:1",
            "command": ["false"],
            "environment": [{"name": "FROM_THE_DEFINITION", "value": "yes"}],
            "resourceRequirements": [{"type": "VCPU", "value": "2"}, {"type": "MEMORY", "value": "64"}],
        },
    )
    return name


@pytest.fixture
def without_rights(aws: AWS, own_definition: str) -> Iterator[None]:
    """From then on AWS allows neither to look for a definition nor to register one, nor to see a role."""
    refused = [{"operation": each, "effect": {"status": 403}} for each in DENIED_ANYWAY]
    aws.control("PUT", "faults", {"faults": refused})
    yield
    aws.control("DELETE", "faults")


@pytest.mark.usefixtures("without_rights")
def test_a_definition_of_ones_own_is_used_without_rights_to_it(
    aws: AWS, own_definition: str, counted: Counted
):
    batch = AWSBatch(
        **{**aws.settings, "batch_job_role_name": "no-such-role", "container_image_uri": ""},
        job_definition=own_definition,
        environment={"GIVEN": "too"},
        tags={"project": "x"},
    )
    job = batch.submit(reader(), "FROM_THE_DEFINITION", "GIVEN")
    array = batch.map(abs, [-1, -2])
    assert job.result(LONG_S) == {"FROM_THE_DEFINITION": "yes", "GIVEN": "too"}
    assert list(array.results(timeout=LONG_S)) == [1, 2]
    found = detail(aws, job.batch_id)
    assert found["jobDefinition"].endswith(f"/{own_definition}:1")
    assert (found["container"]["image"], found["tags"]) == ("lab/image:1", {"project": "x"})
    assert found["container"]["command"] == list(RUNTIME_COMMAND)
    assert [counted("batch", each) + counted("iam", each) for each in DENIED_ANYWAY] == [0, 0, 0]


def test_a_job_of_ones_own_definition_is_submitted_again_as_another_would_be(aws: AWS, own_definition: str):
    aws.control(
        "PUT", "faults", {"faults": [{"job": {"nth": 1}, "times": 1, "effect": {"out_of_memory": True}}]}
    )
    try:
        batch = AWSBatch(**aws.settings, job_definition=f"{own_definition}:1", memory_on_oom=[0.5])
        job = batch.submit(abs, -1)
        assert job.result(LONG_S) == 1
    finally:
        aws.control("DELETE", "faults")
    found = detail(aws, job.batch_id)
    assert found["jobDefinition"].endswith(f"/{own_definition}:1")
    assert {"type": "MEMORY", "value": "512"} in found["container"]["resourceRequirements"]


def test_a_definition_of_ones_own_that_is_missing_is_named(aws: AWS):
    job = AWSBatch(**aws.settings, job_definition="no-such-definition").submit(abs, 1)
    with pytest.raises(JobFailedError, match="JobDefinition name no-such-definition does not exist"):
        job.result(LONG_S)
