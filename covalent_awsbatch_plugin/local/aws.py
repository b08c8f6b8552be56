"""`LocalAWS`: the local AWS as a person or a test uses it.

    with LocalAWS() as aws:
        client = boto3.client("batch", endpoint_url=aws.endpoint_url, region_name=aws.region, …)

It runs on a loopback port in a thread of this process. S3, IAM, STS and Logs are shared by all
instances of one process (moto keeps them there) and forgotten when the last one stops.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn

from . import moto_services
from .api import BatchApi
from .control import Control
from .engine import Engine, Timing
from .jobs import Account
from .logstream import DEFAULT_GROUP, LogStreams, MotoLogs
from .model import batch_model
from .operations.definitions import DefinitionOperations
from .operations.environments import MEMORY_TAG, EnvironmentOperations, machine_memory_mib, new_environment
from .operations.jobs import JobOperations
from .operations.listing import ListOperations
from .operations.queues import QueueOperations, new_queue
from .operations.tags import TagOperations
from .process_runner import ProcessRunner, Surroundings
from .server import LocalApp
from .store import Store
from .throttle import BatchThrottle

NAME = "covalent-awsbatch-local"
"""The name of the default bucket, queue and compute environment, and the stem of the roles'."""

START_TIMEOUT_S = 30.0

_running_lock = threading.Lock()
_running = 0


@dataclass(frozen=True)
class Options:
    """How the local AWS is to be; None stands for what the machine has.

    `port` 0 takes a free one. `time_scale` divides time limits and the grace after SIGTERM.
    `python_path` holds directories of importable code for jobs. Without a `state_dir` there is a
    temporary one, gone when the local AWS stops.
    """

    port: int = 0
    vcpus: int | None = None
    memory_mib: int | None = None
    throttle: bool = False
    latency_ms: float = 0.0
    timing: Timing = Timing()
    state_dir: Path | None = None
    python_path: tuple[str, ...] = ()
    account: Account = Account()


