"""What the engine needs of something that can run jobs: a small interface with exchangeable makers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from .jobs import Json

OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
"""ECS's `container.reason` where the kernel ended something for its memory."""


class RunnerKind(str, Enum):
    """What can run the jobs of the local AWS."""

    PROCESS = "process"
    DOCKER = "docker"


@dataclass(frozen=True)
class Launch:
    """One attempt to run.

    `container` is AWS's ContainerDetail of the job. `output` takes the bytes of stdout and stderr as they
    come, on the event loop. `wanted` tells, from any thread, whether the attempt is still to be started.
    """

    job_id: str
    attempt: int
    image: str
    command: list[str]
    environment: dict[str, str]
    cpu_units: int
    memory_mib: int
    container: Json
    output: Callable[[bytes], None]
    wanted: Callable[[], bool]


@dataclass(frozen=True)
class Exit:
    """How an attempt ended; `reason` is AWS's `container.reason`."""

    code: int
    reason: str | None = None


class StartFailure(Exception):
    """The attempt could not be started; the message is AWS's `container.reason`."""


class Running(Protocol):
    """An attempt that is up. The calls take effect in the background; `wait` returns when it is over."""

    async def wait(self) -> Exit:
        """Return when everything of the attempt is gone and its output was handed over."""

    def stop(self, grace_s: float) -> None:
        """Ask the attempt to end (SIGTERM), and kill it after the grace."""

    def kill(self) -> None:
        """End the attempt at once (SIGKILL)."""


class Runner(Protocol):
    """Starts attempts; one instance serves the whole local AWS."""

    async def start(self, launch: Launch) -> Running:
        """Start an attempt.

        Raises StartFailure where AWS would say `Task failed to start`.
        """

    async def close(self) -> None:
        """Give back what the runner itself holds; the attempts were killed before."""
