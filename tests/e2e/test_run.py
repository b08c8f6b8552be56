"""`run()`, the other door: driven by Covalent's older runner, and called directly by anyone."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from functools import partial
from uuid import uuid4

import cloudpickle
import covalent as ct
import pytest
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn

from covalent_awsbatch_plugin import contract, origin
from covalent_awsbatch_plugin.settings import Settings
from tests.e2e.surroundings import AWS, eventually

RunExecutor = ct.executor.RunExecutor  # awsbatch_run.py: announces no managed execution


def lattice(function):
    return ct.lattice(function, executor="local", workflow_executor="local")


# --- driven by Covalent's server: each row of what `run()` may do to a node ------------------------------


def test_a_value_completes_the_node_with_its_streams(dispatch):
    @ct.electron(executor="awsbatch_run")
    def speak():
        print("spoken")
        return {"a": [1, None]}

    run = dispatch(lattice(lambda: speak()))
    assert run.value() == {"a": [1, None]}
    assert run.node("speak")["stdout"] == "spoken\n"


@pytest.mark.parametrize("door", ["awsbatch_run", "awsbatch"])
def test_the_value_none_completes_the_node(dispatch, door):
    @ct.electron(executor=door)
    def nothing():
        return None

    @ct.electron(executor="local")
    def is_none(value):
        return value is None

    assert dispatch(lattice(lambda: is_none(nothing()))).value() is True


def test_an_exception_fails_the_node_and_stderr_has_all_of_it(dispatch):
    @ct.electron(executor="awsbatch_run")
    def explode():
        print("about to explode")
        raise ValueError("boom")

    node = dispatch(lattice(lambda: explode())).node("explode")
    assert str(node["status"]) == "FAILED"
    assert node["stdout"] == "about to explode\n"
    assert "ValueError: boom" in node["stderr"]
    assert "exit code: 101" in node["stderr"]


@pytest.mark.parametrize(
    "kind", ["TimeoutError", "asyncio.CancelledError", "SystemExit", "KeyboardInterrupt"]
)
@pytest.mark.parametrize("door", ["awsbatch_run", "awsbatch"])
def test_no_exception_of_the_user_is_lost_or_leaves_the_node_running(dispatch, door, kind):
    @ct.electron(executor=door)
    def explode():
        import asyncio  # noqa: F401 — eval() needs it

        raise eval(kind)

    node = dispatch(lattice(lambda: explode())).node("explode")
    assert str(node["status"]) == "FAILED"
    assert kind.split(".")[-1] in node["stderr"]


@pytest.mark.parametrize("door", ["awsbatch_run", "awsbatch"])
def test_text_that_is_no_utf8_does_not_leave_the_node_running(dispatch, door):
    @ct.electron(executor=door)
    def surrogate():
        import os

        os.write(1, b"bad \xff byte\n")
        raise ValueError("lone \ud800 surrogate")

    node = dispatch(lattice(lambda: surrogate())).node("surrogate")
    assert str(node["status"]) == "FAILED"
    assert "bad" in node["stdout"]
    assert "surrogate" in node["stderr"]


def test_what_went_wrong_before_submission_fails_the_node(dispatch):
    @ct.electron(executor=RunExecutor(s3_bucket_name="no-such-bucket-anywhere"))
    def never():
        return 1

    node = dispatch(lattice(lambda: never())).node("never")
    assert str(node["status"]) == "FAILED"
    assert "The S3 bucket 'no-such-bucket-anywhere' does not exist" in node["stderr"]


def test_cancel_ends_the_job_and_the_node(dispatch, aws):
    @ct.electron(executor="awsbatch_run")
    def sleep():
        import time

        time.sleep(300)

    run = dispatch(lattice(lambda: sleep()))
    aws.wait_for_job(run.id, "RUNNING")
    ct.cancel(run.id)
    assert str(run.node("sleep")["status"]) == "CANCELLED"
    assert aws.jobs_of(run.id)[0]["status"] == "FAILED"


def test_cancel_before_start_ends_cancelled(dispatch, aws):
    @ct.electron(executor="awsbatch_run")
    def sleep():
        import time

        time.sleep(300)

    @ct.electron(executor="awsbatch_run")
    def after(_value):
        return 1

    run = dispatch(lattice(lambda: after(sleep())))
    aws.wait_for_job(run.id, "RUNNING")
    ct.cancel(run.id)
    assert str(run.result().status) == "CANCELLED"


def test_glue_costs_no_job_here_either(dispatch, aws):
    @ct.electron(executor="awsbatch_run")
    def g(items, named):
        return [items, named]

    run = dispatch(lattice(lambda: g([1, 2], {"k": 3})[1]))
    assert run.value() == {"k": 3}
    assert len(aws.jobs_of(run.id)) == 1


# --- called directly ---------------------------------------------------------------------------------------


def executor_for(aws: AWS, **options):
    executor = ct.executor.AWSBatchExecutor(**{**aws.settings, **options})
    executor._task_stdout, executor._task_stderr = io.StringIO(), io.StringIO()
    return executor


def assembled(function, call_before=(), call_after=()):
    """The callable that Covalent hands to `run()`."""
    return partial(wrapper_fn, TransportableObject(function), list(call_before), list(call_after))


async def call(executor, function, *args, dispatch_id="", node_id=0, **kwargs):
    """Call `run()`, as a task that nobody else has unless it is named."""
    return await executor.run(
        assembled(function),
        [TransportableObject(each) for each in args],
        {name: TransportableObject(each) for name, each in kwargs.items()},
        {"dispatch_id": dispatch_id or uuid4().hex, "node_id": node_id, "results_dir": ""},
    )


async def test_a_direct_call_returns_a_transportable_object(aws):
    answer = await call(executor_for(aws), lambda x, y: x * y, 6, y=7, dispatch_id="direct-value")
    assert isinstance(answer, TransportableObject)
    assert answer.get_deserialized() == 42
    assert answer.object_string == "42"


async def test_a_direct_call_raises_covalents_error(aws):
    executor = executor_for(aws)
    with pytest.raises(TaskRuntimeError, match="ZeroDivisionError"):
        await call(executor, lambda: 1 / 0, dispatch_id="direct-error")
    assert "ZeroDivisionError" in executor._task_stderr.getvalue()


async def test_a_direct_call_that_is_given_up_ends_its_job(aws):
    def sleep():
        import time

        time.sleep(300)

    running = asyncio.create_task(call(executor_for(aws), sleep, dispatch_id="direct-given-up"))
    await asyncio.to_thread(aws.wait_for_job, "direct-given-up", "RUNNING")
    running.cancel()
    with pytest.raises(TaskCancelledError):
        await running
    await asyncio.to_thread(aws.wait_for_job, "direct-given-up", "FAILED")


def test_direct_calls_in_one_loop_after_another_leave_nothing_open(aws, recwarn):
    for number in range(2):
        answer = asyncio.run(call(executor_for(aws), lambda: 1, dispatch_id=f"direct-loop-{number}"))
        assert answer.get_deserialized() == 1
    assert [str(each.message) for each in recwarn if issubclass(each.category, ResourceWarning)] == []


async def test_two_accounts_work_side_by_side(aws, tmp_path):
    """Each executor reads its own credentials file; nothing goes through the environment."""
    other = AWS("--vcpus", "2")
    try:
        first, second = executor_for(aws), executor_for(other)
        for executor, profile in ((first, "one"), (second, "two")):
            path = tmp_path / profile
            path.write_text(f"[{profile}]\naws_access_key_id = {profile}\naws_secret_access_key = s\n")
            executor.credentials, executor.profile = str(path), profile
        answers = await asyncio.gather(
            call(first, lambda: "first", dispatch_id="side-by-side"),
            call(second, lambda: "second", dispatch_id="side-by-side"),
        )
        assert [answer.get_deserialized() for answer in answers] == ["first", "second"]
        assert (len(aws.jobs_of("side-by-side")), len(other.jobs_of("side-by-side"))) == (1, 1)
    finally:
        other.stop()


async def test_fifty_direct_calls_share_clients_definition_and_checks(aws):
    before = aws.calls()
    answers = await asyncio.gather(
        *(call(executor_for(aws), lambda x: x, n, dispatch_id="fifty", node_id=n) for n in range(50))
    )
    assert [answer.get_deserialized() for answer in answers] == list(range(50))
    after = eventually(aws.calls)
    made = {name: after["batch"][name] - before["batch"].get(name, 0) for name in after["batch"]}
    assert made["SubmitJob"] <= 3  # they go as array jobs; a burst may take longer than the first window
    assert made.get("DescribeJobDefinitions", 0) <= 1
    assert made.get("DescribeJobQueues", 0) <= 1
    assert after["sts"].get("GetCallerIdentity", 0) - before["sts"].get("GetCallerIdentity", 0) <= 1


async def test_a_definition_that_was_deregistered_is_made_again(aws):
    executor = executor_for(aws, batch_job_definition_name="soon-gone")
    assert (await call(executor, lambda: 1, dispatch_id="gone-1")).get_deserialized() == 1
    found = aws.batch.describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    gone = next(each for each in found if each["jobDefinitionName"].startswith("soon-gone-"))
    aws.batch.deregister_job_definition(jobDefinition=gone["jobDefinitionArn"])
    assert (await call(executor, lambda: 2, dispatch_id="gone-2")).get_deserialized() == 2


async def test_nothing_is_left_in_the_cache_directory(aws, tmp_path):
    executor = executor_for(aws, cache_dir=str(tmp_path))
    await call(executor, lambda: b"x" * 10_000_000, dispatch_id="tidy")
    assert [each.name for each in tmp_path.iterdir()] == [origin.FILE_NAME]


async def test_a_burst_beyond_awss_rates_loses_no_task():
    throttled = AWS("--vcpus", "4", "--memory-mib", "4096", "--throttle")
    try:
        answers = await asyncio.gather(
            *(
                call(executor_for(throttled), lambda x: x, n, dispatch_id="burst", node_id=n)
                for n in range(200)
            )
        )
        assert [answer.get_deserialized() for answer in answers] == list(range(200))
    finally:
        throttled.stop()


async def outcome_for(executor, dispatch, /, **changes) -> bytes:
    """The bytes of the outcome of a dispatch's node 0, as a job of this machine would leave it."""
    outcome = contract.Outcome(
        dispatch, 0, contract.OutcomeStatus.VALUE, "job", 1, 0.0, 1.0, "3.11.7", cloudpickle.__version__
    )
    key = await origin.dispatch_key(Settings.of(vars(executor)), dispatch)
    return contract.pack_outcome(replace(outcome, **changes), {"value": cloudpickle.dumps("first")}, key)


