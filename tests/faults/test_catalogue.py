"""Every named fault comes to what the catalogue says: value or error, its words, and how often it ran."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.plan import Plan
from covalent_awsbatch_plugin.local.timing import Timing
from tests.local.driving import Driver, until

from . import catalogue
from .catalogue import Named
from .scene import ENOUGH_S, ON_DEMAND, Scene, what_came

DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"

TIMING = Timing(
    start_delay_s=0.02, settle_delay_s=0.02, blocked_reason_delay_s=0.2, stop_grace_s=300, time_scale=60
)
"""A time limit of a minute lasts a second; but a program has five to answer SIGTERM on a busy machine."""

PATIENCE = {
    "submit.UNCLEAR_PAUSE_S": 0.1,
    "watch.ERROR_PAUSE_S": 0.1,
    "pace.PAUSE_S": 0.1,
    "pace.LONGEST_BACK_OFF_S": 0.2,
}
"""What the driver takes its time for, because AWS does; here every fault would last for minutes."""


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAWS]:
    with LocalAWS(vcpus=8, memory_mib=8192, timing=TIMING) as running:
        Driver(running).new_queue(vcpus=4, memory_mib=4096, jobQueueName=ON_DEMAND)
        yield running


@pytest.fixture
def play(aws: LocalAWS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets the scene for a fault, and clears it."""
    scenes: list[Scene] = []

    def begin(named: Named) -> Scene:
        for place, seconds in {**PATIENCE, **named.patience}.items():
            module, _, constant = place.partition(".")
            monkeypatch.setattr(
                importlib.import_module(f"covalent_awsbatch_plugin.{module}"), constant, seconds
            )
        scenes.append(Scene(aws, tmp_path, named.settings))
        if named.needs_a_fresh_client:
            scenes[0].begin_anew()
        return scenes[0]

    yield begin
    aws.replace_faults(Plan())
    for scene in scenes:
        scene.open_gate()


@pytest.mark.parametrize("named", catalogue.ALL, ids=lambda named: named.name)
def test_the_user_gets_a_value_or_reads_why_and_nothing_runs_twice(named: Named, aws: LocalAWS, play: Any):
    scene = play(named)
    if named.before is not None:
        named.before(scene)
    aws.replace_faults(Plan(faults=list(named.faults)))
    scene.jobs = list(named.submit(scene))
    if named.meanwhile is not None:
        named.meanwhile(scene)
    came = [what_came(job) for job in scene.jobs]

    struck = aws.faults_struck
    assert all(struck.values()), f"a fault has not struck, so nothing is shown: {struck}"
    error, told = came[named.of]
    assert (error, told) == (named.error, told)
    assert catalogue.fits(named.reads, told), f"{told}\n\ninstead of\n\n{named.reads}"
    others = [error for number, (error, _) in enumerate(came) if number != named.of]
    assert others == [named.others] * len(others)
    assert "NoSuchKey" not in told

    scene.open_gate()
    aws.replace_faults(Plan())
    until(scene.are_over, ENOUGH_S)
    assert len(scene.submitted()) == named.jobs
    at_least, at_most = named.runs
    assert at_least <= scene.runs <= at_most


def test_the_faults_have_names_of_their_own_and_are_enough():
    names = [each.name for each in catalogue.ALL]
    assert len(set(names)) == len(names) >= 60


def test_a_text_fits_what_begins_with_its_lines():
    assert catalogue.fits("one …\n⋮\nlast", "one 1\ntwo\nthree\nlast\nand more")
    assert catalogue.fits("one\n⋮\nlast", "one\nlast")
    for told in ("one 1\ntwo", "one 1 and more", "none", "", "one \nlast"):
        assert not catalogue.fits("one …1\n⋮\nlast", told)
    assert not catalogue.fits("", "something")


def test_the_document_has_the_table_of_faults():
    assert catalogue.table() in DOCUMENT.read_text()
