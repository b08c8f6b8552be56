"""The way from the jobs' subnets to S3, ECR and Logs: through a gateway, or by the VPC's endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..refusals import error_message
from ..waiting import Environment
from .commands import configure
from .finding import Finding, failed, ok, skipped, warning
from .queues import all_environments
from .subject import Subject

ANYWHERE = ("0.0.0.0/0", "::/0")
HTTPS_PORT = 443

FOR_EVERY_JOB = ("s3", "ecr.api", "ecr.dkr", "logs")
FOR_ECS_AGENT = ("ecs", "ecs-agent", "ecs-telemetry")
"""Instances need these too; Fargate has them by itself."""

WHY = "instances do not join the cluster, images are not pulled, or logs and results do not leave"


@dataclass(frozen=True)
class Network:
    """A VPC's subnets, route tables, endpoints and security groups, as EC2 describes those of a job."""

    subnets: Sequence[dict[str, Any]]
    tables: Sequence[dict[str, Any]]
    endpoints: Sequence[dict[str, Any]]
    groups: Sequence[dict[str, Any]]

    def table_of(self, subnet: dict[str, Any]) -> dict[str, Any]:
        """Return the route table of a subnet: its own, or the VPC's main one."""
        of_vpc = [each for each in self.tables if each["VpcId"] == subnet["VpcId"]]
        own = (each for each in of_vpc if any(_is_for(one, subnet) for one in each["Associations"]))
        main = (each for each in of_vpc if any(one.get("Main") for one in each["Associations"]))
        return next(own, None) or next(main, {"RouteTableId": "", "Routes": []})

    def services_of(self, subnet: dict[str, Any]) -> set[str]:
        """Return the services that endpoints bring into a subnet, such as "ecr.api"."""
        table = self.table_of(subnet)["RouteTableId"]
        return {
            _service(each)
            for each in self.endpoints
            if each["VpcId"] == subnet["VpcId"]
            and each.get("State", "available").lower() == "available"
            and (_is_interface(each) or table in each.get("RouteTableIds", ()))
        }


def _is_for(association: dict[str, Any], subnet: dict[str, Any]) -> bool:
    return bool(association.get("SubnetId") == subnet["SubnetId"])


def _is_interface(endpoint: dict[str, Any]) -> bool:
    """Tell whether an endpoint has the service's own name in all of the VPC."""
    return endpoint.get("VpcEndpointType") == "Interface" and bool(endpoint.get("PrivateDnsEnabled", True))


def _service(endpoint: dict[str, Any]) -> str:
    """Return the service of a name such as com.amazonaws.eu-west-1.ecr.api."""
    name: str = endpoint["ServiceName"]
    return ".".join(name.split(".")[3:])


async def look_at_network(subject: Subject) -> AsyncIterator[Finding]:
    """See for each compute environment whether all its subnets have a way to what jobs need."""
    for environment in await all_environments(subject):
        yield await _look(subject, environment)


async def _look(subject: Subject, environment: Environment) -> Finding:
    from botocore.exceptions import ClientError

    check = "network"
    if not environment.subnets:
        return skipped(check, f"AWS Batch tells of no subnets of {environment.name}")
    try:
        network = await _network(subject, environment)
    except ClientError as error:
        seen = error_message(error).rstrip(".")
        mend = subject.commands.aws("ec2", "describe-subnets")
        return failed(check, seen, "instances can be started in no subnet that is gone", mend)
    problems = [
        each for subnet in network.subnets if (each := _problem(subject, environment, network, subnet))
    ]
    if problems:
        return failed(check, *problems[0])
    return _closed(subject, check, network) or ok(check, _told(environment))


async def _network(subject: Subject, environment: Environment) -> Network:
    subnets = await subject.ask("ec2", "describe_subnets", SubnetIds=list(environment.subnets))
    vpcs = sorted({each["VpcId"] for each in subnets["Subnets"]})
    of_vpcs = {"Filters": [{"Name": "vpc-id", "Values": vpcs}]}
    tables = await subject.ask("ec2", "describe_route_tables", **of_vpcs)
    endpoints = await subject.ask("ec2", "describe_vpc_endpoints", **of_vpcs)
    groups: dict[str, Any] = {"SecurityGroups": []}
    if environment.security_groups:
        wanted = list(environment.security_groups)
        groups = await subject.ask("ec2", "describe_security_groups", GroupIds=wanted)
    return Network(
        subnets["Subnets"], tables["RouteTables"], endpoints["VpcEndpoints"], groups["SecurityGroups"]
    )


