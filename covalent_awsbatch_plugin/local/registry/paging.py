"""Cut ECR's answers into pages."""

from __future__ import annotations

from ..errors import ApiError
from ..jobs import Json

DEFAULT_RESULTS = 100
MAX_RESULTS = 1000


def page(request: Json, items: list[Json], member: str) -> Json:
    """Return one page of items under the response's `member`, and the token of the next."""
    size = request.get("maxResults", DEFAULT_RESULTS)
    if not 1 <= size <= MAX_RESULTS:
        raise invalid(f"maxResults must be between 1 and {MAX_RESULTS}")  # own wording
    start = _position(request.get("nextToken", "0"))
    response: Json = {member: items[start : start + size]}
    if start + size < len(items):
        response["nextToken"] = str(start + size)
    return response


def invalid(text: str) -> ApiError:
    """Return AWS's refusal of a parameter."""
    return ApiError(text, "InvalidParameterException")


def _position(token: str) -> int:
    if not token.isascii() or not token.isdecimal():
        raise invalid("Invalid nextToken")  # own wording
    return int(token)
