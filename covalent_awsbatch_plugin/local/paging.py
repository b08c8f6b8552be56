"""Cut answers into pages, as AWS's Describe operations do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .errors import ApiError
from .jobs import Json

Item = TypeVar("Item")


@dataclass(frozen=True)
class Paging:
    """How a service makes pages: their sizes, and its error for a request that asks for another."""

    default_results: int
    max_results: int
    refuse: Callable[[str], ApiError]

    def page(
        self, request: Json, items: Sequence[Item], member: str, describe: Callable[[Item], Json]
    ) -> Json:
        """Return one page of items under the response's `member`, and the token of the next."""
        size = request.get("maxResults", self.default_results)
        if not 1 <= size <= self.max_results:
            raise self.refuse(f"maxResults must be between 1 and {self.max_results}")  # own wording
        start = self.position(request)
        response: Json = {member: [describe(item) for item in items[start : start + size]]}
        if start + size < len(items):
            response["nextToken"] = str(start + size)
        return response

    def position(self, request: Json, default: int = 0) -> int:
        """Return the number in a request's `nextToken`."""
        token = request.get("nextToken")
        if token is None:
            return default
        if not token.isascii() or not token.isdecimal():
            raise self.refuse("Invalid nextToken")  # own wording
        return int(token)
