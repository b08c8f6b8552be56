"""The local AWS's own services, called as by anybody: over HTTP, with botocore's checks."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from ..jobs import Account, Json
from .errors import ResourceFailed
from .intrinsics import as_text

KEY = "cloudformation"
"""The access key with which CloudFormation signs."""

ALREADY_THERE = frozenset(
    {
        "AlreadyExists",
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
        "EntityAlreadyExists",
        "InvalidLaunchTemplateName.AlreadyExistsException",
        "RepositoryAlreadyExistsException",
        "ResourceAlreadyExistsException",
    }
)
GONE = frozenset(
    {
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "RepositoryNotFoundException",
        "ResourceNotFoundException",
        "AWS.SimpleQueueService.NonExistentQueue",
    }
)
"""Errors that mean there is nothing to delete; those of EC2 end in `.NotFound`."""


class Refused(ResourceFailed):
    """A service's refusal of a request for a resource."""

    def __init__(self, code: str, message: str, handler_code: str) -> None:
        super().__init__(f'Resource handler returned message: "{message}" (HandlerErrorCode: {handler_code})')
        self.code = code

    @property
    def is_gone(self) -> bool:
        """Tell whether the resource does not exist any more."""
        return self.code in GONE or self.code.endswith(".NotFound")


class Clients:
    """The clients of one local AWS, made when they are needed and kept until it stops."""

    def __init__(self, account: Account, endpoint_url: str) -> None:
        self.account = account
        self._endpoint_url = endpoint_url
        self._open = AsyncExitStack()
        self._clients: dict[str, Any] = {}
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close all clients."""
        await self._open.aclose()

    async def call(self, service: str, method: str, /, **request: Any) -> Json:
        """Return a service's answer to a request, whose text is made the numbers and booleans that it wants.

        `method` is the operation in snake case. Raises Refused where the service refuses, ResourceFailed
        where the request has no such form or gets no answer.
        """
        client = await self._client(service)
        operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
        try:
            answer: Json = await getattr(client, method)(**fitted(request, operation.input_shape))
        except ClientError as error:
            raise _refused(service, error) from error
        except ParamValidationError as error:
            raise ResourceFailed(f"Properties validation failed: {error.kwargs['report']}") from error
        except BotoCoreError as error:
            raise ResourceFailed(f"{service} did not answer {method}: {error}") from error
        return answer

    async def _client(self, service: str) -> Any:
        async with self._opening:
            if service not in self._clients:
                client = get_session().create_client(
                    service,
                    region_name=self.account.region,
                    endpoint_url=self._endpoint_url,
                    aws_access_key_id=KEY,
                    aws_secret_access_key=KEY,
                    config=AioConfig(retries={"mode": "standard", "total_max_attempts": 3}),
                )
                self._clients[service] = await self._open.enter_async_context(client)
        return self._clients[service]


def _refused(service: str, error: ClientError) -> Refused:
    told, meta = error.response["Error"], error.response["ResponseMetadata"]
    code = told.get("Code", "Unknown")
    handler_code = "GeneralServiceException"
    if code in ALREADY_THERE or "already exists" in told.get("Message", ""):
        handler_code = "AlreadyExists"
    status = f"Service: {service}, Status Code: {meta.get('HTTPStatusCode')}"
    return Refused(code, f"{told.get('Message', code)} ({status})", handler_code)


def fitted(value: Any, shape: Any) -> Any:
    """Return a value with the scalars that a model's shape wants: templates and parameters have text."""
    kind = shape.type_name if shape is not None else None
    if kind == "structure" and isinstance(value, dict):
        return {name: fitted(member, shape.members.get(name)) for name, member in value.items()}
    if kind == "list" and isinstance(value, list):
        return [fitted(member, shape.member) for member in value]
    if kind == "map" and isinstance(value, dict):
        return {name: fitted(member, shape.value) for name, member in value.items()}
    if kind in ("integer", "long") and isinstance(value, str) and value.lstrip("-").isdecimal():
        return int(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if kind == "string" and isinstance(value, (bool, int, float)):
        return as_text(value)
    return value
