"""The log group that containers write to."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..logs import DEFAULT_GROUP
from .finding import Finding, failed, ok, warning
from .subject import Subject

KEPT_DAYS = "30"


async def look_at_log_group(subject: Subject) -> AsyncIterator[Finding]:
    """See whether the log group is there, and forgets some day."""
    check, name = "log group", subject.settings.batch_job_log_group_name or DEFAULT_GROUP
    answer = await subject.ask("logs", "describe_log_groups", logGroupNamePrefix=name)
    group = next((each for each in answer["logGroups"] if each["logGroupName"] == name), None)
    aws = subject.commands.aws
    if group is None and name == DEFAULT_GROUP:
        yield ok(check, f"{name} comes with the first job")
    elif group is None:
        mend = aws("logs", "create-log-group", "--log-group-name", name)
        why = "a container whose log driver has no group does not start"
        yield failed(check, f"there is no log group {name!r} in {subject.session.region}", why, mend)
    elif "retentionInDays" not in group:
        options = ("--log-group-name", name, "--retention-in-days", KEPT_DAYS)
        mend = aws("logs", "put-retention-policy", *options)
        yield warning(check, f"{name} keeps what it has for ever", "that costs by the month", mend)
    else:
        yield ok(check, f"{name} keeps lines for {group['retentionInDays']} days")
