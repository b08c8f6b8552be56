"""Electrons that go together as array jobs: each keeps its own value, its own error and its own end."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError

from tests.e2e.surroundings import AWS, Counted, eventually
from tests.e2e.test_run import call, executor_for

CROWD = int(os.environ.get("ELECTRONS", "120"))
"""How many electrons run at once; 1,000 take some minutes."""

RAISING, KILLED, CANCELLED = (37, 5, 3) if CROWD >= 1000 else (9, 3, 2)


class Marks:
    """A directory in which jobs leave marks, and wait for the test's."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory)

    def put(self, name: str) -> None:
        Path(self.path, name).touch()

    def wait_for(self, *names: str) -> None:
        eventually(lambda: all(Path(self.path, name).exists() for name in names))


@pytest.fixture
def marks(tmp_path: Path) -> Iterator[Marks]:
    marks = Marks(tmp_path)
    yield marks
    marks.put("open")


def holding(path: str) -> Callable[[int], int]:
    """A function that marks that it runs, and waits for the mark "open"."""

    def hold(number: int) -> int:
        import time
        from pathlib import Path

        Path(path, f"runs-{number}").touch()
        while not Path(path, "open").exists():
            time.sleep(0.02)
        return number

    return hold


async def calls(executor: Any, function: Callable[..., Any], dispatch_id: str, count: int) -> list[Any]:
    """Call a function for each number at once, and return values and exceptions."""
    answers = await asyncio.gather(
        *(call(executor, function, n, dispatch_id=dispatch_id, node_id=n) for n in range(count)),
        return_exceptions=True,
    )
    return [each if isinstance(each, BaseException) else each.get_deserialized() for each in answers]


