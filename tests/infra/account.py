"""An AWS account with nothing in it, seen whole; and the command that fills and empties it."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import boto3
import toml
from click.testing import CliRunner, Result

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.local.aws import LocalAWS
from tests.e2e.command_line import Program

LISTINGS: dict[str, dict[str, tuple[dict[str, Any], str, str]]] = {
    "batch": {
        "describe_job_queues": ({}, "jobQueues", "jobQueueArn"),
        "describe_compute_environments": ({}, "computeEnvironments", "computeEnvironmentArn"),
        "list_scheduling_policies": ({}, "schedulingPolicies", "arn"),
        "describe_job_definitions": ({"status": "ACTIVE"}, "jobDefinitions", "jobDefinitionArn"),
    },
    "cloudformation": {"describe_stacks": ({}, "Stacks", "StackId")},
    "ec2": {
        "describe_vpcs": ({}, "Vpcs", "VpcId"),
        "describe_subnets": ({}, "Subnets", "SubnetId"),
        "describe_security_groups": ({}, "SecurityGroups", "GroupId"),
        "describe_route_tables": ({}, "RouteTables", "RouteTableId"),
        "describe_internet_gateways": ({}, "InternetGateways", "InternetGatewayId"),
        "describe_vpc_endpoints": ({}, "VpcEndpoints", "VpcEndpointId"),
        "describe_launch_templates": ({}, "LaunchTemplates", "LaunchTemplateId"),
    },
    "ecr": {"describe_repositories": ({}, "repositories", "repositoryName")},
    "events": {"list_rules": ({}, "Rules", "Name")},
    "iam": {
        "list_roles": ({}, "Roles", "RoleName"),
        "list_policies": ({"Scope": "Local"}, "Policies", "PolicyName"),
        "list_instance_profiles": ({}, "InstanceProfiles", "InstanceProfileName"),
    },
    "logs": {"describe_log_groups": ({}, "logGroups", "logGroupName")},
    "s3": {"list_buckets": ({}, "Buckets", "Name")},
}
"""How each service is asked for all that it has: operation, request, the list, and what names one."""

DELETED = "deleted"
"""The state of a VPC endpoint that is remembered for a while."""


class Account:
    """An account whose AWS is a local one."""

    def __init__(self, aws: LocalAWS) -> None:
        self.aws = aws
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.aws.endpoint_url,
                region_name=self.aws.region,
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
        return self._clients[service]

    def everything(self) -> set[tuple[str, str]]:
        """Return all that every service has: what lists it, and its name."""
        found = {("list_queues", url) for url in self.client("sqs").list_queues().get("QueueUrls", [])}
        for service, listings in LISTINGS.items():
            for operation, (request, key, name) in listings.items():
                pages = self.client(service).get_paginator(operation).paginate(**request)
                listed = [each for page in pages for each in page[key] if each.get("State") != DELETED]
                found |= {(operation, each[name]) for each in listed}
        return found

    def stack(self, name: str) -> Any:
        return self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]

    def parameters(self, name: str) -> dict[str, str]:
        return {each["ParameterKey"]: each["ParameterValue"] for each in self.stack(name)["Parameters"]}

    def outputs(self, name: str) -> dict[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in self.stack(name)["Outputs"]}


class Infra(Program):
    """`covalent-awsbatch infra` with a configuration that stays from one run to the next."""

    def __init__(self, account: Account, directory: Path) -> None:
        names = ("endpoint_url", "region", "credentials", "container_image_uri")
        settings = {name: account.aws.settings[name] for name in names}
        super().__init__(["infra"], settings, directory)
        self.account = account
        self.directory = directory
        self.configuration = directory / "covalent.conf"
        self.configuration.write_text(f"# mine\n{toml.dumps({'executors': {'awsbatch': settings}})}")

    def configure(self) -> None:
        """Leave the configuration as it is."""

    @property
    def small(self) -> list[str]:
        """Return the options of a stack of few resources: one queue, in the VPC that is there."""
        ec2 = self.account.client("ec2")
        (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
        of_vpc = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
        groups = ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
        network = {
            "--vpc-id": vpc["VpcId"],
            "--subnet-ids": ec2.describe_subnets(Filters=of_vpc)["Subnets"][0]["SubnetId"],
            "--security-group-ids": groups[0]["GroupId"],
        }
        return ["--no-spot", "--no-fargate", *(text for each in network.items() for text in each)]

    def section(self) -> dict[str, Any]:
        content = toml.loads(self.configuration.read_text())
        return dict(content.get("executors", {}).get("awsbatch", {}))

    def __call__(self, name: str, *options: str) -> Result:
        """Run a subcommand in this process, where nobody can be asked."""
        environment = {"COVALENT_CONFIG_DIR": str(self.directory)}
        return CliRunner().invoke(main, ["infra", name, *options], env=environment)

    def done(self, name: str, *options: str) -> Result:
        """Run a subcommand and see that it succeeds."""
        result = self(name, *options)
        assert result.exit_code == 0, result.output
        return result

    def answered(self, says: str, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run a subcommand on a terminal at which somebody types."""
        ours, terminal = pty.openpty()
        try:
            program = self.start(name, *options, stdin=terminal)
            os.write(ours, says.encode())
            stdout, stderr = program.communicate(timeout=120)
        finally:
            os.close(ours)
            os.close(terminal)
        return subprocess.CompletedProcess(program.args, program.returncode, stdout, stderr)
