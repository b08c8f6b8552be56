"""What a job wrote to CloudWatch Logs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from .errors import AWSBatchError, LogsError
from .plain_text import harmless
from .refusals import error_code, error_message, explained
from .session import Session

log = logging.getLogger(__name__)

DEFAULT_GROUP = "/aws/batch/job"
"""Where AWS Batch writes when a job definition names no group."""

TAIL_LINES = 20
"""Of a job's log, in an error."""

FOLLOW_INTERVAL_S = 2.0
"""Between two looks at the lines of a job that runs; CloudWatch allows 25 GetLogEvents a second."""


@dataclass
class Position:
    """How far a log stream has been read."""

    token: str = ""


async def read(session: Session, group: str, stream: str, position: Position) -> list[str]:
    """Return the lines of a stream from a position to its present end; the position moves on.

    Raises SetupError where the logs cannot be read.
    """
    if stream == "":
        return []
    client = await session.client("logs")
    lines: list[str] = []
    while True:
        request = {"nextToken": position.token} if position.token else {"startFromHead": True}
        answer = await _page(session, client, group or DEFAULT_GROUP, stream, request)
        lines += [event["message"].rstrip("\n") for event in answer["events"]]
        # A page may be empty before the end; at the end the token stays as it was.
        if answer["nextForwardToken"] == position.token:
            return lines
        position.token = answer["nextForwardToken"]


async def _page(
    session: Session, client: Any, group: str, stream: str, request: dict[str, Any]
) -> dict[str, Any]:
    from botocore.exceptions import ClientError

    try:
        with explained(session.account, f"read the log stream {stream!r}"):
            answer = await client.get_log_events(logGroupName=group, logStreamName=stream, **request)
            return dict(answer)
    except ClientError as error:
        if error_code(error) == "ResourceNotFoundException":  # a stream is made with the first output
            return {"events": [], "nextForwardToken": request.get("nextToken", "")}
        text = f"The log stream {stream!r} of {group!r} cannot be read: {error_message(error)}"
        raise LogsError(f"{text} Check logs:GetLogEvents.") from error


async def tail(session: Session, group: str, stream: str) -> list[str]:
    """Return the last lines that a job wrote, oldest first, as an error may have them; or none.

    The lines only illustrate a failure, so logs that cannot be read do not hide it: that is logged.
    """
    from botocore.exceptions import BotoCoreError

    if stream == "":
        return []
    try:
        client = await session.client("logs")
        request = {"limit": TAIL_LINES, "startFromHead": False}
        answer = await _page(session, client, group or DEFAULT_GROUP, stream, request)
    except (AWSBatchError, BotoCoreError) as error:
        log.warning("The log stream %r of %r cannot be read: %s", stream, group or DEFAULT_GROUP, error)
        return []
    return [harmless(event["message"].rstrip("\n")) for event in answer["events"]]
