"""What stands in the way of a stack's deletion, and what would be left without it: surveyed, then cleared.

Only what the stack itself made is touched: its bucket, its repository, the jobs of its queues, and the job
definitions that name its images or roles.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from .. import definition, submit
from ..definition import Registered
from ..errors import MissingRepositoryError, StackError
from ..image import registry
from ..job import Job
from ..patterns import DEFINITION_HASH_CHARS
from ..preflight import identity
from ..refusals import error_code
from ..session import Session
from .pause import Pause
from .stack import Resource, Stack, asking

BUCKET = "AWS::S3::Bucket"
REPOSITORY = "AWS::ECR::Repository"
QUEUE = "AWS::Batch::JobQueue"
ROLE = "AWS::IAM::Role"

OUR_NAME = re.compile(rf".+-[0-9a-f]{{{DEFINITION_HASH_CHARS}}}")
"""Names of the job definitions that this package registers; their first part is an option."""

END_REASON = "the cloud set-up is taken down (covalent-awsbatch infra down)"

Say = Callable[[str], object]


@dataclass(frozen=True)
class Bucket:
    """A bucket of the stack, with all versions of its objects and the marks of deleted ones."""

    name: str
    objects: int
    size_bytes: int


@dataclass(frozen=True)
class Repository:
    """A repository of the stack, with the digests of its images."""

    name: str
    digests: list[str]


@dataclass(frozen=True)
class Contents:
    """What a stack holds that CloudFormation does not know of."""

    stack: Stack
    resources: list[Resource]
    buckets: list[Bucket]
    repositories: list[Repository]
    definitions: list[Registered]
    jobs: list[Job]
    """Those that have not ended; an array is one."""

    def of_type(self, type_name: str) -> list[str]:
        """Return the physical ids of the stack's resources of a type."""
        return physical_ids(self.resources, type_name)


def physical_ids(resources: list[Resource], type_name: str) -> list[str]:
    """Return the physical ids of those resources of a type that exist."""
    return [each.physical_id for each in resources if each.type == type_name and each.physical_id]


async def survey(session: Session, stack: Stack, resources: list[Resource]) -> Contents:
    """Return what a stack holds.

    Raises StackError where S3 refuses, RegistryError where ECR, SubmissionError where AWS Batch does.
    """
    buckets = physical_ids(resources, BUCKET)
    repositories = physical_ids(resources, REPOSITORY)
    return Contents(
        stack=stack,
        resources=resources,
        buckets=[await _bucket(session, stack, each) for each in buckets],
        repositories=[await _repository(session, each) for each in repositories],
        definitions=await _definitions(session, repositories, physical_ids(resources, ROLE)),
        jobs=await _unfinished(session, physical_ids(resources, QUEUE)),
    )


async def clear(session: Session, contents: Contents, say: Say) -> None:
    """End the jobs, empty buckets and repositories and deregister the definitions that a survey found.

    Jobs first: what still runs would write into the bucket. Raises like `survey`; what was done stays done.
    """
    await _end_jobs(session, contents, say)
    for unused in contents.definitions:
        await definition.deregister(session, unused)
        say(f"deregistered the job definition {unused.name}")
    for repository in contents.repositories:
        await registry.delete_images(session, repository.name, repository.digests)
        if repository.digests:
            say(f"images deleted from {repository.name}: {len(repository.digests)}")
    for bucket in contents.buckets:
        deleted = await _empty(session, contents.stack, bucket.name)
        if deleted:
            say(f"objects deleted from {bucket.name}: {deleted}")


async def _end_jobs(session: Session, contents: Contents, say: Say) -> None:
    queues = contents.of_type(QUEUE)
    for job in contents.jobs:
        await submit.terminate(session, job.id, END_REASON)
    pause, told = Pause(), 0
    while left := await _unfinished(session, queues) if contents.jobs else []:
        if len(left) != told:
            told = len(left)
            say(f"jobs that have not ended yet: {told}")
        await pause.take()


