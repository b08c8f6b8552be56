"""`LocalAWS`: the local AWS as a person or a test uses it.

    with LocalAWS() as aws:
        client = boto3.client("batch", endpoint_url=aws.endpoint_url, region_name=aws.region, …)

It runs on a loopback port in a thread of this process. What moto serves (S3, IAM, STS, Logs, EC2 …) is
shared by all instances of one process (moto keeps it there) and forgotten when the last one stops; jobs,
queues and stacks belong to one instance.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import uvicorn

from . import defaults, moto_services
from .api import BatchApi
from .calls import CallCounts
from .cloudformation.clients import Clients
from .cloudformation.operations import StackOperations
from .containers.runner import DockerRunner, no_credentials
from .control import Control
from .engine import Engine
from .faults.answers import Answers
from .faults.force import InForce
from .faults.plan import Plan
from .faults.requests import RequestFaults
from .jobs import Account, Json
from .logstream import LogStreams, MotoLogs
from .model import batch_model
from .operations.environments import machine_has
from .operations.providers import providers
from .process_runner import ProcessRunner
from .query import QueryApi
from .registry import ecr
from .registry.ecr import Registry
from .runner import Runner, RunnerKind
from .secrets import MotoSecrets
from .server import LocalApp
from .simulation import PolicySimulation
from .store import Store
from .surroundings import Surroundings
from .throttle import BatchThrottle
from .timing import Timing

T = TypeVar("T")

START_TIMEOUT_S = 150.0
"""Longer than the registry's own, so that its reason is told."""

_running_lock = threading.Lock()
_running = 0


@dataclass(frozen=True)
class Options:
    """How the local AWS is to be; None stands for what the machine has.

    `port` 0 takes a free one. `time_scale` divides time limits and the grace after SIGTERM.
    `python_path` holds directories of importable code for jobs that are processes. Without a `state_dir`
    there is a temporary one, gone when the local AWS stops. `faults` is the plan with which it starts. An
    `empty` one makes nothing by itself; what others in this process have in moto's services it has too.
    """

    port: int = 0
    vcpus: int | None = None
    memory_mib: int | None = None
    throttle: bool = False
    latency_ms: float = 0.0
    timing: Timing = field(default_factory=Timing)
    state_dir: Path | None = None
    python_path: tuple[str, ...] = ()
    runner: RunnerKind = RunnerKind.PROCESS
    account: Account = field(default_factory=Account)
    faults: Plan = field(default_factory=Plan)
    empty: bool = False