def resealed(whole: bytes) -> bytes:
    """The same outcome, as somebody else would seal it."""
    return contract.pack_outcome(*contract.parse_outcome(whole, None), b"another key")


@pytest.mark.parametrize(
    ("changes", "alter", "says"),
    [
        ({}, lambda whole: b"", "no envelope"),
        ({}, lambda whole: b"garbage" * 100, "no envelope"),
        ({}, lambda whole: whole[:-3], "cut short or altered"),
        ({}, lambda whole: whole[:30], "cut short or altered"),
        ({}, lambda whole: whole.replace(b"first", b"worst"), "cut short or altered"),
        ({}, resealed, "not sealed with this machine's key"),
        ({"node_id": 1}, bytes, "belongs to another task"),
        ({"dispatch_id": "other"}, bytes, "belongs to another task"),
        ({"attempt": 2}, bytes, "belongs to another task or attempt"),
    ],
)
async def test_an_outcome_that_is_damaged_or_foreign_is_found_out(aws, changes, alter, says):
    executor, dispatch_id = executor_for(aws), uuid4().hex
    content = alter(await outcome_for(executor, dispatch_id, **changes))
    with pytest.raises(TaskRuntimeError, match=says):
        await call(executor, *foreign_writer(executor, dispatch_id, content), dispatch_id=dispatch_id)


