"""What AWS Batch is asked about a job that waits: its queue, the environments behind it, who is at the front.

Four calls at most for all jobs of a queue, and those once a minute. Whoever may submit need not be allowed to
make all of them: what AWS does not tell is left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from .errors import AWSBatchError
from .job import Job
from .session import Session
from .waiting import Environment, Finding, Queue, explain

log = logging.getLogger(__name__)

KEPT_S = 60.0
"""How long what a queue looked like counts for further jobs in it."""


async def examine(session: Session, job: Job, *, kept_s: float = KEPT_S) -> Finding:
    """Return what keeps a job, or an array of which nothing runs, from its place.

    A queue that was looked at in the last `kept_s` seconds is not looked at again.
    """
    key = "queue", job.queue_arn
    oldest_s = time.monotonic() - kept_s
    session.forget(key, lambda seen: seen[0] < oldest_s)
    _, queue = await session.once(key, partial(_look, session, job.queue_arn))
    return explain(job, queue)


async def _look(session: Session, queue_arn: str) -> tuple[float, Queue]:
    """Return a queue and when it was looked at."""
    now_s = time.monotonic()
    name = queue_arn.rpartition("/")[2]
    detail, front = await asyncio.gather(_queue(session, queue_arn), _front(session, queue_arn))
    order = sorted((detail or {}).get("computeEnvironmentOrder", ()), key=lambda each: int(each["order"]))
    environments, head = await asyncio.gather(
        _environments(session, [each["computeEnvironment"] for each in order]), _head(session, front)
    )
    if detail is None:
        return now_s, Queue(name, front=front, head=head)
    queue = Queue(
        name,
        detail.get("state", ""),
        detail.get("status", "DELETED"),
        detail.get("statusReason", ""),
        environments,
        front,
        head,
    )
    return now_s, queue


@contextmanager
def _left_out(what: str) -> Iterator[None]:
    """Go on without what AWS does not tell."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (AWSBatchError, BotoCoreError, ClientError) as error:
        log.debug("A job that waits is looked into without %s: %s", what, error)


async def _queue(session: Session, queue_arn: str) -> dict[str, Any] | None:
    """Return a JobQueueDetail, empty where there is no such queue; None where AWS does not tell."""
    with _left_out("its queue"):
        answer = await session.batch("describe_job_queues", "look at the queue", jobQueues=[queue_arn])
        found = answer["jobQueues"]
        return dict(found[0]) if found else {}
    return None


async def _environments(session: Session, arns: Sequence[str]) -> list[Environment]:
    """Return compute environments in their order, those that are gone too; none where AWS does not tell."""
    if not arns:
        return []
    with _left_out("its compute environments"):
        doing = "look at the compute environments"
        answer = await session.batch("describe_compute_environments", doing, computeEnvironments=list(arns))
        found = {each["computeEnvironmentArn"]: each for each in answer["computeEnvironments"]}
        return [_environment(arn, found.get(arn)) for arn in arns]
    return []


def _environment(arn: str, detail: dict[str, Any] | None) -> Environment:
    if detail is None:
        return Environment(arn.rpartition("/")[2], status="DELETED")
    return Environment.from_aws(detail)


async def _front(session: Session, queue_arn: str) -> list[str] | None:
    """Return the ids of the first RUNNABLE jobs of a queue; None where AWS does not tell."""
    with _left_out("the front of its queue"):
        answer = await session.batch(
            "get_job_queue_snapshot", "look at the queue's front", jobQueue=queue_arn
        )
        return [each["jobArn"].rpartition("job/")[2] for each in answer["frontOfQueue"]["jobs"]]
    return None


async def _head(session: Session, front: Sequence[str] | None) -> Job | None:
    """Return the first job in a queue; None where there is none, or AWS does not tell."""
    if not front:
        return None
    with _left_out("the first job in its queue"):
        answer = await session.batch("describe_jobs", "look at the first job", jobs=[front[0]])
        return next((Job.from_aws(each) for each in answer["jobs"]), None)
    return None
