"""The Docker engine: builds, pulls and pushes, and says in words what went wrong.

All calls block and belong into a thread. Nothing is written to the user's Docker configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import docker_client
from ..errors import BuildError, ImageError, NoEngineError, PushError
from .engine_output import Pushed, follow_build, follow_push
from .environment import PLATFORMS, Recipe, context_image
from .progress import Progress, Report, Stage

if TYPE_CHECKING:
    from docker import APIClient

    from .registry import Login

SILENCE_TIMEOUT_S = 3600
"""A build may say nothing for long while pip unpacks large packages."""

LOCAL_NAME = "covalent-awsbatch"
"""The engine's own name for the images that are built here, which keeps their layers for the next."""

BUILD_NETWORK = "host"
"""Packages are fetched as this machine fetches them, through its VPN or a proxy on its loopback."""


class Engine:
    """A connection to the Docker engine of this machine."""

    def __init__(self, api: APIClient) -> None:
        self._api = api

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def has(self, name: str) -> bool:
        """Tell whether the engine has an image, without asking any registry."""
        return self._platform_of(name) != ""

    def make(self, recipe: Recipe, build_context: Path | None, login: Login, report: Report) -> str:
        """Build the image of a recipe and return the engine's name for it.

        Raises ImageError with pip's own words where pip failed.
        """
        name = f"{LOCAL_NAME}:{recipe.tag}"
        platform = PLATFORMS[recipe.environment.cpu_architecture]
        with _explained(BuildError, f"The image {name} could not be built"):
            if build_context is None:
                self._have_base(recipe.environment.base_image, platform, login, report)
            else:
                own = context_image(recipe.environment)
                self._build(own, platform, report, path=str(build_context))
            self._build(name, platform, report, fileobj=recipe.archive(), custom_context=True)
        return name

    def push(self, name: str, repository_uri: str, tag: str, login: Login, report: Report) -> Pushed:
        """Push an image and return what the registry made of it.

        Raises LoginRefusedError, or PushError where the registry refuses it for another reason.
        """
        target = f"{repository_uri}:{tag}"
        with _explained(PushError, f"The image {target} could not be pushed"):
            self._api.tag(name, repository_uri, tag)
            try:
                items = self._api.push(
                    repository_uri, tag, auth_config=login.auth_config, stream=True, decode=True
                )
                return follow_push(target, items, report)
            finally:
                # Only the name: the layers stay under the engine's own.
                self._api.remove_image(target, noprune=True)

    def _have_base(self, base_image: str, platform: str, login: Login, report: Report) -> None:
        """Pull the base image, unless the engine has it for this platform.

        `docker pull` brings a newer one: a build must not depend on a registry that it does not need.
        """
        from docker.errors import APIError

        if self._platform_of(base_image) == platform:
            return
        auth = login.auth_config if base_image.startswith(f"{login.registry}/") else None
        try:
            items = self._api.pull(
                *_name_and_tag(base_image), auth_config=auth, platform=platform, stream=True, decode=True
            )
        except APIError as error:
            raise BuildError(_cannot_pull(base_image, _explanation(error))) from error
        for item in items:
            if "error" in item:
                raise BuildError(_cannot_pull(base_image, item["error"]))
            report(Progress(Stage.PULL, base_image, 0, 0, item.get("status", "")))

    def _platform_of(self, image: str) -> str:
        """Return the platform of an image that the engine has; empty where it has none of that name."""
        from docker.errors import ImageNotFound

        try:
            found = self._api.inspect_image(image)
        except ImageNotFound:
            return ""
        return f"{found['Os']}/{found['Architecture']}"

    def _build(self, name: str, platform: str, report: Report, **source: Any) -> None:
        is_own = platform.endswith(f"/{self._api.version()['Arch']}")
        items = self._api.build(
            **source,
            tag=name,
            platform=None if is_own else platform,  # some engines take a platform as an experiment only
            network_mode=BUILD_NETWORK,
            use_config_proxy=True,
            rm=True,
            forcerm=True,
            decode=True,
        )
        follow_build(name, items, report)


def connect() -> Engine:
    """Connect to the engine that the `docker` command would use.

    Raises NoEngineError where none answers.
    """
    try:
        return Engine(docker_client.connect(SILENCE_TIMEOUT_S))
    except docker_client.EngineUnreachable as error:
        raise NoEngineError(str(error)) from error


@contextmanager
def _explained(kind: type[ImageError], what: str) -> Iterator[None]:
    """Turn what the Docker SDK raises into one sentence."""
    import requests
    from docker.errors import DockerException

    try:
        yield
    except (DockerException, requests.RequestException) as error:
        raise kind(f"{what}: {_explanation(error)}.") from error


def _explanation(error: BaseException) -> str:
    text = getattr(error, "explanation", None) or str(error)
    return text.strip().splitlines()[-1].rstrip(".") if text.strip() else type(error).__name__


def _name_and_tag(image: str) -> tuple[str, str]:
    """Split an image's name for a pull; without a tag or digest it is `latest`, as on the command line."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    name, colon, tag = image.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (image, "latest")


def _cannot_pull(base_image: str, reason: str) -> str:
    return (
        f"The base image {base_image} cannot be pulled: {reason.rstrip('.')}. Check the network, or set "
        f"base_image to an image that this engine can get."
    )
