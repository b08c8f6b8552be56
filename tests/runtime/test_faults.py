from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.contract import EXIT_RUNTIME_FAULT, EXIT_USER_EXCEPTION, OutcomeStatus

from .conftest import BUCKET


def _fault_of(jobs, uri, **environment):
    process = jobs.start_at(uri, **environment)
    _, stderr = process.communicate(timeout=90)
    assert process.returncode == EXIT_RUNTIME_FAULT
    (line,) = stderr.splitlines()
    return line


@pytest.mark.parametrize("uri", ["", "s3://", "s3://bucket", "s3:///key", "https://bucket/key"])
def test_environment_without_a_payload(jobs, uri):
    line = _fault_of(jobs, uri)
    assert line.startswith("covalent-awsbatch: ")
    assert f"COVALENT_AWSBATCH_PAYLOAD is to be s3://bucket/key, but is {uri!r}" in line


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/missing", "s3://no-such-bucket/missing"])
def test_payload_that_is_missing(jobs, uri):
    assert f"There is no {uri}" in _fault_of(jobs, uri)


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"nonsense" * 10, contract.MAGIC + (10**9).to_bytes(8, "big")]
)
def test_payload_that_is_damaged(jobs, payload):
    line = _fault_of(jobs, jobs.upload_array([payload]))
    assert "Payload 0 of " in line
    assert " cannot be read: " in line


def test_payload_that_lacks_a_field(jobs):
    uri = jobs.upload_array([contract.pack_header({"dispatch_id": "d"}, {})])
    assert "lacks a field" in _fault_of(jobs, uri)


def test_payload_whose_key_is_no_key(jobs):
    header = {"dispatch_id": "d", "tasks": [], "origin_key": "no key", "kms_key_id": ""}
    assert "lacks a field" in _fault_of(jobs, jobs.upload_array([contract.pack_header(header, {})]))


def test_endpoint_where_nobody_listens(jobs):
    line = _fault_of(jobs, "s3://bucket/key", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert "S3 did not read s3://bucket/key" in line


def test_endpoint_of_s3_alone_goes_before_the_general_one(jobs, s3_endpoint):
    line = _fault_of(
        jobs,
        f"s3://{BUCKET}/missing",
        AWS_ENDPOINT_URL="http://127.0.0.1:9",
        AWS_ENDPOINT_URL_S3=s3_endpoint,
    )
    assert "There is no" in line


def test_access_that_is_denied(jobs):
    """An S3 that refuses everyone."""
    import http.server
    import threading

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever).start()
        line = _fault_of(jobs, "s3://bucket/key", AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "S3 does not let the container read s3://bucket/key" in line
    assert "job role" in line


def test_function_that_is_missing_leaves_an_outcome(jobs, s3):
    draft = jobs.draft()
    task = draft.task(lambda: 1)
    s3.delete_object(Bucket=BUCKET, Key=task.function_key)
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert job.only.status is OutcomeStatus.FAULT
    assert f"There is no s3://{BUCKET}/{task.function_key}" in job.only.failure.message
    assert job.only.failure.message in job.only.stderr


def test_section_that_is_missing_leaves_an_outcome(jobs):
    draft = jobs.draft()
    task = draft.task(lambda x: x, 1)
    del draft.sections[task.args[0].section]
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert "has no section 's0'" in job.only.failure.message


@pytest.mark.parametrize("kept_bytes", [-1, -600_000])
def test_section_that_is_cut_short_leaves_an_outcome(jobs, s3, kept_bytes):
    draft = jobs.draft()
    draft.task(len, b"x" * 1_000_000)
    draft.upload()
    whole = s3.get_object(Bucket=BUCKET, Key=draft.key)["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=draft.key, Body=whole[:kept_bytes])
    process = jobs.start_at(f"s3://{BUCKET}/{draft.key}")
    job = jobs.finish(draft, process)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert "cut short in section 's0'" in job.only.failure.message


def test_outcome_that_cannot_be_left_is_a_fault(jobs, s3, tmp_path):
    """The bucket goes away while the function runs."""
    gate = tmp_path / "gate"

    def work():
        print("running")
        while not gate.exists():
            time.sleep(0.02)

    bucket = "short-lived"
    s3.create_bucket(Bucket=bucket)
    draft = jobs.draft()
    keys = [draft.task(work).function_key, draft.key]
    draft.upload()
    for key in keys:
        s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": BUCKET, "Key": key})
    process = jobs.start_at(f"s3://{bucket}/{draft.key}")
    assert process.stdout.readline() == "running\n"
    for each in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=each["Key"])
    s3.delete_bucket(Bucket=bucket)
    gate.touch()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == EXIT_RUNTIME_FAULT
    assert "covalent-awsbatch: There is no s3://short-lived/covalent-awsbatch/" in stderr


def test_fault_that_nobody_foresaw_leaves_an_outcome(jobs):
    """The value's file vanishes once it is written, which is before str() is asked of the value."""

    class Vandal:
        def __str__(self):
            (path,) = Path(os.environ["TMPDIR"]).glob("covalent-awsbatch-*/value-0")
            path.unlink()
            return "harmless"

    draft = jobs.draft()
    draft.task(Vandal)
    draft.task(lambda: 1)
    job = jobs.run(draft)
    assert job.exit_code == EXIT_RUNTIME_FAULT
    assert job.outcomes[0].status is OutcomeStatus.FAULT
    assert "The runtime failed: FileNotFoundError" in job.outcomes[0].failure.message
    assert job.outcomes[1].status is OutcomeStatus.SKIPPED


def test_value_for_which_there_is_no_room(jobs):
    def work():
        import shutil

        (directory,) = Path(os.environ["TMPDIR"]).glob("covalent-awsbatch-*")
        shutil.rmtree(directory)
        return b"value"

    job = jobs.call(work)
    assert job.exit_code == EXIT_USER_EXCEPTION
    assert job.only.failure.type == "FileNotFoundError"
    assert "The value, of type builtins.bytes, could not be stored" in job.only.failure.message


def test_attempt_that_is_no_number(jobs):
    draft = jobs.draft()
    draft.task(lambda: 1)
    draft.upload()
    line = _fault_of(jobs, f"s3://{BUCKET}/{draft.key}", AWS_BATCH_JOB_ATTEMPT="first")
    assert "The runtime failed: ValueError" in line
