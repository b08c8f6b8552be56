"""Workflows through a real Covalent server and the local AWS: what a user sees."""

from __future__ import annotations

import covalent as ct
import numpy as np
import pytest
from covalent._shared_files.config import get_config, set_config

from covalent_awsbatch_plugin.contract import EXIT_USER_EXCEPTION
from tests.e2e.surroundings import eventually
from tests.wheels import write_wheel


def lattice(function, **options):
    """A workflow whose own housekeeping runs in the server, unless a test says otherwise."""
    return ct.lattice(function, **{"executor": "local", "workflow_executor": "local", **options})


@ct.electron(executor="awsbatch")
def add(x, y=1):
    return x + y


@ct.electron(executor="awsbatch")
def identity(*args, **kwargs):
    return args, kwargs


def test_a_value_comes_back_with_what_was_printed(dispatch):
    @ct.electron(executor="awsbatch")
    def speak(name):
        import subprocess
        import sys

        print(f"hello {name}")
        print("and a word of warning", file=sys.stderr)
        subprocess.run(["echo", "from a child process"], check=True)
        return {"name": name, "covalent": "covalent" in sys.modules}

    workflow = dispatch(lattice(lambda name: speak(name)), "world")
    assert workflow.value() == {"name": "world", "covalent": False}
    node = workflow.node("speak")
    assert node["stdout"] == "hello world\nfrom a child process\n"
    assert node["stderr"] == "and a word of warning\n"
    assert not node["error"]


def test_an_exception_reaches_the_user_with_its_traceback_its_job_and_its_output(dispatch, aws):
    @ct.electron(executor="awsbatch")
    def explode():
        print("about to explode")
        raise ValueError("boom")

    workflow = dispatch(lattice(lambda: explode()))
    result, node = workflow.result(), workflow.node("explode")
    job = aws.jobs_of(workflow.id)[0]
    assert str(result.status) == "FAILED"
    assert str(node["status"]) == "FAILED"
    assert "explode" in result.error  # Covalent names the node there; the reason is the node's own error
    assert node["error"].startswith("ValueError: boom\n")
    assert 'raise ValueError("boom")' in node["error"]
    assert job["jobId"] in node["error"]
    assert f"exit code: {EXIT_USER_EXCEPTION}" in node["error"]
    assert "attempt: 1 of" in node["error"]
    assert node["stdout"] == "about to explode\n"
    assert "ValueError: boom" in node["stderr"]
    assert "NoSuchKey" not in node["error"]
    assert len(job["attempts"]) == 1  # a user's exception is final


def test_a_job_that_is_killed_is_explained_in_one_message(dispatch, aws):
    @ct.electron(executor="awsbatch")
    def last_words():
        import time

        print("these were my last words", flush=True)
        time.sleep(300)

    workflow = dispatch(lattice(lambda: last_words()))
    job = aws.wait_for_job(workflow.id, "RUNNING")
    eventually(lambda: "my last words" in "".join(aws.log_lines(job["jobId"])))
    aws.control("POST", f"jobs/{job['jobId']}/kill")
    node = workflow.node("last_words")
    assert str(node["status"]) == "FAILED"
    assert "was killed (SIGKILL): Essential container in task exited (exit code 137)" in node["error"]
    assert "these were my last words" in node["error"]
    assert aws.jobs_of(workflow.id)[0]["jobId"] in node["error"]
    assert "raise memory" in node["error"]


def test_fifty_electrons_run_in_parallel(dispatch, aws):
    before = aws.submitted()
    workflow = dispatch(lattice(lambda: [add(number) for number in range(50)]))
    assert workflow.value() == [number + 1 for number in range(50)]
    assert 1 <= aws.submitted() - before <= 50  # some go together
    jobs = aws.jobs_of(workflow.id)
    definitions = {job["jobDefinition"] for job in jobs}
    assert len(definitions) == 1
    overlapping = [
        (one, other)
        for one in jobs
        for other in jobs
        if one["startedAt"] < other["startedAt"] < one["stoppedAt"]
    ]
    assert overlapping


