"""Networks and launch templates."""

from __future__ import annotations

from typing import Any

from ...jobs import Json
from ..intrinsics import Made
from .base import Place, ResourceType, document, picked, tag_list

EVERYWHERE = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
"""What EC2 lets out of a new security group."""

RANGE_MEMBERS = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "DestinationPrefixListId": ("PrefixListIds", "PrefixListId"),
}
"""What a rule of a security group is for, and where EC2 has it."""


def tagged(place: Place, kind: str, wanted: Json) -> Json:
    """Return the part of a request that tags what it makes."""
    tags = place.tags(wanted)
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tag_list(tags)}]} if tags else {}


async def retag(place: Place, made: Made, had: Json, wanted: Json) -> None:
    """Give a resource the tags that are wanted, and take those that it had and are not."""
    old, new = place.tags(had), place.tags(wanted)
    if new:
        await place.call("ec2", "create_tags", Resources=[made.physical_id], Tags=tag_list(new))
    if gone := [{"Key": key} for key in old if key not in new]:
        await place.call("ec2", "delete_tags", Resources=[made.physical_id], Tags=gone)


class Vpc(ResourceType):
    """AWS::EC2::VPC."""

    type = "AWS::EC2::VPC"
    required = replaced_by = frozenset({"CidrBlock"})
    properties = frozenset({"CidrBlock", "EnableDnsHostnames", "EnableDnsSupport", "Tags"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a VPC."""
        created = await place.call(
            "ec2", "create_vpc", CidrBlock=wanted["CidrBlock"], **tagged(place, "vpc", wanted)
        )
        vpc = created["Vpc"]["VpcId"]
        place.exists(Made(vpc))
        await self._configure(place, vpc, wanted)
        return Made(vpc, {"VpcId": vpc, "CidrBlock": wanted["CidrBlock"]})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change DNS and tags."""
        await self._configure(place, made.physical_id, wanted)
        await retag(place, made, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the VPC, in which nothing may be left."""
        await place.call_unless_gone("ec2", "delete_vpc", VpcId=made.physical_id)

    async def _configure(self, place: Place, vpc: str, wanted: Json) -> None:
        for member in ("EnableDnsSupport", "EnableDnsHostnames"):
            if member in wanted:
                value: Any = {member: {"Value": wanted[member]}}
                await place.call("ec2", "modify_vpc_attribute", VpcId=vpc, **value)


class InternetGateway(ResourceType):
    """AWS::EC2::InternetGateway."""

    type = "AWS::EC2::InternetGateway"
    properties = frozenset({"Tags"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a gateway."""
        tags = tagged(place, "internet-gateway", wanted)
        created = await place.call("ec2", "create_internet_gateway", **tags)
        gateway = created["InternetGateway"]["InternetGatewayId"]
        return Made(gateway, {"InternetGatewayId": gateway})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change tags."""
        await retag(place, made, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the gateway."""
        await place.call_unless_gone("ec2", "delete_internet_gateway", InternetGatewayId=made.physical_id)


class GatewayAttachment(ResourceType):
    """AWS::EC2::VPCGatewayAttachment of an internet gateway."""

    type = "AWS::EC2::VPCGatewayAttachment"
    properties = required = replaced_by = frozenset({"InternetGatewayId", "VpcId"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Attach a gateway."""
        await place.call("ec2", "attach_internet_gateway", **wanted)
        return Made(f"IGW|{wanted['VpcId']}")

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Detach the gateway."""
        await place.call_unless_gone("ec2", "detach_internet_gateway", **had)


class Subnet(ResourceType):
    """AWS::EC2::Subnet."""

    type = "AWS::EC2::Subnet"
    required = frozenset({"CidrBlock", "VpcId"})
    replaced_by = frozenset({"AvailabilityZone", "CidrBlock", "VpcId"})
    properties = frozenset({"AvailabilityZone", "CidrBlock", "MapPublicIpOnLaunch", "Tags", "VpcId"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a subnet."""
        request = picked(wanted, "AvailabilityZone", "CidrBlock", "VpcId")
        created = await place.call("ec2", "create_subnet", **request, **tagged(place, "subnet", wanted))
        subnet = created["Subnet"]
        place.exists(Made(subnet["SubnetId"]))
        await self._configure(place, subnet["SubnetId"], wanted)
        attributes = picked(subnet, "AvailabilityZone", "SubnetId", "VpcId", "CidrBlock")
        return Made(subnet["SubnetId"], attributes)

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change public addresses and tags."""
        await self._configure(place, made.physical_id, wanted)
        await retag(place, made, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the subnet."""
        await place.call_unless_gone("ec2", "delete_subnet", SubnetId=made.physical_id)

    async def _configure(self, place: Place, subnet: str, wanted: Json) -> None:
        public: Any = {"MapPublicIpOnLaunch": {"Value": wanted.get("MapPublicIpOnLaunch", False)}}
        await place.call("ec2", "modify_subnet_attribute", SubnetId=subnet, **public)


class RouteTable(ResourceType):
    """AWS::EC2::RouteTable."""

    type = "AWS::EC2::RouteTable"
    required = replaced_by = frozenset({"VpcId"})
    properties = frozenset({"Tags", "VpcId"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a table."""
        created = await place.call(
            "ec2", "create_route_table", VpcId=wanted["VpcId"], **tagged(place, "route-table", wanted)
        )
        table = created["RouteTable"]["RouteTableId"]
        return Made(table, {"RouteTableId": table})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change tags."""
        await retag(place, made, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the table."""
        await place.call_unless_gone("ec2", "delete_route_table", RouteTableId=made.physical_id)


class Route(ResourceType):
    """AWS::EC2::Route."""

    type = "AWS::EC2::Route"
    required = frozenset({"DestinationCidrBlock", "RouteTableId"})
    properties = replaced_by = frozenset(
        {"DestinationCidrBlock", "GatewayId", "NatGatewayId", "RouteTableId"}
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a route."""
        await place.call("ec2", "create_route", **wanted)
        return Made(f"{wanted['RouteTableId']}|{wanted['DestinationCidrBlock']}")

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the route."""
        route = picked(had, "DestinationCidrBlock", "RouteTableId")
        await place.call_unless_gone("ec2", "delete_route", **route)


class RouteTableAssociation(ResourceType):
    """AWS::EC2::SubnetRouteTableAssociation."""

    type = "AWS::EC2::SubnetRouteTableAssociation"
    properties = required = replaced_by = frozenset({"RouteTableId", "SubnetId"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Give a subnet its table."""
        created = await place.call("ec2", "associate_route_table", **wanted)
        return Made(created["AssociationId"], {"Id": created["AssociationId"]})

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Take the table from the subnet."""
        await place.call_unless_gone("ec2", "disassociate_route_table", AssociationId=made.physical_id)


class SecurityGroup(ResourceType):
    """AWS::EC2::SecurityGroup."""

    type = "AWS::EC2::SecurityGroup"
    name = "GroupName"
    required = frozenset({"GroupDescription"})
    replaced_by = frozenset({"GroupDescription", "GroupName", "VpcId"})
    properties = frozenset(
        {"GroupDescription", "GroupName", "SecurityGroupEgress", "SecurityGroupIngress", "Tags", "VpcId"}
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a group with its rules."""
        created = await place.call(
            "ec2",
            "create_security_group",
            GroupName=wanted.get("GroupName") or place.name(255),
            Description=wanted["GroupDescription"],
            **picked(wanted, "VpcId"),
            **tagged(place, "security-group", wanted),
        )
        group = created["GroupId"]
        place.exists(Made(group))
        if _rules(wanted, "SecurityGroupEgress"):
            await place.call("ec2", "revoke_security_group_egress", GroupId=group, IpPermissions=[EVERYWHERE])
        await self._set_rules(place, group, {}, wanted)
        return Made(group, {"GroupId": group, **picked(wanted, "VpcId")})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change rules and tags."""
        await self._set_rules(place, made.physical_id, had, wanted)
        await retag(place, made, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the group."""
        await place.call_unless_gone("ec2", "delete_security_group", GroupId=made.physical_id)

    async def _set_rules(self, place: Place, group: str, had: Json, wanted: Json) -> None:
        for way in ("ingress", "egress"):
            old, new = (_rules(each, f"SecurityGroup{way.capitalize()}") for each in (had, wanted))
            if gone := [rule for rule in old if rule not in new]:
                await place.call("ec2", f"revoke_security_group_{way}", GroupId=group, IpPermissions=gone)
            if added := [rule for rule in new if rule not in old]:
                await place.call("ec2", f"authorize_security_group_{way}", GroupId=group, IpPermissions=added)


def _rules(wanted: Json, member: str) -> list[Json]:
    """Return rules as EC2 takes them."""
    return [_rule(rule) for rule in wanted.get(member, [])]


def _rule(wanted: Json) -> Json:
    rule: Json = picked(wanted, "FromPort", "IpProtocol", "ToPort")
    for member, (ranges, name) in RANGE_MEMBERS.items():
        if member in wanted:
            rule[ranges] = [{name: wanted[member], **picked(wanted, "Description")}]
    return rule


class LaunchTemplate(ResourceType):
    """AWS::EC2::LaunchTemplate; a change is a new version, which does not become the default one."""

    type = "AWS::EC2::LaunchTemplate"
    name = "LaunchTemplateName"
    required = frozenset({"LaunchTemplateData"})
    replaced_by = frozenset({"LaunchTemplateName", "TagSpecifications"})
    properties = frozenset(
        {"LaunchTemplateData", "LaunchTemplateName", "TagSpecifications", "VersionDescription"}
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a template."""
        request = picked(wanted, "LaunchTemplateData", "TagSpecifications", "VersionDescription")
        name = wanted.get("LaunchTemplateName") or place.name(128)
        created = await place.call("ec2", "create_launch_template", LaunchTemplateName=name, **request)
        return _made(created["LaunchTemplate"]["LaunchTemplateId"], "1")

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Create another version."""
        created = await place.call(
            "ec2",
            "create_launch_template_version",
            LaunchTemplateId=made.physical_id,
            **picked(wanted, "LaunchTemplateData", "VersionDescription"),
        )
        return _made(made.physical_id, str(created["LaunchTemplateVersion"]["VersionNumber"]))

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the template with all versions."""
        await place.call_unless_gone("ec2", "delete_launch_template", LaunchTemplateId=made.physical_id)


def _made(template: str, version: str) -> Made:
    versions = {"LatestVersionNumber": version, "DefaultVersionNumber": "1"}
    return Made(template, {"LaunchTemplateId": template, **versions})


class VpcEndpoint(ResourceType):
    """AWS::EC2::VPCEndpoint."""

    type = "AWS::EC2::VPCEndpoint"
    required = frozenset({"ServiceName", "VpcId"})
    replaced_by = frozenset({"ServiceName", "VpcEndpointType", "VpcId"})
    properties = frozenset(
        {
            "PolicyDocument",
            "PrivateDnsEnabled",
            "RouteTableIds",
            "SecurityGroupIds",
            "ServiceName",
            "SubnetIds",
            "Tags",
            "VpcEndpointType",
            "VpcId",
        }
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create an endpoint."""
        request = {name: value for name, value in wanted.items() if name != "Tags"}
        if "PolicyDocument" in request:
            request["PolicyDocument"] = document(request["PolicyDocument"])
        tags = tagged(place, "vpc-endpoint", wanted)
        created = await place.call("ec2", "create_vpc_endpoint", **request, **tags)
        endpoint = created["VpcEndpoint"]["VpcEndpointId"]
        return Made(endpoint, {"Id": endpoint})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change where the endpoint is, and its tags."""
        request: Json = picked(wanted, "PrivateDnsEnabled")
        if "PolicyDocument" in wanted:
            request["PolicyDocument"] = document(wanted["PolicyDocument"])
        for member in ("RouteTableIds", "SecurityGroupIds", "SubnetIds"):
            old, new = set(had.get(member, [])), set(wanted.get(member, []))
            if new - old:
                request[f"Add{member}"] = sorted(new - old)
            if old - new:
                request[f"Remove{member}"] = sorted(old - new)
        await place.call("ec2", "modify_vpc_endpoint", VpcEndpointId=made.physical_id, **request)
        await retag(place, made, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the endpoint."""
        await place.call_unless_gone("ec2", "delete_vpc_endpoints", VpcEndpointIds=[made.physical_id])
