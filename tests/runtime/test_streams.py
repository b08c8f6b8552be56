from __future__ import annotations

import os
import subprocess
import sys
import time

from covalent_awsbatch_plugin.contract import EXIT_VALUE, OutcomeStatus

from .conftest import wait_until


def test_streams_hold_what_python_children_and_c_print(jobs):
    def work():
        import ctypes

        print("python")
        print("python error", file=sys.stderr)
        subprocess.run("echo child; echo child error >&2", shell=True, check=True)
        libc = ctypes.CDLL(None)
        libc.printf(b"held back by C\n")

    draft = jobs.draft()
    draft.task(work)
    draft.task(lambda: print("the next task"))
    job = jobs.run(draft)
    assert job.outcomes[0].stdout == "python\nchild\nheld back by C\n"
    assert job.outcomes[0].stderr == job.stderr == "python error\nchild error\n"
    assert job.outcomes[1].stdout == "the next task\n"
    assert job.stdout == job.outcomes[0].stdout + job.outcomes[1].stdout


def test_output_is_live(jobs, tmp_path):
    gate = tmp_path / "gate"

    def work():
        print("a line")
        deadline = time.monotonic() + 15
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return gate.exists()

    draft = jobs.draft()
    draft.task(work)
    process = jobs.start(draft)
    assert process.stdout.readline() == "a line\n"
    gate.touch()
    assert jobs.finish(draft, process).only.value is True  # it was still waiting when its line came


def test_bytes_that_are_no_utf8_and_lone_surrogates(jobs):
    def work():
        os.write(1, b"bad \xff byte\n")
        print("lone \ud800 surrogate \N{SNOWMAN}")
        return "value \udcff"

    job = jobs.call(work)
    assert job.exit_code == EXIT_VALUE, job.stderr
    assert job.only.stdout == "bad \N{REPLACEMENT CHARACTER} byte\nlone \\ud800 surrogate \N{SNOWMAN}\n"
    assert job.only.value == "value \udcff"
    assert job.only.object_string == "value \\udcff"


def test_container_without_a_locale_prints_unicode(jobs):
    jobs.environment.update(LC_ALL="C", PYTHONIOENCODING="ascii")
    assert jobs.call(lambda: print("\N{SNOWMAN}")).only.stdout == "\N{SNOWMAN}\n"


def test_background_child_that_keeps_the_stream_open_does_not_keep_the_job(jobs):
    def work():
        subprocess.Popen("echo from the background; sleep 60", shell=True)
        time.sleep(0.5)

    draft = jobs.draft()
    draft.task(work)
    started = time.monotonic()
    process = jobs.start(draft)
    process.wait(timeout=30)
    assert time.monotonic() - started < 30
    assert jobs.outcomes(draft)[0].stdout == "from the background\n"


def test_function_may_close_redirect_or_replace_its_streams(jobs):
    def close():
        print("before closing")
        sys.stdout.close()
        sys.stderr = None
        os.close(2)

    def redirect():
        print("whole again")
        print("here too", file=sys.stderr)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        print("into nothing")

    draft = jobs.draft()
    draft.task(close)
    draft.task(redirect)
    draft.task(lambda: print("and again"))
    job = jobs.run(draft)
    assert job.exit_code == EXIT_VALUE, job.stderr
    assert job.outcomes[0].stdout == "before closing\n"
    assert (job.outcomes[1].stdout, job.outcomes[1].stderr) == ("whole again\n", "here too\n")
    assert job.outcomes[2].stdout == "and again\n"


def test_traceback_is_shown_even_where_the_function_closed_stderr(jobs):
    def fail():
        os.close(2)
        raise ValueError("unseen?")

    job = jobs.call(fail)
    assert "ValueError: unseen?" in job.only.stderr
    assert "ValueError: unseen?" in job.stderr


def test_long_output_keeps_its_end_and_says_so(jobs):
    def work():
        for number in range(11 * 2**20 // 64):
            print(f"{number:063d}")

    left = jobs.call(work).only
    first_line, _, rest = left.stdout.partition("\n")
    assert first_line == f"[the first {2**20} bytes were cut; the job's log has them]"
    assert len(rest) == 10 * 2**20
    assert rest.endswith(f"{11 * 2**20 // 64 - 1:063d}\n")


def test_much_output_from_c_code_that_keeps_the_interpreter_lock(jobs):
    """A thread of the same process could not empty the pipe meanwhile."""

    def work():
        import ctypes

        libc = ctypes.PyDLL(None)
        line = b"x" * 1023 + b"\n"
        return sum(libc.write(1, line, len(line)) for _ in range(2000)), libc.write(1, line * 500, 512_000)

    job = jobs.call(work)
    assert job.only.value[0] == 2000 * 1024
    assert len(job.only.stdout) == sum(job.only.value)


def test_container_whose_own_stdout_is_gone(jobs):
    draft = jobs.draft()
    draft.task(lambda: [print("x" * 1000) for _ in range(1000)] and "done")
    process = jobs.start(draft)
    process.stdout.close()
    assert process.wait(timeout=30) == EXIT_VALUE
    left = jobs.outcomes(draft)[0]
    assert left.status is OutcomeStatus.VALUE
    assert left.stdout.count("x" * 1000) == 1000
    assert "Broken pipe" in left.stdout


def test_files_of_the_job_are_removed(jobs):
    draft = jobs.draft()
    draft.task(lambda x: x, b"x" * 1000)
    assert jobs.run(draft).exit_code == EXIT_VALUE
    wait_until(lambda: not list(jobs.directory.glob("covalent-awsbatch-*")))
