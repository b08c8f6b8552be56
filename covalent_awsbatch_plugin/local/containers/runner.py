"""Run each attempt in a container of the Docker engine, within the limits of its job definition.

For engines that run Linux containers on this machine itself: jobs have the host's network, as on AWS
Batch's EC2 hosts, and find the local AWS on its loopback. An engine in a virtual machine of its own
(Docker Desktop) runs them, but they find nothing there.

A thread follows each running container; a waiting job has none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import requests
from docker import APIClient

from covalent_awsbatch_plugin.threads import in_daemon_thread

from ..jobs import Json
from ..runner import OUT_OF_MEMORY, Exit, Launch
from ..surroundings import Surroundings
from . import guardian
from .efs import with_directories
from .engine import LABEL, connect, gone_is_fine
from .errors import Step, failing_as
from .images import Images, RegistryAuth
from .options import container_name, create_body, task_volumes

logger = logging.getLogger(__name__)

THREAD = "local-aws-call"


def no_credentials(host: str) -> None:
    """Leave the credentials for a registry to the user's own Docker configuration."""


@dataclass(frozen=True)
class Container:
    """A container of the engine's; once it was started, `output` is its stdout and stderr as they come."""

    id: str
    stop_signal: str
    volumes: list[str]
    output: Iterable[bytes] = ()


class DockerRunner:
    """Starts attempts as containers; must be used from one event loop."""

    def __init__(
        self, surroundings: Surroundings, efs_directory: Path, registry_auth: RegistryAuth = no_credentials
    ) -> None:
        """Connect to the engine; `registry_auth` knows the registries that the local AWS runs itself.

        `efs_directory` holds what EFS has, a directory for each file system.
        Raises MissingProgram where no engine answers.
        """
        self._engine = connect()
        self._images = Images(self._engine, registry_auth)
        self._environment = surroundings.aws_environment
        self._efs_directory = efs_directory
        self._labels = {LABEL: uuid4().hex}
        self._guardian = guardian.start(self._labels[LABEL], surroundings.registry_host)

    async def start(self, launch: Launch) -> RunningContainer:
        """Start an attempt in a new container.

        Raises StartFailure with the engine's words where that is not possible.
        """
        container = await in_daemon_thread(partial(self._start, launch), THREAD)
        return RunningContainer(self._engine, container, launch)

    async def close(self) -> None:
        """Let the guardian go, which removes what is left."""
        _, complaint = await asyncio.to_thread(self._guardian.communicate, guardian.ENDED_WELL)
        if self._guardian.returncode != 0:
            logger.warning("the Docker engine could not be cleaned up: %s", complaint.decode().strip())
        self._engine.close()

    def _start(self, launch: Launch) -> Container:
        launch = replace(launch, container=with_directories(launch.container, self._efs_directory))
        image = self._images.provide(launch.image, launch.wanted)
        stop_signal = (image["Config"] or {}).get("StopSignal") or "SIGTERM"
        container = Container(self._create(launch), stop_signal, list(task_volumes(launch).values()))
        try:
            with failing_as(Step.START):
                return self._started(container)
        except BaseException:
            _remove(self._engine, container)
            raise

    def _create(self, launch: Launch) -> str:
        body = create_body(launch, self._environment, self._labels)
        with failing_as(Step.CREATE):
            created = self._engine.create_container_from_config(body, container_name(launch))
        for warning in created["Warnings"] or []:
            logger.warning("the Docker engine on job %s: %s", launch.job_id, warning)
        return str(created["Id"])

    def _started(self, container: Container) -> Container:
        """Start a container and return it with its output, attached to before there is any."""
        output = self._engine.attach(container.id, stdout=True, stderr=True, stream=True)
        try:
            self._engine.start(container.id)
        except BaseException:
            output.close()
            raise
        return replace(container, output=output)


class RunningContainer:
    """A container that is up: a thread hands its output to the event loop and waits for its end."""

    def __init__(self, engine: APIClient, container: Container, launch: Launch) -> None:
        self._engine = engine
        self._container = container
        self._output = launch.output
        self._loop = asyncio.get_running_loop()
        self._killer: asyncio.TimerHandle | None = None
        self._exit = in_daemon_thread(self._follow, THREAD)

    async def wait(self) -> Exit:
        """Return when the container is gone and its output was handed over."""
        try:
            return await self._exit
        finally:
            if self._killer is not None:
                self._killer.cancel()

    def stop(self, grace_s: float) -> None:
        """Send SIGTERM, or the image's own STOPSIGNAL, to PID 1, and SIGKILL to all after the grace."""
        if self._killer is None and not self._exit.done():
            in_daemon_thread(partial(self._signal, self._container.stop_signal), THREAD)
            self._killer = self._loop.call_later(grace_s, self.kill)

    def kill(self) -> None:
        """Send SIGKILL to PID 1, with which the kernel ends all others."""
        if not self._exit.done():
            in_daemon_thread(partial(self._signal, "SIGKILL"), THREAD)

    def _signal(self, name: str) -> None:
        with gone_is_fine():
            self._engine.kill(self._container.id, name)

    def _follow(self) -> Exit:
        try:
            for data in self._container.output:
                # Waiting for the event loop holds back a container that writes faster than it is read.
                asyncio.run_coroutine_threadsafe(self._hand_over(data), self._loop).result()
            self._engine.wait(self._container.id)
            return _exit(self._engine.inspect_container(self._container.id)["State"])
        finally:
            _remove(self._engine, self._container)

    async def _hand_over(self, data: bytes) -> None:
        self._output(data)


def _exit(state: Json) -> Exit:
    """Return how a container ended; like ECS, it was out of memory even if only a child process was."""
    return Exit(state["ExitCode"], OUT_OF_MEMORY if state["OOMKilled"] else None)


def _remove(engine: APIClient, container: Container) -> None:
    """Remove what an attempt leaves; the guardian tries again what fails."""
    try:
        with gone_is_fine():
            engine.remove_container(container.id, v=True, force=True)
        for volume in container.volumes:
            with gone_is_fine():
                engine.remove_volume(volume)
    except requests.RequestException as error:  # the SDK's APIError is one too
        logger.warning("the container of a finished job could not be removed yet: %s", error)
