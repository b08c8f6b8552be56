"""The connection to the Docker engine that the command `docker` would use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import APIClient

CONNECT_TIMEOUT_S = 10


class EngineUnreachable(Exception):
    """No Docker engine answers; the text says where, and why not."""


def connect(call_timeout_s: float) -> APIClient:
    """Connect to the engine of DOCKER_HOST, of the current docker context, or the machine's own.

    `call_timeout_s` is how long a later call may stay silent. Raises EngineUnreachable.
    """
    from docker import APIClient
    from docker.errors import DockerException

    address = _address()
    try:
        engine = APIClient(version="auto", timeout=CONNECT_TIMEOUT_S, **address)
        engine.ping()
    except (DockerException, OSError) as error:
        raise EngineUnreachable(f"{address.get('base_url', 'its usual address')}: {_cause(error)}") from error
    engine.timeout = call_timeout_s
    return engine


def _address() -> dict[str, Any]:
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        return dict(kwargs_from_env())
    context = ContextAPI.get_current_context()
    if context is None or not context.Host:
        return {}
    return {"base_url": context.Host, "tls": context.TLSConfig or False}


def _cause(error: BaseException) -> str:
    """Return the innermost cause: the SDK wraps it in the texts of three libraries."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error)
