"""Drive the local AWS through boto3 and HTTP, as its users do."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.validate import ParamValidator

from covalent_awsbatch_plugin.local.aws import LocalAWS

FINAL = ("SUCCEEDED", "FAILED")
WAIT_S = 20.0


def client(aws: LocalAWS, service: str, **config: Any) -> Any:
    """Return a boto3 client of the local AWS that retries nothing."""
    made = boto3.client(
        service,
        endpoint_url=aws.endpoint_url,
        region_name=aws.region,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )
    if service == "batch":
        made.meta.events.register("after-call.batch", check_against_model)
    return made


def check_against_model(model: Any, http_response: Any, **_: Any) -> None:
    """Hold every response of Batch against botocore's own validator."""
    if http_response.status_code == 200:
        report = ParamValidator().validate(json.loads(http_response.content), model.output_shape)
        lines = report.generate_report().splitlines()
        # The model requires a start that a job which never ran does not have; AWS leaves it out.
        problems = [line for line in lines if '"startedAt"' not in line]
        assert problems == []


def python(code: str) -> list[str]:
    """Return a command that runs Python code."""
    return ["python", "-c", code]


def sh(script: str) -> list[str]:
    """Return a command that runs a shell script."""
    return ["sh", "-c", script]


def until(probe: Callable[[], Any], wait_s: float = WAIT_S) -> Any:
    """Return the first true result of the probe."""
    deadline = time.monotonic() + wait_s
    while not (result := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came of {probe} in {wait_s} s")
        time.sleep(0.01)
    return result


class Driver:
    """A local AWS with a few verbs for the tests."""

    def __init__(self, aws: LocalAWS, image: str = "local/image") -> None:
        self.aws = aws
        self.image = image
        self.queue = aws.settings.get("batch_queue", "")
        self.batch = client(aws, "batch")
        self.logs = client(aws, "logs")
        self.s3 = client(aws, "s3")

    def define(self, command: list[str], vcpus: str = "1", memory: str = "64", **more: Any) -> str:
        """Register a definition and return its ARN; `container` adds container properties."""
        container = {
            "image": self.image,
            "command": command,
            "resourceRequirements": [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}],
            **more.pop("container", {}),
        }
        name = more.pop("name", f"definition-{uuid4().hex[:8]}")
        answer = self.batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=container, **more
        )
        return str(answer["jobDefinitionArn"])

    def submit(self, command: list[str] | None = None, **request: Any) -> str:
        """Submit a job for a command, or for `jobDefinition`, and return its id."""
        if command is not None:
            request["jobDefinition"] = self.define(command)
        request = {"jobName": "job", "jobQueue": self.queue, **request}
        return str(self.batch.submit_job(**request)["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Describe a job."""
        (job,) = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        return dict(job)

    def status(self, job_id: str) -> str:
        """Return a job's status."""
        return str(self.job(job_id)["status"])

    def wait(self, job_id: str, *statuses: str, wait_s: float = WAIT_S) -> dict[str, Any]:
        """Return a job's description once it has one of the statuses, by default a final one."""
        wanted = statuses or FINAL
        until(lambda: self.status(job_id) in wanted, wait_s)
        return self.job(job_id)

    def run(self, command: list[str], **request: Any) -> dict[str, Any]:
        """Submit a job and return its description when it is over."""
        return self.wait(self.submit(command, **request))

    def output(self, job: dict[str, Any], group: str = "/aws/batch/job") -> list[str]:
        """Return the lines that a job wrote."""
        stream = job["container"]["logStreamName"]
        events = self.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
        return [event["message"] for event in events["events"]]

    def local(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call a switch under `/_local/`; return status and JSON."""
        return call(f"{self.aws.endpoint_url}/_local/{path}", method, body)

    def fault(self, effect: dict[str, Any], **where: Any) -> None:
        """Put one fault in force, in place of those before."""
        status, answer = self.local("PUT", "faults", {"faults": [{"effect": effect, **where}]})
        assert status == 200, answer

    def new_queue(
        self, vcpus: int = 1, memory_mib: int = 1024, resources: dict[str, Any] | None = None, **queue: Any
    ) -> str:
        """Create a compute environment and a queue of their own and return their common name."""
        if resources is None:
            resources = {"type": "EC2", "instanceRole": "r"}
        name = f"own-{uuid4().hex[:8]}"
        self.batch.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            computeResources={"maxvCpus": vcpus, "subnets": ["s"], **resources},
            tags={"local:memory-mib": str(memory_mib)},
        )
        until(lambda: self.environment(name)["status"] == "VALID")
        order = [{"order": 1, "computeEnvironment": name}]
        request = {"jobQueueName": name, "priority": 1, "computeEnvironmentOrder": order, **queue}
        self.batch.create_job_queue(**request)
        until(lambda: self.queue_detail(request["jobQueueName"])["status"] == "VALID")
        return str(request["jobQueueName"])

    def environment(self, name: str) -> dict[str, Any]:
        """Describe a compute environment."""
        answer = self.batch.describe_compute_environments(computeEnvironments=[name])
        return dict(answer["computeEnvironments"][0])

    def queue_detail(self, name: str) -> dict[str, Any]:
        """Describe a queue."""
        return dict(self.batch.describe_job_queues(jobQueues=[name])["jobQueues"][0])


def call(url: str, method: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Make an HTTP request with a JSON body; return status and the JSON of the response."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)
