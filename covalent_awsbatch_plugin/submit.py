"""Jobs on their way into AWS Batch and, where they are not wanted any more, out of it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from .contract import ENV_PAYLOAD
from .errors import DefinitionGoneError, SubmissionError
from .job import JobStatus
from .session import Session, error_message, explained, refused_as
from .settings import Settings

MAX_REASON_CHARS = 1024
"""AWS Batch's limit for the reason of a termination."""

_DEFINITION_GONE = re.compile("JobDefinition .*(not in ACTIVE status|not found)")

CLOUD_FAILURES: list[dict[str, str]] = [
    {"onStatusReason": "Host EC2*", "action": "RETRY"},  # the instance is gone: Spot, or scaled in
    {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},  # the same on Fargate
    {"onStatusReason": "Timeout waiting for network interface*", "action": "RETRY"},  # Fargate start
    {"onReason": "DockerTimeoutError*", "action": "RETRY"},  # an overloaded host
    {"onReason": "*", "action": "EXIT"},
]
"""What the cloud did is retried, what the program did is final. AWS Batch retries where no rule matches,
so the last one must; it takes five rules at most."""


def request(
    settings: Settings, *, job_name: str, definition_arn: str, payload_uri: str, region: str
) -> dict[str, Any]:
    """Return the SubmitJob request of one job."""
    resources = [
        {"type": "VCPU", "value": str(settings.vcpu)},
        {"type": "MEMORY", "value": str(settings.memory_mib)},
    ]
    if settings.num_gpus > 0:
        resources.append({"type": "GPU", "value": str(settings.num_gpus)})
    environment = {
        ENV_PAYLOAD: payload_uri,
        # ECS on EC2 does not tell a container its region.
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    return {
        "jobName": job_name,
        "jobQueue": settings.batch_queue,
        "jobDefinition": definition_arn,
        "containerOverrides": {
            "resourceRequirements": resources,
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
        },
        "retryStrategy": {"attempts": settings.retry_attempts, "evaluateOnExit": CLOUD_FAILURES},
        "timeout": {"attemptDurationSeconds": settings.time_limit},
    }


async def submit(session: Session, wanted: dict[str, Any]) -> str:
    """Send a SubmitJob request and return the job's id.

    Raises SubmissionError where AWS Batch refuses it, DefinitionGoneError where its definition is gone.
    """
    from botocore.exceptions import ClientError

    batch = await session.client("batch")
    try:
        with explained(session.account, f"submit the job {wanted['jobName']!r}"):
            return str((await batch.submit_job(**wanted))["jobId"])
    except ClientError as error:
        kind = DefinitionGoneError if _DEFINITION_GONE.search(error_message(error)) else SubmissionError
        raise kind(f"AWS Batch refused the job {wanted['jobName']!r}: {error_message(error)}") from error


async def terminate(session: Session, job_id: str, reason: str) -> None:
    """End a job in whatever state it is; a job that has ended stays as it is."""
    batch = await session.client("batch")
    with explained(session.account, f"terminate the job {job_id}"):
        await batch.terminate_job(jobId=job_id, reason=reason[:MAX_REASON_CHARS])


async def queues(session: Session) -> list[str]:
    """Return the ARNs of the account's job queues.

    Raises SubmissionError where AWS Batch does not list them.
    """
    batch = await session.client("batch")
    with (
        refused_as(SubmissionError, "AWS Batch does not list its queues"),
        explained(session.account, "list the job queues"),
    ):
        pages = batch.get_paginator("describe_job_queues").paginate()
        return [each["jobQueueArn"] async for page in pages for each in page["jobQueues"]]


async def any_recent(session: Session, queue: str, definition_arn: str, since: datetime) -> bool:
    """Tell whether a queue has a job of this definition that is not over, or was created since.

    Raises SubmissionError where AWS Batch does not list them.
    """
    batch = await session.client("batch")
    filters = [{"name": "JOB_DEFINITION", "values": [definition_arn]}]
    since_ms = since.timestamp() * 1000
    with (
        refused_as(SubmissionError, "AWS Batch does not list the jobs"),
        explained(session.account, f"list the jobs of {definition_arn}"),
    ):
        async for page in batch.get_paginator("list_jobs").paginate(jobQueue=queue, filters=filters):
            for each in page["jobSummaryList"]:
                if each["createdAt"] >= since_ms or not JobStatus(each["status"]).is_final:
                    return True
    return False


async def find(session: Session, queue: str, job_name: str) -> list[tuple[str, JobStatus]]:
    """Return id and state of the jobs of this very name, newest first."""
    batch = await session.client("batch")
    with explained(session.account, f"look for the job {job_name!r}"):
        # A filter by name looks through all states; without one AWS lists running jobs only.
        answer = await batch.list_jobs(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [job_name]}])
    found = [each for each in answer["jobSummaryList"] if each["jobName"] == job_name]
    found.sort(key=lambda each: each["createdAt"], reverse=True)
    return [(each["jobId"], JobStatus(each["status"])) for each in found]
