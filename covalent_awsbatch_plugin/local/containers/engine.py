"""The connection to the Docker engine, and the label of everything that a local AWS makes there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from docker import APIClient
from docker.context import ContextAPI
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from ..errors import MissingProgram

NEXT_STEP = "start Docker, or use --runner process"

CONNECT_TIMEOUT_S = 10
CALL_TIMEOUT_S = 240
"""How long one request may take; ECS's agent waits four minutes for a container to be created."""

LABEL = "covalent-awsbatch-local"
"""The label of containers and volumes; its value tells one local AWS from another."""

GONE_STATUSES = (404, 409)
"""The engine's answers for what does not exist (any more), and for what is ending, ended or in use."""


def connect() -> APIClient:
    """Connect to the engine of DOCKER_HOST, of the current docker context, or the machine's own.

    Raises MissingProgram where no engine for Linux containers answers.
    """
    address = _address()
    try:
        engine = APIClient(version="auto", timeout=CONNECT_TIMEOUT_S, **address)
        system = engine.version()["Os"]
    except (DockerException, OSError) as error:
        where = address.get("base_url", "its usual address")
        raise MissingProgram(f"no Docker engine answers at {where} ({_cause(error)}): {NEXT_STEP}") from error
    if system != "linux":
        raise MissingProgram(f"the Docker engine at hand runs {system} containers, not Linux: {NEXT_STEP}")
    engine.timeout = CALL_TIMEOUT_S
    return engine


def _address() -> dict[str, Any]:
    if os.environ.get("DOCKER_HOST"):
        return dict(kwargs_from_env())
    context = ContextAPI.get_current_context()
    if context is None or not context.Host:
        return {}
    return {"base_url": context.Host, "tls": context.TLSConfig or False}


def _cause(error: Exception) -> str:
    """Return the innermost cause: the SDK wraps it in the texts of three libraries."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    return str(error)


@contextmanager
def gone_is_fine() -> Iterator[None]:
    """Let pass that what was to be ended or removed is gone, or on its way."""
    try:
        yield
    except APIError as error:
        if error.status_code not in GONE_STATUSES:
            raise
