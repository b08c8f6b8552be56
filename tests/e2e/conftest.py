"""A real Covalent server and a local AWS, both started once; workflows are dispatched as users do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from covalent._shared_files.config import set_config

from demo.private_covalent import PrivateCovalent
from tests import docker_engine
from tests.e2e.surroundings import AWS, TIME_SCALE, Workflow


@pytest.fixture(scope="session")
def aws() -> Iterator[AWS]:
    local = AWS("--vcpus", "8", "--memory-mib", "8192", "--time-scale", str(TIME_SCALE))
    yield local
    local.stop()


@pytest.fixture(scope="session")
def containers() -> Iterator[AWS]:
    """A local AWS that runs jobs in containers; its settings make images without Covalent."""
    docker_engine.require()
    local = AWS("--runner", "docker", "--vcpus", "8", "--memory-mib", "8192", "--time-scale", str(TIME_SCALE))
    local.settings |= {"base_image": docker_engine.BASE_IMAGE, "install_covalent": False}
    with docker_engine.without_new_images():
        yield local
    local.stop()


@pytest.fixture
def engine(containers: AWS) -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def covalent(aws: AWS) -> Iterator[PrivateCovalent]:
    set_config({f"executors.awsbatch.{name}": value for name, value in aws.settings.items()})
    with PrivateCovalent(
        Path(os.environ["HOME"]), int(os.environ["COVALENT_SVC_PORT"]), dict(os.environ)
    ) as server:
        yield server


@pytest.fixture
def dispatch(covalent: PrivateCovalent) -> type[Workflow]:
    return Workflow
