"""The images of attempts: pulled before each start, as ECS's agent does, and of the right architecture."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any

from docker import APIClient
from docker.errors import ImageNotFound

from ..jobs import Json
from ..runner import StartFailure
from .errors import Step, engine_failure, failing_as

logger = logging.getLogger(__name__)

RegistryAuth = Callable[[str], dict[str, str] | None]
"""Returns the Docker SDK's `auth_config` for a registry's host, None where it has none."""

ALSO_RUNS = {"amd64": {"386"}, "arm64": {"arm"}}
"""Architectures that a processor runs beside its own."""


class Images:
    """Provides the images of one engine; may be used from several threads."""

    def __init__(self, engine: APIClient, registry_auth: RegistryAuth) -> None:
        self._engine = engine
        self._registry_auth = registry_auth
        self._architecture = str(engine.version()["Arch"])

    def provide(self, reference: str, wanted: Callable[[], bool]) -> Json:
        """Return the engine's description of an image that a container can be made of.

        `wanted` is asked during a pull, which ends when it becomes false. Raises StartFailure where the
        image cannot be had or is for another architecture.
        """
        with failing_as(Step.PULL):
            image = self._up_to_date(reference, wanted)
        self._check_architecture(image)
        return image

    def _up_to_date(self, reference: str, wanted: Callable[[], bool]) -> Json:
        """Return an image as its registry has it, or as the engine has it.

        An image without the host of a registry may be the engine's own and is pulled where it lacks it.
        The registry of whose credentials we are the source is asked every time: the engine may have the
        image only because it was built there, and the hosts of AWS would not. (For a digest that it has
        pulled before, the engine may answer itself.)
        """
        host = registry_host(reference)
        credentials = None if host is None else self._registry_auth(host)
        cached = self._find(reference)
        if credentials is not None or cached is None:
            return self._pulled(reference, credentials, wanted)
        if host is None or "@" in reference:  # a digest names the same image for ever
            return cached
        return self._pulled_or(cached, reference, wanted)

    def _pulled_or(self, cached: Json, reference: str, wanted: Callable[[], bool]) -> Json:
        try:
            with failing_as(Step.PULL):
                return self._pulled(reference, None, wanted)
        except StartFailure as failure:
            logger.warning("%s. The engine's copy of %s is used", failure, reference)
            return cached

    def _pulled(self, reference: str, credentials: dict[str, str] | None, wanted: Callable[[], bool]) -> Json:
        with closing(
            self._engine.pull(reference, stream=True, decode=True, auth_config=credentials)
        ) as progress:
            for step in progress:
                _check_progress(step, wanted)
        return dict(self._engine.inspect_image(reference))

    def _find(self, reference: str) -> Json | None:
        try:
            return dict(self._engine.inspect_image(reference))
        except ImageNotFound:
            return None

    def _check_architecture(self, image: Json) -> None:
        """Refuse an image that a host of AWS could not run, even where this machine emulates others."""
        made_for = image.get("Architecture") or self._architecture
        if made_for != self._architecture and made_for not in ALSO_RUNS.get(self._architecture, ()):
            raise engine_failure(
                Step.START,
                "failed to create shim task: OCI runtime create failed: exec format error: "
                f"the image is for linux/{made_for}, the host is linux/{self._architecture}: unknown",
            )


def registry_host(reference: str) -> str | None:
    """Return the registry that an image reference names, None where it leaves that to the engine."""
    first, slash, _ = reference.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    return first if is_host else None


def _check_progress(step: dict[str, Any], wanted: Callable[[], bool]) -> None:
    if "error" in step:
        raise engine_failure(Step.PULL, step["error"])
    if not wanted():
        raise StartFailure("TaskStoppedBeforePullBeginError: the attempt was ended during the pull")
