"""The local AWS that the doctor's tests share, and an account of one's own in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.plan import Plan
from covalent_awsbatch_plugin.local.timing import Timing

from .account import Account


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAWS]:
    with LocalAWS(timing=Timing(settle_delay_s=0.01)) as running:
        yield running


@pytest.fixture(autouse=True)
def undisturbed(no_covalent_server: None) -> None:
    """Let the doctor see no server but one that a test starts."""


@pytest.fixture
def account(aws: LocalAWS, tmp_path: Path) -> Iterator[Account]:
    yield Account(aws, tmp_path)
    aws.replace_faults(Plan())
