"""What can be known before anything is submitted: credentials, bucket, queue and roles are there.

Each check is made once for a session and a set of names; a failure is one sentence with its next step.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from .errors import BucketError, QueueError, RoleError
from .refusals import error_code, error_message, explained, is_denied
from .session import Session
from .settings import Settings


@dataclass(frozen=True)
class Identity:
    """Who we are to AWS, and where."""

    arn: str
    region: str

    @property
    def partition(self) -> str:
        """Return the part of AWS, such as "aws" or "aws-cn"."""
        return self.arn.split(":")[1]

    @property
    def account_id(self) -> str:
        """Return the account's twelve digits."""
        return self.arn.split(":")[4]

    @property
    def principal_arn(self) -> str:
        """Return whose rights count: of a role's session, the role."""
        kind, _, name = self.arn.partition(":sts:")[2].rpartition(":")[2].partition("/")
        if kind != "assumed-role":
            return self.arn
        return f"arn:{self.partition}:iam::{self.account_id}:role/{name.partition('/')[0]}"


@dataclass(frozen=True)
class Ground:
    """What a task stands on, as AWS knows it."""

    identity: Identity
    job_role_arn: str
    """Empty where the job has the instance's role."""
    execution_role_arn: str
    """Empty where there is none."""


async def check(session: Session, settings: Settings) -> Ground:
    """Return the ground that a task with these settings stands on.

    Raises SetupError with the first thing that is missing.
    """
    names = (settings.s3_bucket_name, settings.batch_queue, *_roles(settings))
    return await session.once(("ground", *names), partial(_check, session, settings))


def _roles(settings: Settings) -> tuple[str, str]:
    """Return the job's role and the execution role; a job definition of the user's own has them itself."""
    if settings.job_definition:
        return "", ""
    return settings.batch_job_role_name, settings.batch_execution_role_name


async def _check(session: Session, settings: Settings) -> Ground:
    who = await identity(session)
    job_role, execution_role = _roles(settings)
    _, _, job_role_arn, execution_role_arn = await asyncio.gather(
        check_bucket(session, settings.s3_bucket_name),
        check_queue(session, settings.batch_queue),
        _role_arn(session, who, "batch_job_role_name", job_role),
        _role_arn(session, who, "batch_execution_role_name", execution_role),
    )
    return Ground(who, job_role_arn, execution_role_arn)


async def identity(session: Session) -> Identity:
    """Ask who we are: it needs no permission, so only missing or refused credentials can fail it.

    Raises CredentialsError or EndpointError.
    """
    sts = await session.client("sts")
    with explained(session.account, "ask AWS for the identity"):
        return Identity(str((await sts.get_caller_identity())["Arn"]), session.region)


async def check_bucket(session: Session, bucket: str) -> None:
    """See whether the bucket is there, open to us, and in our region.

    Raises BucketError where it is not.
    """
    from botocore.exceptions import ClientError

    s3 = await session.client("s3")
    try:
        with explained(session.account, f"look at the bucket {bucket!r}"):
            found = await s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        reasons = {
            "404": f"The S3 bucket {bucket!r} does not exist: create it, or correct s3_bucket_name.",
            "403": f"The S3 bucket {bucket!r} is not open to these credentials ({session.account}): it may "
            f"belong to another account, or s3:ListBucket is missing.",
            "301": f"The S3 bucket {bucket!r} is in another region than {session.region!r}; correct region.",
        }
        text = f"The S3 bucket {bucket!r} cannot be used: {error_message(error)}"
        raise BucketError(reasons.get(error_code(error), text)) from error
    # The SDK has followed S3 there by itself; what carries the objects does not.
    region = region_of_bucket(found)
    if region not in ("", session.region):
        where = f"{region}, not in {session.region}"
        raise BucketError(f"The S3 bucket {bucket!r} is in {where}: correct region.")


def region_of_bucket(answer: dict[str, Any]) -> str:
    """Return the region of a bucket by S3's answer or refusal; empty where S3 does not tell."""
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region", ""))


async def check_queue(session: Session, queue: str) -> None:
    """See whether the queue takes jobs.

    Raises QueueError where it does not.
    """
    check_state(queue, await describe_queue(session, queue))


async def describe_queue(session: Session, queue: str) -> dict[str, Any]:
    """Return a queue's JobQueueDetail.

    Raises QueueError where there is none of this name.
    """
    doing = f"look at the job queue {queue!r}"
    found = (await session.batch("describe_job_queues", doing, jobQueues=[queue]))["jobQueues"]
    if not found:
        raise QueueError(
            f"The job queue {queue!r} does not exist in {session.region}: create it, or correct batch_queue."
        )
    return dict(found[0])


def check_state(queue: str, detail: dict[str, Any]) -> None:
    """See whether a queue takes jobs, by its JobQueueDetail.

    Raises QueueError where it does not.
    """
    state, status = detail["state"], detail.get("status", "VALID")
    if state != "ENABLED":
        raise QueueError(f"The job queue {queue!r} is {state}: enable it, or set another batch_queue.")
    if status not in {"VALID", "UPDATING", "CREATING"}:
        reason = detail.get("statusReason", "no reason given")
        raise QueueError(f"The job queue {queue!r} is {status} ({reason}): mend its compute environments.")


async def _role_arn(session: Session, who: Identity, option: str, role: str) -> str:
    if role == "" or role.startswith("arn:"):
        return role
    from botocore.exceptions import ClientError

    iam = await session.client("iam")
    try:
        with explained(session.account, f"look at the IAM role {role!r}"):
            return str((await iam.get_role(RoleName=role))["Role"]["Arn"])
    except ClientError as error:
        if error_code(error) == "NoSuchEntity":
            text = f"The IAM role {role!r} does not exist: create it, or correct {option}."
            raise RoleError(text) from error
        if is_denied(error):
            # Who may submit need not be allowed to read IAM; Batch itself will say if the role is missing.
            return f"arn:{who.partition}:iam::{who.account_id}:role/{role}"
        raise RoleError(f"The IAM role {role!r} cannot be looked at: {error_message(error)}") from error
