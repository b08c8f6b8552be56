"""What the local AWS answers instead of a result."""

from __future__ import annotations

import uuid


class MissingProgram(Exception):
    """A program that the local AWS needs and this machine lacks; the message says where to get it."""


class ApiError(Exception):
    """An error response: the message, AWS's code for it, and the HTTP status."""

    def __init__(self, message: str, code: str = "ClientException", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


class NotLocal(ApiError):
    """Something AWS has and the local AWS has not; never to be taken for AWS's own refusal."""

    def __init__(self, what: str, service: str = "AWS Batch") -> None:
        super().__init__(f"the local {service} does not have {what}", "NotImplementedException", 501)


class Throttled(ApiError):
    """More calls than AWS accepts."""

    def __init__(self) -> None:
        super().__init__("Too Many Requests", "TooManyRequestsException", 429)


def invalid(text: str) -> ApiError:
    """Return ECR's refusal of a parameter."""
    return ApiError(text, "InvalidParameterException")


def refused(text: str) -> ApiError:
    """Return AWS's ClientException in the frame that its scheduler puts around most texts."""
    return ApiError(f"Error executing request, Exception : {text}, RequestId: {uuid.uuid4()}")
