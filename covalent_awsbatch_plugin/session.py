"""The only place that creates AWS clients, and the only one that knows where credentials come from.

Clients are opened once for each event loop and account (credentials file, profile, region, endpoint) and
kept: executors are rebuilt from JSON for every node, so what they share must live here. Everything closes
when its event loop ends. Nothing is read from, or written to, other tasks' environment.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from .errors import AWSBatchError, CredentialsError, EndpointError, SetupError, UnclearSubmissionError
from .pace import Lane, Pace, pace_for
from .settings import Settings
from .threads import in_daemon_thread

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

T = TypeVar("T")

SERVICES = ("batch", "ecr", "iam", "logs", "s3", "sts")

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
CALL_ATTEMPTS = 10
"""For calls that fail on the way; refusals of too many calls to AWS Batch do not count."""

FIRST_CALL_ATTEMPTS = 3
"""For the call that only asks who we are: where nobody answers, that should be known soon."""

THROTTLE_PATIENCE_S = 300
"""How long, and CALL_ATTEMPTS times at least, AWS Batch may refuse a call because there are too many."""

MAX_CONNECTIONS = 50
BATCH_CALLS_AT_ONCE = MAX_CONNECTIONS // len(Lane)
"""Calls of one lane: there is a connection for each, so that whoever has the turn sends at once. With 25 the
full rate is reached where answers take half a second."""

MAX_THREADS = 8
"""Our own threads, so that the pool which Covalent's server shares with everyone stays free."""

TRANSFER_TIMEOUT = timedelta(hours=1)
"""For one request of the S3 store, the largest object on the slowest line included."""

CREDENTIALS_LIFETIME = timedelta(minutes=10)
"""How long the S3 store may use credentials that name no end before it asks again."""

NEVER_REPEATED = {"submit_job"}
"""Operations that a repeat after a lost answer would do twice: SubmitJob has no client token. The others are
idempotent, but for RegisterJobDefinition, whose repeat leaves one more revision with the same content."""