class LocalAWS:
    """A local AWS; a context manager, blocking or asynchronous, that starts and stops it."""

    def __init__(self, options: Options | None = None, **changes: Any) -> None:
        """Take options, or the members of Options as keywords; nothing starts yet."""
        if options is not None and changes:
            raise TypeError("give either options or keywords, not both")
        self.options = options if options is not None else Options(**changes)
        self.settings: Json = {}
        self.endpoint_url = ""
        self._thread: threading.Thread | None = None
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._faults: InForce | None = None

    @property
    def region(self) -> str:
        """The region in which everything seems to be."""
        return self.options.account.region

    def start(self) -> LocalAWS:
        """Start and return when requests are served; the default resources exist then.

        Raises OSError where the port is taken, MissingProgram where the runner needs one that is not there.
        """
        if self._thread is not None:
            raise RuntimeError("this local AWS runs already")
        self._socket = _listen(self.options.port)
        self.endpoint_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._state_dir = _state_dir(self.options.state_dir)
        self.settings = defaults.write_settings(
            self._state_dir, self.endpoint_url, self.region, self.options.runner, self.options.empty
        )
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
        if self._temporary_dir.exists():  # where start failed before the runner's guardian had it
            shutil.rmtree(self._temporary_dir)
        if _count_running(-1) == 0:
            moto_services.reset()

    def replace_faults(self, plan: Plan) -> None:
        """Put a plan of faults in force, counting calls and jobs anew; an empty one ends all faults."""
        self._in_loop(lambda faults: faults.replace(plan))

    @property
    def faults_struck(self) -> dict[str, int]:
        """How often each fault of the plan in force has struck, by its name (else `fault 1`, `fault 2` …)."""
        return self._in_loop(lambda faults: faults.struck)

    def _in_loop(self, do: Callable[[InForce], T]) -> T:
        """Return what something gives on the event loop of the server; raises RuntimeError if none runs."""
        if self._thread is None or self._loop is None or self._faults is None:
            raise RuntimeError("this local AWS does not run")
        faults = self._faults

        async def done() -> T:
            return do(faults)

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result()

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
    def _temporary_dir(self) -> Path:
        """What must not outlive the local AWS: a state directory of its own, or the jobs' part of one."""
        return self._state_dir if self.options.state_dir is None else self._jobs_dir

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
        counts = CallCounts()
        async with self._registry(counts) as registry:
            await self._serve_with(registry, counts, ready)

    async def _serve_with(self, registry: Registry | None, counts: CallCounts, ready: Future[None]) -> None:
        stacks = self._new_stacks()
        engine, app = self._build(registry, counts, stacks)
        config = uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",  # engines try TLS first, of which a warning would tell each time
            timeout_graceful_shutdown=1,
            timeout_keep_alive=60,
            proxy_headers=False,  # a client is who the connection is from
        )
        self._server = _AnnouncingServer(config, ready)
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            await stacks.close()
            await engine.close()
            moto_services.close(app.others)

    def _registry(self, counts: CallCounts) -> AbstractAsyncContextManager[Registry | None]:
        """Return a registry to be run where there are containers to run from its images."""
        if self.options.runner is RunnerKind.PROCESS:
            return nullcontext()
        host, directory = self._surroundings.registry_host, self._state_dir / "registry"
        return ecr.running(self.options.account, host, directory, self._temporary_dir, counts)

    @property
    def _surroundings(self) -> Surroundings:
        return Surroundings(self.endpoint_url, self.region, self.options.python_path)

    def _new_runner(self, registry: Registry | None) -> Runner:
        if self.options.runner is RunnerKind.PROCESS:
            return ProcessRunner(self._jobs_dir, self._surroundings, removed_at_end=self._temporary_dir)
        credentials = no_credentials if registry is None else registry.credentials
        return DockerRunner(self._surroundings, self._state_dir / "efs", credentials)

    def _new_stacks(self) -> StackOperations:
        clients = Clients(self.options.account, self.endpoint_url)
        return StackOperations(clients, self.options.timing.settle_delay_s)

    def _build(
        self, registry: Registry | None, counts: CallCounts, stacks: StackOperations
    ) -> tuple[Engine, LocalApp]:
        options = self.options
        batch_model()
        logs = LogStreams(MotoLogs(moto_services.backend("logs", options.account)))
        engine = Engine(options.account, self._new_runner(registry), logs, options.timing)
        engine.read_secret = MotoSecrets(
            partial(moto_services.backend, "secretsmanager", options.account),
            partial(moto_services.backend, "ssm", options.account),
        )
        store = Store(engine.jobs, engine.placement.queues)
        requests = RequestFaults(self._transports, partial(moto_services.halve_object, options.account))
        answers = Answers()
        self._faults = InForce(engine, requests, answers, options.faults)
        machine = machine_has(options.vcpus, options.memory_mib)
        moto_services.create_user(options.account, defaults.USER)
        if not options.empty:
            defaults.create_resources(options.account, store, machine)
        iam = PolicySimulation(moto_services.backend("iam", options.account, "aws"))
        app = LocalApp(
            batch=BatchApi(providers(engine, store, answers, machine)),
            queries={
                "cloudformation": QueryApi("cloudformation", [stacks]),
                "iam": QueryApi("iam", [iam], partial=True),
            },
            others=moto_services.moto_app(),
            control=Control(engine, counts, self._faults, registry),
            faults=requests,
            registry=registry,
            throttle=BatchThrottle() if options.throttle else None,
            latency_s=options.latency_ms / 1000,
        )
        return engine, app

    def _transports(self, client: tuple[str, int]) -> list[asyncio.Transport]:
        """Return the connection to a client, none where it has gone."""
        connections = self._server.server_state.connections if self._server is not None else set()
        transports = [protocol.transport for protocol in connections]
        return [each for each in transports if each.get_extra_info("peername") == client]


class _AnnouncingServer(uvicorn.Server):
    """A server that says when it is up."""

    def __init__(self, config: uvicorn.Config, ready: Future[None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start up and say so."""
        await super().startup(sockets)
        self._ready.set_result(None)


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio switches off the delay of small packets (Nagle) on connections.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener


def _state_dir(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix=f"{defaults.NAME}-"))
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted.resolve()


def _count_running(change: int) -> int:
    global _running
    with _running_lock:
        _running += change
        return _running