class LocalAWS:
    """A local AWS; a context manager, blocking or asynchronous, that starts and stops it."""

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        """Take options, or the members of Options as keywords; nothing starts yet."""
        if options is not None and changes:
            raise TypeError("give either options or keywords, not both")
        self.options = options if options is not None else Options(**changes)
        self.settings: dict[str, str] = {}
        self.endpoint_url = ""
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def region(self) -> str:
        """The region in which everything seems to be."""
        return self.options.account.region

    def start(self) -> LocalAWS:
        """Start and return when requests are served; the default resources exist then.

        Raises OSError where the port is taken.
        """
        if self._thread is not None:
            raise RuntimeError("this local AWS runs already")
        self._socket = _listen(self.options.port)
        self.endpoint_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._state_dir = _state_dir(self.options.state_dir)
        self.settings = self._write_settings()
        ready: Future[None] = Future()
        _count_running(1)
        self._thread = threading.Thread(target=self._run, args=(ready,), name="local-aws", daemon=True)
        self._thread.start()
        try:
            ready.result(START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop, kill what still runs and remove what was written; does nothing if it does not run."""
        if self._thread is None:
            return
        if self._loop is not None and self._server is not None:
            self._server.should_exit = True
        self._thread.join()
        self._thread = None
        self._socket.close()
        leftover = self._jobs_dir if self.options.state_dir is not None else self._state_dir
        if leftover.exists():  # the runner's guardian removes it first, where it got as far as having one
            shutil.rmtree(leftover)
        if _count_running(-1) == 0:
            moto_services.reset()

    def __enter__(self) -> LocalAWS:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    async def __aenter__(self) -> LocalAWS:
        """Start without blocking the caller's event loop."""
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop without blocking the caller's event loop."""
        await asyncio.to_thread(self.stop)

    @property
    def _jobs_dir(self) -> Path:
        return self._state_dir / f"jobs-{os.getpid()}-{self._socket_port}"

    @property
    def _socket_port(self) -> str:
        return self.endpoint_url.rpartition(":")[2]

    def _run(self, ready: Future[None]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _serve(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        engine, app = self._build()
        config = uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
        )
        self._server = _AnnouncingServer(config, ready)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            await engine.close()

    def _build(self) -> tuple[Engine, LocalApp]:
        options = self.options
        batch_model()
        runner = ProcessRunner(
            self._jobs_dir,
            Surroundings(self.endpoint_url, self.region, options.python_path),
            removed_at_end=self._jobs_dir if options.state_dir is not None else self._state_dir,
        )
        logs = LogStreams(MotoLogs(moto_services.backend("logs", options.account)))
        engine = Engine(options.account, runner, logs, options.timing)
        store = Store(engine.jobs, engine.placement.queues)
        self._create_default_resources(store)
        app = LocalApp(
            batch=BatchApi(_operations(engine, store)),
            others=moto_services.moto_app(),
            control=Control(engine),
            throttle=BatchThrottle() if options.throttle else None,
            latency_s=options.latency_ms / 1000,
        )
        return engine, app

    def _create_default_resources(self, store: Store) -> None:
        """Create what the settings name, usable at once."""
        account = self.options.account
        moto_services.create_bucket(account, NAME)
        moto_services.create_log_group(account, DEFAULT_GROUP)
        for role in ("batch_job_role_name", "batch_execution_role_name"):
            moto_services.create_task_role(account, self.settings[role])
        environment = new_environment(account, self._environment_request())
        environment.status = "VALID"
        store.environments[NAME] = environment
        queue = new_queue(account, {"jobQueueName": NAME, "priority": 1}, [environment])
        queue.status = "VALID"
        store.queues[NAME] = queue

    def _environment_request(self) -> dict[str, Any]:
        vcpus = self.options.vcpus if self.options.vcpus is not None else os.cpu_count() or 1
        memory_mib = self.options.memory_mib if self.options.memory_mib is not None else machine_memory_mib()
        return {
            "computeEnvironmentName": NAME,
            "type": "MANAGED",
            "computeResources": {
                "type": "EC2",
                "minvCpus": 0,
                "maxvCpus": vcpus,
                "desiredvCpus": 0,
                "instanceTypes": ["optimal"],
                "instanceRole": "ecsInstanceRole",
                "subnets": [],
                "securityGroupIds": [],
            },
            "tags": {MEMORY_TAG: str(memory_mib)},
        }

    def _write_settings(self) -> dict[str, str]:
        """Write the credentials file and return what goes into Covalent's `[executors.awsbatch]`."""
        credentials = self._state_dir / "credentials"
        credentials.write_text("[default]\naws_access_key_id = local\naws_secret_access_key = local\n")
        return {
            "endpoint_url": self.endpoint_url,
            "region": self.region,
            "credentials": str(credentials),
            "profile": "default",
            "s3_bucket_name": NAME,
            "batch_queue": NAME,
            "batch_job_role_name": f"{NAME}-job",
            "batch_execution_role_name": f"{NAME}-execution",
            "batch_job_log_group_name": DEFAULT_GROUP,
            "container_image_uri": f"local/python:{sys.version_info.major}.{sys.version_info.minor}",
        }


class _AnnouncingServer(uvicorn.Server):
    """A server that says when it is up."""

    def __init__(self, config: uvicorn.Config, ready: Future[None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start up and say so."""
        await super().startup(sockets)
        self._ready.set_result(None)


def _operations(engine: Engine, store: Store) -> list[object]:
    return [
        JobOperations(engine, store),
        ListOperations(store),
        DefinitionOperations(engine.account, store),
        QueueOperations(engine, store),
        EnvironmentOperations(engine, store),
        TagOperations(store),
    ]


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener


def _state_dir(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted.resolve()


def _count_running(change: int) -> int:
    global _running
    with _running_lock:
        _running += change
        return _running