def _problem(
    subject: Subject, environment: Environment, network: Network, subnet: dict[str, Any]
) -> tuple[str, str, str] | None:
    """Return what a subnet lacks, why that matters, and the command that mends it."""
    table = network.table_of(subnet)
    needed = FOR_EVERY_JOB if environment.is_fargate else (*FOR_EVERY_JOB, *FOR_ECS_AGENT)
    missing = [each for each in needed if each not in network.services_of(subnet)]
    if not missing:
        return None
    way_out = next((each for each in table["Routes"] if _leads_out(each)), None)
    name, ec2 = subnet["SubnetId"], subject.commands.aws
    if way_out is None:
        seen = f"{name} has no route out (0.0.0.0/0), and its VPC no endpoints for {', '.join(missing)}"
        return seen, WHY, _add_endpoint(subject, missing[0], subnet, table)
    if way_out.get("State") == "blackhole":
        seen = f"the route out of {name} leads nowhere: its gateway is gone"
        options = ("--route-table-id", table["RouteTableId"], "--destination-cidr-block", ANYWHERE[0])
        return seen, WHY, ec2("ec2", "delete-route", *options)
    if not way_out.get("GatewayId", "").startswith("igw-") or _has_public_address(
        subject, environment, subnet
    ):
        return None
    seen = f"{name} is public (its route out is an internet gateway), but jobs there get no public address"
    if environment.is_fargate:
        return seen, WHY, configure("assign_public_ip", True)
    mend = ec2("ec2", "modify-subnet-attribute", "--subnet-id", name, "--map-public-ip-on-launch")
    return seen, WHY, mend


def _leads_out(route: dict[str, Any]) -> bool:
    return route.get("DestinationCidrBlock") in ANYWHERE or route.get("DestinationIpv6CidrBlock") in ANYWHERE


def _has_public_address(subject: Subject, environment: Environment, subnet: dict[str, Any]) -> bool:
    if environment.is_fargate:
        return subject.settings.assign_public_ip
    return bool(subnet.get("MapPublicIpOnLaunch"))


def _add_endpoint(subject: Subject, service: str, subnet: dict[str, Any], table: dict[str, Any]) -> str:
    name = f"com.amazonaws.{subject.session.region}.{service}"
    options = ("--vpc-id", subnet["VpcId"], "--service-name", name)
    if service == "s3":
        place = ("--vpc-endpoint-type", "Gateway", "--route-table-ids", table["RouteTableId"])
    else:
        place = ("--vpc-endpoint-type", "Interface", "--subnet-ids", subnet["SubnetId"])
    return subject.commands.aws("ec2", "create-vpc-endpoint", *options, *place)


def _closed(subject: Subject, check: str, network: Network) -> Finding | None:
    """Return that the security groups let nothing out; None where they do."""
    if not network.groups:
        return None
    out = [rule for each in network.groups for rule in each["IpPermissionsEgress"] if _is_https(rule)]
    name = network.groups[0]["GroupId"]
    options = ("--group-id", name, "--protocol", "tcp", "--port", str(HTTPS_PORT), "--cidr", ANYWHERE[0])
    mend = subject.commands.aws("ec2", "authorize-security-group-egress", *options)
    if not out:
        return failed(check, f"no security group lets HTTPS (443) out, {name} among them", WHY, mend)
    if not any(_is_anywhere(rule) for rule in out):
        seen = f"the security groups let HTTPS (443) out to some addresses only, {name} among them"
        return warning(check, seen, "S3, ECR and Logs must be among these", mend)
    return None


def _is_https(rule: dict[str, Any]) -> bool:
    if rule["IpProtocol"] == "-1":
        return True
    return rule["IpProtocol"] == "tcp" and HTTPS_PORT in range(rule["FromPort"], rule["ToPort"] + 1)


def _is_anywhere(rule: dict[str, Any]) -> bool:
    ranges = [each["CidrIp"] for each in rule.get("IpRanges", ())]
    return bool({*ranges, *(each["CidrIpv6"] for each in rule.get("Ipv6Ranges", ()))} & set(ANYWHERE))


def _told(environment: Environment) -> str:
    count = len(environment.subnets)
    of = "the subnet has" if count == 1 else f"the {count} subnets have"
    return f"{of} a way to S3, ECR and Logs ({environment.name})"
