"""Jobs on their way into AWS Batch and, where they are not wanted any more, out of it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .contract import ENV_PAYLOAD, ENV_RUNG, EXIT_DUPLICATE, JOB_NAME_PREFIX, RUNTIME_COMMAND
from .errors import DefinitionGoneError, SetupError, SubmissionError, UnclearSubmissionError
from .job import Job, JobStatus
from .pace import Lane
from .refusals import error_message, refused_as
from .session import Session
from .settings import Settings
from .variables import as_list

log = logging.getLogger(__name__)

MAX_REASON_CHARS = 1024
"""AWS Batch's limit for the reason of a termination."""

MAX_DEPENDENCIES = 20
"""AWS Batch's limit for one job."""

UNCLEAR_LOOKS = 3
UNCLEAR_PAUSE_S = 2.0
"""After an unclear answer: a job may be listed some moments after it was accepted."""

_DEFINITION_GONE = re.compile("JobDefinition .*(not in ACTIVE status|not found)")

CLOUD_FAILURES: list[dict[str, str]] = [
    {"onStatusReason": "Host EC2*", "action": "RETRY"},  # the instance is gone: Spot, or scaled in
    {"onStatusReason": "Your Spot Task was interrupted*", "action": "RETRY"},  # the same on Fargate
    {"onReason": "AGENT*", "action": "RETRY"},  # ECS's agent went away before the container was there
    {"onReason": "DockerTimeoutError*", "action": "RETRY"},  # an overloaded host
    {"onReason": "*", "action": "EXIT"},
]
"""What the cloud did is retried, what the program did is final. AWS Batch retries where no rule matches,
so the last one must. It takes five rules at most, and of a text only its beginning: other starts that may
yet succeed, such as a pull that was refused for a while, are `ladder.py`'s."""

_RETRY = {"onReason": "*", "action": "RETRY"}
_EXIT_OUT_OF_MEMORY = {"onReason": "OutOfMemoryError*", "action": "EXIT"}
_EXIT_DUPLICATE = {"onExitCode": str(EXIT_DUPLICATE), "action": "EXIT"}


@dataclass(frozen=True)
class Dependency:
    """What a job waits for: another job; with `n_to_n` each child for the child of the same index.

    Without a job, each child of an array waits for the one before it.
    """

    job_id: str = ""
    n_to_n: bool = False

    def to_aws(self) -> dict[str, str]:
        """Return the member of `dependsOn`."""
        if self.job_id == "":
            return {"type": "SEQUENTIAL"}
        return {"jobId": self.job_id, **({"type": "N_TO_N"} if self.n_to_n else {})}


def request(
    settings: Settings,
    *,
    job_name: str,
    definition_arn: str,
    payload_uri: str,
    region: str,
    rung: int = 0,
    size: int = 1,
    depends_on: Sequence[Dependency] = (),
) -> dict[str, Any]:
    """Return the SubmitJob request of one job, or of an array of `size` (2 to 10,000) children.

    It is the same for all children: what differs lies in the pack. AWS's limits of 30 KiB for the request
    and 8,192 characters for the overrides are kept, since the settings' own limits leave room for the rest.
    """
    environment = {
        **settings.environment,
        ENV_PAYLOAD: payload_uri,
        # ECS on EC2 does not tell a container its region.
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        **({ENV_RUNG: str(rung)} if rung > 0 else {}),
    }
    return {
        "jobName": job_name,
        "jobQueue": settings.batch_queue,
        "jobDefinition": definition_arn,
        "containerOverrides": {
            # A definition of the user's own runs something else.
            **({"command": list(RUNTIME_COMMAND)} if settings.job_definition else {}),
            "resourceRequirements": _resources(settings),
            "environment": as_list(environment),
        },
        "retryStrategy": {"attempts": settings.retry_attempts, "evaluateOnExit": _rules(settings)},
        "timeout": {"attemptDurationSeconds": settings.time_limit},
        **({"arrayProperties": {"size": size}} if size > 1 else {}),
        **({"dependsOn": [each.to_aws() for each in depends_on]} if depends_on else {}),
        **_labels(settings),
    }


