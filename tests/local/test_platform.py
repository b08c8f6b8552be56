"""What a definition for Fargate or EC2 may hold, shares of a queue, secrets and volumes, by AWS's rules."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from .driving import Driver, client, python
from .test_refusals import FARGATE, refusal

EXECUTION_ROLE = {"executionRoleArn": "arn:aws:iam::123456789012:role/r"}
UNABLE = "ResourceInitializationError: unable to pull secrets or registry auth: "
PRINT = python("import os; print(os.environ['TOKEN'])")


def definition(**container: Any) -> dict[str, Any]:
    return {
        "jobDefinitionName": "refused",
        "type": "container",
        "containerProperties": {
            "image": "image",
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
            **container,
        },
    }


def of_efs(**efs: Any) -> dict[str, Any]:
    efs = {"fileSystemId": "fs-0123", **efs}
    return {"volumes": [{"name": "v", "efsVolumeConfiguration": efs}]}


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"linuxParameters": {"sharedMemorySize": 64}}, "sharedMemorySize not applicable for Fargate."),
        ({"linuxParameters": {"maxSwap": 64}}, "maxSwap not applicable for Fargate."),
        ({"volumes": [{"name": "v", "host": {"sourcePath": "/v"}}]}, "host not applicable for Fargate."),
        ({"logConfiguration": {"logDriver": "json-file"}}, "json-file not applicable for Fargate."),
        ({"ephemeralStorage": {"sizeInGiB": 20}}, "ephemeralStorage must be between 21 and 200 GiB."),
        ({"ephemeralStorage": {"sizeInGiB": 201}}, "ephemeralStorage must be between 21 and 200 GiB."),
        ({"privileged": True}, "privileged not applicable for Fargate."),
    ],
)
def test_fargate_refuses_what_needs_a_host(local: Driver, container: dict[str, Any], text: str) -> None:
    request = {**definition(**EXECUTION_ROLE, **container), "platformCapabilities": ["FARGATE"]}
    assert refusal(local.batch.register_job_definition, **request) == ("ClientException", text)


@pytest.mark.parametrize(
    ("container", "text"),
    [
        (
            {"networkConfiguration": {"assignPublicIp": "ENABLED"}},
            "networkConfiguration not applicable for EC2.",
        ),
        ({"ephemeralStorage": {"sizeInGiB": 50}}, "ephemeralStorage not applicable for EC2."),
        ({"runtimePlatform": {"cpuArchitecture": "ARM64"}}, "runtimePlatform not applicable for EC2."),
        (
            {"secrets": [{"name": "A", "valueFrom": "arn"}]},
            "When you are specifying container secrets, you must also specify a value for "
            "'executionRoleArn'.",
        ),
        (
            of_efs(authorizationConfig={"accessPointId": "fsap-0123"}),
            "transitEncryption must be ENABLED for an access point or IAM authorization.",
        ),
        (
            of_efs(
                authorizationConfig={"accessPointId": "fsap-0123"},
                transitEncryption="ENABLED",
                rootDirectory="/d",
            ),
            "rootDirectory must be omitted or / with an access point.",
        ),
        (
            of_efs(authorizationConfig={"iam": "ENABLED"}, transitEncryption="ENABLED"),
            "IAM authorization of EFS requires a job role.",
        ),
    ],
)
def test_ec2_refuses_what_is_fargates_and_what_does_not_go_together(
    local: Driver, container: dict[str, Any], text: str
) -> None:
    request = definition(**container)
    assert refusal(local.batch.register_job_definition, **request) == ("ClientException", text)


def test_a_tag_may_not_begin_as_awss_own(local: Driver) -> None:
    request = {"jobName": "job", "jobQueue": local.queue, "jobDefinition": local.define(["true"])}
    code, _ = refusal(local.batch.submit_job, **request, tags={"aws:mine": "1"})
    assert code == "ClientException"


@pytest.fixture
def fair_queue(local: Driver) -> str:
    policy = local.batch.create_scheduling_policy(name=f"fair-{uuid4().hex[:8]}", fairsharePolicy={})
    return local.new_queue(schedulingPolicyArn=policy["arn"])


def test_a_share_of_a_fair_queue_is_told_and_must_be_given(local: Driver, fair_queue: str) -> None:
    share = {"shareIdentifier": "team", "schedulingPriorityOverride": 3}
    job = local.run(["true"], jobQueue=fair_queue, **share)
    assert (job["status"], job["shareIdentifier"], job["schedulingPriority"]) == ("SUCCEEDED", "team", 3)
    request = {"jobName": "job", "jobQueue": fair_queue, "jobDefinition": local.define(["true"])}
    for wrong in ({}, {"shareIdentifier": "a b"}, {**share, "schedulingPriorityOverride": 10_000}):
        assert refusal(local.batch.submit_job, **request, **wrong)[0] == "ClientException"


def printed(local: Driver, value_from: str) -> dict[str, Any]:
    container = {**EXECUTION_ROLE, "secrets": [{"name": "TOKEN", "valueFrom": value_from}]}
    return local.wait(local.submit(jobDefinition=local.define(PRINT, container=container)))


def test_a_secret_is_read_at_the_start_and_never_told(local: Driver) -> None:
    secrets = client(local.aws, "secretsmanager")
    arn = secrets.create_secret(Name=f"s-{uuid4().hex[:8]}", SecretString='{"a": "first"}')["ARN"]
    job = printed(local, f"{arn}:a::")
    assert (job["status"], local.output(job)) == ("SUCCEEDED", ["first"])
    assert (job["container"]["secrets"], "first" in str(job)) == (
        [{"name": "TOKEN", "valueFrom": f"{arn}:a::"}],
        False,
    )
    secrets.update_secret(SecretId=arn, SecretString="second")
    assert local.output(printed(local, arn)) == ["second"]
    assert local.output(printed(local, f"{arn}:a:AWSPREVIOUS:")) == ["first"]


def test_a_parameter_is_read_by_name_and_by_arn(local: Driver) -> None:
    name = f"/lab/{uuid4().hex[:8]}"
    client(local.aws, "ssm").put_parameter(Name=name, Value="kept", Type="SecureString")
    for value_from in (name, f"arn:aws:ssm:us-east-1:123456789012:parameter{name}"):
        assert local.output(printed(local, value_from)) == ["kept"]


@pytest.mark.parametrize(
    ("value_from", "reason"),
    [
        (
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:no-such",
            "unable to retrieve secret from asm",
        ),
        ("arn:aws:ssm:us-east-1:123456789012:parameter/no-such", "unable to retrieve secret from ssm"),
    ],
)
def test_a_secret_that_is_missing_fails_the_start(local: Driver, value_from: str, reason: str) -> None:
    job = printed(local, value_from)
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert job["container"]["reason"].startswith(UNABLE)
    assert reason in job["container"]["reason"]
    assert "exitCode" not in job["container"]


def test_a_process_has_only_directories_at_their_own_paths(local: Driver) -> None:
    def run(source: str) -> dict[str, Any]:
        container = {
            "volumes": [{"name": "v", "host": {"sourcePath": source}}],
            "mountPoints": [{"sourceVolume": "v", "containerPath": "/tmp"}],
        }
        return local.wait(local.submit(jobDefinition=local.define(["true"], container=container)))

    assert run("/tmp")["status"] == "SUCCEEDED"
    assert run("/var")["container"]["reason"].startswith(
        "CannotCreateVolumeError: the local AWS runs jobs as processes, which cannot have v at /tmp; start it"
    )


def test_a_definition_of_fargate_is_described_as_it_was_registered(local: Driver) -> None:
    own = {
        "networkConfiguration": {"assignPublicIp": "ENABLED"},
        "ephemeralStorage": {"sizeInGiB": 21},
        "fargatePlatformConfiguration": {"platformVersion": "LATEST"},
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"},
        **of_efs(),
    }
    more = {**FARGATE, "container": {**FARGATE["container"], **own}}
    arn = local.define(["true"], vcpus="16", memory="32768", **more)
    (described,) = local.batch.describe_job_definitions(jobDefinitions=[arn])["jobDefinitions"]
    assert own.items() <= described["containerProperties"].items()
