"""The Docker engine that tests use: yours, unless DOCKER_HOST names another.

Without one, without a registry to push to or without a base image, tests that need containers are skipped
and say so; `AWSBATCH_TEST_DOCKER=required` makes them fail instead, as in the project's own check.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import docker
import pytest
from docker.errors import DockerException

from covalent_awsbatch_plugin.local.registry.distribution import BINARIES
from covalent_awsbatch_plugin.settings import Settings
from demo.containers import PYTHON, base_image

BASE_IMAGE = base_image() or Settings().base_image.replace("{python}", PYTHON)
OWN_NAMES = ("covalent-awsbatch:", "covalent-awsbatch-context:", "covalent-awsbatch-test:")
"""What the package and these tests call the images that they build."""

REQUIRED = os.environ.get("AWSBATCH_TEST_DOCKER") == "required"


@cache
def missing() -> str:
    """Say what is missing for tests in containers; empty where nothing is."""
    if all(shutil.which(name) is None for name in (*BINARIES, "docker")):
        return "there is no program that could be the registry"
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        return f"no Docker engine answers: {error}"
    try:
        if not client.images.list(name=BASE_IMAGE):
            client.images.pull(BASE_IMAGE)
        command = ["python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        output: bytes = client.containers.run(BASE_IMAGE, command, remove=True, network_mode="none")
    except DockerException as error:
        return f"the base image {BASE_IMAGE} cannot be used: {error}"
    finally:
        client.close()
    found = output.decode().strip()
    return "" if found == PYTHON else f"the base image has Python {found}, the tests have {PYTHON}"


@contextmanager
def without_new_images() -> Iterator[None]:
    """Remove the images that were built meanwhile: they are of tests alone."""
    client = docker.from_env()
    before = _built(client)
    try:
        yield
    finally:
        for name in _built(client) - before:
            with suppress(DockerException):  # another test's image is built on it, or its container runs
                client.api.remove_image(name)
        client.close()


def containers() -> set[str]:
    """Return the ids of the containers that the engine has, running or not."""
    client = docker.from_env()
    try:
        return {container.id for container in client.containers.list(all=True, ignore_removed=True)}
    finally:
        client.close()


def _built(client: docker.DockerClient) -> set[str]:
    names = {tag for image in client.images.list() for tag in image.tags}
    return {name for name in names if name.startswith(OWN_NAMES)}


def require() -> None:
    """Skip, or fail where containers are required, unless tests can run in them."""
    if reason := missing():
        if REQUIRED:
            pytest.fail(f"AWSBATCH_TEST_DOCKER=required, but {reason}")
        pytest.skip(reason)
