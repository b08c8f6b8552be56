"""What stays in the bucket behind Covalent's doors: `receive()`, as its server calls it, and `run()`."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.schemas import ResourceMap, TaskSpec

from covalent_awsbatch_plugin import tidying
from covalent_awsbatch_plugin.session import open_session
from covalent_awsbatch_plugin.settings import Settings
from tests.client.test_tidying import left, nodes_left
from tests.e2e.surroundings import AWS, eventually
from tests.e2e.test_run import call, executor_for

ROOT = Path(__file__).parents[2]
LARGE = 6 << 20
"""Bytes: more than fit into a payload or an outcome."""


@pytest.fixture(autouse=True)
def quiet_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "QUIET_S", 0.05)


def double() -> Any:
    # A function within a function travels whole: jobs need not import the tests.
    return lambda value: 2 * value


async def nothing_left(aws: AWS, dispatch_id: str) -> None:
    await asyncio.to_thread(eventually, lambda: not left(aws, dispatch_id))


async def tidy_now(executor: Any) -> None:
    await tidying.finish(open_session(Settings.of(executor.__dict__)))


# --- managed execution ----------------------------------------------------------------------------------


def group_of(dispatch_id: str, *node_ids: int) -> dict[str, Any]:
    return {"dispatch_id": dispatch_id, "task_group_id": node_ids[0], "node_ids": list(node_ids)}


async def send(executor: Any, group: dict[str, Any], directory: Path, function: Any, argument: Any) -> None:
    """Send a group whose first task has the argument, and each other one the value of the one before it."""

    def uri(name: str, content: bytes) -> str:
        (directory / name).write_bytes(content)
        return f"file://{directory / name}"

    argument_id, node_ids = 1_000, group["node_ids"]
    no_hooks = json.dumps({"deps": {}, "call_before": [], "call_after": []}).encode()
    resources = ResourceMap(
        functions={each: uri("function", TransportableObject(function).serialize()) for each in node_ids},
        inputs={argument_id: uri("argument", TransportableObject(argument).serialize())},
        hooks={each: uri("hooks", no_hooks) for each in node_ids},
    )
    sources = [argument_id, *node_ids]
    specs = [
        TaskSpec(electron_id=node_id, args=[source], kwargs={})
        for node_id, source in zip(node_ids, sources, strict=False)
    ]
    await executor.send(specs, resources, group)


async def test_what_covalent_has_received_goes_and_nothing_before(aws: AWS, tmp_path: Path):
    executor = executor_for(aws, keep_artifacts="none", cache_dir=str(tmp_path / "cache"))
    group = group_of("tidy-received", 0, 1)
    await send(executor, group, tmp_path, double(), b"x" * LARGE)
    data = await executor.poll(group, None)
    await tidy_now(executor)
    found = left(aws, "tidy-received")
    assert (found["outcomes"], found["values"], found["inputs"], found["packs"]) == (2, 2, 1, 1)
    updates = await executor.receive(group, data)
    assert [str(each.status) for each in updates] == ["COMPLETED"] * 2
    await nothing_left(aws, "tidy-received")
    written = Path(updates[1].assets["output"].remote_uri.removeprefix("file://")).read_bytes()
    assert len(TransportableObject.deserialize(written).get_deserialized()) == 4 * LARGE


async def test_a_group_with_a_failure_stays_as_a_whole(aws: AWS, tmp_path: Path):
    def once_only(value: int) -> int:
        if value > 1:
            raise ValueError("again")
        return value + 1

    executor = executor_for(aws, keep_artifacts="failed", cache_dir=str(tmp_path / "cache"))
    good, bad = group_of("tidy-group", 0), group_of("tidy-group", 1, 2)
    for group in (good, bad):
        await send(executor, group, tmp_path, once_only, 1)
    for group in (good, bad):
        await executor.receive(group, await executor.poll(group, None))
    await tidy_now(executor)
    assert nodes_left(aws, "tidy-group", "outcomes") == {1, 2}
    assert left(aws, "tidy-group")["functions"] == 1


async def test_a_value_that_could_not_be_handed_over_stays(aws: AWS, tmp_path: Path):
    executor = executor_for(aws, keep_artifacts="none", cache_dir=str(tmp_path / "cache"))
    group = group_of("tidy-unread", 0)
    await send(executor, group, tmp_path, double(), b"x" * LARGE)
    data = await executor.poll(group, None)
    refusal = {"operation": "GetObject", "key_contains": "/values/", "effect": {"status": 403}}
    aws.control("PUT", "faults", {"faults": [refusal]})
    try:
        (update,) = await executor.receive(group, data)
    finally:
        aws.control("DELETE", "faults")
    await tidy_now(executor)
    assert str(update.status) == "FAILED"
    assert left(aws, "tidy-unread")["values"] == 1


def run_on_another_server(aws: AWS, dispatch_id: str, count: int) -> None:
    """Run tasks and wait for the ends of their jobs; nothing is tidied, for the event loop ends."""

    async def run() -> None:
        executor = executor_for(aws, keep_artifacts="none")
        numbers = range(count)
        await asyncio.gather(
            *(call(executor, double(), n, dispatch_id=dispatch_id, node_id=n) for n in numbers)
        )

    asyncio.run(run())
    eventually(lambda: all(job["status"] == "SUCCEEDED" for job in aws.jobs_of(dispatch_id)))


async def test_what_another_server_has_submitted_goes_as_it_is_received(aws: AWS):
    await asyncio.to_thread(run_on_another_server, aws, "tidy-earlier", 3)
    executor = executor_for(aws, keep_artifacts="none")
    for number in range(3):
        assert left(aws, "tidy-earlier")["functions"] == 1
        (update,) = await executor.receive(group_of("tidy-earlier", number), {"recover": True})
        assert str(update.status) == "COMPLETED"
        await tidy_now(executor)
        assert nodes_left(aws, "tidy-earlier", "outcomes") == set(range(number + 1, 3))
    assert left(aws, "tidy-earlier") == {}


EARLIER = """
import asyncio, json, sys
from pathlib import Path
from types import SimpleNamespace
from tests.e2e.test_run import executor_for
from tests.e2e.test_tidying import LARGE, group_of, patient_after, send

