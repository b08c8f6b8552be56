from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.plan import Plan
from covalent_awsbatch_plugin.local.runner import RunnerKind
from covalent_awsbatch_plugin.local.timing import Timing
from tests import docker_engine

from .driving import Driver
from .program import Program

FAST = Timing(start_delay_s=0.02, blocked_reason_delay_s=0.2, time_scale=60.0)
"""A minute lasts a second, the grace of 30 s half a second."""

WITH_CONTAINERS = Timing(start_delay_s=0.02, time_scale=20.0)
"""A minute lasts three seconds, so that a program has time to answer SIGTERM on a busy machine."""


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAWS]:
    """One local AWS for all tests that do not need it to be special; tests make queues of their own."""
    with LocalAWS(vcpus=8, memory_mib=8192, timing=FAST) as running:
        yield running


@pytest.fixture(scope="session")
def local(aws: LocalAWS) -> Driver:
    return Driver(aws)


@pytest.fixture(scope="session")
def struck_aws() -> Iterator[LocalAWS]:
    """A local AWS of its own for those tests that let things go wrong in it."""
    with LocalAWS(vcpus=4, memory_mib=4096, timing=FAST) as running:
        yield running


@pytest.fixture
def faulty(struck_aws: LocalAWS) -> Iterator[Driver]:
    """The same, without faults at the beginning and at the end of the test."""
    yield Driver(struck_aws)
    struck_aws.replace_faults(Plan())


@pytest.fixture(scope="session")
def in_docker() -> Iterator[Driver]:
    """A local AWS whose jobs run in containers; skips without a Docker engine."""
    docker_engine.require()
    with LocalAWS(vcpus=8, memory_mib=8192, timing=WITH_CONTAINERS, runner=RunnerKind.DOCKER) as running:
        yield Driver(running, image=docker_engine.BASE_IMAGE)


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """The Docker engine, to see what became of containers and images."""
    docker_engine.require()
    connection = docker.from_env()
    yield connection
    connection.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    """Start `covalent-awsbatch local` with arguments; what still runs is killed at the end."""
    programs: list[Program] = []

    def start_one(*arguments: str) -> Program:
        programs.append(Program(tmp_path, *arguments))
        return programs[-1]

    yield start_one
    for program in programs:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)
        if program.process.stdout is not None:
            program.process.stdout.close()


@pytest.fixture
def paused(local: Driver) -> Iterator[Driver]:
    """The same, placing no jobs while the test runs."""
    local.local("POST", "pause")
    yield local
    local.local("POST", "resume")
