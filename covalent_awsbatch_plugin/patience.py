"""Whether a call to AWS Batch that failed is sent again: what cannot do harm, and not for ever."""

from __future__ import annotations

import socket
from enum import Enum

from .errors import UnclearSubmissionError
from .pace import Pace
from .refusals import error_code, error_message

CALL_ATTEMPTS = 10
"""For calls that fail on the way; refusals of too many calls to AWS Batch do not count."""

THROTTLE_PATIENCE_S = 300
"""How long, and CALL_ATTEMPTS times at least, AWS Batch may refuse a call because there are too many."""

NEVER_REPEATED = {"submit_job"}
"""Operations that a repeat after a lost answer would do twice: SubmitJob has no client token. The others are
idempotent, but for RegisterJobDefinition, whose repeat leaves one more revision with the same content."""

THROTTLE_CODES = {
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
}
"""AWS Batch's is TooManyRequestsException, with HTTP 429; the others are those of AWS's front doors."""


class Fault(Enum):
    """What a failed call to AWS tells of itself."""

    THROTTLED = "AWS did nothing, for there are too many calls"
    REFUSED = "AWS, or the SDK, said no"
    UNSENT = "AWS did not hear of it"
    UNCLEAR = "AWS may have done it"


def fault_of(error: Exception) -> Fault:
    """Return what an error of the SDK's tells about the call that met it."""
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 429 or error_code(error) in THROTTLE_CODES:
            return Fault.THROTTLED
        return Fault.UNCLEAR if status >= 500 or status == 408 else Fault.REFUSED
    if _is_unsent(error):
        return Fault.UNSENT
    lost = (aws.HTTPClientError, aws.ConnectionError, ResponseParserError)
    return Fault.UNCLEAR if isinstance(error, lost) else Fault.REFUSED


def _is_unsent(error: Exception) -> bool:
    from aiohttp import ClientConnectorError
    from botocore import exceptions as aws

    if isinstance(error, aws.EndpointConnectionError):
        # aiobotocore gives this name also to connections that broke after the request had gone out.
        return isinstance(error.kwargs.get("error"), (ClientConnectorError, socket.gaierror))
    return isinstance(error, (aws.ConnectTimeoutError, aws.ProxyConnectionError, aws.SSLError))


class Patience:
    """Bears what befalls one call to AWS Batch, and decides whether it is sent again."""

    def __init__(self, pace: Pace, doing: str, *, may_repeat: bool) -> None:
        self._pace = pace
        self._doing = doing
        self._may_repeat = may_repeat
        self._failures = 0
        self._throttled_s: list[float] = []

    async def bear(self, error: Exception, sent_s: float) -> None:
        """Return when the call may be sent again; raises the error, or UnclearSubmissionError, where not."""
        fault = fault_of(error)
        if fault is Fault.THROTTLED:
            self._pace.throttled(sent_s)
            self._throttled_s.append(sent_s)
        else:
            self._failures += 1
        if fault is Fault.UNCLEAR and not self._may_repeat:
            raise UnclearSubmissionError(
                f"AWS Batch was asked to {self._doing}, and nobody knows whether it did: "
                f"{error_message(error)} Look for a job of this name before you submit it again."
            ) from error
        if fault is Fault.REFUSED or self._is_over():
            raise error
        if fault is not Fault.THROTTLED:  # else all wait together, in `turn`
            await self._pace.back_off(self._failures)

    def _is_over(self) -> bool:
        if self._failures >= CALL_ATTEMPTS:
            return True
        # Long queues make refusals rare: time alone could end a call that was hardly tried.
        often = len(self._throttled_s) >= CALL_ATTEMPTS
        return often and self._throttled_s[-1] - self._throttled_s[0] > THROTTLE_PATIENCE_S
