"""What CloudFormation refuses, and why a resource could not be made, changed or deleted."""

from __future__ import annotations

from ..errors import ApiError


class ResourceFailed(Exception):
    """A resource that could not be made, changed or deleted; the message is the event's reason."""


def invalid(text: str) -> ApiError:
    """Return CloudFormation's ValidationError, which most of its refusals are."""
    return ApiError(text, "ValidationError")
