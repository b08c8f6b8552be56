"""What a type of resource can do, and what it is given for that."""

from __future__ import annotations

import json
import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ...jobs import Account, Json
from ..clients import Clients, Refused
from ..intrinsics import Made, as_text

SUFFIX_CHARACTERS = string.ascii_uppercase + string.digits


@dataclass(frozen=True)
class Place:
    """Where a resource is to be: its stack, its name in the template, and the services."""

    clients: Clients
    stack_name: str
    logical_id: str
    stack_tags: dict[str, str]
    poll_s: float
    exists: Callable[[Made], None]
    """To be told what can be deleted from now on, where making a resource takes more than one request."""

    @property
    def account(self) -> Account:
        """Whose resource it is."""
        return self.clients.account

    async def call(self, service: str, method: str, /, **request: Any) -> Json:
        """Return a service's answer; raises as Clients.call."""
        return await self.clients.call(service, method, **request)

    async def call_unless_gone(self, service: str, method: str, /, **request: Any) -> None:
        """Ask a service to take something away, which may be away already; raises as Clients.call."""
        try:
            await self.call(service, method, **request)
        except Refused as refusal:
            if not refusal.is_gone:
                raise

    def name(self, limit: int) -> str:
        """Return a name that nobody has given, as long as a service takes it."""
        suffix = "-" + "".join(secrets.choice(SUFFIX_CHARACTERS) for _ in range(12))
        return f"{self.stack_name}-{self.logical_id}"[: limit - len(suffix)] + suffix

    def tags(self, wanted: Json) -> dict[str, str]:
        """Return the stack's tags and a resource's own, which its `Tags` have as a list or as a mapping."""
        own = wanted.get("Tags", {})
        if isinstance(own, list):
            own = {tag["Key"]: tag["Value"] for tag in own}
        return self.stack_tags | {key: as_text(value) for key, value in own.items()}


class ResourceType(ABC):
    """One type of resource.

    `properties` are those that it takes, all others are refused; a change of one in `replaced_by` makes a new
    resource; `name` is the property that names it, where there is one.
    """

    type: ClassVar[str]
    properties: ClassVar[frozenset[str]]
    required: ClassVar[frozenset[str]] = frozenset()
    replaced_by: ClassVar[frozenset[str]] = frozenset()
    name: ClassVar[str | None] = None

    @abstractmethod
    async def create(self, place: Place, wanted: Json) -> Made:
        """Make the resource; raises ResourceFailed where that fails."""

    @abstractmethod
    async def delete(self, place: Place, made: Made, had: Json) -> None:
        """Delete the resource, which may be gone already; raises ResourceFailed where that fails."""

    async def update(self, place: Place, made: Made, had: Json, wanted: Json) -> Made:
        """Change the resource, which stays the same one; raises ResourceFailed where that fails."""
        return made

    def is_replaced(self, had: Json, wanted: Json) -> bool:
        """Tell whether such a change needs a new resource."""
        return any(had.get(name) != wanted.get(name) for name in self.replaced_by)


def picked(wanted: Json, *names: str) -> Json:
    """Return those properties that are there."""
    return {name: wanted[name] for name in names if name in wanted}


def document(value: Any) -> str:
    """Return a policy or pattern as the services take it: JSON in a text."""
    return value if isinstance(value, str) else json.dumps(value)


def tag_list(tags: dict[str, str]) -> list[Json]:
    """Return tags as most services take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
