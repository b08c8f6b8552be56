"""The stack as CloudFormation describes it, and its deletion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import StackError
from ..refusals import error_code, error_message, explained, refused_as
from ..session import Session

OUR_TAG = "covalent-awsbatch"
"""The tag of the stacks that this package made; its value is the version that did."""

IN_PROGRESS = "_IN_PROGRESS"
IN_REVIEW = "REVIEW_IN_PROGRESS"
"""A stack that has a change set and nothing else: nothing is in progress."""

GONE = "DELETE_COMPLETE"
NEVER_MADE = "ROLLBACK_COMPLETE"
"""What a creation that failed has left: CloudFormation takes nothing but its deletion."""

SUCCEEDED = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", GONE})


@dataclass(frozen=True)
class Stack:
    """A stack as CloudFormation describes it."""

    id: str
    name: str
    status: str
    status_reason: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def is_ours(self) -> bool:
        """Tell whether this package made it."""
        return OUR_TAG in self.tags

    @property
    def is_in_progress(self) -> bool:
        """Tell whether CloudFormation is at work on it."""
        return self.status.endswith(IN_PROGRESS) and self.status != IN_REVIEW

    @property
    def account_id(self) -> str:
        """Return the twelve digits of the account that it is in."""
        return self.id.split(":")[4]


@dataclass(frozen=True)
class Resource:
    """A resource of a stack; `physical_id` is empty until it exists."""

    logical_id: str
    physical_id: str
    type: str
    status: str
    status_reason: str


@contextmanager
def asking(session: Session, doing: str, who: str = "CloudFormation") -> Iterator[None]:
    """Turn what AWS and its SDK raise into errors of ours, which say what could not be done.

    Raises StackError for refusals, SetupError where AWS does not answer or does not accept us.
    """
    with refused_as(StackError, f"{who} did not {doing}"), explained(session.account, doing):
        yield


async def find(session: Session, name_or_id: str) -> Stack | None:
    """Return a stack, None where there is none of that name.

    Stacks that were deleted are found by their ids only. Raises StackError where CloudFormation refuses.
    """
    from botocore.exceptions import ClientError

    cloudformation = await session.client("cloudformation")
    with asking(session, f"describe the stack {name_or_id!r}"):
        try:
            answer = await cloudformation.describe_stacks(StackName=name_or_id)
        except ClientError as error:
            if _is_missing(error):
                return None
            raise
    return _stack(answer["Stacks"][0])


def _is_missing(error: Any) -> bool:
    return error_code(error) == "ValidationError" and "does not exist" in error_message(error)


def _stack(described: dict[str, Any]) -> Stack:
    return Stack(
        id=described["StackId"],
        name=described["StackName"],
        status=described["StackStatus"],
        status_reason=described.get("StackStatusReason", ""),
        parameters=_pairs(described.get("Parameters", ()), "ParameterKey", "ParameterValue"),
        outputs=_pairs(described.get("Outputs", ()), "OutputKey", "OutputValue"),
        tags=_pairs(described.get("Tags", ()), "Key", "Value"),
    )


def _pairs(listed: Any, key: str, value: str) -> dict[str, str]:
    return {each[key]: each.get(value, "") for each in listed}


def refuse_foreign(stack: Stack) -> None:
    """Raise StackError where somebody else made the stack."""
    if not stack.is_ours:
        raise StackError(
            f"The stack {stack.name!r} was not made by covalent-awsbatch (it has no tag {OUR_TAG!r}), so it "
            f"is left alone. Give another --stack-name."
        )


async def resources(session: Session, stack: Stack) -> list[Resource]:
    """Return the resources of a stack, without those that are gone.

    Raises StackError where CloudFormation refuses.
    """
    cloudformation = await session.client("cloudformation")
    with asking(session, f"list the resources of the stack {stack.name!r}"):
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack.id)
        found = [_resource(each) async for page in pages for each in page["StackResourceSummaries"]]
    return [each for each in found if each.status != GONE]


def _resource(summary: dict[str, Any]) -> Resource:
    return Resource(
        logical_id=summary["LogicalResourceId"],
        physical_id=summary.get("PhysicalResourceId", ""),
        type=summary["ResourceType"],
        status=summary["ResourceStatus"],
        status_reason=summary.get("ResourceStatusReason", ""),
    )


async def delete(session: Session, stack: Stack) -> None:
    """Begin to delete a stack and all of its resources.

    Raises StackError where CloudFormation refuses.
    """
    cloudformation = await session.client("cloudformation")
    with asking(session, f"delete the stack {stack.name!r}"):
        await cloudformation.delete_stack(StackName=stack.id)
