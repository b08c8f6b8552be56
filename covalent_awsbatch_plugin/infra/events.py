"""What becomes of a stack while CloudFormation is at work on it, event by event."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..session import Session
from .pause import Pause
from .stack import IN_PROGRESS, SUCCEEDED, Stack, asking

BEGINNINGS = frozenset({"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"})
"""States of a stack with which CloudFormation begins a piece of work."""

_MISSING_RIGHT = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)")


@dataclass(frozen=True)
class Event:
    """What CloudFormation says of a resource, or of the stack itself, at one moment."""

    id: str
    logical_id: str
    type: str
    status: str
    reason: str
    is_of_stack: bool

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more comes of this resource for now."""
        return not self.status.endswith(IN_PROGRESS)

    @property
    def has_failed(self) -> bool:
        """Tell whether the resource could not be made, changed or deleted."""
        return self.status.endswith("_FAILED")

    @property
    def is_success(self) -> bool:
        """Tell of a stack's last event whether all was done that was to be done."""
        return self.status in SUCCEEDED


async def newest(session: Session, stack: Stack) -> str:
    """Return the id of the stack's newest event, after which `follow` may begin; empty where there is none.

    Raises StackError where CloudFormation refuses.
    """
    async for each in _newest_first(session, stack):
        return each.id
    return ""


async def before_present_work(session: Session, stack: Stack) -> str:
    """Return the id of the last event before the work that CloudFormation is at now.

    Raises StackError where CloudFormation refuses.
    """
    has_begun = False
    async for each in _newest_first(session, stack):
        if has_begun:
            return each.id
        has_begun = each.is_of_stack and each.status in BEGINNINGS
    return ""


async def follow(session: Session, stack: Stack, after: str) -> AsyncIterator[Event]:
    """Yield a stack's events after one of them as they come; the last one is the stack's own.

    Raises StackError where CloudFormation refuses.
    """
    pause = Pause()
    while True:
        for each in await _since(session, stack, after):
            after = each.id
            pause.shorten()
            yield each
            if each.is_of_stack and each.is_over:
                return
        await pause.take()


async def _since(session: Session, stack: Stack, after: str) -> list[Event]:
    """Return the events after one of them, the oldest first."""
    found: list[Event] = []
    async for each in _newest_first(session, stack):
        if each.id == after:
            break
        found.append(each)
    return found[::-1]


async def _newest_first(session: Session, stack: Stack) -> AsyncIterator[Event]:
    cloudformation = await session.client("cloudformation")
    request = {"StackName": stack.id}
    while True:
        with asking(session, f"tell the events of the stack {stack.name!r}"):
            page = await cloudformation.describe_stack_events(**request)
        for each in page["StackEvents"]:
            yield _event(each)
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]


def _event(described: dict[str, Any]) -> Event:
    return Event(
        id=described["EventId"],
        logical_id=described["LogicalResourceId"],
        type=described["ResourceType"],
        status=described["ResourceStatus"],
        reason=described.get("ResourceStatusReason", ""),
        is_of_stack=described.get("PhysicalResourceId") == described["StackId"],
    )


def first_failure(seen: Sequence[Event]) -> Event | None:
    """Return the event with which the trouble began: what fails after it was mostly given up for it."""
    return next((each for each in seen if each.has_failed and not each.is_of_stack), None)


def missing_right(failure: Event) -> str:
    """Return the IAM action that was refused, such as "iam:CreateRole"; empty where it was something else."""
    found = _MISSING_RIGHT.search(failure.reason)
    return found[1] if found else ""
