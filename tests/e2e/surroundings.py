"""The local AWS and workflows, as the end-to-end tests look at them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from typing import Any

import boto3
import covalent as ct
from botocore.exceptions import ClientError

TIME_SCALE = 20
"""A time limit of 60 s, AWS's least, lasts 3 s here."""

WAIT_TIMEOUT_S = 150

LOCAL_AWS_COMMAND = [sys.executable, "-m", "covalent_awsbatch_plugin.cli", "local", "--port", "0", "--json"]


class AWS:
    """The local AWS, in a process of its own, as these tests look at it and strike it."""

    def __init__(self, *options: str) -> None:
        self._process = subprocess.Popen(
            [*LOCAL_AWS_COMMAND, *options],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        ready = json.loads(self._process.stdout.readline())
        self.endpoint_url: str = ready["endpoint_url"]
        self.settings: dict[str, Any] = {**ready["settings"], "memory": 0.25, "poll_freq": 1}
        self.queue: str = self.settings["batch_queue"]
        self.batch = self.client("batch")
        self.s3 = self.client("s3")

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.settings["region"],
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint_url}/_local/{path}", data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def calls(self) -> dict[str, dict[str, int]]:
        return self.control("GET", "calls")

    def submitted(self) -> int:
        return self.calls().get("batch", {}).get("SubmitJob", 0)

    def jobs_of(self, dispatch_id: str) -> list[dict[str, Any]]:
        """Return the jobs of a dispatch in full, oldest first; of arrays their children, in their order."""
        filters = [{"name": "JOB_NAME", "values": [f"covalent-{dispatch_id}*"]}]
        found = self.batch.list_jobs(jobQueue=self.queue, filters=filters)["jobSummaryList"]
        ids: list[str] = []
        for each in sorted(found, key=lambda job: job["createdAt"]):
            size = each.get("arrayProperties", {}).get("size", 0)
            ids += [f"{each['jobId']}:{index}" for index in range(size)] or [each["jobId"]]
        jobs = [
            job
            for start in range(0, len(ids), 100)
            for job in self.batch.describe_jobs(jobs=ids[start : start + 100])["jobs"]
        ]
        return sorted(jobs, key=lambda job: ids.index(job["jobId"]))

    def log_lines(self, job_id: str) -> list[str]:
        """Return what a job has written to CloudWatch Logs so far."""
        job = self.batch.describe_jobs(jobs=[job_id])["jobs"][0]
        stream = job["container"].get("logStreamName")
        try:
            events = self.client("logs").get_log_events(
                logGroupName=self.settings["batch_job_log_group_name"], logStreamName=stream or "none"
            )["events"]
        except ClientError:
            return []  # CloudWatch has no stream before the first output
        return [event["message"] for event in events]

    def wait_for_job(self, dispatch_id: str, status: str) -> dict[str, Any]:
        """Return the dispatch's first job that is in this state."""
        return eventually(
            lambda: next((job for job in self.jobs_of(dispatch_id) if job["status"] == status), None)
        )


class Counted:
    """What a local AWS was asked for since the beginning."""

    def __init__(self, aws: AWS) -> None:
        self._aws = aws
        self._before = aws.calls()

    def __call__(self, service: str, operation: str) -> int:
        now, before = (each.get(service, {}).get(operation, 0) for each in (self._aws.calls(), self._before))
        return now - before


def eventually(look: Any, timeout_s: float = WAIT_TIMEOUT_S) -> Any:
    """Return what a look gives as soon as it gives something."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come in time")


class Workflow:
    """A dispatched workflow and what became of it."""

    def __init__(self, lattice: Any, *args: Any, **kwargs: Any) -> None:
        self.id: str = ct.dispatch(lattice)(*args, **kwargs)

    def result(self) -> Any:
        """Return the result once the workflow has ended, or fail after a while."""
        eventually(lambda: self.status() in {"COMPLETED", "FAILED", "CANCELLED"})
        return ct.get_result(self.id, wait=False)

    def value(self) -> Any:
        """Return what the workflow returned; where it failed, fail with its nodes' errors."""
        result = self.result()
        errors = [node["error"] for node in result.get_all_node_results() if node["error"]]
        errors += [result.error] if result.error else []
        assert (str(result.status), errors) == ("COMPLETED", [])
        return result.result

    def status(self) -> str:
        return str(ct.get_result(self.id, wait=False, status_only=True)["status"])

    def node(self, name: str) -> dict[str, Any]:
        """Return the node of this name, its streams and its error, once the workflow has ended."""
        nodes = self.result().get_all_node_results()
        return next(node for node in nodes if node["node_name"] == name)
