"""The only place that creates AWS clients, and the only one that knows where credentials come from.

Clients are opened once for each event loop and account (credentials file, profile, region, endpoint) and
kept: executors are rebuilt from JSON for every node, so what they share must live here. Everything closes
when its event loop ends. Nothing is read from, or written to, other tasks' environment.
"""

from __future__ import annotations

import asyncio
import importlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from .account import Account
from .errors import CredentialsError, SetupError
from .fairness import Crew, Turnstile
from .pace import Lane, Pace, pace_for
from .patience import CALL_ATTEMPTS, NEVER_REPEATED, Patience
from .refusals import explained, has_expired
from .settings import Settings
from .threads import in_thread

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

T = TypeVar("T")

SERVICES = ("batch", "ecr", "iam", "logs", "s3", "sts")
"""What tasks need; what only commands ask, such as CloudFormation and EC2, is read when they do."""

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
FIRST_CALL_ATTEMPTS = 3
"""For the call that only asks who we are: where nobody answers, that should be known soon."""

MAX_KEPT = 10_000
"""Of what is made once, the latest used: a server runs for months, and making it again does no harm."""

MAX_CONNECTIONS = 50
BATCH_CALLS_AT_ONCE = MAX_CONNECTIONS // len(Lane)
"""Calls of one lane: there is a connection for each, so that whoever has the turn sends at once. With 25 the
full rate is reached where answers take half a second."""

TRANSFER_TIMEOUT = timedelta(hours=1)
"""For one request of the S3 store, the largest object on the slowest line included."""

CREDENTIALS_LIFETIME = timedelta(minutes=10)
"""How long the S3 store may use credentials that name no end before it asks again."""