async def _unfinished(session: Session, queues: list[str]) -> list[Job]:
    return [job for queue in queues for job in await submit.unfinished(session, queue, "")]


async def _definitions(session: Session, repositories: list[str], roles: list[str]) -> list[Registered]:
    """Return the definitions that this package registered and that name an image or role of the stack."""
    host = registry.registry_of(await identity(session), session.account.endpoint_url)
    images = tuple(f"{host}/{name}{end}" for name in repositories for end in "@:")
    return [
        each
        for each in await definition.registered(session)
        if each.is_active
        and OUR_NAME.fullmatch(each.name)
        and (each.image.startswith(images) or any(_role_name(arn) in roles for arn in each.role_arns))
    ]


def _role_name(arn: str) -> str:
    return arn.rpartition("/")[2]


async def _repository(session: Session, name: str) -> Repository:
    try:
        images = await registry.images(session, name)
    except MissingRepositoryError:
        images = []  # somebody has deleted it already
    return Repository(name, [each.digest for each in images])


async def _bucket(session: Session, stack: Stack, name: str) -> Bucket:
    objects = size_bytes = 0
    async for page in _versions(session, stack, name):
        objects += len(_named(page))
        size_bytes += sum(each["Size"] for each in page.get("Versions", ()))
    return Bucket(name, objects, size_bytes)


def _named(page: dict[str, Any]) -> list[dict[str, str]]:
    """Return the versions and marks of a page, as DeleteObjects wants them named."""
    listed = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in listed]


async def _versions(session: Session, stack: Stack, bucket: str) -> AsyncIterator[dict[str, Any]]:
    """Yield pages of all that a bucket holds; none where somebody has deleted it already."""
    from botocore.exceptions import ClientError

    s3 = await session.client("s3")
    pages = s3.get_paginator("list_object_versions").paginate(**_owned(stack, bucket))
    with asking(session, f"list the objects of the bucket {bucket!r}", who="S3"):
        try:
            async for page in pages:
                yield page
        except ClientError as error:
            if error_code(error) != "NoSuchBucket":
                raise


def _owned(stack: Stack, bucket: str) -> dict[str, str]:
    """Name a bucket, and whose it must be: a bucket's name may have gone to another account since."""
    return {"Bucket": bucket, "ExpectedBucketOwner": stack.account_id}


async def _empty(session: Session, stack: Stack, bucket: str) -> int:
    """Delete all that a bucket holds, uploads that were begun too; return how many objects that were."""
    deleted = 0
    async for page in _versions(session, stack, bucket):
        deleted += await _delete(session, stack, bucket, _named(page))
    await _abort_uploads(session, stack, bucket)
    return deleted


async def _delete(session: Session, stack: Stack, bucket: str, named: list[dict[str, str]]) -> int:
    if not named:
        return 0
    s3 = await session.client("s3")
    with asking(session, f"delete objects of the bucket {bucket!r}", who="S3"):
        answer = await s3.delete_objects(**_owned(stack, bucket), Delete={"Objects": named, "Quiet": True})
    if answer.get("Errors"):
        first = answer["Errors"][0]
        reason = first.get("Message") or first.get("Code")
        raise StackError(f"S3 kept the object {first.get('Key')!r} of the bucket {bucket!r}: {reason}.")
    return len(named)


async def _abort_uploads(session: Session, stack: Stack, bucket: str) -> None:
    from botocore.exceptions import ClientError

    s3 = await session.client("s3")
    pages = s3.get_paginator("list_multipart_uploads").paginate(**_owned(stack, bucket))
    with asking(session, f"end the uploads to the bucket {bucket!r}", who="S3"):
        try:
            begun = [each async for page in pages for each in page.get("Uploads", ())]
        except ClientError as error:
            if error_code(error) != "NoSuchBucket":
                raise
            begun = []
        for each in begun:
            wanted = {"Key": each["Key"], "UploadId": each["UploadId"]}
            await s3.abort_multipart_upload(**_owned(stack, bucket), **wanted)
