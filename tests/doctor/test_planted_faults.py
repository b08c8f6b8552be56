"""The doctor finds each planted fault, says what it is and what mends it; nothing in a healthy account."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from covalent_awsbatch_plugin.doctor.examination import CHECKS, examination
from covalent_awsbatch_plugin.doctor.finding import Finding, State
from covalent_awsbatch_plugin.doctor.subject import Subject

from . import catalogue
from .account import Account
from .catalogue import Plant


def examined(given: dict[str, Any]) -> list[Finding]:
    async def look() -> list[Finding]:
        return [each async for each in examination(Subject(given))]

    return asyncio.run(look())


@pytest.mark.parametrize("plant", catalogue.ALL, ids=lambda plant: plant.name)
def test_the_fault_is_found_and_what_mends_it(
    plant: Plant, account: Account, monkeypatch: pytest.MonkeyPatch
):
    changed = plant.do(account) or {}
    with plant.around(account, monkeypatch) as also_changed:
        findings = examined({**account.settings, **changed, **also_changed})

    (found, *others) = [each for each in findings if each.check == plant.check]
    assert others == []
    assert found.state.value == plant.state, found
    assert re.search(plant.says, found.seen), found.seen
    assert re.search(plant.mends, found.mend), found.mend
    assert found.why
    failed = {each.check for each in findings if each.state is State.FAILED}
    assert failed == {*plant.also, *([plant.check] if plant.state == "failed" else [])}


def test_nothing_is_found_in_a_healthy_account(account: Account):
    assert {each.state for each in examined(account.settings)} == {State.OK}


def test_what_stands_on_a_check_that_failed_is_skipped(account: Account):
    findings = examined({**account.settings, "s3_bucket_name": "no-such-bucket"})
    states = {each.check: each.state for each in findings}
    assert states["bucket"] is State.FAILED
    assert all(
        states[name] is State.SKIPPED for name in ("objects", "encryption", "public access", "lifecycle")
    )
    assert states["queue"] is states["network"] is State.OK


def test_it_is_told_in_the_order_in_which_a_first_run_would_fail(account: Account):
    told = list(dict.fromkeys(each.check for each in examined(account.settings)))
    assert told == [each.name for each in CHECKS if each.name in told]


def test_an_environment_among_others_that_take_the_jobs_is_a_warning(account: Account):
    account.make_environment(f"{account.name}-small", maxvCpus=1)
    order = [
        {"order": number, "computeEnvironment": name}
        for number, name in enumerate((f"{account.name}-small", account.name), 1)
    ]
    account.batch.update_job_queue(jobQueue=account.name, computeEnvironmentOrder=order)
    account.wait_for_queue(account.name)
    small, large = (each for each in examined({**account.settings, "vcpu": 2}) if each.check == "environment")
    assert (small.state, large.state) == (State.WARNING, State.OK)
    assert "allows 1 vCPUs" in small.seen


def test_nothing_of_the_examination_stays_in_the_bucket(account: Account):
    examined(account.settings)
    assert "Contents" not in account.s3.list_objects_v2(Bucket=account.name)


def test_no_secret_is_told(account: Account):
    secret = account.credentials.read_text().rpartition("= ")[2].strip()
    told = "".join(str(each) for each in examined({**account.settings, "batch_queue": "nowhere"}))
    assert len(secret) > 10
    assert secret not in told


def test_the_planted_faults_have_names_of_their_own_and_are_enough():
    names = [each.name for each in catalogue.ALL]
    assert len(set(names)) == len(names) >= 25
