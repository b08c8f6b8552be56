"""The only place that creates AWS clients, and the only one that knows where credentials come from.

Clients are opened once for each event loop and account (credentials file, profile, region, endpoint) and
kept: executors are rebuilt from JSON for every node, so what they share must live here. Everything closes
when its event loop ends. Nothing is read from, or written to, other tasks' environment.
"""

from __future__ import annotations

import asyncio
import importlib
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from .errors import AWSBatchError, CredentialsError, EndpointError, SetupError
from .threads import in_daemon_thread

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

T = TypeVar("T")

SERVICES = ("batch", "ecr", "iam", "logs", "s3", "sts")

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
CALL_ATTEMPTS = 10
"""For calls that AWS throttles; the SDK's adaptive mode slows all calls of a client down together."""

FIRST_CALL_ATTEMPTS = 3
"""For the call that only asks who we are: where nobody answers, that should be known soon."""

MAX_CONNECTIONS = 50
MAX_THREADS = 8
"""Our own threads, so that the pool which Covalent's server shares with everyone stays free."""

TRANSFER_TIMEOUT = timedelta(hours=1)
"""For one request of the S3 store, the largest object on the slowest line included."""

CREDENTIALS_LIFETIME = timedelta(minutes=10)
"""How long the S3 store may use credentials that name no end before it asks again."""

BAD_CREDENTIAL_CODES = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


@dataclass(frozen=True)
class Account:
    """Whose AWS, where: everything that decides which clients serve a task."""

    credentials: str
    profile: str
    region: str
    endpoint_url: str

    def __str__(self) -> str:
        """Describe the account for an error, without anything secret."""
        parts = [
            f"profile {self.profile!r}" if self.profile else "the default profile",
            f"credentials file {self.credentials!r}" if self.credentials else "",
            f"region {self.region!r}" if self.region else "",
            f"endpoint {self.endpoint_url}" if self.endpoint_url else "",
        ]
        return ", ".join(part for part in parts if part)


class Session:
    """The clients of one account on one event loop; made by `session_for`."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.region = account.region
        self._aws: Any = None
        self._clients: dict[str, Any] = {}
        self._stores: dict[str, Any] = {}
        self._shared: dict[Any, asyncio.Future[Any]] = {}
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        # The event loop cancels its tasks when it ends; that is when the clients are closed.
        self._keeper = asyncio.create_task(self._keep_open(), name=f"awsbatch session {account}")

    async def _keep_open(self) -> None:
        async with self._stack:
            await asyncio.Event().wait()

    async def client(self, service: str) -> Any:
        """Return the aiobotocore client of a service, opened on first use.

        Raises SetupError where the profile, the region or the credentials file are not as they must be.
        """
        async with self._lock:
            if service not in self._clients:
                with explained(self.account, "set up the AWS SDK"):
                    self._clients[service] = await self._open(service)
            return self._clients[service]

    async def _open(self, service: str) -> Any:
        from aiobotocore.config import AioConfig

        aws = await self._aws_session()
        attempts = FIRST_CALL_ATTEMPTS if service == "sts" else CALL_ATTEMPTS
        config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "adaptive", "total_max_attempts": attempts},
            max_pool_connections=MAX_CONNECTIONS,
        )
        endpoint = self.account.endpoint_url or None
        client = aws.create_client(service, region_name=self.region, endpoint_url=endpoint, config=config)
        return await self._stack.enter_async_context(client)

    async def _aws_session(self) -> Any:
        if self._aws is None:
            # Importing botocore and reading its models takes most of a second: not on the event loop.
            self._aws = await in_thread(partial(_new_aws_session, self.account))
            self.region = self.account.region or self._aws.get_config_variable("region") or ""
            if self.region == "":
                raise SetupError(
                    f"No AWS region is known for {self.account}; set region, for example "
                    f"AWSBatchExecutor(region='us-east-1')."
                )
        return self._aws

    async def store(self, bucket: str) -> Any:
        """Return the obstore S3 store of a bucket, with this account's credentials."""
        async with self._lock:
            if bucket not in self._stores:
                with explained(self.account, "set up the AWS SDK"):
                    self._stores[bucket] = self._open_store(await self._aws_session(), bucket)
            return self._stores[bucket]

    def _open_store(self, aws: Any, bucket: str) -> Any:
        from obstore.store import S3Store

        async def credentials() -> S3Credential:
            held = await aws.get_credentials()
            frozen = await held.get_frozen_credentials()
            return {
                "access_key_id": frozen.access_key,
                "secret_access_key": frozen.secret_key,
                "token": frozen.token,
                "expires_at": datetime.now(timezone.utc) + CREDENTIALS_LIFETIME,
            }

        endpoint = self.account.endpoint_url
        options: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        network: ClientConfig = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
            "timeout": TRANSFER_TIMEOUT,
        }
        return S3Store(
            bucket,
            region=self.region,
            client_options=network,
            credential_provider=credentials,
            **options,
        )

    async def once(self, key: Any, make: Callable[[], Awaitable[T]]) -> T:
        """Return what `make` gives, made once for this session however many tasks ask for it.

        A failure is passed to those who wait for it and then forgotten, so that the next task tries again.
        """
        found: asyncio.Future[T] | None = self._shared.get(key)
        if found is None:
            found = asyncio.ensure_future(make())
            self._shared[key] = found
            found.add_done_callback(partial(self._forget_failure, key))
        return await asyncio.shield(found)

    def forget(self, key: Any) -> None:
        """Make anew, the next time, what `once` keeps under this key."""
        self._shared.pop(key, None)

    def _forget_failure(self, key: Any, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            self.forget(key)


def _new_aws_session(account: Account) -> Any:
    session_module = importlib.import_module("aiobotocore.session")
    aws = session_module.AioSession(profile=account.profile or None)
    if account.credentials:
        path = Path(account.credentials).expanduser()
        if not path.is_file():
            raise CredentialsError(f"The credentials file {str(path)!r} is missing; correct `credentials`.")
        aws.set_config_variable("credentials_file", str(path))
    loader = aws.get_component("data_loader")
    for service in SERVICES:
        loader.load_service_model(service, "service-2")
        loader.load_service_model(service, "endpoint-rule-set-1")
    return aws


_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Account, Session]] = (
    weakref.WeakKeyDictionary()
)


