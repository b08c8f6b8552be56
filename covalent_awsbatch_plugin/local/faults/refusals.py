"""Errors as AWS's services answer them: each in its own protocol, with its own code and text.

The protocols and codes are those of botocore's models and of AWS's lists of common errors; a throttled
call has another HTTP status with each service.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

from starlette.responses import Response

from ..calls import Call
from .effects import FORBIDDEN, THROTTLED, Refusal

JSON_SERVICES = ("logs", "ecr", "sqs", "events")
FRONT_DOOR_TEXTS = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}
"""What AWS's load balancers say for a service that does not answer, in HTML; botocore knows this form."""

BUSY = "The request has failed due to a temporary failure of the server."
INTERNAL = "The request processing has failed because of an unknown error, exception or failure."
EXPIRED = "The security token included in the request is expired"


@dataclass(frozen=True)
class _Error:
    status: int
    code: str
    message: str


ERRORS: dict[tuple[str, int], _Error] = {
    ("batch", THROTTLED): _Error(429, "TooManyRequestsException", "Too Many Requests"),
    ("batch", 500): _Error(500, "ServerException", "Service failure"),
    ("s3", THROTTLED): _Error(503, "SlowDown", "Please reduce your request rate."),
    ("s3", 500): _Error(500, "InternalError", "We encountered an internal error. Please try again."),
    ("s3", 503): _Error(503, "SlowDown", "Please reduce your request rate."),
    ("s3", FORBIDDEN): _Error(403, "AccessDenied", "Access Denied"),
    ("json", THROTTLED): _Error(400, "ThrottlingException", "Rate exceeded"),
    ("json", 500): _Error(500, "InternalFailure", INTERNAL),
    ("json", 503): _Error(503, "ServiceUnavailableException", BUSY),
    ("ec2", THROTTLED): _Error(503, "RequestLimitExceeded", "Request limit exceeded."),
    ("ec2", 500): _Error(500, "InternalError", "An internal error has occurred"),
    ("ec2", 503): _Error(503, "Unavailable", BUSY),
    ("ec2", FORBIDDEN): _Error(
        403, "UnauthorizedOperation", "You are not authorized to perform this operation."
    ),
    ("query", THROTTLED): _Error(400, "Throttling", "Rate exceeded"),
    ("query", 500): _Error(500, "InternalFailure", INTERNAL),
    ("query", 503): _Error(503, "ServiceUnavailable", BUSY),
}

EXPIRED_TOKENS = {
    "batch": _Error(403, "ExpiredTokenException", EXPIRED),
    "s3": _Error(400, "ExpiredToken", "The provided token has expired."),
    "json": _Error(400, "ExpiredTokenException", EXPIRED),
    "ec2": _Error(400, "RequestExpired", "Request has expired."),
    "query": _Error(403, "ExpiredToken", EXPIRED),
}


def refusal(call: Call, effect: Refusal) -> Response:
    """Return the error that a service answers to a call."""
    family = _family(call.service)
    known = ERRORS.get((family, effect.status))
    if effect.status == FORBIDDEN and known is None:
        known = _denied(call, family)
    if known is None and effect.code is None:
        return _front_door(effect.status)
    usual = known or _Error(effect.status, "", "")
    error = _Error(usual.status, effect.code or usual.code, effect.message or usual.message)
    return _written(family, error)


def expired_token(call: Call) -> Response:
    """Return what a service answers to credentials that have expired."""
    family = _family(call.service)
    return _written(family, EXPIRED_TOKENS[family])


def _family(service: str) -> str:
    """Return whose form a service's errors have: Batch's, S3's, EC2's, or that of JSON or query services."""
    if service in ("batch", "s3", "ec2"):
        return service
    return "json" if service in JSON_SERVICES else "query"


def _denied(call: Call, family: str) -> _Error:
    code = "AccessDenied" if family == "query" else "AccessDeniedException"
    user = "arn:aws:iam::123456789012:user/local"
    text = f"User: {user} is not authorized to perform: {call.service}:{call.operation}"
    return _Error(400 if family == "json" else 403, code, text)


def _front_door(status: int) -> Response:
    text = FRONT_DOOR_TEXTS[status]
    return Response(f"<html><body><b>Http/1.1 {text}</b></body></html>", status, media_type="text/html")


def _written(family: str, error: _Error) -> Response:
    request_id = str(uuid.uuid4())
    if family == "batch":
        headers = {"x-amzn-RequestId": request_id, "x-amzn-ErrorType": error.code}
        body = json.dumps({"message": error.message})
        return Response(body, error.status, headers, "application/json")
    if family == "json":
        body = json.dumps({"__type": error.code, "message": error.message})
        headers = {"x-amzn-RequestId": request_id}
        return Response(body, error.status, headers, "application/x-amz-json-1.1")
    return Response(_xml(family, error, request_id), error.status, media_type="application/xml")


def _xml(family: str, error: _Error, request_id: str) -> str:
    told = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
    request = f"<RequestId>{request_id}</RequestId>"
    if family == "s3":
        body = f"<Error>{told}{request}</Error>"
    elif family == "ec2":
        errors = f"<Errors><Error>{told}</Error></Errors>"
        body = f"<Response>{errors}<RequestID>{request_id}</RequestID></Response>"
    else:
        who = "Receiver" if error.status >= 500 else "Sender"
        body = f"<ErrorResponse><Error><Type>{who}</Type>{told}</Error>{request}</ErrorResponse>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
