"""ECR: which images it has, the repository they are in, and the login with which the engine pushes."""

from __future__ import annotations

import base64
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from ..errors import MissingRepositoryError, RegistryError
from ..preflight import Identity
from ..refusals import error_code, error_message, explained, is_denied, refused_as
from ..session import Session

log = logging.getLogger(__name__)

LOGIN_MARGIN = timedelta(minutes=30)
"""A login (12 h on AWS) is renewed so long before its end, so that it outlives a push that it begins."""

MAX_IMAGES_PER_CALL = 100
"""ECR's limit for BatchDeleteImage."""

_LOGIN_KEY = "ecr login"


@dataclass(frozen=True)
class Login:
    """What the engine shows a registry; the password appears in no text made of this."""

    registry: str
    username: str
    password: str = field(repr=False)
    expires_at: datetime

    @property
    def auth_config(self) -> dict[str, str]:
        """Return the login as the Docker SDK takes it."""
        return {"username": self.username, "password": self.password}


def registry_of(who: Identity, endpoint_url: str) -> str:
    """Return the registry's host: AWS's by its rule of names, another endpoint's at that endpoint."""
    if endpoint_url:
        return urlsplit(endpoint_url).netloc
    suffix = "amazonaws.com.cn" if who.partition == "aws-cn" else "amazonaws.com"
    return f"{who.account_id}.dkr.ecr.{who.region}.{suffix}"


async def digest_of(session: Session, repository: str, tag: str) -> str:
    """Return the digest of the image with this tag; empty where there is none, or no repository.

    Raises RegistryError where the registry does not let us look.
    """
    from botocore.exceptions import ClientError

    ecr = await session.client("ecr")
    try:
        with explained(session.account, f"look for the image {repository}:{tag}"):
            answer = await ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except ClientError as error:
        if error_code(error) in {"ImageNotFoundException", "RepositoryNotFoundException"}:
            return ""
        raise RegistryError(
            f"The ECR repository {repository!r} cannot be looked at: {error_message(error)} "
            f"Check ecr:DescribeImages, or set container_image_uri."
        ) from error
    return str(answer["imageDetails"][0]["imageDigest"])


@dataclass(frozen=True)
class StoredImage:
    """An image as ECR describes it; `pulled_at` is None where it was never pulled or ECR does not say."""

    digest: str
    tags: tuple[str, ...]
    size_bytes: int
    pushed_at: datetime
    pulled_at: datetime | None

    @property
    def used_at(self) -> datetime:
        """Return when it was last pushed or pulled."""
        return max(self.pushed_at, self.pulled_at or self.pushed_at)


async def images(session: Session, repository: str) -> list[StoredImage]:
    """Return the images of a repository, the last used first.

    Raises RegistryError where the registry does not let us look, MissingRepositoryError where there is none.
    """
    from botocore.exceptions import ClientError

    ecr = await session.client("ecr")
    try:
        with explained(session.account, f"list the images of {repository!r}"):
            pages = ecr.get_paginator("describe_images").paginate(repositoryName=repository)
            found = [_stored(each) async for page in pages for each in page["imageDetails"]]
    except ClientError as error:
        if error_code(error) == "RepositoryNotFoundException":
            raise MissingRepositoryError(
                f"There is no ECR repository {repository!r} in {session.region}: the first image that is "
                f"built makes it; or correct ecr_repo_name (--repository) or region."
            ) from error
        raise _unusable(repository, error) from error
    return sorted(found, key=lambda image: image.used_at, reverse=True)


def _stored(detail: dict[str, Any]) -> StoredImage:
    return StoredImage(
        digest=detail["imageDigest"],
        tags=tuple(detail.get("imageTags", ())),
        size_bytes=detail.get("imageSizeInBytes", 0),
        pushed_at=detail["imagePushedAt"],
        pulled_at=detail.get("lastRecordedPullTime"),
    )


async def delete_images(session: Session, repository: str, digests: list[str]) -> None:
    """Delete images from a repository.

    Raises RegistryError where ECR refuses one.
    """
    ecr = await session.client("ecr")
    for start in range(0, len(digests), MAX_IMAGES_PER_CALL):
        some = [{"imageDigest": digest} for digest in digests[start : start + MAX_IMAGES_PER_CALL]]
        with (
            refused_as(RegistryError, f"The ECR repository {repository!r} cannot be used"),
            explained(session.account, f"delete images of {repository!r}"),
        ):
            answer = await ecr.batch_delete_image(repositoryName=repository, imageIds=some)
        if answer.get("failures"):
            raise RegistryError(
                f"ECR kept an image: {answer['failures'][0].get('failureReason', 'no reason')}."
            )


async def ensure_repository(session: Session, repository: str) -> None:
    """Create the repository where it is missing.

    Raises RegistryError where it is missing and may not be created.
    """
    from botocore.exceptions import ClientError

    ecr = await session.client("ecr")
    try:
        with explained(session.account, f"look for the ECR repository {repository!r}"):
            await ecr.describe_repositories(repositoryNames=[repository])
    except ClientError as error:
        if is_denied(error):
            return  # who may push need not be allowed to look; the push will tell
        if error_code(error) != "RepositoryNotFoundException":
            raise _unusable(repository, error) from error
        await _create_repository(session, ecr, repository)


async def _create_repository(session: Session, ecr: Any, repository: str) -> None:
    from botocore.exceptions import ClientError

    try:
        with explained(session.account, f"create the ECR repository {repository!r}"):
            await ecr.create_repository(repositoryName=repository)
        log.info("Created the ECR repository %s", repository)
    except ClientError as error:
        if error_code(error) == "RepositoryAlreadyExistsException":
            return  # another process was faster
        if is_denied(error):
            raise RegistryError(
                f"The ECR repository {repository!r} does not exist, and these credentials may not create it "
                f"(ecr:CreateRepository): create it, or correct ecr_repo_name."
            ) from error
        raise _unusable(repository, error) from error


def _unusable(repository: str, error: Any) -> RegistryError:
    return RegistryError(f"The ECR repository {repository!r} cannot be used: {error_message(error)}")


async def login(session: Session) -> Login:
    """Return a login that holds for a while yet; one is kept for the session.

    Raises RegistryError where ECR gives none.
    """
    held = await session.once(_LOGIN_KEY, lambda: _new_login(session))
    if held.expires_at - LOGIN_MARGIN <= datetime.now(timezone.utc):
        forget_login(session)
        held = await session.once(_LOGIN_KEY, lambda: _new_login(session))
    return held


def forget_login(session: Session) -> None:
    """Get a new login the next time: this one was refused."""
    session.forget(_LOGIN_KEY)


async def _new_login(session: Session) -> Login:
    from botocore.exceptions import ClientError

    ecr = await session.client("ecr")
    try:
        with explained(session.account, "log in to ECR"):
            given = (await ecr.get_authorization_token())["authorizationData"][0]
    except ClientError as error:
        raise RegistryError(
            f"ECR gives no login: {error_message(error)} Check ecr:GetAuthorizationToken."
        ) from error
    username, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    return Login(urlsplit(given["proxyEndpoint"]).netloc, username, password, given["expiresAt"])