settings, directory = json.loads(sys.argv[1])

async def main():
    executor, group = executor_for(SimpleNamespace(settings=settings)), group_of("tidy-part", 0, 1)
    await send(executor, group, Path(directory), patient_after(LARGE, directory), b"x" * LARGE)
    await executor.poll(group, None)

asyncio.run(main())
"""


def patient_after(length: int, directory: str) -> Any:
    """Return a function that adds a byte, and waits where there are more than this until it may go on."""

    def add(value: bytes) -> bytes:
        import time
        from pathlib import Path

        while len(value) > length and not Path(directory, "open").exists():
            time.sleep(0.02)
        return value + b"x"

    return add


async def test_a_job_that_still_runs_keeps_what_its_other_tasks_need(aws: AWS, tmp_path: Path):
    arguments = json.dumps([aws.settings, str(tmp_path)])
    earlier = subprocess.Popen([sys.executable, "-c", EARLIER, arguments], cwd=ROOT)
    try:
        await asyncio.to_thread(eventually, lambda: left(aws, "tidy-part")["outcomes"])
    finally:
        earlier.kill()
        earlier.wait()
    executor = executor_for(aws, keep_artifacts="none")
    (update,) = await executor.receive({**group_of("tidy-part", 0, 1), "node_ids": [0]}, {"recover": True})
    await tidy_now(executor)
    assert str(update.status) == "COMPLETED"
    assert left(aws, "tidy-part") == {"packs": 1, "functions": 1, "claims": 1, "inputs": 1}
    (tmp_path / "open").touch()
    (update,) = await executor.receive({**group_of("tidy-part", 0, 1), "node_ids": [1]}, {"recover": True})
    assert str(update.status) == "COMPLETED"


async def test_an_outcome_of_another_machine_stays(aws: AWS, tmp_path: Path):
    await asyncio.to_thread(run_on_another_server, aws, "tidy-foreign", 1)
    executor = executor_for(aws, keep_artifacts="none", cache_dir=str(tmp_path))
    (update,) = await executor.receive(group_of("tidy-foreign", 0), {"recover": True})
    await tidy_now(executor)
    assert str(update.status) == "FAILED"
    assert (left(aws, "tidy-foreign")["outcomes"], left(aws, "tidy-foreign")["packs"]) == (1, 1)


# --- run() ----------------------------------------------------------------------------------------------


async def test_a_direct_call_leaves_nothing_and_the_next_one_brings_its_function_again(aws: AWS):
    executor, function = executor_for(aws, keep_artifacts="none"), double()
    for number in range(2):
        answer = await call(executor, function, number, dispatch_id="tidy-run", node_id=number)
        assert answer.get_deserialized() == 2 * number
        await nothing_left(aws, "tidy-run")


async def test_a_direct_call_that_fails_leaves_what_is_needed_to_look_at_it(aws: AWS):
    executor = executor_for(aws, keep_artifacts="failed")
    assert (await call(executor, double(), 1, dispatch_id="tidy-fail")).get_deserialized() == 2
    with pytest.raises(TaskRuntimeError, match="ZeroDivisionError"):
        await call(executor, lambda: 1 / 0, dispatch_id="tidy-fail", node_id=1)
    await tidy_now(executor)
    assert nodes_left(aws, "tidy-fail", "outcomes") == {1}


async def test_a_direct_call_that_is_given_up_leaves_nothing_when_its_job_has_ended(aws: AWS):
    def sleep() -> None:
        import time

        time.sleep(300)

    executor = executor_for(aws, keep_artifacts="none")
    running = asyncio.create_task(call(executor, sleep, dispatch_id="tidy-given-up"))
    await asyncio.to_thread(aws.wait_for_job, "tidy-given-up", "RUNNING")
    running.cancel()
    with pytest.raises(TaskCancelledError):
        await running
    await nothing_left(aws, "tidy-given-up")
    assert [job["status"] for job in aws.jobs_of("tidy-given-up")] == ["FAILED"]


async def test_who_wants_all_to_stay_keeps_what_it_shares_with_others(aws: AWS):
    keeping, tidy = executor_for(aws), executor_for(aws, keep_artifacts="none")
    function = double()
    await asyncio.gather(
        call(keeping, function, 1, dispatch_id="tidy-mixed", node_id=1),
        call(tidy, function, 2, dispatch_id="tidy-mixed", node_id=2),
    )
    await tidy_now(tidy)
    assert nodes_left(aws, "tidy-mixed", "outcomes") == {1}
    assert left(aws, "tidy-mixed")["functions"] == 1
    assert left(aws, "tidy-mixed")["packs"] == 2
