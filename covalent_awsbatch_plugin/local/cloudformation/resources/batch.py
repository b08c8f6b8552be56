"""AWS Batch's compute environments, queues and scheduling policies."""

from __future__ import annotations

import asyncio
from typing import Any

from ...jobs import Json
from ..intrinsics import Made
from .base import Place, ResourceType

NO_CREATION_MEMBERS = frozenset({"UpdateToLatestImageVersion"})
"""Members of ComputeResources that only an update takes."""

IN_MOTION = ("CREATING", "UPDATING", "DELETING")


def batch_form(value: Any, key: str = "") -> Any:
    """Return properties with AWS Batch's names, which begin small; tags keep theirs."""
    if isinstance(value, list):
        return [batch_form(each) for each in value]
    if not isinstance(value, dict) or key == "Tags":
        return value
    return {name[0].lower() + name[1:]: batch_form(member, name) for name, member in value.items()}


class ComputeEnvironment(ResourceType):
    """AWS::Batch::ComputeEnvironment."""

    type = "AWS::Batch::ComputeEnvironment"
    name = "ComputeEnvironmentName"
    required = frozenset({"Type"})
    replaced_by = frozenset({"ComputeEnvironmentName", "Tags", "Type"})
    properties = frozenset(
        {
            "ComputeEnvironmentName",
            "ComputeResources",
            "ReplaceComputeEnvironment",
            "ServiceRole",
            "State",
            "Tags",
            "Type",
            "UnmanagedvCpus",
            "UpdatePolicy",
        }
    )

    def is_replaced(self, had: Json, wanted: Json) -> bool:
        """Tell whether such a change needs a new environment: without a permission, many do."""
        if super().is_replaced(had, wanted):
            return True
        old, new = had.get("ComputeResources", {}), wanted.get("ComputeResources", {})
        if old.get("Type") != new.get("Type"):
            return True
        changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        may = str(wanted.get("ReplaceComputeEnvironment", True)).lower() == "true"
        return may and not changed <= {"DesiredvCpus", "MaxvCpus", "MinvCpus", "SecurityGroupIds", "Subnets"}

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create an environment and wait until it is VALID."""
        given = {name: value for name, value in wanted.items() if name not in _ONLY_OURS}
        if "ComputeResources" in given:
            resources = given["ComputeResources"]
            given["ComputeResources"] = {
                name: value for name, value in resources.items() if name not in NO_CREATION_MEMBERS
            }
        given["ComputeEnvironmentName"] = wanted.get("ComputeEnvironmentName") or place.name(128)
        given["Tags"] = place.tags(wanted)
        created = await place.call("batch", "create_compute_environment", **batch_form(given))
        arn = created["computeEnvironmentArn"]
        place.exists(Made(arn))
        await _settled(place, "compute_environment", arn)
        return Made(arn, {"ComputeEnvironmentArn": arn})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change the environment and wait until it is VALID again."""
        given = {name: value for name, value in wanted.items() if name in _UPDATED}
        request = batch_form(given)
        if "computeResources" in request:
            request["computeResources"].pop("type", None)
            request["computeResources"].pop("spotIamFleetRole", None)
        await place.call(
            "batch", "update_compute_environment", computeEnvironment=made.physical_id, **request
        )
        await _settled(place, "compute_environment", made.physical_id)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Disable the environment, delete it, and wait until it is gone."""
        await _disable_and_delete(place, "compute_environment", made.physical_id)


_ONLY_OURS = frozenset({"ReplaceComputeEnvironment", "UpdatePolicy"})
_UPDATED = frozenset({"ComputeResources", "ServiceRole", "State", "UnmanagedvCpus", "UpdatePolicy"})


class JobQueue(ResourceType):
    """AWS::Batch::JobQueue."""

    type = "AWS::Batch::JobQueue"
    name = "JobQueueName"
    required = frozenset({"ComputeEnvironmentOrder", "Priority"})
    replaced_by = frozenset({"JobQueueName", "Tags"})
    properties = frozenset(
        {
            "ComputeEnvironmentOrder",
            "JobQueueName",
            "JobStateTimeLimitActions",
            "Priority",
            "SchedulingPolicyArn",
            "State",
            "Tags",
        }
    )

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a queue and wait until it is VALID."""
        name = wanted.get("JobQueueName") or place.name(128)
        given = wanted | {"JobQueueName": name, "Tags": place.tags(wanted)}
        created = await place.call("batch", "create_job_queue", **batch_form(given))
        place.exists(Made(created["jobQueueArn"]))
        await _settled(place, "job_queue", created["jobQueueArn"])
        return Made(created["jobQueueArn"], {"JobQueueArn": created["jobQueueArn"]})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change the queue and wait until it is VALID again."""
        given = {name: value for name, value in wanted.items() if name not in self.replaced_by}
        await place.call("batch", "update_job_queue", jobQueue=made.physical_id, **batch_form(given))
        await _settled(place, "job_queue", made.physical_id)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Disable the queue, delete it, and wait until it is gone."""
        await _disable_and_delete(place, "job_queue", made.physical_id)


class SchedulingPolicy(ResourceType):
    """AWS::Batch::SchedulingPolicy."""

    type = "AWS::Batch::SchedulingPolicy"
    name = "Name"
    replaced_by = frozenset({"Name", "Tags"})
    properties = frozenset({"FairsharePolicy", "Name", "Tags"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a policy."""
        given = wanted | {"Name": wanted.get("Name") or place.name(128), "Tags": place.tags(wanted)}
        created = await place.call("batch", "create_scheduling_policy", **batch_form(given))
        return Made(created["arn"], {"Arn": created["arn"]})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change how shares are weighed."""
        policy = batch_form(wanted.get("FairsharePolicy", {}))
        await place.call("batch", "update_scheduling_policy", arn=made.physical_id, fairsharePolicy=policy)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the policy, which no queue may have."""
        described = await place.call("batch", "describe_scheduling_policies", arns=[made.physical_id])
        if described["schedulingPolicies"]:
            await place.call("batch", "delete_scheduling_policy", arn=made.physical_id)


async def _disable_and_delete(place: Place, kind: str, arn: str) -> None:
    if not await _described(place, kind, arn):
        return
    named = {_member(kind): arn}
    await place.call("batch", f"update_{kind}", **named, state="DISABLED")
    await _settled(place, kind, arn)
    await place.call("batch", f"delete_{kind}", **named)
    await _settled(place, kind, arn)


async def _described(place: Place, kind: str, arn: str) -> list[Json]:
    member = f"{_member(kind)}s"
    described = await place.call("batch", f"describe_{kind}s", **{member: [arn]})
    found: list[Json] = described[member]
    return found


def _member(kind: str) -> str:
    """Return AWS Batch's name of a kind, such as jobQueue for job_queue."""
    first, second = kind.split("_")
    return first + second.capitalize()


async def _settled(place: Place, kind: str, arn: str) -> None:
    """Return when AWS Batch has done what it was asked for."""
    while any(each["status"] in IN_MOTION for each in await _described(place, kind, arn)):
        await asyncio.sleep(place.poll_s)
