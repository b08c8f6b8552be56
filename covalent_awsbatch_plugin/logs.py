"""What a job wrote to CloudWatch Logs."""

from __future__ import annotations

import logging

from .errors import AWSBatchError
from .session import Session, explained

log = logging.getLogger(__name__)

DEFAULT_GROUP = "/aws/batch/job"
"""Where AWS Batch writes when a job definition names no group."""


async def tail(session: Session, group: str, stream: str, line_limit: int = 20) -> list[str]:
    """Return the last lines that a job wrote, oldest first; none where it wrote nothing.

    The lines only illustrate a failure, so logs that cannot be read do not hide it: that is logged.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if stream == "":
        return []
    try:
        client = await session.client("logs")
        with explained(session.account, f"read the log stream {stream!r}"):
            answer = await client.get_log_events(
                logGroupName=group or DEFAULT_GROUP,
                logStreamName=stream,
                limit=line_limit,
                startFromHead=False,
            )
    except (AWSBatchError, BotoCoreError, ClientError) as error:
        if "log stream does not exist" in str(error):
            return []  # a stream is made with the first output
        log.warning("The log stream %r of %r cannot be read: %s", stream, group or DEFAULT_GROUP, error)
        return []
    return [event["message"].rstrip("\n") for event in answer["events"]]