THROTTLE_CODES = {
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
}
"""AWS Batch's is TooManyRequestsException, with HTTP 429; the others are those of AWS's front doors."""

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

    def __init__(self, account: Account, pace: Pace | None = None) -> None:
        self.account = account
        self.region = account.region
        self._pace = pace
        self._batch_slots = {lane: anyio.Semaphore(BATCH_CALLS_AT_ONCE) for lane in Lane}
        self._aws: Any = None
        self._clients: dict[str, Any] = {}
        self._stores: dict[str, Any] = {}
        self._shared: dict[Any, asyncio.Future[Any]] = {}
        self._limits: dict[tuple[str, int], asyncio.Semaphore] = {}
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
        config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries=_sdk_retries(service),
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

    async def batch(
        self, operation: str, doing: str, *, lane: Lane = Lane.DESCRIBE, **request: Any
    ) -> dict[str, Any]:
        """Return AWS Batch's answer to an operation, such as "describe_jobs"; `doing` is for the errors.

        The only way in which this package talks to AWS Batch: at the process's pace, and with patience.
        Raises UnclearSubmissionError where nobody knows whether a job was submitted, SetupError where AWS
        does not answer or does not accept us, and botocore's ClientError for all else that it refuses.
        """
        call = getattr(await self.client("batch"), operation)
        with explained(self.account, doing):
            return await self._send(operation, doing, lane, partial(call, **request))

    async def batch_pages(
        self, operation: str, doing: str, result_key: str, **request: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield what an operation lists under a key of its answer, page after page; raises like `batch`."""
        while True:
            page = await self.batch(operation, doing, **request)
            for each in page[result_key]:
                yield each
            if not page.get("nextToken"):
                return
            request["nextToken"] = page["nextToken"]

    async def _send(
        self, operation: str, doing: str, lane: Lane, call: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        pace = self._pace or pace_for(replace(self.account, region=self.region))
        patience = _Patience(pace, doing, may_repeat=operation not in NEVER_REPEATED)
        while True:
            try:
                async with self._batch_slots[lane]:
                    sent_s = await pace.turn(lane)
                    answer = await call()
            except (BotoCoreError, ClientError, ResponseParserError) as error:
                await patience.bear(error, sent_s)
            else:
                pace.succeeded()
                return answer

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
        return found.result() if found.done() else await asyncio.shield(found)

    def limit(self, lane: str, at_once: int) -> asyncio.Semaphore:
        """Return what lets so many of a lane in at a time, the same for all of this session."""
        return self._limits.setdefault((lane, at_once), asyncio.Semaphore(at_once))

    def forget(self, key: Any) -> None:
        """Make anew, the next time, what `once` keeps under this key."""
        self._shared.pop(key, None)

    def _forget_failure(self, key: Any, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            self.forget(key)


class _Patience:
    """Bears what befalls one call to AWS Batch, and decides whether it is sent again."""

    def __init__(self, pace: Pace, doing: str, *, may_repeat: bool) -> None:
        self._pace = pace
        self._doing = doing
        self._may_repeat = may_repeat
        self._failures = 0
        self._throttled_s: list[float] = []

    async def bear(self, error: Exception, sent_s: float) -> None:
        """Return when the call may be sent again; raises the error, or UnclearSubmissionError, where not."""
        fault = fault_of(error)
        if fault is Fault.THROTTLED:
            self._pace.throttled(sent_s)
            self._throttled_s.append(sent_s)
        else:
            self._failures += 1
        if fault is Fault.UNCLEAR and not self._may_repeat:
            raise UnclearSubmissionError(
                f"AWS Batch was asked to {self._doing}, and nobody knows whether it did: "
                f"{error_message(error)} Look for a job of this name before you submit it again."
            ) from error
        if fault is Fault.REFUSED or self._is_over():
            raise error
        if fault is not Fault.THROTTLED:  # else all wait together, in `turn`
            await self._pace.back_off(self._failures)

    def _is_over(self) -> bool:
        if self._failures >= CALL_ATTEMPTS:
            return True
        # Long queues make refusals rare: time alone could end a call that was hardly tried.
        often = len(self._throttled_s) >= CALL_ATTEMPTS
        return often and self._throttled_s[-1] - self._throttled_s[0] > THROTTLE_PATIENCE_S


def _sdk_retries(service: str) -> dict[str, Any]:
    if service == "batch":
        # `Session.batch` repeats: the SDK would submit a job twice, and hide what should slow all of us down.
        return {"mode": "standard", "total_max_attempts": 1}
    attempts = FIRST_CALL_ATTEMPTS if service == "sts" else CALL_ATTEMPTS
    return {"mode": "adaptive", "total_max_attempts": attempts}


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


def open_session(settings: Settings) -> Session:
    """Return the running event loop's session for the account that settings name."""
    return session_for(
        Account(settings.credentials, settings.profile, settings.region, settings.endpoint_url)
    )


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


class Fault(Enum):
    """What a failed call to AWS tells of itself."""

    THROTTLED = "AWS did nothing, for there are too many calls"
    REFUSED = "AWS, or the SDK, said no"
    UNSENT = "AWS did not hear of it"
    UNCLEAR = "AWS may have done it"


def fault_of(error: Exception) -> Fault:
    """Return what an error of the SDK's tells about the call that met it."""
    from botocore import exceptions as aws
    from botocore.parsers import ResponseParserError

    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 429 or error_code(error) in THROTTLE_CODES:
            return Fault.THROTTLED
        return Fault.UNCLEAR if status >= 500 or status == 408 else Fault.REFUSED
    if _is_unsent(error):
        return Fault.UNSENT
    lost = (aws.HTTPClientError, aws.ConnectionError, ResponseParserError)
    return Fault.UNCLEAR if isinstance(error, lost) else Fault.REFUSED


def _is_unsent(error: Exception) -> bool:
    from aiohttp import ClientConnectorError
    from botocore import exceptions as aws

    if isinstance(error, aws.EndpointConnectionError):
        # aiobotocore gives this name also to connections that broke after the request had gone out.
        return isinstance(error.kwargs.get("error"), (ClientConnectorError, socket.gaierror))
    return isinstance(error, (aws.ConnectTimeoutError, aws.ProxyConnectionError, aws.SSLError))


def is_denied(error: Any) -> bool:
    """Tell whether a botocore ClientError says that a right is missing."""
    return error_code(error) in {"AccessDenied", "AccessDeniedException"}


def error_code(error: Any) -> str:
    """Return the code of a botocore ClientError, such as "NoSuchBucket" or "404"."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: Any) -> str:
    """Return the text of an error of botocore's, AWS's own where there is one, closed with a full stop."""
    answered = getattr(error, "response", None) or {}
    text = str(answered.get("Error", {}).get("Message", "")) or str(error)
    return text if text.endswith(".") else f"{text}."
