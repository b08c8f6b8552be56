from __future__ import annotations

from collections.abc import Iterator

import pytest

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.timing import Timing

from .driving import Driver

FAST = Timing(start_delay_s=0.02, blocked_reason_delay_s=0.2, time_scale=60.0)
"""A minute lasts a second, the grace of 30 s half a second."""


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAWS]:
    """One local AWS for all tests that do not need it to be special; tests make queues of their own."""
    with LocalAWS(vcpus=8, memory_mib=8192, timing=FAST) as running:
        yield running


@pytest.fixture(scope="session")
def local(aws: LocalAWS) -> Driver:
    return Driver(aws)


@pytest.fixture
def paused(local: Driver) -> Iterator[Driver]:
    """The same, placing no jobs while the test runs."""
    local.local("POST", "pause")
    yield local
    local.local("POST", "resume")
