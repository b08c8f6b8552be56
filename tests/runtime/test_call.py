from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cloudpickle
import pytest

from covalent_awsbatch_plugin.contract import (
    EXIT_RUNTIME_FAULT,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    Container,
    OutcomeStatus,
)

from .conftest import PYTHON_VERSION


def test_value_comes_back_with_all_that_describes_it(jobs):
    before = time.time()
    job = jobs.call(lambda a, *, b: {"sum": a + b, 7: None}, 1, b=2)
    left = job.only

    assert job.exit_code == EXIT_VALUE
    assert left.status is OutcomeStatus.VALUE
    assert left.outcome.failure is None
    assert left.value == {"sum": 3, 7: None}
    assert left.object_string == "{'sum': 3, 7: None}"
    assert left.outcome.container == Container("dict", keys=["sum", 7])
    assert left.outcome.job_id == "job-1"
    assert left.outcome.python_version == PYTHON_VERSION
    assert left.outcome.cloudpickle_version == cloudpickle.__version__
    assert before <= left.outcome.started_at <= left.outcome.finished_at <= time.time()


def test_outcome_of_a_later_attempt_stands_under_its_own_key(jobs):
    draft = jobs.draft()
    draft.task(lambda: "second")
    job = jobs.run(draft, AWS_BATCH_JOB_ATTEMPT="2")
    assert job.only.outcome.attempt == 2
    assert jobs.outcomes(draft, attempt=1) == {}


def test_job_without_attempt_in_the_environment_is_the_first(jobs):
    del jobs.environment["AWS_BATCH_JOB_ATTEMPT"]
    assert jobs.call(lambda: 1).only.outcome.attempt == 1


def test_exception_keeps_type_message_and_the_users_own_frames(jobs):
    def inner():
        raise ValueError("no such thing")

    def outer():
        try:
            inner()
        except ValueError as error:
            raise LookupError("gave up") from error

    job = jobs.call(outer)
    failure = job.only.failure

    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.status is OutcomeStatus.EXCEPTION
    assert (failure.type, failure.message) == ("LookupError", "gave up")
    assert "ValueError: no such thing" in failure.traceback
    assert "The above exception was the direct cause" in failure.traceback
    assert "in inner" in failure.traceback
    assert "covalent_awsbatch_plugin" not in failure.traceback
    assert failure.traceback.endswith("LookupError: gave up\n")
    assert failure.traceback in job.only.stderr
    assert failure.traceback in job.stderr


def test_exception_of_a_library_has_its_qualified_name(jobs):
    def fail():
        import json

        json.loads("{")

    assert jobs.call(fail).only.failure.type == "json.decoder.JSONDecodeError"


@pytest.mark.parametrize(("code", "message"), [(3, "3"), (0, "0"), ("a reason", "a reason")])
def test_sys_exit_is_an_exception_of_the_user(jobs, code, message):
    job = jobs.call(lambda: sys.exit(code))
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert (job.only.failure.type, job.only.failure.message) == ("SystemExit", message)


def test_keyboard_interrupt_is_an_exception_of_the_user(jobs):
    def fail():
        raise KeyboardInterrupt

    job = jobs.call(fail)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.failure.type == "KeyboardInterrupt"


def test_exception_whose_text_cannot_be_had(jobs):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("broken")

    def fail():
        raise MuteError

    failure = jobs.call(fail).only.failure
    assert failure.type.endswith("MuteError")
    assert "its text cannot be had: RuntimeError" in failure.message
    assert "in fail" in failure.traceback


def test_long_message_with_a_lone_surrogate_stays_readable(jobs):
    def fail():
        raise ValueError("begin\ud800" + "x" * 1_000_000 + "end")

    message = jobs.call(fail).only.failure.message
    assert message.startswith("begin\\ud800")
    assert message.endswith("end")
    assert len(message) < 11_000
    assert "characters cut" in message


