"""The template deployed on a local AWS: what it makes of its parameters, and what it tells of that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from covalent_awsbatch_plugin.client import AWSBatch
from covalent_awsbatch_plugin.doctor.examination import examination
from covalent_awsbatch_plugin.doctor.finding import State
from covalent_awsbatch_plugin.doctor.subject import Subject
from covalent_awsbatch_plugin.infra import template
from covalent_awsbatch_plugin.infra.parameters import InfraParameters, template_values
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.settings import resolve

STACK = "covalent-awsbatch"
QUEUES = ("on_demand", "spot", "fargate", "fargate_spot", "arm64", "gpu")

Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAWS]:
    """Return an account in which nothing was made yet."""
    with LocalAWS(empty=True) as running:
        yield running


@pytest.fixture(scope="module")
def client(aws: LocalAWS) -> Client:
    """Return the clients of that account."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    return lambda service: boto3.client(
        service, region_name=aws.region, endpoint_url=aws.endpoint_url, **keys
    )


def request(**parameters: Any) -> dict[str, Any]:
    values = template_values(InfraParameters(**parameters))
    return {
        "StackName": STACK,
        "TemplateBody": template.text(),
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
    }


def outputs(client: Client) -> dict[str, str]:
    (stack,) = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def wait(client: Client, until: str) -> None:
    waiter = client("cloudformation").get_waiter(f"stack_{until}_complete")
    waiter.wait(StackName=STACK, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600})


@contextmanager
def deployed(client: Client, **parameters: Any) -> Iterator[dict[str, str]]:
    """Have a stack with these parameters, whose outputs are given."""
    client("cloudformation").create_stack(**request(**parameters))
    wait(client, "create")
    try:
        yield outputs(client)
    finally:
        client("cloudformation").delete_stack(StackName=STACK)
        wait(client, "delete")


def only(*queues: str) -> dict[str, bool]:
    return {each: each in queues for each in QUEUES}


# --- what the executor is told ------------------------------------------------------------------------------

ALONE = {
    "on_demand": {"platform": "EC2", "cpu_architecture": "X86_64", "assign_public_ip": False},
    "spot": {"platform": "EC2", "cpu_architecture": "X86_64", "assign_public_ip": False},
    "fargate": {"platform": "FARGATE", "cpu_architecture": "X86_64", "assign_public_ip": True},
    "fargate_spot": {"platform": "FARGATE", "cpu_architecture": "X86_64", "assign_public_ip": True},
    "arm64": {"platform": "EC2", "cpu_architecture": "ARM64", "assign_public_ip": False},
    "gpu": {"platform": "EC2", "cpu_architecture": "X86_64", "assign_public_ip": False},
}


@pytest.mark.parametrize("queue", QUEUES)
def test_the_options_fit_the_first_queue_that_there_is(client: Client, queue: str):
    with deployed(client, **only(queue, *QUEUES[QUEUES.index(queue) + 1 :][:1])) as told:
        settings = resolve(template.settings_in(told), {}).settings
    assert settings.batch_queue == f"{STACK}-{queue.replace('_', '-')}"
    assert settings.on_demand_queue == (settings.batch_queue if queue == "on_demand" else "")
    assert {name: getattr(settings, name) for name in ALONE[queue]} == ALONE[queue]


@pytest.mark.parametrize("parameters", [only("on_demand") | {"fair_share": True}, only("fargate")])
def test_the_options_run_a_job_without_any_other(aws: LocalAWS, client: Client, parameters: dict[str, bool]):
    with deployed(client, **parameters) as told:
        options = {**aws.settings, **template.settings_in(told), "keep_artifacts": "none"}
        with AWSBatch(**options) as batch:  # which leaves the bucket empty
            assert batch.submit(pow, 2, 3).result(60) == 8


def test_what_is_told_is_there(client: Client):
    with deployed(client, state_change_events=True) as told:
        client("s3").head_bucket(Bucket=told["S3BucketName"])
        client("ecr").describe_repositories(repositoryNames=[told["EcrRepoName"]])
        for option in ("BatchJobRoleName", "BatchExecutionRoleName"):
            client("iam").get_role(RoleName=told[option])
        for option in ("SubmitterPolicyArn", "DoctorPolicyArn"):
            client("iam").get_policy(PolicyArn=told[option])
        client("sqs").get_queue_attributes(QueueUrl=told["EventQueueUrl"])
        groups = client("logs").describe_log_groups(logGroupNamePrefix=told["BatchJobLogGroupName"])
        assert [each["retentionInDays"] for each in groups["logGroups"]] == [30]
        found = client("batch").describe_job_queues(jobQueues=[told["BatchQueue"]])["jobQueues"]
        assert [(each["state"], each["status"]) for each in found] == [("ENABLED", "VALID")]


