"""What AWS refuses, in AWS's words and codes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .driving import Driver, call

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def refusal(action: Any, **request: Any) -> tuple[str, str]:
    """Return code and message of the refusal, the message without AWS's frame."""
    with pytest.raises(ClientError) as caught:
        action(**request)
    error = caught.value.response["Error"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    frame = re.fullmatch(
        r"Error executing request, Exception : (.*), RequestId: [0-9a-f-]{36}", error["Message"]
    )
    return error["Code"], frame[1] if frame else error["Message"]


def submission(local: Driver, definition: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "jobName": "job",
        "jobQueue": local.queue,
        "jobDefinition": definition or local.define(["true"]),
        **more,
    }


@pytest.mark.parametrize("name", ["", "-begins-so", "_begins-so", "has space", "dot.ted", "ü", "x" * 129])
def test_job_names_must_match_the_pattern(local: Driver, name: str) -> None:
    code, message = refusal(local.batch.submit_job, **submission(local, jobName=name))
    assert (code, message) == ("ClientException", "Job name should match valid pattern")


@pytest.mark.parametrize("name", ["x", "0", "A_b-c", "x" * 128])
def test_job_names_within_the_pattern_are_taken(local: Driver, name: str) -> None:
    assert local.run(["true"], jobName=name)["jobName"] == name


def test_a_request_over_30_kib_is_refused(local: Driver) -> None:
    environment = [{"name": "LONG", "value": "x" * 46 * 1024}]
    request = submission(local, containerOverrides={"environment": environment})
    _, message = refusal(local.batch.submit_job, **request)
    assert message == "Job size must be less than 30 KiB, got 47 KiB"


def test_more_than_20_dependencies_are_refused(local: Driver) -> None:
    job_id = local.submit(["true"])
    request = submission(local, dependsOn=[{"jobId": job_id}] * 21)
    assert refusal(local.batch.submit_job, **request)[1] == "Job cannot have more than 20 dependencies"
    local.submit(["true"], dependsOn=[{"jobId": job_id}] * 20)


def test_a_missing_definition_is_named(local: Driver) -> None:
    request = submission(local, "no-such-definition")
    message = "JobDefinition name no-such-definition does not exist or is not in ACTIVE status"
    assert refusal(local.batch.submit_job, **request) == ("ClientException", message)
    arn = "arn:aws:batch:us-east-1:123456789012:job-definition/no-such:1"
    assert refusal(local.batch.submit_job, **submission(local, arn))[1] == f"JobDefinition {arn} not found."


def test_an_inactive_definition_is_refused_by_name_and_by_arn(local: Driver) -> None:
    arn = local.define(["true"])
    name = arn.rpartition("/")[2].partition(":")[0]
    local.batch.deregister_job_definition(jobDefinition=arn)
    by_arn = refusal(local.batch.submit_job, **submission(local, arn))[1]
    assert by_arn == f"JobDefinition {arn} is not in ACTIVE status"
    by_name = refusal(local.batch.submit_job, **submission(local, name))[1]
    assert by_name == f"JobDefinition name {name} does not exist or is not in ACTIVE status"


def test_a_missing_queue_is_named(local: Driver) -> None:
    request = submission(local, jobQueue="no-such-queue")
    assert refusal(local.batch.submit_job, **request)[1] == "JobQueue no-such-queue not found."


def test_a_disabled_queue_takes_no_jobs(local: Driver) -> None:
    queue = local.new_queue(state="DISABLED")
    assert refusal(local.batch.submit_job, **submission(local, jobQueue=queue))[0] == "ClientException"


def test_fair_share_members_need_a_fair_share_queue(local: Driver) -> None:
    request = submission(local, shareIdentifier="team")
    assert refusal(local.batch.submit_job, **request)[1] == (
        "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with fair share "
        "scheduling policy."
    )


def test_a_placeholder_without_parameter_is_refused(local: Driver) -> None:
    request = submission(local, local.define(["echo", "Ref::job_id"]))
    message = "Unable to substitute value. No parameter found for reference job_id"
    assert refusal(local.batch.submit_job, **request)[1] == message


FARGATE: dict[str, Any] = {
    "platformCapabilities": ["FARGATE"],
    "container": {"executionRoleArn": "arn:aws:iam::123456789012:role/r"},
}


@pytest.fixture
def fargate_queue(local: Driver) -> str:
    return local.new_queue(resources={"type": "FARGATE"})


def test_a_fargate_job_runs_on_a_fargate_queue(local: Driver, fargate_queue: str) -> None:
    definition = local.define(["true"], vcpus="0.25", memory="512", **FARGATE)
    job = local.wait(local.submit(jobDefinition=definition, jobQueue=fargate_queue))
    assert (job["status"], job["platformCapabilities"]) == ("SUCCEEDED", ["FARGATE"])
    assert "containerInstanceArn" not in job["container"]


def test_definitions_run_only_on_queues_of_their_platform(local: Driver, fargate_queue: str) -> None:
    text = "Job Queue is attached to Compute Environment that can not run Jobs with capability "
    definition = local.define(["true"], vcpus="0.25", memory="512", **FARGATE)
    assert refusal(local.batch.submit_job, **submission(local, definition))[1] == f"{text}FARGATE."
    assert refusal(local.batch.submit_job, **submission(local, jobQueue=fargate_queue))[1] == f"{text}EC2."


def test_fargate_takes_no_old_style_overrides(local: Driver, fargate_queue: str) -> None:
    definition = local.define(["true"], vcpus="0.25", memory="512", **FARGATE)
    request = submission(local, definition, jobQueue=fargate_queue, containerOverrides={"vcpus": 1})
    message = "vcpus is not applicable for Fargate. Use resource requirements instead."
    assert refusal(local.batch.submit_job, **request)[1] == message


@pytest.mark.parametrize(
    "wrong",
    [
        {"arrayProperties": {"size": 1}},
        {"arrayProperties": {"size": 10_001}},
        {"timeout": {"attemptDurationSeconds": 59}},
        {"retryStrategy": {"attempts": 0}},
        {"retryStrategy": {"attempts": 11}},
        {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onReason": "x", "action": "EXIT"}] * 6}},
        {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onReason": "(no)", "action": "EXIT"}]}},
        {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onReason": "*begin", "action": "EXIT"}]}},
        {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onReason": "x" * 513, "action": "EXIT"}]}},
        {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onExitCode": "1a", "action": "EXIT"}]}},
        {"retryStrategy": {"attempts": 1, "evaluateOnExit": [{"onExitCode": "1", "action": "MAYBE"}]}},
        {"containerOverrides": {"environment": [{"name": "AWS_BATCH_MINE", "value": "1"}]}},
        {"containerOverrides": {"command": ["true", ""]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "VCPU", "value": "0.5"}]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "MEMORY", "value": "3"}]}},
        {"containerOverrides": {"resourceRequirements": [{"type": "FLUX", "value": "3"}]}},
        {"dependsOn": [{"jobId": UNKNOWN}]},
        {"dependsOn": [{"type": "SEQUENTIAL"}]},
        {"dependsOn": [{}]},
        {"tags": {str(number): "x" for number in range(51)}},
    ],
)
def test_submissions_beyond_the_limits_are_refused(local: Driver, wrong: dict[str, Any]) -> None:
    assert refusal(local.batch.submit_job, **submission(local, **wrong))[0] == "ClientException"


def test_arrays_at_the_limits_are_taken(paused: Driver) -> None:
    for size in (2, 10_000):
        job_id = paused.submit(["true"], arrayProperties={"size": size})
        assert paused.job(job_id)["arrayProperties"]["size"] == size
        paused.batch.terminate_job(jobId=job_id, reason="only tried")


def test_n_to_n_needs_arrays_of_one_size(local: Driver) -> None:
    first = local.submit(["true"], arrayProperties={"size": 2})
    depends = [{"jobId": first, "type": "N_TO_N"}]
    request = submission(local, arrayProperties={"size": 3}, dependsOn=depends)
    assert refusal(local.batch.submit_job, **request)[0] == "ClientException"


def test_more_than_100_described_jobs_are_refused(local: Driver) -> None:
    message = "Maximum number of jobs supported is  100 ."
    assert refusal(local.batch.describe_jobs, jobs=[UNKNOWN] * 101)[1] == message
    assert local.batch.describe_jobs(jobs=[UNKNOWN] * 100)["jobs"] == []


@pytest.mark.parametrize("verb", ["cancel_jobs", "terminate_jobs"])
def test_more_than_50_jobs_cannot_be_ended_at_once(local: Driver, verb: str) -> None:
    assert refusal(getattr(local.batch, verb), jobs=[UNKNOWN] * 51, reason="x")[0] == "ClientException"


@pytest.mark.parametrize("verb", ["cancel_job", "terminate_job"])
def test_a_reason_has_at_most_1024_characters(local: Driver, verb: str) -> None:
    assert refusal(getattr(local.batch, verb), jobId=UNKNOWN, reason="x" * 1025)[0] == "ClientException"
    getattr(local.batch, verb)(jobId=UNKNOWN, reason="x" * 1024)


def definition(**container: Any) -> dict[str, Any]:
    requirements = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    properties = {"image": "i", "resourceRequirements": requirements, **container}
    return {"jobDefinitionName": "refused", "type": "container", "containerProperties": properties}


def needs(vcpus: str, memory: str) -> list[dict[str, str]]:
    return [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (definition(resourceRequirements=[]), "vCPU is not provided."),
        (
            definition(resourceRequirements=needs("1.0", "64")),
            "Value 1.0 for type VCPU in resourceRequirement is not valid. Please provide a numeric value.",
        ),
        (definition() | {"retryStrategy": {}}, "RetryAttempts must be provided with retry strategy"),
        (
            definition(networkConfiguration={"assignPublicIp": "ENABLED"}),
            "networkConfiguration not applicable for EC2.",
        ),
    ],
)
def test_definitions_are_refused_in_awss_words(local: Driver, request_: dict[str, Any], message: str) -> None:
    assert refusal(local.batch.register_job_definition, **request_) == ("ClientException", message)


@pytest.mark.parametrize(
    "wrong",
    [
        definition() | {"jobDefinitionName": "has space"},
        definition(resourceRequirements=needs("0", "64")),
        definition(resourceRequirements=needs("1", "3")),
        definition(resourceRequirements=needs("1", "many")),
        definition(image=""),
        definition(environment=[{"name": "AWS_BATCH_X", "value": ""}]),
        definition(environment=[{"name": "LONG", "value": "x" * 25_000}]),
        definition() | {"timeout": {"attemptDurationSeconds": 1}},
        definition() | {"retryStrategy": {"attempts": 11}},
        {"jobDefinitionName": "refused", "type": "container"},
        definition() | {"platformCapabilities": ["FARGATE"]},
        definition(executionRoleArn="r", resourceRequirements=needs("1", "1024"))
        | {"platformCapabilities": ["FARGATE"]},
        definition(executionRoleArn="r", privileged=True, resourceRequirements=needs("1", "2048"))
        | {"platformCapabilities": ["FARGATE"]},
        definition(executionRoleArn="r", vcpus=1, resourceRequirements=needs("1", "2048"))
        | {"platformCapabilities": ["FARGATE"]},
    ],
)
def test_definitions_beyond_the_limits_are_refused(local: Driver, wrong: dict[str, Any]) -> None:
    assert refusal(local.batch.register_job_definition, **wrong)[0] == "ClientException"
    named = local.batch.describe_job_definitions(jobDefinitionName="refused")["jobDefinitions"]
    assert named == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"jobName": "x", "jobQueue": "q"}, "request.jobDefinition is missing"),
        ({"jobName": 1, "jobQueue": "q", "jobDefinition": "d"}, "request.jobName must be of type string"),
        (
            {"jobName": "x", "jobQueue": "q", "jobDefinition": "d", "image": "i"},
            "request.image is unknown",
        ),
        (
            {"jobName": "x", "jobQueue": "q", "jobDefinition": "d", "arrayProperties": {"size": True}},
            "request.arrayProperties.size must be of type integer",
        ),
        ({"jobName": "x", "jobQueue": "q", "jobDefinition": "d", "dependsOn": {}}, "must be a list"),
    ],
)
def test_requests_must_fit_the_model(local: Driver, body: dict[str, Any], problem: str) -> None:
    status, answer = call(f"{local.aws.endpoint_url}/v1/submitjob", "POST", body)
    assert (status, problem in answer["message"]) == (400, True)


def test_a_body_that_is_no_json_object_is_refused(local: Driver) -> None:
    assert call(f"{local.aws.endpoint_url}/v1/submitjob", "POST", ["no object"])[0] == 400
