"""The one port: what goes to Batch, what to moto, and what the server adds."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError

from covalent_awsbatch_plugin.local.aws import LocalAWS, Options
from covalent_awsbatch_plugin.local.throttle import TokenBucket

from .driving import Driver, call, client

BUCKET = "covalent-awsbatch-local"


def test_the_default_resources_are_there_at_once(local: Driver, aws: LocalAWS) -> None:
    settings = aws.settings
    assert local.s3.head_bucket(Bucket=settings["s3_bucket_name"])
    iam = client(aws, "iam")
    for setting in ("batch_job_role_name", "batch_execution_role_name"):
        role = iam.get_role(RoleName=settings[setting])["Role"]
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
    groups = local.logs.describe_log_groups(logGroupNamePrefix=settings["batch_job_log_group_name"])
    assert [group["logGroupName"] for group in groups["logGroups"]] == ["/aws/batch/job"]
    assert local.queue_detail(settings["batch_queue"])["status"] == "VALID"
    assert client(aws, "sts").get_caller_identity()["Account"] == "123456789012"


def test_the_credentials_file_of_the_settings_works(aws: LocalAWS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", aws.settings["credentials"])
    session = boto3.Session(profile_name=aws.settings["profile"], region_name=aws.settings["region"])
    assert session.client("s3", endpoint_url=aws.settings["endpoint_url"]).list_buckets()["Buckets"]


@pytest.mark.parametrize("key", ["plain", "with space", "per%2Fcent", "ü/ß", "a//b", "q?x=1", "v1/submitjob"])
def test_objects_keep_their_keys(local: Driver, key: str) -> None:
    local.s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode(), Metadata={"under_score": "1"})
    answer = local.s3.get_object(Bucket=BUCKET, Key=key)
    assert (answer["Body"].read(), answer["Metadata"]) == (key.encode(), {"under_score": "1"})
    assert key in [each["Key"] for each in local.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    local.s3.delete_object(Bucket=BUCKET, Key=key)


def test_a_bucket_named_like_batchs_paths_is_s3s(local: Driver) -> None:
    local.s3.create_bucket(Bucket="v1-bucket")
    url = local.s3.generate_presigned_url("put_object", Params={"Bucket": "v1-bucket", "Key": "k"})
    assert "v1-bucket" in url
    assert local.s3.list_objects_v2(Bucket="v1-bucket")["KeyCount"] == 0


def test_objects_of_100_mb_pass_whole_and_in_parts(local: Driver) -> None:
    body = os.urandom(1_000_000) * 105
    local.s3.put_object(Bucket=BUCKET, Key="large", Body=body)
    answer = local.s3.get_object(Bucket=BUCKET, Key="large")["Body"].read()
    assert hashlib.sha256(answer).digest() == hashlib.sha256(body).digest()
    part = local.s3.get_object(Bucket=BUCKET, Key="large", Range="bytes=1000000-1000099")["Body"].read()
    assert part == body[1_000_000:1_000_100]
    local.s3.delete_object(Bucket=BUCKET, Key="large")


def test_motos_own_batch_cannot_be_reached(aws: LocalAWS) -> None:
    for path in ("/batch_us-east-1/v1/describejobqueues", "/batch-simple_us-east-1/v1/describejobqueues"):
        status, _ = call(f"{aws.endpoint_url}{path}", "POST", {})
        assert status == 501
    authorization = (
        "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/batch/aws4_request, SignedHeaders=host, Signature=0"
    )
    status, answer = call(f"{aws.endpoint_url}/anything", "GET", None, {"Authorization": authorization})
    assert (status, "GET /anything" in answer["message"]) == (501, True)


def test_calls_are_counted_by_service_and_operation() -> None:
    with LocalAWS(vcpus=1) as fresh:
        local = Driver(fresh)
        assert local.local("GET", "calls") == (200, {})
        for _ in range(3):
            local.batch.list_jobs(jobQueue=local.queue)
        local.s3.put_object(Bucket=BUCKET, Key="counted", Body=b"")
        local.s3.list_objects_v2(Bucket=BUCKET)
        local.logs.describe_log_groups()
        client(fresh, "sts").get_caller_identity()
        assert local.local("GET", "calls")[1] == {
            "batch": {"ListJobs": 3},
            "s3": {"PutObject": 1, "ListObjectsV2": 1},
            "logs": {"DescribeLogGroups": 1},
            "sts": {"GetCallerIdentity": 1},
        }
        assert local.local("DELETE", "calls") == (200, {})
        assert local.local("GET", "calls") == (200, {})


def test_the_switches_answer(local: Driver) -> None:
    assert local.local("GET", "health") == (200, {"status": "ok"})
    assert local.local("GET", "nothing")[0] == 404
    assert local.local("GET", "pause")[0] == 404


def test_paused_placement_holds_jobs_in_runnable(paused: Driver) -> None:
    job_id = paused.submit(["true"])
    paused.wait(job_id, "RUNNABLE")
    time.sleep(0.2)
    assert paused.status(job_id) == "RUNNABLE"
    paused.local("POST", "resume")
    assert paused.wait(job_id)["status"] == "SUCCEEDED"


def test_a_token_bucket_allows_its_rate_and_a_second_at_once() -> None:
    now = 0.0
    bucket = TokenBucket(50, clock=lambda: now)
    assert [bucket.take() for _ in range(60)] == [True] * 50 + [False] * 10
    now = 0.1
    assert [bucket.take() for _ in range(10)] == [True] * 5 + [False] * 5
    now = 100.0
    assert sum(bucket.take() for _ in range(100)) == 50


@pytest.fixture
def throttled() -> Iterator[Driver]:
    with LocalAWS(vcpus=1, throttle=True) as running:
        yield Driver(running)


def test_calls_above_awss_rate_are_throttled(throttled: Driver) -> None:
    definition = throttled.define(["true"])
    throttled.local("POST", "pause")

    def submit(_: int) -> str:
        try:
            throttled.submit(jobDefinition=definition)
        except ClientError as error:
            answer = error.response
            status = answer["ResponseMetadata"]["HTTPStatusCode"]
            return f"{status} {answer['Error']['Code']}: {answer['Error']['Message']}"
        return "accepted"

    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(submit, range(300)))
    elapsed_s = time.monotonic() - started
    assert set(results) == {"accepted", "429 TooManyRequestsException: Too Many Requests"}
    assert 50 <= results.count("accepted") <= 50 + 50 * elapsed_s + 1
    throttled.batch.list_jobs(jobQueue=throttled.queue)  # other calls have a rate of their own


def test_latency_is_added_to_every_answer() -> None:
    with LocalAWS(Options(vcpus=1, latency_ms=150)) as slow:
        driver = Driver(slow)
        for action in (driver.batch.describe_job_queues, driver.s3.list_buckets):
            started = time.monotonic()
            action()
            assert time.monotonic() - started >= 0.15


def test_a_stopped_local_aws_leaves_nothing_and_can_start_again() -> None:
    aws = LocalAWS(vcpus=1)
    for _ in range(2):
        with aws:
            driver = Driver(aws)
            job_id = driver.submit(["sleep", "300"])
            driver.wait(job_id, "RUNNING")
            credentials = aws.settings["credentials"]
        assert not os.path.exists(os.path.dirname(credentials))
        with pytest.raises(OSError, match="refused"):
            call(f"{aws.endpoint_url}/_local/health", "GET")
    aws.stop()


def test_a_port_that_is_taken_is_an_error(aws: LocalAWS) -> None:
    with pytest.raises(OSError, match="in use"):
        LocalAWS(port=int(aws.endpoint_url.rpartition(":")[2])).start()


def test_options_and_keywords_exclude_each_other() -> None:
    with pytest.raises(TypeError):
        LocalAWS(Options(), vcpus=1)


async def test_a_local_aws_can_be_awaited() -> None:
    async with LocalAWS(vcpus=1) as aws:
        assert Driver(aws).run(["true"])["status"] == "SUCCEEDED"


def test_jobs_can_import_from_the_python_path(tmp_path: os.PathLike[str]) -> None:
    with open(os.path.join(tmp_path, "made_for_jobs.py"), "w") as module:
        module.write("print('imported')")
    with LocalAWS(vcpus=1, python_path=(str(tmp_path),)) as aws:
        driver = Driver(aws)
        assert driver.output(driver.run(["python", "-m", "made_for_jobs"])) == ["imported"]
