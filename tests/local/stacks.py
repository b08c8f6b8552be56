"""Drive the local CloudFormation as its users do."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from covalent_awsbatch_plugin.local.aws import LocalAWS

from .driving import client, until

NAMED = ["CAPABILITY_NAMED_IAM"]


class Stacks:
    """The stacks of a local AWS."""

    def __init__(self, aws: LocalAWS) -> None:
        self.aws = aws
        self.cloud = client(aws, "cloudformation")

    def request(self, name: str, template: str | dict[str, Any], **values: str) -> dict[str, Any]:
        body = template if isinstance(template, str) else json.dumps(template)
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        return {"StackName": name, "TemplateBody": body, "Parameters": parameters, "Capabilities": NAMED}

    def create(self, name: str, template: str | dict[str, Any], **values: str) -> dict[str, Any]:
        """Create a stack and return its description when that is over."""
        self.cloud.create_stack(**self.request(name, template, **values))
        return self.over(name)

    def review(self, name: str, template: str | dict[str, Any], kind: str, **values: str) -> dict[str, Any]:
        """Create a change set and return it."""
        request = self.request(name, template, **values)
        change = f"change-{uuid4().hex[:8]}"
        made = self.cloud.create_change_set(ChangeSetName=change, ChangeSetType=kind, **request)
        return dict(self.cloud.describe_change_set(ChangeSetName=made["Id"]))

    def execute(self, change_set: dict[str, Any]) -> dict[str, Any]:
        """Execute a change set and return the stack's description when that is over."""
        self.cloud.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
        return self.over(change_set["StackName"])

    def update(self, name: str, template: str | dict[str, Any], **values: str) -> dict[str, Any]:
        """Update a stack and return its description when that is over."""
        self.cloud.update_stack(**self.request(name, template, **values))
        return self.over(name)

    def delete(self, name: str) -> dict[str, Any]:
        """Delete a stack and return its description when that is over."""
        stack = self.stack(name)["StackId"]
        self.cloud.delete_stack(StackName=name)
        return self.over(stack)

    def over(self, name: str) -> dict[str, Any]:
        """Return a stack's description when nothing is being done with it."""
        until(lambda: not self.stack(name)["StackStatus"].endswith("IN_PROGRESS"), wait_s=60)
        return self.stack(name)

    def stack(self, name: str) -> dict[str, Any]:
        (stack,) = self.cloud.describe_stacks(StackName=name)["Stacks"]
        return dict(stack)

    def outputs(self, name: str) -> dict[str, str]:
        return {each["OutputKey"]: each["OutputValue"] for each in self.stack(name)["Outputs"]}

    def resources(self, name: str) -> dict[str, str]:
        """Return the physical ids of a stack's resources."""
        listed = self.cloud.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in listed}

    def events(self, name: str) -> list[tuple[str, str]]:
        """Return what happened, oldest first."""
        events = self.cloud.describe_stack_events(StackName=name)["StackEvents"]
        return [(each["LogicalResourceId"], each["ResourceStatus"]) for each in reversed(events)]

    def reason(self, name: str, logical_id: str, status: str) -> str:
        """Return the reason of the last such event."""
        for event in self.cloud.describe_stack_events(StackName=name)["StackEvents"]:
            if (event["LogicalResourceId"], event["ResourceStatus"]) == (logical_id, status):
                return str(event.get("ResourceStatusReason", ""))
        raise AssertionError(f"no {status} of {logical_id}")
