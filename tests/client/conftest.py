"""A local AWS that the client's tests share, and what holds its jobs back as long as a test wants."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.client import AWSBatch
from tests.client.surroundings import Gate
from tests.e2e.surroundings import AWS, TIME_SCALE, Counted


@pytest.fixture(scope="session")
def aws() -> Iterator[AWS]:
    local = AWS("--vcpus", "8", "--memory-mib", "8192", "--time-scale", str(TIME_SCALE))
    yield local
    local.stop()


@pytest.fixture
def batch(aws: AWS) -> AWSBatch:
    return AWSBatch(**aws.settings)


@pytest.fixture
def counted(aws: AWS) -> Counted:
    return Counted(aws)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def unanswered(aws: AWS) -> Iterator[AWSBatch]:
    """An AWS that takes calls and never answers, so that nothing comes to its submission."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield AWSBatch(**{**aws.settings, "endpoint_url": endpoint_url})
