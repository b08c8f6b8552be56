"""What is examined: options, the account that they name, and what several checks ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from .. import preflight
from ..configuration import configured
from ..preflight import Identity
from ..refusals import explained, is_denied
from ..session import Session, open_session
from ..settings import Resolution, Settings, resolve
from .commands import Commands

ACTIONS = {
    "get_bucket_encryption": "GetEncryptionConfiguration",
    "get_bucket_lifecycle_configuration": "GetLifecycleConfiguration",
    "get_public_access_block": "GetBucketPublicAccessBlock",
}
"""The rights to S3's operations that have another name than the operation."""


class NotAllowedError(Exception):
    """AWS does not let us look; the text is the action that is missing."""


class Subject:
    """A set-up, by the options that were given and Covalent's configuration."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = given

    @cached_property
    def resolution(self) -> Resolution:
        """The settings, and what their user should be warned of; raises SettingsError."""
        return resolve(self.given, configured())

    @property
    def settings(self) -> Settings:
        """The settings; raises SettingsError."""
        return self.resolution.settings

    @cached_property
    def session(self) -> Session:
        """The running event loop's session for the account that the settings name."""
        return open_session(self.settings)

    @property
    def commands(self) -> Commands:
        """The commands for this account."""
        return Commands(self.session.account, self.session.region)

    async def ask(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """Return AWS's answer to an operation, such as "get_role".

        Raises NotAllowedError where the right is missing, SetupError where AWS does not answer or does not
        accept us, and botocore's ClientError for all else that it refuses.
        """
        from botocore.exceptions import ClientError

        doing = f"look ({service}: {operation})"
        try:
            if service == "batch":
                return await self.session.batch(operation, doing, **request)
            with explained(self.session.account, doing):
                client = await self.session.client(service)
                return dict(await getattr(client, operation)(**request))
        except ClientError as error:
            if not is_denied(error):
                raise
            name = ACTIONS.get(operation, "".join(part.capitalize() for part in operation.split("_")))
            raise NotAllowedError(f"{service}:{name}") from error

    async def identity(self) -> Identity:
        """Return who we are to AWS; raises CredentialsError or EndpointError."""

        async def ask() -> Identity:
            return await preflight.identity(self.session)

        return await self.session.once("doctor: identity", ask)

    async def queue(self, name: str) -> dict[str, Any]:
        """Return a JobQueueDetail; raises QueueError where there is no such queue."""

        async def ask() -> dict[str, Any]:
            return await preflight.describe_queue(self.session, name)

        return await self.session.once(("doctor: queue", name), ask)
