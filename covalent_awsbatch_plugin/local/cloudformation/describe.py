"""Stacks, resources, events and changes as CloudFormation shows them."""

from __future__ import annotations

from ..jobs import Json
from . import parameters
from .records import Change, Event, Goal, Stack, StackResource


def present(**members: object) -> Json:
    """Return the members that are there: AWS leaves out what is not."""
    return {name: value for name, value in members.items() if value is not None}


def goal_tags(goal: Goal | None) -> list[Json]:
    """Return the tags of a stack."""
    tags = {} if goal is None else goal.tags
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def stack_detail(stack: Stack) -> Json:
    """Return CloudFormation's Stack."""
    goal = stack.goal
    return present(
        StackId=stack.id,
        StackName=stack.name,
        ChangeSetId=stack.change_set_id,
        Description=None if goal is None else goal.template.description,
        Parameters=[] if goal is None else parameters.shown(goal.template, goal.parameters),
        CreationTime=stack.created_at_s,
        LastUpdatedTime=stack.updated_at_s,
        DeletionTime=stack.deleted_at_s,
        StackStatus=stack.status,
        StackStatusReason=stack.reason,
        DisableRollback=stack.disable_rollback,
        EnableTerminationProtection=stack.is_protected,
        Capabilities=[] if goal is None else list(goal.capabilities),
        Outputs=stack.outputs,
        Tags=goal_tags(goal),
    )


def stack_summary(stack: Stack) -> Json:
    """Return CloudFormation's StackSummary."""
    return present(
        StackId=stack.id,
        StackName=stack.name,
        CreationTime=stack.created_at_s,
        LastUpdatedTime=stack.updated_at_s,
        DeletionTime=stack.deleted_at_s,
        StackStatus=stack.status,
        StackStatusReason=stack.reason,
    )


def event_detail(stack: Stack, event: Event) -> Json:
    """Return CloudFormation's StackEvent."""
    return present(
        StackId=stack.id,
        StackName=stack.name,
        EventId=event.id,
        LogicalResourceId=event.logical_id,
        PhysicalResourceId=event.physical_id,
        ResourceType=event.type,
        Timestamp=event.at_s,
        ResourceStatus=event.status,
        ResourceStatusReason=event.reason,
    )


def resource_summary(resource: StackResource) -> Json:
    """Return CloudFormation's StackResourceSummary."""
    return present(
        LogicalResourceId=resource.logical_id,
        PhysicalResourceId=None if resource.made is None else resource.made.physical_id,
        ResourceType=resource.type,
        LastUpdatedTimestamp=resource.changed_at_s,
        ResourceStatus=resource.status,
        ResourceStatusReason=resource.reason,
    )


def resource_detail(stack: Stack, resource: StackResource) -> Json:
    """Return CloudFormation's StackResource."""
    told = resource_summary(resource)
    timestamp = told.pop("LastUpdatedTimestamp")
    return told | {"StackName": stack.name, "StackId": stack.id, "Timestamp": timestamp}


def change_detail(change: Change) -> Json:
    """Return CloudFormation's Change."""
    details = [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": name,
                "RequiresRecreation": "Always" if replaces else "Never",
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for name, replaces in change.properties
    ]
    told = present(
        Action=change.action,
        LogicalResourceId=change.logical_id,
        PhysicalResourceId=change.physical_id,
        ResourceType=change.type,
        Replacement=change.replacement,
        Scope=["Properties"] if details else [],
        Details=details,
    )
    return {"Type": "Resource", "ResourceChange": told}
