"""SQS's queues, and EventBridge's rules that write into them."""

from __future__ import annotations

from ...jobs import Json
from ..intrinsics import Made, as_text
from .base import Place, ResourceType, document, picked, tag_list

ATTRIBUTES = frozenset(
    {
        "DelaySeconds",
        "KmsMasterKeyId",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "ReceiveMessageWaitTimeSeconds",
        "SqsManagedSseEnabled",
        "VisibilityTimeout",
    }
)
"""Properties of a queue that are attributes of it."""


class Queue(ResourceType):
    """AWS::SQS::Queue, a standard one."""

    type = "AWS::SQS::Queue"
    name = "QueueName"
    replaced_by = frozenset({"QueueName"})
    properties = ATTRIBUTES | {"QueueName", "Tags"}

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a queue."""
        name = wanted.get("QueueName") or place.name(80)
        created = await place.call(
            "sqs", "create_queue", QueueName=name, Attributes=_attributes(wanted), tags=place.tags(wanted)
        )
        url = created["QueueUrl"]
        return Made(url, {"Arn": place.account.arn("sqs", name), "QueueName": name, "QueueUrl": url})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change the queue's attributes."""
        attributes = _attributes(wanted)
        await place.call("sqs", "set_queue_attributes", QueueUrl=made.physical_id, Attributes=attributes)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the queue with its messages."""
        await place.call_unless_gone("sqs", "delete_queue", QueueUrl=made.physical_id)


def _attributes(wanted: Json) -> dict[str, str]:
    return {name: as_text(value) for name, value in wanted.items() if name in ATTRIBUTES}


class QueuePolicy(ResourceType):
    """AWS::SQS::QueuePolicy."""

    type = "AWS::SQS::QueuePolicy"
    properties = required = frozenset({"PolicyDocument", "Queues"})
    replaced_by = frozenset({"Queues"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Give the queues their policy."""
        attributes = {"Policy": document(wanted["PolicyDocument"])}
        for url in wanted["Queues"]:
            await place.call("sqs", "set_queue_attributes", QueueUrl=url, Attributes=attributes)
        return Made(place.name(128))

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Replace the policy."""
        await self.create(place, wanted)
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Take the policy away."""
        for url in had["Queues"]:
            await place.call_unless_gone(
                "sqs", "set_queue_attributes", QueueUrl=url, Attributes={"Policy": ""}
            )


class Rule(ResourceType):
    """AWS::Events::Rule on the default bus."""

    type = "AWS::Events::Rule"
    name = "Name"
    replaced_by = frozenset({"Name"})
    properties = frozenset({"Description", "EventPattern", "Name", "State", "Tags", "Targets"})

    async def create(self, place: Place, wanted: Json) -> Made:
        """Create a rule and its targets."""
        name = wanted.get("Name") or place.name(64)
        created = await self._put(place, name, wanted)
        return Made(name, {"Arn": created["RuleArn"]})

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Replace the rule's pattern and targets."""
        await self._put(place, made.physical_id, wanted)
        gone = {each["Id"] for each in had.get("Targets", [])} - {
            each["Id"] for each in wanted.get("Targets", [])
        }
        if gone:
            await place.call("events", "remove_targets", Rule=made.physical_id, Ids=sorted(gone))
        return made

    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the rule with its targets."""
        name = made.physical_id
        if ids := [each["Id"] for each in had.get("Targets", [])]:
            await place.call_unless_gone("events", "remove_targets", Rule=name, Ids=ids)
        await place.call_unless_gone("events", "delete_rule", Name=name)

    async def _put(self, place: Place, name: str, wanted: Json) -> Json:
        pattern = document(wanted["EventPattern"])
        rule = picked(wanted, "Description", "State") | {"Tags": tag_list(place.tags(wanted))}
        created = await place.call("events", "put_rule", Name=name, EventPattern=pattern, **rule)
        place.exists(Made(name))
        if wanted.get("Targets"):
            await place.call("events", "put_targets", Rule=name, Targets=wanted["Targets"])
        return created
