"""Many calls as one task: each in a process of its own, and one list of what became of them."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.contract import EXIT_TERMINATED, EXIT_VALUE, Chunk
from covalent_awsbatch_plugin.runtime.chunk import run_chunk

from .conftest import wait_until


class CarriedError(Exception):
    pass


class StuckError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def _chunk(jobs, function, items, at_once=2):
    """Return the job and the chunk's entries."""
    job = jobs.call(run_chunk, function, items, at_once)
    assert job.exit_code == EXIT_VALUE, job.stderr
    return job, job.only.value


def _values(entries):
    assert [set(each) for each in entries] == [{"value"}] * len(entries), entries
    return [pickle.loads(each["value"]) for each in entries]


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_values_come_in_the_order_of_the_items(jobs, at_once):
    def work(number, name):
        time.sleep(0.01 * (-number % 5))
        return number, name, os.getpid()

    items = [(number, str(number)) for number in range(20)]
    _, entries = _chunk(jobs, work, items, at_once)
    values = _values(entries)
    assert [each[:2] for each in values] == items
    assert len({pid for _, _, pid in values}) == 20


def test_no_items(jobs):
    assert _chunk(jobs, abs, [])[1] == []


def test_entries_are_of_builtin_types(jobs):
    _, entries = _chunk(jobs, lambda x: 1 / x, [(1,), (0,)])
    assert type(entries) is Chunk
    assert [type(each) for each in entries] == [dict, dict]
    assert {type(value) for each in entries for value in each.values()} == {str, bytes}


def test_exceptions_of_items_are_told_and_travel(jobs):
    def work(kind):
        raise kind("one", "two")

    job, (carried, stuck) = _chunk(jobs, work, [(CarriedError,), (StuckError,)])
    assert carried["type"].endswith("CarriedError")
    assert repr(pickle.loads(carried["exception"])) == "CarriedError('one', 'two')"
    assert (stuck["message"], stuck["exception"]) == ("one two", b"")
    for entry in (carried, stuck):
        assert "in work" in entry["traceback"]
        assert "covalent_awsbatch_plugin" not in entry["traceback"]
        assert entry["traceback"] in job.only.stderr


def test_item_that_leaves_or_dies_hurts_no_other(jobs):
    def work(number):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 2:
            os._exit(0)
        if number == 3:
            sys.exit("a reason")
        if number == 4:
            os.abort()
        return number

    _, entries = _chunk(jobs, work, [(number,) for number in range(6)])
    assert _values([entries[0], entries[5]]) == [0, 5]
    assert [each["type"] for each in entries[1:5]] == [
        "ProcessKilled",
        "ProcessExit",
        "SystemExit",
        "ProcessKilled",
    ]
    assert "SIGKILL" in entries[1]["message"]
    assert "memory" in entries[1]["message"]
    assert "exit code 0" in entries[2]["message"]
    assert entries[3]["message"] == "a reason"
    assert "SIGABRT" in entries[4]["message"]
    assert {each["exception"] for each in entries[1:5]} == {b""}


def test_value_of_an_item_that_cannot_be_pickled(jobs):
    _, (entry,) = _chunk(jobs, lambda: sys._getframe(), [()])
    assert "returned a value of type builtins.frame that cannot be pickled" in entry["message"]
    assert entry["exception"] == b""


def test_large_results(jobs):
    size_bytes = 50 * 2**20
    _, entries = _chunk(jobs, lambda number: bytes([number]) * size_bytes, [(1,), (2,), (3,)])
    for number, value in enumerate(_values(entries), start=1):
        assert len(value) == size_bytes
        assert value.count(number) == size_bytes


def test_no_more_items_run_at_once_than_asked(jobs, tmp_path):
    def work(number):
        mine = tmp_path / f"running-{number}"
        mine.touch()
        time.sleep(0.1)
        seen = len(list(tmp_path.glob("running-*")))
        mine.unlink()
        return seen

    _, entries = _chunk(jobs, work, [(number,) for number in range(9)], at_once=3)
    assert max(_values(entries)) <= 3


def test_items_that_wait_for_each_other_run_together(jobs, tmp_path):
    def work(number):
        (tmp_path / f"here-{number}").touch()
        while len(list(tmp_path.glob("here-*"))) < 3:
            time.sleep(0.01)
        return number

    assert _values(_chunk(jobs, work, [(0,), (1,), (2,)], at_once=3)[1]) == [0, 1, 2]


def test_output_of_items_is_the_tasks_and_comes_once(jobs):
    def work(number):
        import ctypes

        print(f"item {number}")
        print(f"error {number}", file=sys.stderr)
        ctypes.CDLL(None).printf(b"c %d\n", number)
        print(end=f"unfinished {number};")

    def hook():
        print(end="begun before;")

    draft = jobs.draft()
    items = [(number,) for number in range(3)]
    draft.task_with(run_chunk, [work, items, 1], call_before=[draft.hook(hook)])
    job = jobs.run(draft)
    assert job.exit_code == EXIT_VALUE, job.stderr
    outputs = [f"item {number}\nunfinished {number};c {number}\n" for number in range(3)]
    assert job.only.stdout == "begun before;" + "".join(outputs)
    assert job.only.stderr == "error 0\nerror 1\nerror 2\n"


