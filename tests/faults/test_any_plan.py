"""Any plan of faults that ends: every task ends, with its value or a typed error, and nothing runs once more.

Each example is a plan that Hypothesis makes up, some tasks through the client's door, and a look at what is
left: how often each function ran, which jobs AWS Batch has, what lies in the bucket.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin import contract, patience, submit, watch
from covalent_awsbatch_plugin.client import AWSBatch, Job
from covalent_awsbatch_plugin.errors import AWSBatchError
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.plan import Plan, read_plan
from covalent_awsbatch_plugin.local.timing import Timing
from tests.e2e.surroundings import eventually

FAST = Timing(start_delay_s=0.02, settle_delay_s=0.02, blocked_reason_delay_s=0.2, time_scale=60)

ENOUGH_S = 60
"""Every plan here is over long before."""

DRIVER_CALLS = ["SubmitJob", "DescribeJobs", "ListJobs", "DescribeJobDefinitions", "RegisterJobDefinition"]
STORE_CALLS = ["PutObject", "GetObject", "ListObjectsV2"]


class Runs:
    """What ran, as the functions themselves note it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.function = _noting(str(directory))

    def counts(self, tasks: int) -> list[int]:
        """Return how often each task ran."""
        return [len(list(self._directory.glob(f"{number}-*"))) for number in range(tasks)]


def _noting(directory: str) -> Callable[[int], int]:
    def double(number: int) -> int:
        import os
        import uuid
        from pathlib import Path

        Path(directory, f"{number}-{os.environ['AWS_BATCH_JOB_ATTEMPT']}-{uuid.uuid4().hex}").touch()
        return 2 * number

    return double


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAWS]:
    with LocalAWS(vcpus=8, memory_mib=8192, timing=FAST) as running, pytest.MonkeyPatch.context() as patch:
        # What a driver bears for minutes would make every example take as long.
        patch.setattr(submit, "UNCLEAR_PAUSE_S", 0.1)
        patch.setattr(watch, "ERROR_PAUSE_S", 0.05)
        patch.setattr(watch, "UNKNOWN_PATIENCE_S", 2)
        patch.setattr(patience, "CALL_ATTEMPTS", 6)
        yield running


@pytest.fixture
def runs() -> Iterator[Callable[[], Runs]]:
    """Give a fresh record of runs for each example."""
    directories: list[str] = []

    def fresh() -> Runs:
        directories.append(tempfile.mkdtemp(prefix="covalent-awsbatch-runs-"))
        return Runs(Path(directories[-1]))

    yield fresh
    for each in directories:
        shutil.rmtree(each)


def client(aws: LocalAWS, service: str) -> Any:
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return boto3.client(service, endpoint_url=aws.endpoint_url, region_name=aws.region, **keys)


def batch_for(aws: LocalAWS, **options: Any) -> AWSBatch:
    return AWSBatch(progress=False, **{**aws.settings, "memory": 0.25, "poll_freq": 0.2, **options})


def jobs_of(aws: LocalAWS, run_id: str) -> list[dict[str, Any]]:
    filters = [{"name": "JOB_NAME", "values": [f"{contract.JOB_NAME_PREFIX}{run_id}*"]}]
    answer = client(aws, "batch").list_jobs(jobQueue=aws.settings["batch_queue"], filters=filters)
    return list(answer["jobSummaryList"])


