"""Roles, policies and instance profiles."""

from __future__ import annotations

from ...jobs import Json
from ..intrinsics import Made
from .base import Place, ResourceType, document, picked, tag_list


class Role(ResourceType):
    """AWS::IAM::Role."""

    type = "AWS::IAM::Role"
    name = "RoleName"
    required = frozenset({"AssumeRolePolicyDocument"})
    replaced_by = frozenset({"RoleName", "Path"})
    properties = frozenset(
        {
            "AssumeRolePolicyDocument",
            "Description",
            "ManagedPolicyArns",
            "MaxSessionDuration",
            "Path",
            "PermissionsBoundary",
            "Policies",
            "RoleName",
            "Tags",
        }
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a role with its policies."""
        name = wanted.get("RoleName") or place.name(64)
        created = await place.call(
            "iam",
            "create_role",
            RoleName=name,
            AssumeRolePolicyDocument=document(wanted["AssumeRolePolicyDocument"]),
            Tags=tag_list(place.tags(wanted)),
            **picked(wanted, "Description", "MaxSessionDuration", "Path", "PermissionsBoundary"),
        )
        place.exists(Made(name))
        await _give(place, name, {}, wanted)
        role = created["Role"]
        return Made(name, {"Arn": role["Arn"], "RoleId": role["RoleId"]})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change the role's trust, text and policies."""
        name = made.physical_id
        trust = document(wanted["AssumeRolePolicyDocument"])
        await place.call("iam", "update_assume_role_policy", RoleName=name, PolicyDocument=trust)
        await place.call(
            "iam", "update_role", RoleName=name, **picked(wanted, "Description", "MaxSessionDuration")
        )
        await _give(place, name, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the role and the policies that it was made with."""
        await _give(place, made.physical_id, had, {})
        await place.call_unless_gone("iam", "delete_role", RoleName=made.physical_id)


async def _give(place: Place, role: str, had: Json, wanted: Json) -> None:
    """Give a role the policies that are wanted, and take those that it had and are not."""
    inline = {each["PolicyName"]: document(each["PolicyDocument"]) for each in wanted.get("Policies", [])}
    for name, text in inline.items():
        await place.call("iam", "put_role_policy", RoleName=role, PolicyName=name, PolicyDocument=text)
    for name in {each["PolicyName"] for each in had.get("Policies", [])} - set(inline):
        await place.call_unless_gone("iam", "delete_role_policy", RoleName=role, PolicyName=name)
    managed = wanted.get("ManagedPolicyArns", [])
    for arn in managed:
        await place.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)
    for arn in set(had.get("ManagedPolicyArns", [])) - set(managed):
        await place.call_unless_gone("iam", "detach_role_policy", RoleName=role, PolicyArn=arn)


class ManagedPolicy(ResourceType):
    """AWS::IAM::ManagedPolicy; of those that it can be attached to, roles."""

    type = "AWS::IAM::ManagedPolicy"
    name = "ManagedPolicyName"
    required = frozenset({"PolicyDocument"})
    replaced_by = frozenset({"Description", "ManagedPolicyName", "Path"})
    properties = frozenset({"Description", "ManagedPolicyName", "Path", "PolicyDocument", "Roles"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a policy and attach it."""
        created = await place.call(
            "iam",
            "create_policy",
            PolicyName=wanted.get("ManagedPolicyName") or place.name(128),
            PolicyDocument=document(wanted["PolicyDocument"]),
            **picked(wanted, "Description", "Path"),
        )
        arn = created["Policy"]["Arn"]
        place.exists(Made(arn))
        await _attach(place, arn, {}, wanted)
        return Made(arn, {"PolicyArn": arn, "PolicyId": created["Policy"]["PolicyId"]})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Make the new document the only version, and attach the policy to the roles that are wanted."""
        arn = made.physical_id
        await place.call(
            "iam",
            "create_policy_version",
            PolicyArn=arn,
            PolicyDocument=document(wanted["PolicyDocument"]),
            SetAsDefault=True,
        )
        await _delete_old_versions(place, arn)
        await _attach(place, arn, had, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Detach the policy and delete it."""
        await _attach(place, made.physical_id, had, {})
        await place.call_unless_gone("iam", "delete_policy", PolicyArn=made.physical_id)


async def _attach(place: Place, arn: str, had: Json, wanted: Json) -> None:
    roles = wanted.get("Roles", [])
    for role in roles:
        await place.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)
    for role in set(had.get("Roles", [])) - set(roles):
        await place.call_unless_gone("iam", "detach_role_policy", RoleName=role, PolicyArn=arn)


async def _delete_old_versions(place: Place, arn: str) -> None:
    listed = await place.call("iam", "list_policy_versions", PolicyArn=arn)
    for version in listed["Versions"]:
        if not version["IsDefaultVersion"]:
            await place.call("iam", "delete_policy_version", PolicyArn=arn, VersionId=version["VersionId"])


class InstanceProfile(ResourceType):
    """AWS::IAM::InstanceProfile."""

    type = "AWS::IAM::InstanceProfile"
    name = "InstanceProfileName"
    required = frozenset({"Roles"})
    replaced_by = frozenset({"InstanceProfileName", "Path", "Roles"})
    properties = frozenset({"InstanceProfileName", "Path", "Roles"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a profile with its role."""
        name = wanted.get("InstanceProfileName") or place.name(128)
        created = await place.call(
            "iam", "create_instance_profile", InstanceProfileName=name, **picked(wanted, "Path")
        )
        place.exists(Made(name))
        for role in wanted["Roles"]:
            await place.call("iam", "add_role_to_instance_profile", InstanceProfileName=name, RoleName=role)
        return Made(name, {"Arn": created["InstanceProfile"]["Arn"]})

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the profile; its role stays."""
        name = made.physical_id
        for role in had["Roles"]:
            await place.call_unless_gone(
                "iam", "remove_role_from_instance_profile", InstanceProfileName=name, RoleName=role
            )
        await place.call_unless_gone("iam", "delete_instance_profile", InstanceProfileName=name)