def test_items_change_nothing_for_each_other(jobs):
    state = []

    def work(number):
        state.append(number)
        os.environ["ITEM"] = os.environ.get("ITEM", "") + str(number)
        return state, os.environ["ITEM"]

    assert _values(_chunk(jobs, work, [(1,), (2,)], at_once=1)[1]) == [([1], "1"), ([2], "2")]


def test_items_draw_different_random_numbers(jobs):
    pytest.importorskip("numpy")

    def work():
        import random

        import numpy

        return random.random(), numpy.random.random()

    draft = jobs.draft()
    draft.task_with(run_chunk, [work, [()] * 4, 2], call_before=[draft.hook(work)])
    draws = _values(jobs.run(draft).only.value)
    assert len({each for pair in draws for each in pair}) == 8


@pytest.mark.parametrize(
    ("end", "status"), [(lambda: "child", 0), (lambda: sys.exit(3), 3), (lambda: 1 / 0, 1)]
)
def test_process_that_an_item_forked_and_let_run_out_is_not_the_item(jobs, end, status):
    def work():
        pid = os.fork()
        if pid == 0:
            return end()
        return "parent", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    _, entries = _chunk(jobs, work, [()] * 3)
    assert _values(entries) == [("parent", status)] * 3


def test_child_that_a_hook_left_behind_is_no_item(jobs):
    draft = jobs.draft()
    hook = draft.hook(lambda: subprocess.Popen(["true"]) and None)
    draft.task_with(run_chunk, [lambda: time.sleep(0.2), [()], 1], call_before=[hook])
    assert _values(jobs.run(draft).only.value) == [None]


def test_files_of_a_chunk_are_removed(jobs, tmp_path):
    _chunk(jobs, lambda: b"x" * 1000, [()] * 3)
    wait_until(lambda: not list(tmp_path.glob("covalent-awsbatch-*")))


# --- the end of all items ----------------------------------------------------------------------------


def _is_running(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "(zombie)" not in status


def _start_items(jobs, tmp_path, function, count=3):
    """Start a chunk of which `count` items run at once, and wait until these have called `begun`.

    Returns its draft, its process and the items' process ids.
    """

    def work(number):
        def begun():
            (tmp_path / f"pid-{number}.part").write_text(str(os.getpid()))
            (tmp_path / f"pid-{number}.part").rename(tmp_path / f"pid-{number}")

        function(begun)

    draft = jobs.draft()
    draft.task(run_chunk, work, [(number,) for number in range(count + 2)], count)
    process = jobs.start(draft)
    files = [tmp_path / f"pid-{number}" for number in range(count)]
    wait_until(lambda: all(each.exists() for each in files))
    return draft, process, [each.read_text() for each in files]


def _children_of(pids):
    children = [Path(f"/proc/{pid}/task/{pid}/children") for pid in pids]
    wait_until(lambda: all(each.read_text() for each in children))
    return [each.read_text().strip() for each in children]


def test_sigterm_ends_all_items_and_lets_them_clean_up(jobs, tmp_path):
    def work(begun):
        subprocess.Popen(["sleep", "60"])
        try:
            begun()
            time.sleep(60)
        finally:
            time.sleep(0.2)
            print("cleaned up")

    draft, process, pids = _start_items(jobs, tmp_path, work)
    pids += _children_of(pids)
    process.send_signal(signal.SIGTERM)
    job = jobs.finish(draft, process)
    assert job.exit_code == EXIT_TERMINATED
    assert job.only.stdout == "cleaned up\n" * 3
    assert not (tmp_path / "pid-3").exists()
    wait_until(lambda: not any(map(_is_running, pids)))


def test_sigterm_ends_items_that_do_not_listen_and_what_they_started(jobs, tmp_path):
    def work(begun):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        begun()
        subprocess.run(["sleep", "60"])

    draft, process, pids = _start_items(jobs, tmp_path, work)
    pids += _children_of(pids)
    process.send_signal(signal.SIGTERM)
    assert jobs.finish(draft, process).exit_code == EXIT_TERMINATED
    wait_until(lambda: not any(map(_is_running, pids)))


@pytest.mark.parametrize("victim", ["supervisor", "worker"])
def test_items_do_not_outlive_what_runs_them(jobs, tmp_path, victim):
    def work(begun):
        begun()
        time.sleep(60)

    draft, process, pids = _start_items(jobs, tmp_path, work)
    (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid if victim == "supervisor" else int(worker), signal.SIGKILL)
    job = jobs.finish(draft, process)
    assert job.exit_code == (-signal.SIGKILL if victim == "supervisor" else 128 + signal.SIGKILL)
    wait_until(lambda: not any(map(_is_running, pids)))