def test_command_of_the_users_own_that_fails_shows_what_it_wrote(jobs):
    def fail():
        script = "for i in $(seq 50); do echo line $i >&2; done; exit 4"
        try:
            subprocess.run(script, shell=True, check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            raise RuntimeError("could not") from error

    failure = jobs.call(fail).only.failure
    assert failure.message == "could not"
    assert "  line 50\n" in failure.traceback
    assert "  line 31\n" in failure.traceback
    assert "line 30\n" not in failure.traceback


def test_function_whose_module_the_container_lacks(jobs, tmp_path, monkeypatch):
    (tmp_path / "only_on_the_client.py").write_text("def work():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_on_the_client

    draft = jobs.draft()
    draft.task_with(None, pickled=cloudpickle.dumps(only_on_the_client.work))
    jobs.directory = tmp_path / "elsewhere"
    jobs.directory.mkdir()
    job = jobs.run(draft)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.failure.type == "ModuleNotFoundError"
    assert "'only_on_the_client', which the container lacks" in job.only.failure.message
    assert "The function needs" in job.only.failure.message


def test_argument_that_is_no_pickle(jobs):
    draft = jobs.draft()
    task = draft.task(lambda x: x, 1)
    draft.sections[task.args[0].section] = b"nonsense"
    job = jobs.run(draft)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.failure.type == "_pickle.UnpicklingError"
    assert job.only.failure.message.startswith("Argument 0 could not be unpickled in the container")


def test_value_that_cannot_be_pickled(jobs):
    def make():
        import threading

        return threading.Lock()

    job = jobs.call(make)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert "returned a value of type _thread.lock that cannot be pickled" in job.only.failure.message
    assert job.only.failure.type == "TypeError"


def test_process_that_exits_in_the_middle_leaves_an_outcome(jobs):
    def leave():
        print("last words")
        os._exit(0)

    job = jobs.call(leave)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.failure.type == "ProcessExit"
    assert "exit code 0" in job.only.failure.message
    assert job.only.stdout == "last words\n"
    assert job.stdout == "last words\n"


def test_crash_leaves_an_outcome_and_the_exit_code_of_a_shell(jobs):
    def crash():
        import ctypes

        ctypes.string_at(0)

    job = jobs.call(crash)
    assert job.exit_code == 128 + signal.SIGSEGV
    assert job.only.status is OutcomeStatus.EXCEPTION
    assert job.only.failure.type == "ProcessKilled"
    assert "SIGSEGV" in job.only.failure.message
    assert "in crash" in job.only.stderr  # where it was, from faulthandler


def test_kill_leaves_an_outcome_that_speaks_of_memory(jobs):
    job = jobs.call(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert job.exit_code == 128 + signal.SIGKILL
    assert "memory" in job.only.failure.message


def test_death_by_a_signal_without_a_name(jobs):
    job = jobs.call(lambda: os.kill(os.getpid(), 40))
    assert job.exit_code == 128 + 40
    assert "Signal 40 (real-time) ended the process" in job.only.failure.message


def test_thread_that_never_ends_does_not_keep_the_job(jobs):
    def work():
        import threading

        threading.Thread(target=threading.Event().wait).start()
        return "done"

    started = time.monotonic()
    job = jobs.call(work)
    assert job.exit_code == EXIT_VALUE
    assert job.only.value == "done"
    assert time.monotonic() - started < 30


def test_exit_handlers_of_the_users_libraries_run(jobs, tmp_path):
    marker = tmp_path / "marker"

    def work():
        import atexit

        atexit.register(marker.touch)

    assert jobs.call(work).exit_code == EXIT_VALUE
    assert marker.exists()


def test_function_that_changes_directory_and_deletes_it(jobs):
    def work():
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
        return "fine"

    assert jobs.call(work).only.value == "fine"


def test_multiprocessing_by_fork_and_terminate(jobs):
    def work():
        import multiprocessing

        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            squares = pool.map(abs, [-1, -2])
        sleeper = context.Process(target=time.sleep, args=(60,))
        sleeper.start()
        sleeper.terminate()
        sleeper.join(20)
        return squares, sleeper.exitcode

    job = jobs.call(work)
    assert job.exit_code == EXIT_VALUE, job.stderr
    assert job.only.value == ([1, 2], -signal.SIGTERM)


@pytest.mark.parametrize(
    ("end", "status"), [(lambda: "child", 0), (lambda: sys.exit(3), 3), (lambda: 1 / 0, 1)]
)
def test_forked_child_that_runs_out_of_the_function_is_not_the_job(jobs, end, status):
    def work():
        pid = os.fork()
        if pid == 0:
            return end()
        return "parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    job = jobs.call(work)
    assert job.exit_code == EXIT_VALUE
    assert job.only.value == ("parent", status)


def test_forked_child_that_outlives_the_function_does_not_keep_the_job(jobs):
    def work():
        if os.fork() == 0:
            time.sleep(60)
        return "parent"

    started = time.monotonic()
    assert jobs.call(work).only.value == "parent"
    assert time.monotonic() - started < 30


def test_python_of_another_minor_version_is_refused_before_anything_is_unpickled(jobs, tmp_path):
    draft = jobs.draft()
    marker = tmp_path / "unpickled"

    class Unpickled:
        def __reduce__(self):
            return marker.touch, ()

    task = draft.task_with(Unpickled())
    draft.tasks[0] = replace(task, python_version="2.7.18")
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert job.only.status is OutcomeStatus.FAULT
    assert "pickled by Python 2.7.18" in job.only.failure.message
    assert f"container runs Python {PYTHON_VERSION}" in job.only.failure.message
    assert "use an image with Python 2.7" in job.only.failure.message
    assert job.only.failure.message in job.stderr
    assert job.only.failure.message in job.only.stderr
    assert not marker.exists()