def _resources(settings: Settings) -> list[dict[str, str]]:
    resources = [
        {"type": "VCPU", "value": str(settings.vcpu)},
        {"type": "MEMORY", "value": str(settings.memory_mib)},
    ]
    if settings.num_gpus > 0:
        resources.append({"type": "GPU", "value": str(settings.num_gpus)})
    return resources


def _labels(settings: Settings) -> dict[str, Any]:
    """Return to whom a job belongs and whose turn it is, as far as that was asked for."""
    asked: dict[str, Any] = {
        "tags": settings.tags,
        "propagateTags": settings.propagate_tags,
        "shareIdentifier": settings.share_identifier,
        "schedulingPriorityOverride": settings.scheduling_priority,
    }
    return {name: value for name, value in asked.items() if value}


def _rules(settings: Settings) -> list[dict[str, str]]:
    """Return which ends of an attempt are followed by another one."""
    if settings.retry_on == "cloud":
        return CLOUD_FAILURES
    # What needs more memory would need it again.
    climbs = [_EXIT_OUT_OF_MEMORY] if settings.memory_on_oom else []
    return [_EXIT_DUPLICATE, *climbs, _RETRY]


async def submit(session: Session, wanted: dict[str, Any]) -> str:
    """Send a SubmitJob request and return the job's id.

    Where the answer is lost the job is looked for by its name, which no other job has, and sent again only
    if AWS Batch does not have it. Raises SubmissionError where AWS Batch refuses it, DefinitionGoneError
    where its definition is gone, UnclearSubmissionError where nobody knows in the end.
    """
    from botocore.exceptions import ClientError

    name = wanted["jobName"]
    for _ in range(UNCLEAR_LOOKS):
        try:
            answer = await session.batch("submit_job", f"submit the job {name!r}", lane=Lane.SUBMIT, **wanted)
            return str(answer["jobId"])
        except UnclearSubmissionError as error:
            log.warning("%s", error)
            if found := await _look(session, wanted["jobQueue"], name):
                return found
        except ClientError as error:
            kind = DefinitionGoneError if _DEFINITION_GONE.search(error_message(error)) else SubmissionError
            raise kind(f"AWS Batch refused the job {name!r}: {error_message(error)}") from error
    raise UnclearSubmissionError(
        f"AWS Batch has not said {UNCLEAR_LOOKS} times whether it took the job {name!r}, and does not list "
        f"it. Look for it in the console before you run it again."
    )


async def _look(session: Session, queue: str, job_name: str) -> str:
    """Return the id of a job whose submission was unclear; empty where AWS Batch does not have it.

    Raises UnclearSubmissionError where it cannot be looked for.
    """
    from botocore.exceptions import ClientError

    try:
        for _ in range(UNCLEAR_LOOKS):
            await asyncio.sleep(UNCLEAR_PAUSE_S)
            if found := await find(session, queue, job_name):
                return found[0][0]
    except (SetupError, ClientError) as error:
        raise UnclearSubmissionError(
            f"AWS Batch has not said whether it took the job {job_name!r}, and it cannot be looked for: "
            f"{error_message(error)} Look for it in the console before you run it again."
        ) from error
    return ""


async def terminate(session: Session, job_id: str, reason: str) -> None:
    """End a job in whatever state it is; a job that has ended stays as it is."""
    await session.batch(
        "terminate_job", f"terminate the job {job_id}", jobId=job_id, reason=reason[:MAX_REASON_CHARS]
    )


async def cancel(session: Session, job_id: str, reason: str) -> None:
    """End a job, or the children of an array, that have not started; what has started runs on."""
    await session.batch(
        "cancel_job", f"cancel the job {job_id}", jobId=job_id, reason=reason[:MAX_REASON_CHARS]
    )


async def queues(session: Session) -> list[str]:
    """Return the ARNs of the account's job queues.

    Raises SubmissionError where AWS Batch does not list them.
    """
    with refused_as(SubmissionError, "AWS Batch does not list its queues"):
        pages = session.batch_pages("describe_job_queues", "list the job queues", "jobQueues")
        return [each["jobQueueArn"] async for each in pages]