async def test_an_outcome_of_another_machine_counts_where_the_origin_is_not_verified(aws):
    executor, dispatch_id = executor_for(aws, verify_origin=False), uuid4().hex
    content = resealed(await outcome_for(executor, dispatch_id))
    answer = await call(executor, *foreign_writer(executor, dispatch_id, content), dispatch_id=dispatch_id)
    assert answer.get_deserialized() == "first"


def foreign_writer(executor, dispatch_id, content):
    """A function that plays a foreign writer to the bucket, and then ends its own job hard; its arguments."""
    key = contract.outcome_key(dispatch_id, 0, 1)

    def write_and_die(bucket, endpoint_url):
        import os
        import signal

        import obstore
        from obstore.store import S3Store

        store = S3Store(bucket, endpoint=endpoint_url, client_options={"allow_http": True})
        obstore.put(store, key, content)
        os.kill(os.getppid(), signal.SIGKILL)

    return write_and_die, executor.s3_bucket_name, executor.endpoint_url


async def test_the_value_of_an_earlier_attempt_counts(aws):
    """The host is lost after the value was stored, and the attempt that follows fails; so also later."""
    executor = executor_for(aws, retry_attempts=2)
    content = await outcome_for(executor, "twice")
    key = contract.outcome_key("twice", 0, 1)

    def store_or_fail(bucket, endpoint_url):
        import os
        import time

        import obstore
        from obstore.store import S3Store

        if os.environ["AWS_BATCH_JOB_ATTEMPT"] == "2":
            raise ValueError("second")
        store = S3Store(bucket, endpoint=endpoint_url, client_options={"allow_http": True})
        obstore.put(store, key, content)
        print("stored", flush=True)
        time.sleep(300)

    def lose_the_host():
        job = aws.wait_for_job("twice", "RUNNING")
        eventually(lambda: "stored" in "".join(aws.log_lines(job["jobId"])))
        aws.control("POST", f"jobs/{job['jobId']}/lose-host")

    answer, _ = await asyncio.gather(
        call(executor, store_or_fail, executor.s3_bucket_name, executor.endpoint_url, dispatch_id="twice"),
        asyncio.to_thread(lose_the_host),
    )
    assert answer.get_deserialized() == "first"  # at once: a value that is stored is all that is needed
    job = await asyncio.to_thread(aws.wait_for_job, "twice", "FAILED")
    assert len(job["attempts"]) == 2
    group = {"dispatch_id": "twice", "task_group_id": 0, "node_ids": [0]}
    (update,) = await executor.receive(group, {"recover": True})
    assert str(update.status) == "COMPLETED"