def arrays_of(jobs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return jobs by the array that they belong to."""
    found = defaultdict(list)
    for job in jobs:
        found[job["jobId"].split(":")[0]].append(job)
    return found


# --- a crowd --------------------------------------------------------------------------------------------


@pytest.mark.timeout(900)
async def test_each_of_a_crowd_ends_in_its_own_way(aws: AWS, marks: Marks):
    every = CROWD // (RAISING + KILLED + CANCELLED)  # the odd ones stand among the others
    odd = iter(range(0, CROWD, every))
    raising, killed, cancelled = ({next(odd) for _ in range(count)} for count in (RAISING, KILLED, CANCELLED))
    hold = holding(marks.path)

    def work(number: int) -> int:
        import os
        import signal

        if number in raising:
            raise ValueError(f"electron {number}")
        if number in killed:
            os.kill(os.getppid(), signal.SIGKILL)
        if number in cancelled:
            hold(number)
        return number * number

    async def cancel() -> None:
        await asyncio.to_thread(marks.wait_for, *(f"runs-{number}" for number in cancelled))
        given_up, *others = cancelled
        running[given_up].cancel()
        for number in others:
            metadata = {"dispatch_id": "crowd", "node_id": number}
            assert await executor_for(aws).cancel(metadata, {"task_group_id": number})

    counted = Counted(aws)
    running = [
        asyncio.create_task(call(executor_for(aws), work, number, dispatch_id="crowd", node_id=number))
        for number in range(CROWD)
    ]
    answers, _ = await asyncio.gather(asyncio.gather(*running, return_exceptions=True), cancel())
    for number, answer in enumerate(answers):
        if number in raising:
            assert isinstance(answer, TaskRuntimeError)
            assert str(answer).startswith(f"ValueError: electron {number}\n")
        elif number in killed:
            assert isinstance(answer, TaskRuntimeError)
            assert "exit code: 137" in str(answer)
        elif number in cancelled:
            assert isinstance(answer, TaskCancelledError)
        else:
            assert answer.get_deserialized() == number * number
    assert counted("batch", "SubmitJob") <= max(4, CROWD // 50)
    assert counted("batch", "TerminateJob") == CANCELLED
    failed = [job for job in aws.jobs_of("crowd") if job["status"] == "FAILED"]
    assert len(failed) == RAISING + KILLED + CANCELLED
    assert {len(job["attempts"]) for job in aws.jobs_of("crowd")} == {1}


# --- what goes together ---------------------------------------------------------------------------------


async def test_what_asks_for_different_things_is_never_in_one_array(aws: AWS):
    small, large = executor_for(aws), executor_for(aws, vcpu=2, memory=0.5)
    found = await asyncio.gather(
        calls(small, lambda n: n, "mixed-one", 3),
        *(call(large, lambda n: n, n, dispatch_id="mixed-one", node_id=n) for n in range(3, 6)),
        calls(small, lambda n: n, "mixed-two", 3),
    )
    assert (found[0], found[-1]) == ([0, 1, 2], [0, 1, 2])
    for dispatch_id, vcpus in (("mixed-one", {"1", "2"}), ("mixed-two", {"1"})):
        arrays = arrays_of(aws.jobs_of(dispatch_id))
        asked = [{resources(job) for job in jobs} for jobs in arrays.values()]
        assert [len(each) for each in asked] == [1] * len(arrays)
        assert {vcpu for each in asked for vcpu, _ in each} == vcpus


def resources(job: dict[str, Any]) -> tuple[str, str]:
    wanted = {each["type"]: each["value"] for each in job["container"]["resourceRequirements"]}
    return wanted["VCPU"], wanted["MEMORY"]


async def test_single_jobs_are_to_be_had(aws: AWS):
    counted = Counted(aws)
    executor = executor_for(aws, max_array_size=1)
    assert await calls(executor, lambda n: -n, "single", 3) == [0, -1, -2]
    assert [":" in job["jobId"] for job in aws.jobs_of("single")] == [False] * 3
    assert counted("batch", "SubmitJob") == 3


async def test_a_definition_that_was_deregistered_is_made_again_once_for_all(aws: AWS):
    executor = executor_for(aws, batch_job_definition_name="array-gone")
    assert await calls(executor, lambda n: n, "array-gone-1", 1) == [0]
    listed = aws.batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    gone = next(each for each in listed if each["jobDefinitionName"].startswith("array-gone-"))
    aws.batch.deregister_job_definition(jobDefinition=gone["jobDefinitionArn"])
    counted = Counted(aws)
    assert await calls(executor, lambda n: n, "array-gone-2", 20) == list(range(20))
    assert counted("batch", "RegisterJobDefinition") == 1
    assert len(aws.jobs_of("array-gone-2")) == 20


# --- one among others -----------------------------------------------------------------------------------


async def test_one_that_takes_too_long_is_ended_alone(aws: AWS):
    def sleep(number: int) -> int:
        import time

        time.sleep(300 if number == 1 else 0)
        return number

    first, late, last = await calls(executor_for(aws, time_limit=60), sleep, "late", 3)
    assert (first, last) == (0, 2)
    assert isinstance(late, TaskRuntimeError)
    assert "time_limit" in str(late)
    assert [job["status"] for job in aws.jobs_of("late")].count("FAILED") == 1


async def test_one_whose_host_is_lost_is_retried_alone(aws: AWS, marks: Marks):
    path = marks.path

    def stay(number: int) -> tuple[int, str]:
        import os
        import time
        from pathlib import Path

        attempt = os.environ["AWS_BATCH_JOB_ATTEMPT"]
        Path(path, f"runs-{number}").touch()
        while number == 1 and attempt == "1":
            time.sleep(0.02)
        return number, attempt

    def lose_the_host() -> None:
        marks.wait_for("runs-0", "runs-1", "runs-2")
        eventually(lambda: aws.jobs_of("host-lost")[1]["status"] == "RUNNING")
        aws.control("POST", f"jobs/{aws.jobs_of('host-lost')[1]['jobId']}/lose-host")

    found, _ = await asyncio.gather(
        calls(executor_for(aws, retry_attempts=2), stay, "host-lost", 3), asyncio.to_thread(lose_the_host)
    )
    assert found == [(0, "1"), (1, "2"), (2, "1")]
    # A value is there sooner than the end of its attempt.
    eventually(lambda: [len(job["attempts"]) for job in aws.jobs_of("host-lost")] == [1, 2, 1])


# --- after a restart ------------------------------------------------------------------------------------

FIRST_SERVER = """
import asyncio, json, sys
from types import SimpleNamespace
from tests.e2e.test_arrays import calls, holding
from tests.e2e.test_run import executor_for

settings, path = json.loads(sys.argv[1])
executor = executor_for(SimpleNamespace(settings=settings))
asyncio.run(calls(executor, holding(path), "restarted", 4))
"""


async def test_after_a_restart_each_child_is_found_and_one_is_cancelled_alone(aws: AWS, marks: Marks):
    arguments = [sys.executable, "-c", FIRST_SERVER, json.dumps([aws.settings, marks.path])]
    first = subprocess.Popen(arguments, cwd=Path(__file__).parents[2])
    try:
        await asyncio.to_thread(marks.wait_for, *(f"runs-{number}" for number in range(4)))
    finally:
        first.kill()
        first.wait()
    counted, executor = Counted(aws), executor_for(aws)
    assert await executor.cancel({"dispatch_id": "restarted", "node_id": 2}, {"task_group_id": 2})
    (cancelled,) = await receive(executor, 2)
    assert str(cancelled.status) == "CANCELLED"
    states = [job["status"] for job in aws.jobs_of("restarted")]
    assert (sorted(states), counted("batch", "TerminateJob")) == (["FAILED", *["RUNNING"] * 3], 1)
    recovering = asyncio.gather(*(receive(executor, number) for number in (0, 1, 3)))
    marks.put("open")
    for number, (update,) in zip((0, 1, 3), await recovering, strict=True):
        assert (update.node_id, str(update.status)) == (number, "COMPLETED")
    assert counted("batch", "SubmitJob") == 0


async def receive(executor: Any, number: int) -> Any:
    metadata = {"dispatch_id": "restarted", "task_group_id": number, "node_ids": [number]}
    return await executor.receive(metadata, {})
