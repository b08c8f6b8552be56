"""What CloudFormation would do: a change set, looked at, and then executed or discarded."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..errors import StackError
from ..refusals import error_code, error_message
from ..session import Session
from . import stack as stacks
from . import template
from .parameters import InfraParameters
from .pause import Pause
from .stack import GONE, IN_REVIEW, OUR_TAG, Stack, asking

NAME_STEM = "covalent-awsbatch"
CAPABILITIES = ["CAPABILITY_NAMED_IAM"]
"""The roles of the template have names, which CloudFormation wants to be told that we know."""

AWS_TAGS = "aws:"
"""How tags begin that AWS sets itself, and takes from nobody."""

_NOTHING = ("didn't contain changes", "No updates are to be performed")
"""How CloudFormation says that all is as it should be."""


@dataclass(frozen=True)
class Change:
    """What would be done to one resource."""

    action: str
    """Add, Modify or Remove; Dynamic where CloudFormation does not know yet."""
    logical_id: str
    type: str
    replacement: str
    """True, False or Conditional; empty where nothing is modified."""


@dataclass(frozen=True)
class ChangeSet:
    """All that would be done to a stack; it stays at CloudFormation until it is executed or discarded."""

    id: str
    stack: Stack
    changes: list[Change]
    made_stack: bool
    """Whether there is a stack in review that is there for this change set alone."""


async def create(
    session: Session, wanted: InfraParameters, given: Iterable[str], present: Stack | None
) -> ChangeSet | None:
    """Return what would be done to have the stack as wanted; None where nothing would.

    `given` are the parameters that the user gave: the others keep what they are in the stack as it is
    present. Changes no resource. Raises StackError where CloudFormation refuses, such as a parameter's value.
    """
    request = {
        "StackName": wanted.stack_name,
        "ChangeSetName": f"{NAME_STEM}-{uuid.uuid4().hex}",
        "TemplateBody": template.text(),
        "Capabilities": CAPABILITIES,
        "Parameters": template.request_parameters(wanted, given, present.parameters if present else ()),
        **_kind(present),
    }
    ids = await _send(session, wanted.stack_name, request)
    if ids is None:
        return None
    try:
        return await _described(session, ids, made_stack=present is None)
    except BaseException:
        await _discard(session, *ids, made_stack=present is None)
        raise


def _kind(present: Stack | None) -> dict[str, Any]:
    """Return what kind of change set it is, and the stack's tags.

    Tags go to resources too, some of which are replaced for another one: so they stay as they are, also
    where this is another version than the one that made the stack.
    """
    if present is None or present.status == IN_REVIEW:
        return {"ChangeSetType": "CREATE", "Tags": [{"Key": OUR_TAG, "Value": __version__}]}
    tags = {key: value for key, value in present.tags.items() if not key.startswith(AWS_TAGS)}
    return {
        "ChangeSetType": "UPDATE",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


async def _send(session: Session, stack_name: str, request: dict[str, Any]) -> tuple[str, str] | None:
    """Return the ids of the change set and its stack, None where there is nothing to change."""
    from botocore.exceptions import ClientError

    cloudformation = await session.client("cloudformation")
    with asking(session, f"plan the stack {stack_name!r}"):
        try:
            answer = await cloudformation.create_change_set(**request)
        except ClientError as error:
            if error_code(error) == "ValidationError" and _says_nothing(error_message(error)):
                return None
            raise
    return str(answer["Id"]), str(answer["StackId"])


def _says_nothing(text: str) -> bool:
    return any(each in text for each in _NOTHING)


async def _described(session: Session, ids: tuple[str, str], *, made_stack: bool) -> ChangeSet | None:
    described = await _ready(session, ids[0])
    if described["Status"] == "FAILED":
        await _discard(session, *ids, made_stack=made_stack)
        reason = described.get("StatusReason", "it gives no reason")
        if _says_nothing(reason):
            return None
        raise StackError(f"CloudFormation cannot plan the stack {described['StackName']!r}: {reason}")
    stack = await stacks.find(session, ids[1])
    if stack is None:
        raise StackError(f"The stack {described['StackName']!r} went away while it was looked at: try again.")
    return ChangeSet(ids[0], stack, await _changes(session, described), made_stack)


async def _ready(session: Session, change_set_id: str) -> dict[str, Any]:
    """Return the first page of a change set as soon as CloudFormation has made it, or given up."""
    pause = Pause()
    while True:
        described = await _page(session, change_set_id)
        if described["Status"] in {"CREATE_COMPLETE", "FAILED"}:
            return described
        await pause.take()


async def _page(session: Session, change_set_id: str, **request: str) -> dict[str, Any]:
    cloudformation = await session.client("cloudformation")
    with asking(session, "show what it would change"):
        page: dict[str, Any] = await cloudformation.describe_change_set(
            ChangeSetName=change_set_id, **request
        )
    return page


async def _changes(session: Session, first_page: dict[str, Any]) -> list[Change]:
    page, found = first_page, [_change(each) for each in first_page["Changes"]]
    while page.get("NextToken"):
        page = await _page(session, page["ChangeSetId"], NextToken=page["NextToken"])
        found += [_change(each) for each in page["Changes"]]
    return found


def _change(described: dict[str, Any]) -> Change:
    resource = described["ResourceChange"]
    return Change(
        action=resource["Action"],
        logical_id=resource["LogicalResourceId"],
        type=resource["ResourceType"],
        replacement=resource.get("Replacement", ""),
    )


async def is_ours(session: Session, stack: Stack) -> bool:
    """Tell whether a stack in review, which has no tags yet, is there for plans of this package alone.

    Raises StackError where CloudFormation refuses.
    """
    cloudformation = await session.client("cloudformation")
    with asking(session, f"list the plans for the stack {stack.name!r}"):
        pages = cloudformation.get_paginator("list_change_sets").paginate(StackName=stack.id)
        names = [each["ChangeSetName"] async for page in pages for each in page["Summaries"]]
    return bool(names) and all(name.startswith(f"{NAME_STEM}-") for name in names)


async def execute(session: Session, planned: ChangeSet) -> None:
    """Begin to do what was planned.

    Raises StackError where CloudFormation refuses.
    """
    cloudformation = await session.client("cloudformation")
    with asking(session, f"begin with the stack {planned.stack.name!r}"):
        await cloudformation.execute_change_set(ChangeSetName=planned.id)


async def discard(session: Session, planned: ChangeSet) -> None:
    """Take a change set away, and the empty stack that it made: nothing of it stays.

    Raises StackError where CloudFormation refuses.
    """
    await _discard(session, planned.id, planned.stack.id, made_stack=planned.made_stack)


async def _discard(session: Session, change_set_id: str, stack_id: str, *, made_stack: bool) -> None:
    cloudformation = await session.client("cloudformation")
    with asking(session, "take the plan away"):
        await cloudformation.delete_change_set(ChangeSetName=change_set_id)
    made = await stacks.find(session, stack_id) if made_stack else None
    if made is not None and made.status == IN_REVIEW:
        await stacks.delete(session, made)
        await _wait_until_gone(session, made)


async def _wait_until_gone(session: Session, doomed: Stack) -> None:
    pause = Pause()
    while (left := await stacks.find(session, doomed.id)) is not None and left.status != GONE:
        await pause.take()