def objects_of(aws: LocalAWS, run_id: str) -> list[str]:
    bucket, prefix = aws.settings["s3_bucket_name"], contract.dispatch_prefix(run_id)
    listing = client(aws, "s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [each["Key"] for each in listing.get("Contents", [])]


def value_or_error(job: Job[int]) -> int | str:
    """Return what became of a job; an error that is none of ours, or no end at all, raises."""
    error = job.exception(ENOUGH_S)
    if error is None:
        return job.result()
    assert isinstance(error, AWSBatchError), repr(error)
    return f"{type(error).__name__}: {error}"


# --- plans ----------------------------------------------------------------------------------------------

REQUEST_EFFECTS = st.sampled_from(
    [
        {"status": 429},
        {"status": 500},
        {"status": 503},
        {"status": 500, "after": True},
        {"cut": "before"},
        {"cut": "after"},
        {"latency_s": 0.2},
    ]
)

REQUEST_FAULTS = st.builds(
    lambda operation, effect, first, count: {
        "operation": operation,
        "effect": effect,
        "calls": {"first": first, "count": count},
    },
    st.sampled_from(DRIVER_CALLS + STORE_CALLS),
    REQUEST_EFFECTS,
    st.integers(1, 4),
    st.integers(1, 3),
)

JOB_EFFECTS = st.sampled_from(
    [
        {"lose_host": "STARTING"},
        {"lose_host": "RUNNING"},
        {"lose_host": "RUNNING", "fargate": True},
        {"out_of_memory": True},
        {"killed": True},
        {"cannot_pull": "rate_limit"},
        {"cannot_pull": "missing"},
        {"cannot_start": "timeout"},
        {"agent_gone": True},
        {"network_interface": True},
        {"inspect_error": True},
        {"end_with": {"status_reason": "Something new under the sun"}},
        {"unknown_looks": 2},
        {"unlisted_looks": 2},
        {"stale_summary_s": 0.3},
        {"skip_states": ["STARTING", "RUNNING"]},
        {"stuck": "", "for_s": 0.5},
        {"vanish": "SUCCEEDED"},
        {"vanish": "RUNNING"},
    ]
)

JOB_FAULTS = st.builds(
    lambda effect, target, times: {"effect": effect, "job": target, "times": times},
    JOB_EFFECTS,
    st.sampled_from([{}, {"index": 0}, {"attempt": 1}, {"nth": 1}]),
    st.integers(1, 3),
)

PLANS = st.lists(REQUEST_FAULTS | JOB_FAULTS, max_size=4).map(lambda faults: {"faults": faults})


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=PLANS,
    tasks=st.integers(1, 3),
    retry_attempts=st.integers(1, 3),
    memory_on_oom=st.sampled_from([[], [0.5]]),
    keep_artifacts=st.sampled_from(["all", "none"]),
)
def test_every_task_ends_and_nothing_is_left(
    aws: LocalAWS, runs: Callable[[], Runs], plan, tasks, retry_attempts, memory_on_oom, keep_artifacts
):
    record = runs()
    aws.replace_faults(read_plan(json.dumps(plan)))
    options = {"retry_attempts": retry_attempts, "memory_on_oom": memory_on_oom}
    with batch_for(aws, keep_artifacts=keep_artifacts, **options) as batch:
        jobs = batch.map(record.function, range(tasks))
        ends = [value_or_error(job) for job in jobs]
    aws.replace_faults(Plan())

    assert [end for end in ends if isinstance(end, int)] == [
        2 * number for number, end in enumerate(ends) if isinstance(end, int)
    ]
    rungs = 1 + len(memory_on_oom)
    for number, count in enumerate(record.counts(tasks)):
        assert count <= retry_attempts * rungs
        assert count >= 1 or isinstance(ends[number], str)
    eventually(lambda: {job["status"] for job in jobs_of(aws, jobs.id)} <= {"SUCCEEDED", "FAILED"})
    if keep_artifacts == "none" and all(isinstance(end, int) for end in ends):
        assert objects_of(aws, jobs.id) == []


# --- a submission whose answer is lost ------------------------------------------------------------------


def test_a_hundred_lost_answers_lose_nothing_and_double_nothing(aws: LocalAWS, runs: Callable[[], Runs]):
    record, chance = runs(), random.Random(20)
    submissions = 120  # each lost answer is looked up by name, so there are hardly more calls than tasks
    lost = sorted(chance.sample(range(1, submissions + 1), 100))
    plan = {"faults": [{"name": "lost", "operation": "SubmitJob", "calls": lost, "effect": {"cut": "after"}}]}
    aws.replace_faults(read_plan(json.dumps(plan)))
    with batch_for(aws, max_array_size=1, gather_window=0) as batch:
        jobs = [batch.submit(record.function, number) for number in range(submissions)]
        assert [job.result(ENOUGH_S) for job in jobs] == [2 * number for number in range(submissions)]
    assert aws.faults_struck["lost"] == 100
    aws.replace_faults(Plan())
    assert record.counts(submissions) == [1] * submissions
