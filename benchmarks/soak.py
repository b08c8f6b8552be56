"""Many electrons under random trouble: what became of each, how often each ran, and what is left.

    python -m benchmarks.soak [--electrons 2000] [--minutes 10] [--seed 1]

The electrons go through the executor's `run()`, at an even pace, to the project's local AWS, whose jobs are
real processes. The plan of faults is a new one every half minute, made from the seed: lost connections,
throttles, server errors, expired tokens, lost hosts, killed processes, failed pulls, stale answers. In the
end it prints what became of the electrons and exits with 1 where a promise was broken: an electron without an
end, a wrong value, an error without a type, a function that ran more often than it may, a job that is still
on its way.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3

from covalent_awsbatch_plugin.errors import AWSBatchError
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.plan import Plan
from covalent_awsbatch_plugin.local.faults.random_plan import random_plan
from covalent_awsbatch_plugin.local.timing import Timing
from demo.private_covalent import free_port, private_environment

DISPATCH_ID = "soak"
NEW_PLAN_S = 30
FAULTS_AT_ONCE = 60
STARTING_SHARE = 0.85
"""Of the time the electrons are started in; the last ones need some to end."""

RETRY_ATTEMPTS = 3
MEMORY_ON_OOM_GB = [0.5, 1.0]
MOST_RUNS = RETRY_ATTEMPTS * (1 + len(MEMORY_ON_OOM_GB))
TIMING = Timing(start_delay_s=0.05, blocked_reason_delay_s=0.5, time_scale=20)
FINAL = {"SUCCEEDED", "FAILED"}


@dataclass
class Ends:
    """What became of the electrons."""

    values: int = 0
    wrong: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    untyped: list[str] = field(default_factory=list)


def noting(directory: str) -> Callable[[int], int]:
    """Return the electrons' function: it notes each of its runs in a file of its own."""

    def square(number: int) -> int:
        import time
        import uuid
        from pathlib import Path

        Path(directory, f"{number}-{uuid.uuid4().hex}").touch()
        time.sleep(number % 10 / 5)
        return number * number

    return square


async def trouble(aws: LocalAWS, seed: int, struck: Counter[str]) -> None:
    """Replace the plan of faults again and again, and count what struck."""
    for number in range(sys.maxsize):
        aws.replace_faults(random_plan(seed * 1_000_000 + number, FAULTS_AT_ONCE))
        await asyncio.sleep(NEW_PLAN_S)
        struck.update(sum_of(aws))


def sum_of(aws: LocalAWS) -> dict[str, int]:
    """Return how many faults of the present plan have struck, and how often in all."""
    times = aws.faults_struck.values()
    return {"faults": sum(count > 0 for count in times), "times": sum(times)}


async def electron(number: int, function: Any, settings: dict[str, Any], ends: Ends) -> None:
    """Run one electron and note what became of it."""
    from covalent._workflow.transportable_object import TransportableObject

    from covalent_awsbatch_plugin.awsbatch import AWSBatchExecutor

    executor = AWSBatchExecutor(**settings)
    executor._task_stdout, executor._task_stderr = io.StringIO(), io.StringIO()
    metadata = {"dispatch_id": DISPATCH_ID, "node_id": number, "results_dir": ""}
    try:
        answer = await executor.run(function, [TransportableObject(number)], {}, metadata)
    except Exception as error:  # noqa: BLE001 — what it is, is what is measured
        cause = error.__cause__
        ends.errors[type(cause or error).__name__] += 1
        if not isinstance(cause, AWSBatchError):
            ends.untyped.append(f"{number}: {error!r} {executor._task_stderr.getvalue()[:500]}")
        return
    ends.values += 1
    if answer.get_deserialized() != number * number:
        ends.wrong.append(number)


async def soak(aws: LocalAWS, electrons: int, minutes: float, seed: int, runs_dir: Path) -> tuple[Ends, Any]:
    """Run all electrons under trouble; return what became of them and what struck."""
    from covalent._workflow.transportable_object import TransportableObject
    from covalent.executor.utils.wrappers import wrapper_fn

    settings = {
        **aws.settings,
        "memory": 0.25,
        "poll_freq": 2,
        "retry_attempts": RETRY_ATTEMPTS,
        "memory_on_oom": MEMORY_ON_OOM_GB,
    }
    function = partial(wrapper_fn, TransportableObject(noting(str(runs_dir))), [], [])
    ends, struck = Ends(), Counter[str]()
    troubling = asyncio.create_task(trouble(aws, seed, struck))
    began_s, tasks = time.monotonic(), []
    for number in range(electrons):
        due_s = began_s + number * minutes * 60 * STARTING_SHARE / electrons
        await asyncio.sleep(max(0, due_s - time.monotonic()))
        tasks.append(asyncio.create_task(electron(number, function, settings, ends)))
    await asyncio.sleep(max(0, began_s + minutes * 60 - time.monotonic()))
    troubling.cancel()
    struck.update(sum_of(aws))
    aws.replace_faults(Plan())
    await asyncio.gather(*tasks)
    return ends, struck


def jobs_of(aws: LocalAWS) -> list[dict[str, Any]]:
    """Return the jobs, and arrays, that AWS Batch has of the electrons."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    batch = boto3.client("batch", endpoint_url=aws.endpoint_url, region_name=aws.region, **keys)
    filters = [{"name": "JOB_NAME", "values": ["covalent-soak-*"]}]
    pages = batch.get_paginator("list_jobs").paginate(jobQueue=aws.settings["batch_queue"], filters=filters)
    return [job for page in pages for job in page["jobSummaryList"]]


def main() -> int:
    """Soak, print the counts and return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--electrons", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, LocalAWS(vcpus=16, timing=TIMING) as aws:
        began_s = time.monotonic()
        soaking = soak(aws, arguments.electrons, arguments.minutes, arguments.seed, Path(directory))
        ends, struck = asyncio.run(soaking)
        wall_s = time.monotonic() - began_s
        time.sleep(5)  # a value is there sooner than AWS Batch has the end of its job
        runs = Counter(int(path.name.partition("-")[0]) for path in Path(directory).iterdir())
        jobs = jobs_of(aws)
    too_often = [number for number, count in runs.items() if count > MOST_RUNS]
    on_their_way = [job["jobId"] for job in jobs if job["status"] not in FINAL]
    ended = ends.values + sum(ends.errors.values())
    rows = [
        ("electrons", arguments.electrons),
        ("minutes", round(wall_s / 60, 1)),
        ("faults that struck, of all plans", f"{struck['faults']} ({struck['times']} times)"),
        ("values", ends.values),
        *((f"failed: {name}", count) for name, count in ends.errors.most_common()),
        ("without an end", arguments.electrons - ended),
        ("wrong values", len(ends.wrong)),
        ("errors without a type", len(ends.untyped)),
        ("functions that ran once", sum(count == 1 for count in runs.values())),
        ("functions that ran again, as a retry", sum(count > 1 for count in runs.values())),
        (f"functions that ran more than {MOST_RUNS} times", len(too_often)),
        ("SubmitJob that AWS Batch took (jobs and arrays)", len(jobs)),
        ("jobs still on their way", len(on_their_way)),
    ]
    print("| what | count |\n| --- | --- |")
    for what, count in rows:
        print(f"| {what} | {count} |")
    for text in ends.untyped[:10]:
        print(text, file=sys.stderr)
    broken = [ends.wrong, ends.untyped, too_often, on_their_way, ended < arguments.electrons]
    return 1 if any(broken) else 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        private = private_environment(Path(home), free_port())  # before Covalent is imported
        os.environ.clear()
        os.environ.update(private)
        sys.exit(main())