class Session:
    """The clients of one account on one event loop; made by `session_for`."""

    def __init__(self, account: Account, pace: Pace | None = None) -> None:
        self.account = account
        self.region = account.region
        self._pace = pace
        self._batch_slots = {lane: anyio.Semaphore(BATCH_CALLS_AT_ONCE) for lane in Lane}
        self._aws: Any = None
        self._clients: dict[str, Any] = {}
        self._stores: dict[tuple[str, str], Any] = {}
        self._shared: dict[Any, asyncio.Future[Any]] = {}
        self._companions: dict[Any, Any] = {}
        self._turnstile = Turnstile()
        self._crews: dict[tuple[str, int], Crew] = {}
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
        from botocore.exceptions import ClientError

        with explained(self.account, doing):
            client = await self.client("batch")
            try:
                return await self._send(client, operation, doing, lane, request)
            except ClientError as error:
                if not has_expired(error):
                    raise
                await self._renew(client)  # who has signed in again has changed the file they come from
                return await self._send(await self.client("batch"), operation, doing, lane, request)

    async def _renew(self, expired: Any) -> None:
        """Read the credentials anew, unless that was done since this client was opened."""
        async with self._lock:
            if self._clients.get("batch") is expired:
                self._aws = None
                self._clients = {}  # the old ones may be in use; they are closed with the session
                self._stores = {}

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
        self, client: Any, operation: str, doing: str, lane: Lane, request: dict[str, Any]
    ) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        call: Callable[..., Awaitable[dict[str, Any]]] = getattr(client, operation)
        pace = self._pace or pace_for(replace(self.account, region=self.region))
        patience = Patience(pace, doing, may_repeat=operation not in NEVER_REPEATED)
        while True:
            try:
                async with self._batch_slots[lane]:
                    sent_s = await pace.turn(lane)
                    answer = await call(**request)
            except (BotoCoreError, ClientError, ResponseParserError) as error:
                await patience.bear(error, sent_s)
            else:
                pace.succeeded()
                return answer

    async def store(self, bucket: str, kms_key_id: str = "") -> Any:
        """Return the obstore S3 store of a bucket, with this account's credentials.

        What is written through it is encrypted with the KMS key; empty: as the bucket itself does.
        """
        async with self._lock:
            key = bucket, kms_key_id
            if key not in self._stores:
                with explained(self.account, "set up the AWS SDK"):
                    self._stores[key] = self._open_store(await self._aws_session(), bucket, kms_key_id)
            return self._stores[key]

    def _open_store(self, aws: Any, bucket: str, kms_key_id: str) -> Any:
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
        if kms_key_id:
            options |= {"aws_server_side_encryption": "aws:kms", "aws_sse_kms_key_id": kms_key_id}
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
        known: asyncio.Future[T] | None = self._shared.get(key)
        found = known if known is not None else self._begin(key, make)
        self._shared.pop(key, None)
        self._shared[key] = found  # at the end, where what was used lately stands
        if not found.done():
            await asyncio.wait([found])  # who gives up waiting does not end it for the others
            await self._turnstile.pass_through()
        return found.result()

    def _begin(self, key: Any, make: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        oldest = next(iter(self._shared), None)
        if len(self._shared) >= MAX_KEPT and self._shared[oldest].done():
            del self._shared[oldest]
        found = asyncio.ensure_future(make())
        found.add_done_callback(partial(self._forget_failure, key))
        return found

    def crew(self, work: str, size: int) -> Crew:
        """Return who does a kind of work, so many pieces at a time, for all of this session."""
        crew = self._crews.get((work, size))
        if crew is None:
            crew = self._crews[work, size] = Crew(size)
        return crew

    def forget(self, key: Any, is_stale: Callable[[Any], bool] = lambda _: True) -> None:
        """Make anew, the next time, what `once` keeps under this key.

        Many tasks may find out together that it is stale: `is_stale` keeps what was made anew since.
        """
        found = self._shared.get(key)
        if found is not None and found.done() and (_failed(found) or is_stale(found.result())):
            del self._shared[key]

    def forget_all(self, is_meant: Callable[[Any], bool]) -> None:
        """Make anew, the next time, what `once` keeps under the keys that are meant."""
        for key in [key for key in self._shared if is_meant(key)]:
            self.forget(key)

    def companion(self, kind: Callable[[Session], T]) -> T:
        """Return the one object of a kind that belongs to this session, made when it is first asked for."""
        if kind not in self._companions:
            self._companions[kind] = kind(self)
        found: T = self._companions[kind]
        return found

    def _forget_failure(self, key: Any, done: asyncio.Future[Any]) -> None:
        if _failed(done):
            self.forget(key)


def _failed(done: asyncio.Future[Any]) -> bool:
    return done.cancelled() or done.exception() is not None


def _sdk_retries(service: str) -> dict[str, Any]:
    if service == "batch":
        # `Session.batch` repeats: the SDK would submit a job twice, and hide what should slow all of us down.
        return {"mode": "standard", "total_max_attempts": 1}
    attempts = FIRST_CALL_ATTEMPTS if service == "sts" else CALL_ATTEMPTS
    return {"mode": "adaptive", "total_max_attempts": attempts}


def _new_aws_session(account: Account) -> Any:
    for heavy in ("aiobotocore.config", "aiobotocore.httpsession", "obstore.store"):
        importlib.import_module(heavy)
    session_module = importlib.import_module("aiobotocore.session")
    aws = session_module.AioSession(profile=account.profile or None)
    if account.credentials:
        path = Path(account.credentials).expanduser()
        if not path.is_file():
            raise CredentialsError(f"The credentials file {str(path)!r} is missing; correct `credentials`.")
        aws.set_config_variable("credentials_file", str(path))
    loader = _models(aws.get_config_variable("data_path"))
    aws.register_component("data_loader", loader)
    for service in SERVICES:
        loader.load_service_model(service, "service-2")
        loader.load_service_model(service, "endpoint-rule-set-1")
    return aws


@lru_cache
def _models(data_path: str | None) -> Any:
    """Return what reads the SDK's models, once for all sessions of the process: a quarter of a second."""
    return importlib.import_module("botocore.loaders").create_loader(data_path)


_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Account, Session]] = (
    weakref.WeakKeyDictionary()
)


def session_for(account: Account) -> Session:
    """Return the running event loop's session for an account; there is one."""
    of_loop = _sessions.setdefault(asyncio.get_running_loop(), {})
    if account not in of_loop:
        of_loop[account] = Session(account)
    return of_loop[account]


def open_sessions() -> list[Session]:
    """Return all sessions of the running event loop."""
    return list(_sessions.get(asyncio.get_running_loop(), {}).values())


def open_session(settings: Settings) -> Session:
    """Return the running event loop's session for the account that settings name."""
    return session_for(
        Account(settings.credentials, settings.profile, settings.region, settings.endpoint_url)
    )
