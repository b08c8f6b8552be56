"""The connection to the Docker engine, and the label of everything that a local AWS makes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from docker import APIClient
from docker.errors import APIError

from covalent_awsbatch_plugin import docker_client

from ..errors import MissingProgram

NEXT_STEP = "start Docker, or use --runner process"

CALL_TIMEOUT_S = 240
"""How long one request may take; ECS's agent waits four minutes for a container to be created."""

LABEL = "covalent-awsbatch-local"
"""The label of containers and volumes; its value tells one local AWS from another."""

GONE_STATUSES = (404, 409)
"""The engine's answers for what does not exist (any more), and for what is ending, ended or in use."""


def connect() -> APIClient:
    """Connect to an engine.

    Raises MissingProgram where no engine for Linux containers answers.
    """
    try:
        engine = docker_client.connect(CALL_TIMEOUT_S)
        system = engine.version()["Os"]
    except docker_client.EngineUnreachable as error:
        raise MissingProgram(f"no Docker engine answers at {error}; {NEXT_STEP}") from error
    if system != "linux":
        raise MissingProgram(f"the Docker engine at hand runs {system} containers, not Linux: {NEXT_STEP}")
    return engine


@contextmanager
def gone_is_fine() -> Iterator[None]:
    """Let pass that what was to be ended or removed is gone, or on its way."""
    try:
        yield
    except APIError as error:
        if error.status_code not in GONE_STATUSES:
            raise
