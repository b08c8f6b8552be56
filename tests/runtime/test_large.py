"""Arguments and results of 100 MB, and what they cost in memory."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import pytest

from covalent_awsbatch_plugin.contract import EXIT_VALUE, OutcomeStatus

LARGE_BYTES = 100 * 1024**2
# A second copy of the object would exceed it; Python with cloudpickle takes about 20 MB.
MOST_WORKER_BYTES = LARGE_BYTES + 60 * 10**6
# The supervisor holds some chunks of 8 MiB at a time, never the object.
MOST_SUPERVISOR_BYTES = 130 * 10**6


def _run_measured(jobs, draft):
    """Return the job's outcome and the peak memory of the supervisor, in bytes."""
    process = jobs.start(draft)
    peak_bytes = 0
    while process.poll() is None:
        peak_bytes = max(peak_bytes, _peak_bytes(Path(f"/proc/{process.pid}/status")))
        time.sleep(0.01)
    assert process.returncode == EXIT_VALUE, process.stderr.read()
    left = jobs.outcomes(draft)[0]
    assert left.status is OutcomeStatus.VALUE
    return left, peak_bytes


def _peak_bytes(status: Path) -> int:
    """Read the highest resident memory that a process has had; none of a zombie."""
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _peak_noter(path):
    """Return a function that has the worker note its own peak when all is done."""

    def note_peak_at_exit():
        import atexit

        atexit.register(lambda: path.write_text(Path("/proc/self/status").read_text()))

    return note_peak_at_exit


@pytest.mark.parametrize("is_object", [False, True], ids=["in the payload", "object of its own"])
def test_large_argument(jobs, tmp_path, is_object):
    data = os.urandom(LARGE_BYTES)
    draft = jobs.draft()

    peak = tmp_path / "peak"
    note_peak = _peak_noter(peak)

    def work(data):
        note_peak()
        return data[-10:]

    draft.task(work, draft.put_object("data", pickle.dumps(data)) if is_object else data)
    left, supervisor_bytes = _run_measured(jobs, draft)
    assert left.value == data[-10:]
    assert LARGE_BYTES < _peak_bytes(peak) < MOST_WORKER_BYTES
    assert 0 < supervisor_bytes < MOST_SUPERVISOR_BYTES


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: [data]], ids=["bytes", "list"])
def test_large_result(jobs, wrap, tmp_path):
    peak = tmp_path / "peak"
    note_peak = _peak_noter(peak)

    def make():
        note_peak()
        unit = bytes(range(256)) * 4
        return wrap(unit * (LARGE_BYTES // len(unit)))

    draft = jobs.draft()
    draft.task(make)
    left, supervisor_bytes = _run_measured(jobs, draft)
    content = left.value if wrap("") == "" else left.value[0]
    assert len(content) == LARGE_BYTES
    assert content[-256:] == bytes(range(256))
    assert LARGE_BYTES < _peak_bytes(peak) < MOST_WORKER_BYTES
    assert 0 < supervisor_bytes < MOST_SUPERVISOR_BYTES


def test_large_function_and_hook_are_read_in_chunks(jobs):
    data = os.urandom(20 * 10**6)
    draft = jobs.draft()
    hook = draft.hook(len, [data], retval_keyword="length")
    draft.task_with(lambda length: (length, data[:10]), call_before=[hook])
    job = jobs.run(draft)
    assert job.only.value == (len(data), data[:10]), job.stderr
