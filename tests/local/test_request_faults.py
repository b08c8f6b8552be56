"""What happens to requests, as boto3, aiobotocore and obstore see it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import obstore
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ResponseStreamingError,
)
from obstore.exceptions import BaseError, GenericError
from obstore.store import S3Store

from covalent_awsbatch_plugin.local.aws import LocalAWS

from .driving import Driver, client

BUCKET = "covalent-awsbatch-local"
ACCESS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


def refusal(action: Callable[[], Any]) -> tuple[int, str, str]:
    """Return HTTP status, code and text of the error that AWS answers."""
    with pytest.raises(ClientError) as caught:
        action()
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def jobs_named(driver: Driver, name: str) -> int:
    filters = [{"name": "JOB_NAME", "values": [name]}]
    return len(driver.batch.list_jobs(jobQueue=driver.queue, filters=filters)["jobSummaryList"])


def object_store(aws: LocalAWS, retries: int = 0) -> S3Store:
    return S3Store(
        BUCKET,
        endpoint=aws.endpoint_url,
        region=aws.region,
        access_key_id="local",
        secret_access_key="local",
        client_options={"allow_http": True},
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=10)},
    )


@pytest.mark.parametrize(
    ("service", "operation", "errors"),
    [
        (
            "batch",
            "DescribeJobQueues",
            {
                403: (403, "AccessDeniedException"),
                429: (429, "TooManyRequestsException"),
                500: (500, "ServerException"),
                502: (502, "502"),
                503: (503, "503"),
                504: (504, "504"),
            },
        ),
        (
            "s3",
            "ListObjectsV2",
            {
                403: (403, "AccessDenied"),
                429: (503, "SlowDown"),
                500: (500, "InternalError"),
                502: (502, "502"),
                503: (503, "SlowDown"),
            },
        ),
        (
            "logs",
            "DescribeLogGroups",
            {
                403: (400, "AccessDeniedException"),
                429: (400, "ThrottlingException"),
                500: (500, "InternalFailure"),
                503: (503, "ServiceUnavailableException"),
            },
        ),
        (
            "sts",
            "GetCallerIdentity",
            {
                403: (403, "AccessDenied"),
                429: (400, "Throttling"),
                500: (500, "InternalFailure"),
                503: (503, "ServiceUnavailable"),
            },
        ),
    ],
)
def test_refusals_have_the_form_of_their_service(
    faulty: Driver, service: str, operation: str, errors: dict[int, tuple[int, str]]
) -> None:
    calls = {
        "batch": lambda: faulty.batch.describe_job_queues(),
        "s3": lambda: faulty.s3.list_objects_v2(Bucket=BUCKET),
        "logs": lambda: faulty.logs.describe_log_groups(),
        "sts": lambda: client(faulty.aws, "sts").get_caller_identity(),
    }
    for status, told in errors.items():
        faulty.fault({"status": status}, operation=operation)
        assert refusal(calls[service])[:2] == told


def test_a_refusal_can_have_its_own_words(faulty: Driver) -> None:
    words = {"status": 409, "code": "ConditionalRequestConflict", "message": "A conflict <here>."}
    faulty.fault(words, operation="PutObject")
    told = refusal(lambda: faulty.s3.put_object(Bucket=BUCKET, Key="k", Body=b"x"))
    assert told == (409, "ConditionalRequestConflict", "A conflict <here>.")


@pytest.mark.parametrize(
    ("operation", "code", "action"),
    [
        ("ListJobs", "ExpiredTokenException", lambda d: d.batch.list_jobs(jobQueue=d.queue)),
        ("PutObject", "ExpiredToken", lambda d: d.s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")),
        ("DescribeLogGroups", "ExpiredTokenException", lambda d: d.logs.describe_log_groups()),
        ("GetRole", "ExpiredToken", lambda d: client(d.aws, "iam").get_role(RoleName="r")),
    ],
)
def test_expired_tokens_are_told_in_each_services_words(
    faulty: Driver, operation: str, code: str, action: Callable[[Driver], Any]
) -> None:
    faulty.fault({"expired_token": True}, operation=operation)
    status, told, text = refusal(lambda: action(faulty))
    assert (told, "expired" in text) == (code, True)
    assert status in (400, 403)


def test_latency_delays_only_what_it_strikes(faulty: Driver) -> None:
    faulty.fault({"latency_s": 0.3}, operation="DescribeJobQueues", calls=[1])
    started = time.monotonic()
    faulty.batch.describe_job_queues()
    assert time.monotonic() - started >= 0.3
    assert faulty.aws.faults_struck == {"fault 1": 1}


@pytest.mark.parametrize("effect", [{"cut": "before"}, {"status": 500}, {"expired_token": True}])
def test_a_submission_that_was_struck_before_left_no_job(faulty: Driver, effect: dict[str, Any]) -> None:
    definition = faulty.define(["true"])
    faulty.fault(effect, operation="SubmitJob", calls=[1])
    name = f"before-{next(iter(effect))}"
    with pytest.raises((ClientError, ConnectionClosedError)):
        faulty.submit(jobDefinition=definition, jobName=name)
    assert jobs_named(faulty, name) == 0
    faulty.submit(jobDefinition=definition, jobName=name)
    assert jobs_named(faulty, name) == 1


@pytest.mark.parametrize("effect", [{"cut": "after"}, {"status": 500, "after": True}])
def test_a_submission_whose_answer_was_struck_left_its_job(faulty: Driver, effect: dict[str, Any]) -> None:
    definition = faulty.define(["true"])
    faulty.fault(effect, operation="SubmitJob", calls=[1])
    name = f"after-{next(iter(effect))}"
    with pytest.raises((ClientError, ConnectionClosedError)):
        faulty.submit(jobDefinition=definition, jobName=name)
    assert jobs_named(faulty, name) == 1


async def test_aiobotocore_takes_a_cut_for_a_lost_connection(faulty: Driver) -> None:
    definition = faulty.define(["true"])
    aws = faulty.aws
    once = AioConfig(retries={"total_max_attempts": 1})
    async with get_session().create_client(
        "batch", region_name=aws.region, endpoint_url=aws.endpoint_url, config=once, **ACCESS
    ) as batch:
        await batch.list_jobs(jobQueue=faulty.queue)  # the connection that is cut is one in use
        faulty.fault({"cut": "after"}, operation="SubmitJob", calls=[1])
        with pytest.raises((HTTPClientError, ConnectionClosedError, EndpointConnectionError)):
            await batch.submit_job(jobName="cut-aio", jobQueue=faulty.queue, jobDefinition=definition)
        submitted = await batch.submit_job(jobName="n", jobQueue=faulty.queue, jobDefinition=definition)
    assert jobs_named(faulty, "cut-aio") == 1
    assert faulty.wait(submitted["jobId"])["status"] == "SUCCEEDED"


@pytest.mark.parametrize("effect", [{"cut": "before"}, {"cut": "after"}])
@pytest.mark.parametrize("size_bytes", [10, 3_000_000])
def test_obstore_takes_a_cut_for_a_lost_connection(
    faulty: Driver, effect: dict[str, Any], size_bytes: int
) -> None:
    store, key = object_store(faulty.aws), f"cut-{effect['cut']}-{size_bytes}"
    obstore.put(store, "warm", b"x", use_multipart=False)
    faulty.fault(effect, operation="PutObject", key_contains=key)
    with pytest.raises(GenericError):
        obstore.put(store, key, b"x" * size_bytes, use_multipart=False)
    faulty.local("DELETE", "faults")
    stored = faulty.s3.list_objects_v2(Bucket=BUCKET, Prefix=key)["KeyCount"]
    assert stored == (effect["cut"] == "after")


def test_obstore_gets_over_passing_refusals_by_itself(faulty: Driver) -> None:
    store = object_store(faulty.aws, retries=3)
    faulty.fault({"status": 503}, operation="PutObject", calls=[1])
    obstore.put(store, "refused-once", b"whole", use_multipart=False)
    faulty.fault({"status": 500}, operation="GetObject", calls=[1])
    assert bytes(obstore.get(store, "refused-once").bytes()) == b"whole"
    assert faulty.aws.faults_struck == {"fault 1": 1}


def test_half_of_an_object_comes(faulty: Driver) -> None:
    body = bytes(range(256)) * 1000
    faulty.s3.put_object(Bucket=BUCKET, Key="half-sent", Body=body)
    faulty.fault({"half_body": True}, operation="GetObject", calls=[1, 2])
    stream = faulty.s3.get_object(Bucket=BUCKET, Key="half-sent")
    assert stream["ContentLength"] == len(body)
    with pytest.raises(ResponseStreamingError, match=f"{len(body) // 2} bytes read"):
        stream["Body"].read()
    with pytest.raises(BaseError):
        obstore.get(object_store(faulty.aws), "half-sent").bytes()
    assert faulty.s3.get_object(Bucket=BUCKET, Key="half-sent")["Body"].read() == body


def test_half_of_an_object_is_stored(faulty: Driver) -> None:
    faulty.fault({"half_written": True}, operation="PutObject", calls=[1])
    metadata = {"kind": "test"}
    faulty.s3.put_object(Bucket=BUCKET, Key="half-put", Body=b"0123456789", Metadata=metadata)
    answer = faulty.s3.get_object(Bucket=BUCKET, Key="half-put")
    assert (answer["Body"].read(), answer["Metadata"]) == (b"01234", metadata)
    faulty.s3.put_object(Bucket=BUCKET, Key="half-put", Body=b"0123456789")
    assert faulty.s3.get_object(Bucket=BUCKET, Key="half-put")["Body"].read() == b"0123456789"


def test_half_of_a_multipart_upload_is_stored(faulty: Driver) -> None:
    store, body = object_store(faulty.aws), b"ab" * 6_000_000
    faulty.fault({"half_written": True}, operation="CompleteMultipartUpload")
    obstore.put(store, "half-parts", body, use_multipart=True)
    assert obstore.head(store, "half-parts")["size"] == len(body) // 2


def test_a_part_that_is_lost_fails_the_upload(faulty: Driver) -> None:
    store = object_store(faulty.aws)
    faulty.fault({"cut": "before"}, operation="UploadPart", calls=[2])
    with pytest.raises(BaseError):
        obstore.put(store, "lost-part", b"x" * 12_000_000, use_multipart=True)
    assert faulty.aws.faults_struck == {"fault 1": 1}


def test_delays_add_up_and_the_first_of_the_others_counts(faulty: Driver) -> None:
    plan = [
        {"operation": "ListJobs", "effect": {"latency_s": 0.2}},
        {"operation": "ListJobs", "effect": {"status": 500}, "times": 1},
        {"operation": "ListJobs", "effect": {"status": 429}},
        {"operation": "ListJobs", "effect": {"latency_s": 0.1}},
    ]
    faulty.local("PUT", "faults", {"faults": plan})
    started = time.monotonic()
    codes = [refusal(lambda: faulty.batch.list_jobs(jobQueue=faulty.queue))[1] for _ in range(2)]
    assert codes == ["ServerException", "TooManyRequestsException"]
    assert time.monotonic() - started >= 0.6
    assert list(faulty.aws.faults_struck.values()) == [2, 1, 1, 2]