def test_all_that_can_be_had_is_had_together(client: Client):
    every = dict.fromkeys(QUEUES, True)
    with deployed(client, **every, fair_share=True, interface_endpoints=True, desired_vcpus=4) as told:
        queues = client("batch").describe_job_queues()["jobQueues"]
        # Other local AWS of this process have theirs in the same EC2.
        wanted = {"StackName": STACK, "LogicalResourceId": "Vpc"}
        (vpc,) = client("cloudformation").describe_stack_resources(**wanted)["StackResources"]
        of_vpc = {"Name": "vpc-id", "Values": [vpc["PhysicalResourceId"]]}
        endpoints = client("ec2").describe_vpc_endpoints(Filters=[of_vpc])["VpcEndpoints"]
        assert len({each["schedulingPolicyArn"] for each in queues}) == 1
    assert {each["jobQueueName"] for each in queues} >= {told["BatchQueue"], told["GpuQueue"]}
    kinds = sorted(each["ServiceName"].partition("us-east-1.")[2] for each in endpoints)
    assert kinds == ["ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs", "s3"]


# --- somebody else's network --------------------------------------------------------------------------------


def test_in_a_vpc_of_ones_own_nothing_of_a_network_is_made_but_a_closed_door(client: Client):
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{part}.0/24")["Subnet"]["SubnetId"] for part in (1, 2)
    ]
    vpcs = len(ec2.describe_vpcs()["Vpcs"])
    with deployed(client, vpc_id=vpc, subnet_ids=",".join(subnets)):
        environments = client("batch").describe_compute_environments()["computeEnvironments"]
        assert len(ec2.describe_vpcs()["Vpcs"]) == vpcs
        assert {tuple(each["computeResources"]["subnets"]) for each in environments} == {tuple(subnets)}
        doors = {door for each in environments for door in each["computeResources"]["securityGroupIds"]}
        (door,) = ec2.describe_security_groups(GroupIds=list(doors))["SecurityGroups"]
        assert (door["VpcId"], door["IpPermissions"]) == (vpc, [])


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (only(), "At least one of"),
        ({"vpc_id": "vpc-0a"}, "VpcId and SubnetIds go together"),
        ({"subnet_ids": "subnet-0a"}, "VpcId and SubnetIds go together"),
        ({"security_group_ids": "sg-0a"}, "SecurityGroupIds with them only"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_made(
    client: Client, parameters: dict[str, Any], said: str
):
    with pytest.raises(ClientError, match=said):
        client("cloudformation").create_stack(**request(**parameters))


# --- changes ------------------------------------------------------------------------------------------------


def test_a_fair_share_comes_and_goes_with_queues_of_another_name(client: Client):
    """AWS Batch gives a queue that is there no scheduling policy, and takes none away."""
    with deployed(client) as before:
        for fair_share, suffix in ((True, "-fair"), (False, "")):
            client("cloudformation").update_stack(**request(fair_share=fair_share))
            wait(client, "update")
            assert outputs(client)["BatchQueue"] == before["BatchQueue"] + suffix
            names = [each["jobQueueName"] for each in client("batch").describe_job_queues()["jobQueues"]]
            assert sorted(names) == sorted(
                f"{STACK}-{each}{suffix}" for each in ("on-demand", "spot", "fargate")
            )


# --- who may what -------------------------------------------------------------------------------------------


def as_user_with(client: Client, policies: list[str], tmp_path: Path) -> str:
    """Make a user who has these policies and nothing else; return the credentials file."""
    iam = client("iam")
    iam.create_user(UserName="submitter")
    for policy in policies:
        iam.attach_user_policy(UserName="submitter", PolicyArn=policy)
    key = iam.create_access_key(UserName="submitter")["AccessKey"]
    credentials = tmp_path / "credentials"
    secret = f"aws_secret_access_key = {key['SecretAccessKey']}"
    credentials.write_text(f"[default]\naws_access_key_id = {key['AccessKeyId']}\n{secret}\n")
    return str(credentials)


@pytest.mark.usefixtures("no_covalent_server")
async def test_the_doctor_finds_all_rights_of_a_user_who_has_the_two_policies_alone(client, tmp_path):
    """IAM's own evaluation of what is asked for, on the very resources: roles, queues, bucket, repository."""
    with deployed(client) as told:
        policies = [told["SubmitterPolicyArn"], told["DoctorPolicyArn"]]
        given = {
            **template.settings_in(told),
            "credentials": as_user_with(client, policies, tmp_path),
            "endpoint_url": client("sts").meta.endpoint_url,
        }
        found = [each async for each in examination(Subject(given))]
    # Whether there is a Docker engine is this machine's, not the set-up's.
    assert [each for each in found if each.check != "docker" and each.state is not State.OK] == []
    assert {"bucket", "objects", "job role", "execution role", "rights", "instance profile", "network"} <= {
        each.check for each in found
    }
