"""What the registry's clients are told where ECR refuses, in ECR's status and form.

Clients tell refusals apart by these: docker says `no basic auth credentials` where it has none to
give, and repeats the text of a refusal that is JSON.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

API_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


class Refusal(Exception):
    """A request that the registry does not see, or whose answer the client does not."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def refused(status: int, code: str, message: str, **more: Any) -> Refusal:
    """Return a refusal in the registry's form of errors."""
    error = {"code": code, "message": message, **more}
    return Refusal(JSONResponse({"errors": [error]}, status, API_VERSION))


def not_authorized(url: str) -> Refusal:
    """Return the refusal of a client without a password, or with one that never was one."""
    challenge = f'Basic realm="{url}",service="ecr.amazonaws.com"'
    headers = {"WWW-Authenticate": challenge, **API_VERSION}
    return Refusal(PlainTextResponse("Not Authorized\n", 401, headers))


def expired() -> Refusal:
    """Return the refusal of a token that once was one; ECR does not ask for another here."""
    text = "Your authorization token has expired. Reauthenticate and try again."
    return refused(403, "DENIED", text)


def disk_full() -> Refusal:
    """Return what a registry of version 2.8 answers when a write fails for lack of space."""
    return refused(500, "UNKNOWN", "unknown error", detail="no space left on device")
