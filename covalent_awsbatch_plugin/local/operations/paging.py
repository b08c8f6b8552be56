"""Cut answers into pages, as AWS's Describe operations do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import refused
from ..jobs import Json

Item = TypeVar("Item")

MAX_RESULTS = 100


def page(request: Json, items: Sequence[Item], member: str, describe: Callable[[Item], Json]) -> Json:
    """Return one page of items under the response's `member`, and the token of the next."""
    size = request.get("maxResults", MAX_RESULTS)
    if not 1 <= size <= MAX_RESULTS:
        raise refused(f"maxResults must be between 1 and {MAX_RESULTS}")  # own wording
    start = position(request)
    response: Json = {member: [describe(item) for item in items[start : start + size]]}
    if start + size < len(items):
        response["nextToken"] = str(start + size)
    return response


def position(request: Json, default: int = 0) -> int:
    """Return the number in a request's `nextToken`."""
    token = request.get("nextToken")
    if token is None:
        return default
    if not token.isascii() or not token.isdecimal():
        raise refused("Invalid nextToken")  # own wording
    return int(token)