def test_a_hundred_megabytes_go_in_and_come_back(dispatch):
    @ct.electron(executor="awsbatch")
    def reverse(data):
        return data[::-1]

    data = np.arange(100 * 2**20 // 8)
    assert np.array_equal(dispatch(lattice(lambda data: reverse(data)), data).value(), data[::-1])


def test_hooks_run_as_on_covalents_local_executor(dispatch, tmp_path):
    marker = tmp_path / "marker"

    def record(text):
        with marker.open("a") as file:
            file.write(text)
        return text

    @ct.electron(
        executor="awsbatch",
        deps_bash=ct.DepsBash([f"printf bash, >> {marker}"]),
        deps_pip=ct.DepsPip(packages=["--no-index", str(write_wheel(tmp_path))]),
        call_before=[ct.DepsCall(record, args=["before,"], retval_keyword="injected")],
        call_after=[ct.DepsCall(record, args=["after"])],
    )
    def use(injected=None):
        import tiny_late

        record("call,")
        return tiny_late.ANSWER, injected

    assert dispatch(lattice(lambda: use())).value() == (42, "before,")
    assert marker.read_text() == "bash,before,call,after"


def test_a_failing_depspip_shows_pips_own_last_lines(dispatch, tmp_path):
    @ct.electron(
        executor="awsbatch",
        deps_pip=ct.DepsPip(packages=["--no-index", "--find-links", str(tmp_path), "no-such-package-at-all"]),
    )
    def never():
        return 1

    node = dispatch(lattice(lambda: never())).node("never")
    assert "No matching distribution found for no-such-package-at-all" in node["error"]


def test_a_file_is_transferred_before_and_after(dispatch, tmp_path):
    source, target = tmp_path / "source.txt", tmp_path / "target.txt"
    source.write_text("content")
    bring = ct.fs.FileTransfer(f"file://{source}", f"file://{tmp_path / 'brought.txt'}")
    take = ct.fs.FileTransfer(f"file://{tmp_path / 'made.txt'}", f"file://{target}", order=ct.fs.Order.AFTER)

    @ct.electron(executor="awsbatch", files=[bring, take])
    def work(files=None):
        from pathlib import Path

        text = Path(files[0][1]).read_text()
        Path(files[1][0]).write_text(text.upper())
        return text

    assert dispatch(lattice(lambda: work())).value() == "content"
    assert target.read_text() == "CONTENT"


def test_a_sublattice_is_built_in_a_job_and_its_electrons_run_as_jobs(dispatch, aws):
    @ct.electron(executor="awsbatch")
    def increment(x):
        return x + 1

    @ct.electron
    @ct.lattice(executor="awsbatch", workflow_executor="awsbatch")
    def inner(x):
        return increment(increment(x))

    workflow = dispatch(ct.lattice(lambda x: inner(x), executor="awsbatch", workflow_executor="awsbatch"), 1)
    assert workflow.value() == 3
    assert len(aws.jobs_of(workflow.id)) >= 1


def test_a_lattice_on_this_executor_works_as_its_user_expects(dispatch, aws):
    @ct.electron
    def square(x):
        return x * x

    @ct.lattice(executor="awsbatch")
    def workflow(numbers):
        squares = [square(number) for number in numbers]
        return {"squares": squares, "sum": add(squares[0], squares[1])}

    run = dispatch(workflow, [3, 4])
    assert run.value() == {"squares": [9, 16], "sum": 25}
    # two squares, their sum, and the postprocessing that the user's `return` asks for
    assert len(aws.jobs_of(run.id)) == 4


@ct.electron(executor="awsbatch")
def g(items, named):
    return [items, named]


@ct.electron(executor="local")
def one():
    return 1


@pytest.fixture
def task_packing():
    before = get_config("sdk.task_packing")
    set_config("sdk.task_packing", "true")
    yield
    set_config("sdk.task_packing", before)


def test_glue_nodes_cost_no_job(dispatch, aws):
    def workflow():
        result = g([one(), one()], {"k": one()})
        return [result[0], result[1]["k"]]

    run = dispatch(lattice(workflow))
    assert run.value() == [[1, 1], 1]
    # result[1]["k"]: what result[1] holds is known only to who opens it, so its item is a job
    assert [job["jobName"] for job in aws.jobs_of(run.id)][:1] == [f"covalent-{run.id}-3"]
    assert len(aws.jobs_of(run.id)) == 2


def test_a_call_with_collections_is_one_job(dispatch, aws):
    run = dispatch(lattice(lambda: g([one(), one()], {"k": one()})))
    assert run.value() == [[1, 1], {"k": 1}]
    assert len(aws.jobs_of(run.id)) == 1


@pytest.mark.usefixtures("task_packing")
def test_a_packed_task_group_is_one_job(dispatch, aws):
    def workflow():
        result = g([one(), one()], {"k": one()})
        return result[0]

    run = dispatch(lattice(workflow))
    assert run.value() == [1, 1]
    assert len(aws.jobs_of(run.id)) == 1


@pytest.mark.usefixtures("task_packing")
def test_a_packed_group_fails_where_it_fails(dispatch, aws):
    def workflow():
        result = g([one()], {})
        return result[7]

    run = dispatch(lattice(workflow))
    assert str(run.result().status) == "FAILED"
    assert str(run.node("g")["status"]) == "COMPLETED"
    assert "IndexError: list index out of range" in run.node(":g.__getitem__")["error"]
    assert len(aws.jobs_of(run.id)) == 1


def test_a_wrong_index_fails_in_its_own_node(dispatch):
    def workflow():
        return g([one()], {})[7]

    run = dispatch(lattice(workflow))
    assert str(run.node("g")["status"]) == "COMPLETED"
    assert "IndexError: list index out of range" in run.node(":g.__getitem__")["error"]


def test_a_lost_host_is_retried_and_a_new_attempt_brings_the_value(dispatch, aws):
    @ct.electron(executor=ct.executor.AWSBatchExecutor(retry_attempts=2))
    def patient():
        import os
        import time

        attempt = int(os.environ["AWS_BATCH_JOB_ATTEMPT"])
        if attempt == 1:
            time.sleep(300)
        return attempt

    run = dispatch(lattice(lambda: patient()))
    job = aws.wait_for_job(run.id, "RUNNING")
    aws.control("POST", f"jobs/{job['jobId']}/lose-host")
    assert run.value() == 2
    assert next(attempt["statusReason"][:8] for attempt in aws.jobs_of(run.id)[0]["attempts"]) == "Host EC2"


def test_a_lost_host_without_attempts_left_is_explained(dispatch, aws):
    @ct.electron(executor=ct.executor.AWSBatchExecutor(retry_attempts=1))
    def unlucky():
        import time

        time.sleep(300)

    run = dispatch(lattice(lambda: unlucky()))
    job = aws.wait_for_job(run.id, "RUNNING")
    aws.control("POST", f"jobs/{job['jobId']}/lose-host")
    error = run.node("unlucky")["error"]
    assert "lost its host" in error
    assert "Host EC2" in error
    assert "raise retry_attempts" in error


def test_the_time_limit_ends_a_task_and_says_so(dispatch):
    @ct.electron(executor=ct.executor.AWSBatchExecutor(time_limit=60, retry_attempts=3))
    def slow():
        import time

        print("started", flush=True)
        time.sleep(300)

    node = dispatch(lattice(lambda: slow())).node("slow")
    assert "ran into its time limit: Job attempt duration exceeded timeout" in node["error"]
    assert "raise time_limit" in node["error"]
    assert node["stdout"] == "started\n"


@ct.electron(executor="awsbatch")
def sleep(duration_s):
    import time

    print("sleeping", flush=True)
    time.sleep(duration_s)
    return duration_s


def test_cancel_ends_a_running_job(dispatch, aws):
    run = dispatch(lattice(lambda: sleep(300)))
    aws.wait_for_job(run.id, "RUNNING")
    ct.cancel(run.id)
    assert str(run.result().status) == "CANCELLED"
    assert str(run.node("sleep")["status"]) == "CANCELLED"
    job = aws.jobs_of(run.id)[0]
    assert (job["status"], job["statusReason"]) == ("FAILED", "cancelled in Covalent")


def test_cancel_ends_a_job_in_the_queue(dispatch, aws):
    aws.control("POST", "pause")
    try:
        run = dispatch(lattice(lambda: sleep(300)))
        aws.wait_for_job(run.id, "RUNNABLE")
        ct.cancel(run.id)
        assert str(run.result().status) == "CANCELLED"
        job = aws.jobs_of(run.id)[0]
        assert (job["status"], "startedAt" in job) == ("FAILED", False)
    finally:
        aws.control("POST", "resume")


def test_cancel_at_any_moment_leaves_no_job_behind(dispatch, aws):
    """Cancels between dispatch and submission: after a growing delay, until a job has been seen."""
    seen_before_submission = 0
    for step in range(12):
        run = dispatch(lattice(lambda: sleep(300)))
        eventually(lambda pause=0.02 * step: _after(pause))
        ct.cancel(run.id)
        assert str(run.result().status) == "CANCELLED"
        states = {job["status"] for job in aws.jobs_of(run.id)}
        seen_before_submission += not states
        assert states <= {"FAILED", "SUCCEEDED"}
    assert seen_before_submission >= 1


def _after(pause_s):
    import time

    time.sleep(pause_s)
    return True


def test_cancel_reaches_tasks_that_have_not_started(dispatch):
    run = dispatch(lattice(lambda: add(sleep(300))))
    eventually(lambda: run.status() == "RUNNING")
    ct.cancel(run.id)
    assert str(run.result().status) == "CANCELLED"


def test_variables_and_tags_come_with_the_executor(dispatch, aws):
    executor = ct.executor.AWSBatchExecutor(environment={"LAB": "seven"}, tags={"project": "x"})

    @ct.electron(executor=executor)
    def look():
        import os

        return os.environ["LAB"]

    workflow = dispatch(lattice(lambda: look()))
    assert workflow.value() == "seven"
    (job,) = aws.jobs_of(workflow.id)
    assert job["tags"] == {"project": "x"}


def test_log_files_are_written_where_the_user_asked(dispatch, tmp_path):
    out, err = tmp_path / "deep" / "out.log", tmp_path / "err.log"

    @ct.electron(executor=ct.executor.AWSBatchExecutor(log_stdout=str(out), log_stderr=str(err)))
    def speak():
        import sys

        print("to stdout")
        print("to stderr", file=sys.stderr)

    assert str(dispatch(lattice(lambda: speak())).result().status) == "COMPLETED"
    assert (out.read_text(), err.read_text()) == ("to stdout\n", "to stderr\n")
