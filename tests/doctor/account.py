"""An account in which all is well, made through AWS's own interfaces; each has names of its own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3

from covalent_awsbatch_plugin.local.aws import LocalAWS
from tests.local.driving import until

REGION = "us-east-1"
OWNER = "123456789012"

PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
PUSH = [
    *("ecr:CompleteLayerUpload", "ecr:DescribeImages", "ecr:DescribeRepositories"),
    *("ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"),
]


def allow(actions: list[str], resource: str = "*") -> str:
    """Return a policy."""
    return _document({"Action": actions, "Resource": resource})


def trust(service: str) -> str:
    """Return the policy that lets a service have a role."""
    return _document({"Principal": {"Service": service}, "Action": "sts:AssumeRole"})


def _document(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


@cache
def _client(endpoint_url: str, service: str, region: str) -> Any:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client(service, endpoint_url=endpoint_url, region_name=region, **keys)


class Account:
    """A bucket, a queue with one environment, roles, a network, a log group, and a user who submits."""

    def __init__(self, aws: LocalAWS, directory: Path) -> None:
        self.aws, self.directory = aws, directory
        self.name = f"doctor-{uuid4().hex[:8]}"
        self._make_bucket()
        self._make_roles()
        self._make_network()
        self._make_queue()
        self._make_user()
        self.client("logs").create_log_group(logGroupName=self.name)
        self.client("logs").put_retention_policy(logGroupName=self.name, retentionInDays=30)
        self.ecr.create_repository(repositoryName=self.name, imageScanningConfiguration={"scanOnPush": True})

    def client(self, service: str, region: str = REGION) -> Any:
        """Return a client with which everything may be done."""
        return _client(self.aws.endpoint_url, service, region)

    @property
    def batch(self) -> Any:
        return self.client("batch")

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def ecr(self) -> Any:
        return self.client("ecr")

    @property
    def iam(self) -> Any:
        return self.client("iam")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def settings(self) -> dict[str, Any]:
        """What `[executors.awsbatch]` would hold."""
        return {
            "endpoint_url": self.aws.endpoint_url,
            "region": REGION,
            "credentials": str(self.credentials),
            "profile": "default",
            "s3_bucket_name": self.name,
            "ecr_repo_name": self.name,
            "batch_queue": self.name,
            "batch_job_definition_name": self.name,
            "batch_job_role_name": f"{self.name}-job",
            "batch_execution_role_name": f"{self.name}-execution",
            "batch_job_log_group_name": self.name,
            "container_image_uri": "local/python:3",
            "vcpu": 1,
            "memory": 1,
        }

    @property
    def credentials(self) -> Path:
        """The file of the user's credentials."""
        return self.directory / "credentials"

    def _make_bucket(self) -> None:
        bucket = self.name
        self.s3.create_bucket(Bucket=bucket)
        by_s3 = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        self.s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [by_s3]})
        blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        self.s3.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(blocked, True)
        )
        rule = {
            "ID": "work",
            "Status": "Enabled",
            "Filter": {"Prefix": "covalent-awsbatch/"},
            "Expiration": {"Days": 30},
        }
        self.s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})

    def _make_roles(self) -> None:
        objects = f"arn:aws:s3:::{self.name}/covalent-awsbatch/*"
        self._make_role("job", "ecs-tasks.amazonaws.com", allow(["s3:GetObject", "s3:PutObject"], objects))
        start = ["ecr:GetAuthorizationToken", *PULL, "logs:CreateLogStream", "logs:PutLogEvents"]
        self._make_role("execution", "ecs-tasks.amazonaws.com", allow(start))
        self._make_role("instance", "ec2.amazonaws.com", allow(["ecs:*"]))
        self.iam.create_instance_profile(InstanceProfileName=f"{self.name}-instance")
        self.iam.add_role_to_instance_profile(
            InstanceProfileName=f"{self.name}-instance", RoleName=f"{self.name}-instance"
        )

    def _make_role(self, what: str, service: str, policy: str) -> None:
        name = f"{self.name}-{what}"
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(service))
        self.iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy)

    def _make_network(self) -> None:
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        self.ec2.modify_subnet_attribute(SubnetId=self.subnet, MapPublicIpOnLaunch={"Value": True})
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        self.table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.create_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        self.ec2.associate_route_table(RouteTableId=self.table, SubnetId=self.subnet)
        self.group = self.ec2.create_security_group(GroupName=self.name, Description="jobs", VpcId=self.vpc)[
            "GroupId"
        ]

    def _make_queue(self) -> None:
        self.make_environment(self.name)
        self.make_queue(self.name, self.name)

    def make_environment(self, name: str, **changes: Any) -> None:
        """Make a compute environment and wait until it is VALID."""
        resources = {
            "type": "EC2",
            "minvCpus": 0,
            "maxvCpus": 16,
            "instanceTypes": ["m5.large", "m5.xlarge"],
            "instanceRole": f"{self.name}-instance",
            "subnets": [self.subnet],
            "securityGroupIds": [self.group],
            **changes,
        }
        wanted = {key: value for key, value in resources.items() if value is not None}
        self.batch.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            computeResources=wanted,
            tags={"local:memory-mib": "4096"},
        )
        self._wait_for_environment(name)

    def change_environment(self, **changes: Any) -> None:
        """Change the compute environment and wait until it is VALID again."""
        self.batch.update_compute_environment(computeEnvironment=self.name, **changes)
        self._wait_for_environment(self.name)

    def _wait_for_environment(self, name: str) -> None:
        def is_valid() -> bool:
            found = self.batch.describe_compute_environments(computeEnvironments=[name])
            return bool(found["computeEnvironments"][0]["status"] == "VALID")

        until(is_valid)

    def make_queue(self, name: str, environment: str) -> None:
        """Make a queue and wait until it is VALID."""
        order = [{"order": 1, "computeEnvironment": environment}]
        self.batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=order)
        self.wait_for_queue(name)

    def disable_queue(self) -> None:
        """Disable the queue."""
        self.batch.update_job_queue(jobQueue=self.name, state="DISABLED")
        self.wait_for_queue(self.name)

    def wait_for_queue(self, name: str) -> None:
        """Wait until a queue is VALID."""

        def is_valid() -> bool:
            return bool(self.batch.describe_job_queues(jobQueues=[name])["jobQueues"][0]["status"] == "VALID")

        until(is_valid)

    def replace_environment(self, **changes: Any) -> None:
        """Put another compute environment behind the queue."""
        name = f"{self.name}-other"
        self.make_environment(name, **changes)
        order = [{"order": 1, "computeEnvironment": name}]
        self.batch.update_job_queue(jobQueue=self.name, computeEnvironmentOrder=order)
        self.wait_for_queue(self.name)

    def _make_user(self) -> None:
        self.iam.create_user(UserName=self.name)
        self.give_user(
            *("batch:*", "logs:GetLogEvents", "iam:PassRole", "ecr:GetAuthorizationToken", *PULL, *PUSH)
        )
        key = self.iam.create_access_key(UserName=self.name)["AccessKey"]
        self.write_credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def give_user(self, *actions: str) -> None:
        """Give the user rights to these and no others."""
        self.iam.put_user_policy(UserName=self.name, PolicyName="all", PolicyDocument=allow(list(actions)))

    def write_credentials(self, key_id: str, secret: str) -> None:
        """Write the file of credentials."""
        self.credentials.write_text(
            f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"
        )