async def newest_first(session: Session, queue: str, name_start: str) -> AsyncIterator[Job]:
    """Yield the jobs and arrays of a queue whose names begin so, in whatever state, page after page.

    Raises SubmissionError where AWS Batch does not list them.
    """
    # With a filter AWS lists all states, and the newest first.
    filters = [{"name": "JOB_NAME", "values": [f"{name_start}*"]}]
    with refused_as(SubmissionError, f"AWS Batch does not list the jobs of the queue {queue!r}"):
        doing = f"list the jobs of {queue}"
        pages = session.batch_pages("list_jobs", doing, "jobSummaryList", jobQueue=queue, filters=filters)
        async for each in pages:
            if each["jobName"].startswith(name_start):  # AWS's filter does not tell a from A
                yield Job.from_aws(each)


async def unfinished(session: Session, queue: str, name_start: str) -> list[Job]:
    """Return the jobs and arrays of a queue that have not ended and whose names begin so.

    A job that is accepted at this moment may be missing. Raises SubmissionError where AWS Batch does not
    list them.
    """
    found: dict[str, Job] = {}
    with refused_as(SubmissionError, f"AWS Batch does not list the jobs of the queue {queue!r}"):
        # In the order of a job's life: what changes its state meanwhile is met again, not missed.
        for status in (status for status in JobStatus if not status.is_final):
            wanted = {"jobQueue": queue, "jobStatus": status.value}
            doing = f"list the {status.value} jobs of {queue}"
            async for each in session.batch_pages("list_jobs", doing, "jobSummaryList", **wanted):
                if each["jobName"].startswith(name_start):
                    found[each["jobId"]] = Job.from_aws(each)
    return list(found.values())


async def children(session: Session, array_id: str, status: JobStatus) -> list[Job]:
    """Return the children of an array that are in a state.

    Raises SubmissionError where AWS Batch does not list them.
    """
    wanted = {"arrayJobId": array_id, "jobStatus": status.value}
    with refused_as(SubmissionError, f"AWS Batch does not list the children of the array {array_id}"):
        pages = session.batch_pages("list_jobs", f"list children of {array_id}", "jobSummaryList", **wanted)
        return [Job.from_aws(each) async for each in pages]


async def any_recent(session: Session, queue: str, definition_arn: str, since: datetime) -> bool:
    """Tell whether a queue has a job of this definition that is not over, or was created since.

    Raises SubmissionError where AWS Batch does not list them.
    """
    filters = [{"name": "JOB_DEFINITION", "values": [definition_arn]}]
    since_ms = since.timestamp() * 1000
    with refused_as(SubmissionError, "AWS Batch does not list the jobs"):
        doing = f"list the jobs of {definition_arn}"
        pages = session.batch_pages("list_jobs", doing, "jobSummaryList", jobQueue=queue, filters=filters)
        async for each in pages:
            if each["createdAt"] >= since_ms or not JobStatus(each["status"]).is_final:
                return True
    return False


async def any_unfinished(session: Session, queue: str, dispatch_id: str) -> bool:
    """Tell whether a queue has a job or array of a dispatch that is not over.

    Raises SubmissionError where AWS Batch does not list them.
    """
    async for job in newest_first(session, queue, f"{JOB_NAME_PREFIX}{dispatch_id}-"):
        if not job.status.is_final:
            return True
    return False


async def find(session: Session, queue: str, job_name: str) -> list[tuple[str, JobStatus]]:
    """Return id and state of the jobs of this very name, newest first."""
    # A filter by name looks through all states; without one AWS lists running jobs only.
    answer = await session.batch(
        "list_jobs",
        f"look for the job {job_name!r}",
        jobQueue=queue,
        filters=[{"name": "JOB_NAME", "values": [job_name]}],
    )
    found = [each for each in answer["jobSummaryList"] if each["jobName"] == job_name]
    found.sort(key=lambda each: each["createdAt"], reverse=True)
    return [(each["jobId"], JobStatus(each["status"])) for each in found]
