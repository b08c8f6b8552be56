from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.contract import EXIT_TERMINATED, EXIT_VALUE, OutcomeStatus

from .conftest import wait_until


def _terminate_once_it_prints(jobs, function, *more, send=os.kill):
    draft = jobs.draft()
    for each in (function, *more):
        draft.task(each)
    process = jobs.start(draft)
    assert process.stdout.readline() == "running\n"
    send(process.pid, signal.SIGTERM)
    return draft, process


def _assert_terminated(left):
    assert left.status is OutcomeStatus.TERMINATED
    assert left.failure.type == "Terminated"
    assert "SIGTERM ended the job" in left.failure.message
    assert left.stdout.startswith("running\n")
    assert left.sections["value"] == b""


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["process", "process group"])
def test_sigterm_in_sleep_runs_finally_blocks_and_says_where(jobs, tmp_path, send):
    marker = tmp_path / "marker"

    def work():
        try:
            print("running")
            time.sleep(60)
        finally:
            time.sleep(0.5)
            print("cleaned up")
            marker.touch()

    draft, process = _terminate_once_it_prints(jobs, work, lambda: 1, send=send)
    job = jobs.finish(draft, process)
    assert job.exit_code == EXIT_TERMINATED
    _assert_terminated(job.outcomes[0])
    assert job.outcomes[0].stdout == "running\ncleaned up\n"
    assert "in work\n" in job.outcomes[0].failure.traceback  # in print or in sleep, wherever it was
    assert job.outcomes[1].status is OutcomeStatus.SKIPPED
    assert marker.exists()


def test_sigterm_is_not_swallowed_by_asyncio(jobs):
    def work():
        import asyncio

        async def wait():
            print("running")
            await asyncio.gather(asyncio.sleep(60), return_exceptions=True)

        asyncio.run(wait())

    draft, process = _terminate_once_it_prints(jobs, work)
    job = jobs.finish(draft, process)
    assert job.exit_code == EXIT_TERMINATED
    _assert_terminated(job.only)


def test_value_of_a_function_that_swallowed_the_interruption_does_not_count(jobs):
    def work():
        try:
            print("running")
            time.sleep(60)
        except BaseException:  # noqa: BLE001 - this is what the test is about
            return "half done"

    draft, process = _terminate_once_it_prints(jobs, work)
    job = jobs.finish(draft, process)
    assert job.exit_code == EXIT_TERMINATED
    _assert_terminated(job.only)


def test_function_that_handles_sigterm_itself_may_return_a_value(jobs):
    def work():
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append("checkpoint"))
        print("running")
        while not stopped:
            time.sleep(0.02)
        return stopped[0]

    draft, process = _terminate_once_it_prints(jobs, work, lambda: "never begun")
    job = jobs.finish(draft, process)
    assert job.outcomes[0].value == "checkpoint"
    assert job.outcomes[1].status is OutcomeStatus.TERMINATED
    assert job.exit_code == EXIT_TERMINATED


def test_sigterm_to_the_whole_group_reaches_the_function_once(jobs):
    def work():
        received = []
        signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
        print("running")
        while not received:
            time.sleep(0.02)
        time.sleep(0.5)
        return len(received)

    draft, process = _terminate_once_it_prints(jobs, work, send=os.killpg)
    assert jobs.finish(draft, process).only.value == 1


def test_sigterm_ends_what_cannot_be_interrupted(jobs):
    """All at once, since each takes the whole grace."""

    def in_c_code_that_keeps_the_interpreter_lock():
        import ctypes

        print("running")
        ctypes.PyDLL(None).sleep(60)

    def in_c_code_that_is_called_again_and_again():
        lines = ["running"]
        while True:
            try:
                while lines:
                    print(lines.pop())
                time.sleep(60)
            except BaseException as error:  # noqa: BLE001 - likewise
                print(f"swallowed {type(error).__name__}")

    def ignoring():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("running")
        time.sleep(60)

    def stopped():
        print("running")
        os.kill(os.getpid(), signal.SIGSTOP)

    functions = (
        in_c_code_that_keeps_the_interpreter_lock,
        in_c_code_that_is_called_again_and_again,
        ignoring,
        stopped,
    )
    started = time.monotonic()
    running = [_terminate_once_it_prints(jobs, each) for each in functions]
    ended = [jobs.finish(*each) for each in running]
    assert time.monotonic() - started < 28  # Batch sends SIGKILL after 30 s
    for job in ended:
        assert job.exit_code == EXIT_TERMINATED
        _assert_terminated(job.only)
    assert ended[1].only.stdout == "running\nswallowed Terminated\n"


def test_sigterm_before_the_payload_can_be_read(jobs):
    """S3 that accepts connections and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = jobs.start_at("s3://bucket/key", AWS_ENDPOINT_URL=endpoint)
        connection, _ = server.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            _, stderr = process.communicate(timeout=60)
    assert process.returncode == EXIT_TERMINATED
    assert time.monotonic() - started < 10
    assert "SIGTERM ended the job" in stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_that_the_users_code_sends_itself_is_its_own_exception(jobs, number):
    def work():
        os.kill(os.getpid(), number)
        time.sleep(60)

    job = jobs.call(work)
    assert job.only.status is OutcomeStatus.EXCEPTION
    assert job.only.failure.type.endswith("Terminated" if number is signal.SIGTERM else "KeyboardInterrupt")


def _is_running(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "(zombie)" not in status


def test_worker_does_not_outlive_a_killed_supervisor(jobs, tmp_path):
    pid_file = tmp_path / "pid"

    def work():
        pid_file.write_text(str(os.getpid()))
        print("running")
        time.sleep(60)

    draft = jobs.draft()
    draft.task(work)
    process = jobs.start(draft)
    assert process.stdout.readline() == "running\n"
    process.kill()
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    wait_until(lambda: not _is_running(pid_file.read_text()))


def test_job_without_sigterm_has_no_trace_of_it(jobs):
    assert jobs.call(lambda: 1).exit_code == EXIT_VALUE
