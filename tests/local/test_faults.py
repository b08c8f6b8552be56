"""The plan of faults: its format, its switches, its counts."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.cli import main
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.effects import Cut, Killed, Stuck
from covalent_awsbatch_plugin.local.faults.plan import JobFault, Plan, RequestFault, Span, Target, read_plan
from covalent_awsbatch_plugin.local.faults.random_plan import random_plan

from .driving import Driver, call, client

LOST = {"operation": "SubmitJob", "effect": {"cut": "before"}}


def submitted(driver: Driver, definition: str, times: int) -> list[bool]:
    """Try to submit so often, and return which tries AWS answered."""
    answered = []
    for _ in range(times):
        try:
            driver.submit(jobDefinition=definition)
            answered.append(True)
        except ConnectionClosedError:
            answered.append(False)
    return answered


@pytest.mark.parametrize(
    ("which", "answered"),
    [
        ({}, [False] * 5),
        ({"calls": [1, 3]}, [False, True, False, True, True]),
        ({"calls": {"first": 2, "count": 3}}, [True, False, False, False, True]),
        ({"times": 2}, [False, False, True, True, True]),
        ({"calls": {"first": 2, "count": 3}, "times": 1}, [True, False, True, True, True]),
    ],
)
def test_a_fault_strikes_the_calls_that_it_names(
    faulty: Driver, which: dict[str, Any], answered: list[bool]
) -> None:
    definition = faulty.define(["true"])
    faulty.local("PUT", "faults", {"faults": [LOST | which]})
    assert submitted(faulty, definition, 5) == answered
    assert faulty.aws.faults_struck == {"fault 1": answered.count(False)}


def test_a_plan_starts_with_the_local_aws_and_can_be_replaced() -> None:
    lost = RequestFault(
        name="lost", operation="SubmitJob", effect=Cut(cut="before"), calls=Span(first=1, count=1)
    )
    with LocalAWS(vcpus=1, faults=Plan(faults=[lost])) as aws:
        driver = Driver(aws)
        definition = driver.define(["true"])
        assert submitted(driver, definition, 2) == [False, True]
        assert aws.faults_struck == {"lost": 1}
        aws.replace_faults(Plan(faults=[lost, JobFault(job=Target(nth=9), effect=Killed())]))
        assert submitted(driver, definition, 2) == [False, True]
        assert aws.faults_struck == {"lost": 1, "fault 2": 0}
        aws.replace_faults(Plan())
        assert submitted(driver, definition, 1) == [True]
        assert aws.faults_struck == {}
    with pytest.raises(RuntimeError, match="does not run"):
        aws.replace_faults(Plan())


def test_the_switches_set_tell_and_end_a_plan(faulty: Driver) -> None:
    definition = faulty.define(["true"])
    plan = {"faults": [{"name": "lost", **LOST}, {"job": {"nth": 7}, "effect": {"stuck": "UNDETERMINED"}}]}
    assert faulty.local("PUT", "faults", plan)[0] == 200
    submitted(faulty, definition, 1)
    status, told = faulty.local("GET", "faults")
    assert status == 200
    assert [(fault["name"], fault["struck"]) for fault in told["faults"]] == [("lost", 1), ("fault 2", 0)]
    assert told["faults"][1]["effect"] == {"stuck": "UNDETERMINED"}
    assert faulty.local("DELETE", "faults") == (200, {})
    assert faulty.local("GET", "faults") == (200, {"faults": []})
    assert submitted(faulty, definition, 1) == [True]


def test_what_is_struck_is_counted_among_the_calls(faulty: Driver) -> None:
    definition = faulty.define(["true"])
    faulty.local("DELETE", "calls")
    faulty.fault({"cut": "before"}, operation="SubmitJob", times=2)
    submitted(faulty, definition, 3)
    assert faulty.local("GET", "calls")[1]["batch"]["SubmitJob"] == 3


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (
            {"faults": [{"operation": "SubmitJobs", "effect": {"cut": "after"}}]},
            "fault 1: 'SubmitJobs' is no operation of batch, s3, logs, sts, iam, ecr, cloudformation, sqs, "
            "events, ec2; SubmitJob would do",
        ),
        (
            {"faults": [LOST, {"operation": "SubmitJob", "effect": {"cut": "sideways"}}]},
            "fault 2, effect.cut: Input should be 'before' or 'after'",
        ),
        (
            {"faults": [{"operation": "SubmitJob", "effect": {"killed": True}}]},
            "fault 1, effect: must be an object with one of latency_s, status, cut, expired_token, "
            "half_body, half_written",
        ),
        (
            {"faults": [{"operation": "SubmitJob", "effect": {"status": 418}}]},
            "fault 1, effect: AWS's code for 418 is not known here: set `code`, or take 403, 429, 500, 502, "
            "503, 504",
        ),
        (
            {"faults": [{"operation": "SubmitJob", "effect": {"half_body": True}}]},
            "fault 1: half_body is for GetObject",
        ),
        (
            {"faults": [{"operation": "GetObject", "effect": {"half_written": True}}]},
            "fault 1: half_written is for PutObject and CompleteMultipartUpload",
        ),
        ({"faults": [LOST | {"calls": [0]}]}, "fault 1, calls.0: Input should be greater than or equal to 1"),
        (
            {"faults": [LOST | {"calls": {"from": 1, "count": 2}}]},
            "fault 1, calls.from: there is no such field; there are first, count (1 more after it)",
        ),
        (
            {"faults": [{"job": {"mth": 1}, "effect": {"killed": True}}]},
            "fault 1, job.mth: there is no such field; there are nth, name_contains, index, attempt",
        ),
        (
            {"faults": [{"effect": {"killed": True, "after": 1}}]},
            "fault 1, effect.after: there is no such field; there are killed, after_s",
        ),
        (
            {"faults": [{"effect": {"end_with": {"text": "x"}}}]},
            "fault 1, effect.end_with.text: there is no such field; there are status_reason, "
            "container_reason, exit_code",
        ),
        ({"faults": [{"operation": "SubmitJob"}]}, "fault 1, effect: Field required"),
        (
            {"faults": [{"name": "a", **LOST}, {"name": "a", **LOST}]},
            "two faults have the name 'a': choose another for one of them",
        ),
        ({"fault": []}, "fault: there is no such field; there are faults"),
        ([], "Input should be an object"),
    ],
)
def test_a_wrong_plan_is_told_in_one_sentence(faulty: Driver, plan: Any, sentence: str) -> None:
    faulty.fault({"cut": "before"}, operation="SubmitJob", name="in force")
    assert faulty.local("PUT", "faults", plan) == (400, {"message": sentence})
    assert list(faulty.aws.faults_struck) == ["in force"]


def test_the_program_takes_a_plan_from_a_file(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"faults": [LOST]}))
    program = start("--json", "--faults", str(file))
    url = json.loads(program.line())["endpoint_url"]
    assert call(f"{url}/_local/faults", "GET")[1]["faults"][0]["effect"] == {"cut": "before"}
    assert program.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("text", ["{", '{"faults": [{"effect": 3}]}'])
def test_the_program_says_what_is_wrong_with_a_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    result = CliRunner().invoke(main, ["local", "--port", "0", "--faults", str(file)])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {file} is no plan of faults: ")
    assert result.output.count("\n") == 1


def test_jobs_and_drivers_can_be_told_apart(faulty: Driver) -> None:
    bucket = "covalent-awsbatch-local"
    put = f"import boto3; boto3.client('s3').put_object(Bucket='{bucket}', Key='told-apart', Body=b'x')"
    faulty.fault({"status": 403}, operation="PutObject", caller="job")
    faulty.s3.put_object(Bucket=bucket, Key="told-apart", Body=b"x")
    job = faulty.run(["python", "-c", put])
    assert job["container"]["exitCode"] == 1
    assert "AccessDenied" in faulty.output(job)[-1]
    faulty.fault({"status": 403}, operation="PutObject", caller="driver")
    with pytest.raises(ClientError, match="AccessDenied"):
        faulty.s3.put_object(Bucket=bucket, Key="told-apart", Body=b"x")
    assert faulty.run(["python", "-c", put])["status"] == "SUCCEEDED"


def test_only_the_objects_that_are_meant_are_struck_and_counted(faulty: Driver) -> None:
    bucket = "covalent-awsbatch-local"
    faulty.fault({"status": 503}, operation="PutObject", key_contains="/outcome", calls=[2])
    for key in ("a/outcome-1", "a/payload", "b/payload"):
        faulty.s3.put_object(Bucket=bucket, Key=key, Body=b"")
    with pytest.raises(ClientError, match="SlowDown"):
        faulty.s3.put_object(Bucket=bucket, Key="b/outcome-1", Body=b"")
    faulty.fault({"status": 503}, operation="ListObjectsV2", key_contains="b/")
    assert faulty.s3.list_objects_v2(Bucket=bucket, Prefix="a/")["KeyCount"] == 2
    with pytest.raises(ClientError, match="SlowDown"):
        faulty.s3.list_objects_v2(Bucket=bucket, Prefix="b/")


@given(st.integers(), st.integers(0, 30))
def test_a_random_plan_ends_and_is_the_same_for_the_same_seed(seed: int, faults: int) -> None:
    plan = random_plan(seed, faults)
    assert len(plan.faults) == faults
    assert plan == random_plan(seed, faults) == read_plan(plan.model_dump_json())
    for fault in plan.faults:
        assert fault.times is not None or (isinstance(fault, RequestFault) and fault.calls is not None)
        assert not isinstance(fault.effect, Stuck) or fault.effect.for_s is not None


def test_requests_of_services_are_struck_by_their_operation(faulty: Driver) -> None:
    sts = client(faulty.aws, "sts")
    faulty.fault({"cut": "before"}, operation="GetCallerIdentity", calls=[1])
    with pytest.raises(ConnectionClosedError):
        sts.get_caller_identity()
    assert sts.get_caller_identity()["Account"] == "123456789012"