def session_for(account: Account) -> Session:
    """Return the running event loop's session for an account; there is one."""
    of_loop = _sessions.setdefault(asyncio.get_running_loop(), {})
    if account not in of_loop:
        of_loop[account] = Session(account)
    return of_loop[account]


_thread_limits: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, anyio.CapacityLimiter]] = (
    weakref.WeakKeyDictionary()
)


async def in_thread(function: Callable[[], T]) -> T:
    """Run short blocking work in a thread of our own and return its result."""
    return await anyio.to_thread.run_sync(function, limiter=_thread_limit("short", MAX_THREADS))


async def in_background(function: Callable[[], T], *, lane: str, at_once: int) -> T:
    """Run blocking work of minutes in a thread, `at_once` of a lane, and return its result.

    Neither a cancelled task nor the end of the process waits for it: who interrupts a build wants it to end.
    """
    async with _thread_limit(lane, at_once):
        return await in_daemon_thread(function, lane)


def _thread_limit(lane: str, at_once: int) -> anyio.CapacityLimiter:
    lanes = _thread_limits.setdefault(asyncio.get_running_loop(), {})
    return lanes.setdefault(lane, anyio.CapacityLimiter(at_once))


@contextmanager
def explained(account: Account, action: str) -> Iterator[None]:
    """Turn what the AWS SDK raises about credentials and the network into one clear sentence.

    Other errors of AWS's pass unchanged: only the caller knows what they mean.
    """
    from botocore import exceptions as aws

    try:
        yield
    except AWSBatchError:
        raise
    except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as error:
        raise CredentialsError(
            f"No AWS credentials were found ({account}): could not {action}. Set `profile` or "
            f"`credentials`, or sign in with the AWS CLI; `aws sts get-caller-identity` shows if it works."
        ) from error
    except aws.ProfileNotFound as error:
        raise CredentialsError(f"{error}: could not {action}. Correct `profile` or add it.") from error
    except (aws.HTTPClientError, aws.ConnectionError) as error:
        raise EndpointError(
            f"AWS did not answer ({account}): could not {action}: {error} Check the network, `region` and "
            f"`endpoint_url`."
        ) from error
    except aws.ClientError as error:
        if error_code(error) in BAD_CREDENTIAL_CODES:
            raise CredentialsError(
                f"AWS does not accept the credentials ({account}): could not {action}: "
                f"{error_message(error)} Renew them, or correct `profile` or `credentials`."
            ) from error
        raise


@contextmanager
def refused_as(kind: type[AWSBatchError], text: str) -> Iterator[None]:
    """Turn a refusal of AWS's into an error of ours: the text, and AWS's own behind it.

    Stands around `explained`, which knows refusals of credentials.
    """
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        raise kind(f"{text}: {error_message(error)}") from error


def is_denied(error: Any) -> bool:
    """Tell whether a botocore ClientError says that a right is missing."""
    return error_code(error) in {"AccessDenied", "AccessDeniedException"}


def error_code(error: Any) -> str:
    """Return the code of a botocore ClientError, such as "NoSuchBucket" or "404"."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: Any) -> str:
    """Return the text of a botocore ClientError as AWS wrote it, closed with a full stop."""
    text = str(error.response.get("Error", {}).get("Message", "")) or str(error)
    return text if text.endswith(".") else f"{text}."
