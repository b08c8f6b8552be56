"""Stacks, their resources, events and change sets."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ..jobs import Json
from .intrinsics import Made
from .template import Template

STACK_TYPE = "AWS::CloudFormation::Stack"


def now_s() -> float:
    """Return the time in seconds since the epoch."""
    return datetime.now(timezone.utc).timestamp()


@dataclass
class StackResource:
    """A resource of a stack; `properties` is what it was made with, every value known."""

    logical_id: str
    type: str
    status: str
    reason: str | None = None
    made: Made | None = None
    properties: Json = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    deletion_policy: str = "Delete"
    changed_at_s: float = field(default_factory=now_s)


@dataclass(frozen=True)
class Event:
    """What became of a resource, or of the whole stack."""

    id: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str | None
    at_s: float


@dataclass(frozen=True)
class Goal:
    """What a stack is to become: a template and all of its parameters as text."""

    template: Template
    parameters: dict[str, str]
    tags: dict[str, str]
    capabilities: tuple[str, ...] = ()


@dataclass
class Change:
    """What would happen to a resource: Add, Modify or Remove; `replacement` is AWS's word."""

    action: str
    logical_id: str
    type: str
    physical_id: str | None = None
    replacement: str | None = None
    properties: tuple[tuple[str, bool], ...] = ()


@dataclass
class ChangeSet:
    """Changes that somebody may look at before they are executed."""

    name: str
    id: str
    type: str
    goal: Goal
    changes: list[Change]
    description: str | None
    on_failure: str
    status: str
    execution_status: str
    reason: str | None
    created_at_s: float = field(default_factory=now_s)


@dataclass
class Stack:
    """A stack: what it is, what it is to become, and what happened; events are oldest first."""

    name: str
    id: str
    goal: Goal | None = None
    status: str = "REVIEW_IN_PROGRESS"
    reason: str | None = None
    resources: dict[str, StackResource] = field(default_factory=dict)
    outputs: list[Json] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    change_set_id: str | None = None
    disable_rollback: bool = False
    is_protected: bool = False
    created_at_s: float = field(default_factory=now_s)
    updated_at_s: float | None = None
    deleted_at_s: float | None = None

    @property
    def is_deleted(self) -> bool:
        """Tell whether nothing is left but the memory."""
        return self.status == "DELETE_COMPLETE"

    @property
    def is_busy(self) -> bool:
        """Tell whether something is being done with it."""
        return self.status.endswith("IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    def become(self, status: str, reason: str | None = None) -> None:
        """Take a new status, and tell it."""
        self.status, self.reason = status, reason
        self._tell(self.name, self.id, STACK_TYPE, status, reason)

    def note(self, resource: StackResource, status: str, reason: str | None = None) -> None:
        """Give a resource a new status, and tell it."""
        resource.status, resource.reason, resource.changed_at_s = status, reason, now_s()
        physical_id = "" if resource.made is None else resource.made.physical_id
        self._tell(resource.logical_id, physical_id, resource.type, status, reason)

    def _tell(self, logical_id: str, physical_id: str, kind: str, status: str, reason: str | None) -> None:
        event = Event(str(uuid.uuid4()), logical_id, physical_id, kind, status, reason, now_s())
        self.events.append(event)

    @property
    def made(self) -> dict[str, Made]:
        """Return the resources that exist, by their names in the template."""
        return {name: each.made for name, each in self.resources.items() if each.made is not None}


def in_order(names: list[str], needs: Callable[[str], frozenset[str]]) -> list[str]:
    """Return names so that each comes after those that it needs.

    Raises ValueError with the names of a circle where there is one.
    """
    ordered: list[str] = []
    waiting = list(names)
    while waiting:
        ready = [name for name in waiting if not (needs(name) & set(waiting)) - {name}]
        if not ready:
            raise ValueError(", ".join(waiting))
        ordered += ready
        waiting = [name for name in waiting if name not in ready]
    return ordered
