"""Ten thousand jobs at once: no thread for each, little memory, and lists that stay quick."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .driving import Driver, until

ROOT = Path(__file__).parents[2]
JOBS = 10_000
MAX_THREADS = 40
"""Some for moto's requests and for removing files; far from one for each job."""

MAX_KIB_PER_JOB = 8


class Elsewhere:
    """A local AWS in a process of its own, with the attributes that a Driver needs."""

    region = "us-east-1"

    def __init__(self, info: dict[str, Any]) -> None:
        self.endpoint_url = info["endpoint_url"]
        self.settings = info["settings"]
        self.pid = info["pid"]

    def figure(self, name: str) -> int:
        """Return a number that the kernel keeps about the process."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Elsewhere]:
    command = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "local", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, "--vcpus", "2"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert process.stdout is not None
    yield Elsewhere(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    process.stdout.close()


@pytest.fixture
def local(elsewhere: Elsewhere) -> Driver:
    return Driver(elsewhere)  # type: ignore[arg-type]


def test_an_array_of_10000_needs_no_thread_and_little_memory_for_each_child(
    elsewhere: Elsewhere, local: Driver
) -> None:
    definition = local.define(["true"])
    local.wait(local.submit(jobDefinition=definition))
    before_kib = elsewhere.figure("VmRSS")
    parent = local.submit(jobDefinition=definition, arrayProperties={"size": JOBS})
    until(lambda: local.job(parent)["arrayProperties"]["statusSummary"]["SUCCEEDED"] >= 20)
    summary = local.job(parent)["arrayProperties"]["statusSummary"]
    assert sum(summary.values()) == JOBS
    assert summary["STARTING"] + summary["RUNNING"] <= 2
    assert elsewhere.figure("Threads") <= MAX_THREADS
    assert elsewhere.figure("VmRSS") - before_kib <= JOBS * MAX_KIB_PER_JOB
    pages = local.batch.get_paginator("list_jobs").paginate(arrayJobId=parent, jobStatus="RUNNABLE")
    assert sum(len(page["jobSummaryList"]) for page in pages) > JOBS / 2
    local.batch.terminate_job(jobId=parent, reason="enough")
    assert local.wait(parent)["statusReason"] == "enough"


def test_thousands_of_single_jobs_wait_without_threads(elsewhere: Elsewhere, local: Driver) -> None:
    definition = local.define(["true"])
    local.local("POST", "pause")
    ids = [local.submit(jobDefinition=definition, jobName="single") for _ in range(3000)]
    until(lambda: local.status(ids[-1]) == "RUNNABLE")
    assert elsewhere.figure("Threads") <= MAX_THREADS
    filters = [{"name": "JOB_NAME", "values": ["SINGLE"]}]
    pages = local.batch.get_paginator("list_jobs").paginate(jobQueue=local.queue, filters=filters)
    listed = [job["jobId"] for page in pages for job in page["jobSummaryList"]]
    assert listed == ids[::-1]
    for start in range(0, len(ids) - 1, 50):
        local.batch.terminate_jobs(jobs=ids[start : min(start + 50, len(ids) - 1)], reason="enough")
    local.local("POST", "resume")
    assert local.wait(ids[-1])["status"] == "SUCCEEDED"
