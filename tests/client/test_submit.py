"""`submit`: values, exceptions and callbacks, as `concurrent.futures` would have them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.client import AWSBatch, Job
from covalent_awsbatch_plugin.errors import (
    FunctionRaisedError,
    JobFailedError,
    SettingsError,
    UnknownOptionError,
)
from tests.client.surroundings import LONG_S, Gate, OtherProcess, has_status
from tests.e2e.surroundings import AWS, Counted, eventually

LARGE_BYTES = 20 << 20


# --- values ---------------------------------------------------------------------------------------------


def test_a_call_gives_its_value(batch: AWSBatch):
    job = batch.submit(lambda a, b, *, c: [a, b, c], 1, {"two": 2}, c=None)
    assert job.result(LONG_S) == [1, {"two": 2}, None]
    assert job.exception() is None
    assert (job.done(), job.cancelled(), job.cancel()) == (True, False, False)


def test_calls_of_one_moment_are_one_array(batch: AWSBatch, counted: Counted):
    jobs = [batch.submit(pow, number, 2) for number in range(5)]
    assert [job.result(LONG_S) for job in jobs] == [0, 1, 4, 9, 16]
    assert counted("batch", "SubmitJob") <= 2
    assert len({job.id for job in jobs}) == 5


def test_what_cannot_be_pickled_is_said_at_the_call(batch: AWSBatch, counted: Counted):
    lock = threading.Lock()
    with batch, pytest.raises(TypeError, match="cannot pickle"):
        batch.submit(print, lock)
    with batch, pytest.raises(TypeError, match="cannot pickle"):
        batch.submit(lambda: lock)
    with batch, pytest.raises(TypeError, match="cannot pickle"):
        batch.map(print, [1, lock])
    assert counted("batch", "SubmitJob") == 0


def test_large_data_travel_beside_the_job_and_the_result_stays_in_s3_until_it_is_asked_for(
    aws: AWS, batch: AWSBatch
):
    data = bytes(range(256)) * (LARGE_BYTES // 256)
    job = batch.submit(lambda data: data[::-1], data)
    job.wait(LONG_S)
    run_id = job.id.split("/")[0]
    objects = aws.s3.list_objects_v2(
        Bucket=aws.settings["s3_bucket_name"], Prefix=f"covalent-awsbatch/{run_id}"
    )
    sizes = {each["Key"].split("/")[2]: each["Size"] for each in objects["Contents"]}
    assert sizes["inputs"] > LARGE_BYTES
    assert sizes["packs"] < 10_000
    counted = Counted(aws)
    assert (job.done(), job.stdout, job.exception()) == (True, "", None)
    assert counted("s3", "GetObject") == 0
    assert job.result() == data[::-1]
    assert counted("s3", "GetObject") > 0


# --- exceptions -----------------------------------------------------------------------------------------


def test_the_users_own_exception_is_raised_and_its_cause_tells_of_the_job(batch: AWSBatch):
    class Overdrawn(Exception):
        def __init__(self, account: str, by: int) -> None:
            super().__init__(account, by)
            self.by = by

        def __str__(self) -> str:
            return f"{self.args[0]} is overdrawn by {self.by}"

    def withdraw() -> None:
        raise Overdrawn("A-1", 7)

    job = batch.submit(withdraw)
    with pytest.raises(Overdrawn, match="A-1 is overdrawn by 7") as raised:
        job.result(LONG_S)
    assert raised.value.by == 7
    assert job.exception() is raised.value
    cause = raised.value.__cause__
    assert isinstance(cause, JobFailedError)
    assert "in withdraw" in str(cause)
    assert job.batch_id in str(cause)


def test_what_cannot_travel_or_would_end_the_driver_becomes_a_text(batch: AWSBatch):
    class Stubborn(Exception):
        def __init__(self, text: str) -> None:
            super().__init__(text)
            self.lock = threading.Lock()

    class Worded(Exception):
        def __init__(self, what: str, how: str) -> None:
            super().__init__(f"{what} {how}")

    raised = {
        "Stubborn": lambda: Stubborn("it was enough"),
        "Worded": lambda: Worded("it was", "enough"),
        "SystemExit": lambda: SystemExit("it was enough"),
        "KeyboardInterrupt": lambda: KeyboardInterrupt("it was enough"),
    }

    def fail(kind: str) -> None:
        raise raised[kind]()

    found = list(batch.map(fail, raised).results(return_exceptions=True, timeout=LONG_S))
    assert [type(each) for each in found] == [FunctionRaisedError] * len(raised)
    for kind, error in zip(raised, found, strict=True):
        assert f"{kind}: it was enough" in str(error)


# --- waiting --------------------------------------------------------------------------------------------


def test_who_waits_in_vain_is_told_and_the_job_goes_on(batch: AWSBatch, gate: Gate):
    job = batch.submit(gate.hold, "value")
    for wait in (job.result, job.exception, job.wait):
        with pytest.raises(TimeoutError, match=job.id):
            wait(timeout=0.01)
    assert not job.done()
    gate.open()
    assert job.result(LONG_S) == "value"


def test_callbacks_are_called_once_with_the_job_also_after_its_end(batch: AWSBatch, gate: Gate):
    called: list[Job[None]] = []
    job = batch.submit(gate.hold)
    job.add_done_callback(called.append)
    gate.wait_for(1)
    assert called == []
    gate.open()
    job.wait(LONG_S)
    eventually(lambda: called == [job])
    job.add_done_callback(called.append)
    assert called == [job, job]


def test_a_callback_that_fails_does_not_concern_others(batch: AWSBatch, gate: Gate):
    def fail(_: Job[None]) -> None:
        raise ValueError("a fault of the user's callback")

    called: list[Job[None]] = []
    job = batch.submit(gate.hold, 1)
    job.add_done_callback(fail)
    job.add_done_callback(called.append)
    gate.open()
    assert job.result(LONG_S) == 1
    eventually(lambda: called == [job])
    job.add_done_callback(fail)


def test_a_callback_that_asks_aws_does_not_stop_everything(aws: AWS):
    other = OtherProcess(
        aws,
        """
        told = []
        job = batch.submit(pow, 2, 2)
        job.add_done_callback(lambda job: told.append(job.attempts))
        job.wait()
        print(json.dumps(batch.submit(pow, 2, 3).result(20)))
        """,
    )
    assert other.answer() == 8


async def test_a_job_can_be_awaited(batch: AWSBatch):
    assert await batch.submit(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await batch.submit(lambda: 1 // 0)


def test_an_event_loop_that_ended_meanwhile_does_not_concern_others(batch: AWSBatch, gate: Gate):
    async def give_up(job: Job[int]) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(job, 0.01)

    job = batch.submit(gate.hold, 1)
    asyncio.run(give_up(job))
    gate.open()
    assert job.result(LONG_S) == 1


# --- leaving --------------------------------------------------------------------------------------------


def test_the_end_of_with_waits_for_all(batch: AWSBatch):
    with batch:
        jobs = [batch.submit(lambda: 1), *batch.map(lambda x: x, range(2))]
    assert [job.done() for job in jobs] == [True] * 3


def test_who_leaves_by_an_exception_does_not_wait_and_the_jobs_go_on(batch: AWSBatch, gate: Gate):
    jobs: list[Job[int]] = []

    def be_interrupted() -> None:
        with batch:
            jobs.extend([batch.submit(gate.hold, 1), *batch.map(gate.hold, [2, 3])])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_interrupted()
    assert [job.done() for job in jobs] == [False] * 3
    gate.wait_for(3)
    gate.open()
    assert [job.result(LONG_S) for job in jobs] == [1, 2, 3]


def test_without_waiting_shutdown_returns_when_all_is_submitted(batch: AWSBatch, gate: Gate):
    job = batch.submit(gate.hold)
    batch.shutdown(wait=False)
    assert job.batch_id != ""
    assert has_status(job, "RUNNING")


# --- options --------------------------------------------------------------------------------------------


def test_misspelt_and_impossible_options_are_refused():
    with pytest.raises(UnknownOptionError, match=r"no option 'vcpus'\. Did you mean 'vcpu'"):
        AWSBatch(vcpus=2)
    with pytest.raises(SettingsError, match="time_limit=5 is refused: the minimum is 60 s"):
        AWSBatch(time_limit=5)


def test_options_come_from_covalents_configuration_and_what_is_written_wins(
    aws: AWS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    options = {**aws.settings, "vcpu": 3, "time_limit": 77}
    lines = [f"{name} = {value!r}" for name, value in options.items()]
    (tmp_path / "covalent.conf").write_text("\n".join(["[executors.awsbatch]", *lines]))
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path))
    batch = AWSBatch(vcpu=1)
    assert (batch.settings.vcpu, batch.settings.time_limit) == (1, 77)
    job = batch.submit(lambda: "configured")
    assert job.result(LONG_S) == "configured"
    (detail,) = aws.batch.describe_jobs(jobs=[job.batch_id])["jobs"]
    assert detail["timeout"] == {"attemptDurationSeconds": 77}


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "covalent.conf").write_text("[executors.awsbatch\n")
    monkeypatch.setenv("COVALENT_CONFIG_DIR", str(tmp_path))
    with pytest.raises(SettingsError, match=r"covalent\.conf' cannot be read"):
        AWSBatch()


def test_what_is_missing_at_aws_is_told_by_each_job(aws: AWS):
    batch = AWSBatch(**{**aws.settings, "batch_queue": "no-such-queue"})
    with batch:
        jobs = [batch.submit(lambda: 1), *batch.map(lambda x: x, range(2))]
    for job in jobs:
        with pytest.raises(JobFailedError, match="The job queue 'no-such-queue' does not exist"):
            job.result()
        assert (job.batch_id, job.status.value, job.exit_code, job.attempts) == ("", "FAILED", None, [])
