"""Jobs in containers, as the tests of them need them."""

from __future__ import annotations

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

from .driving import FINAL, Driver, client, until

WAIT_S = 60.0
EXITED = "Essential container in task exited"

MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def python3(code: str) -> list[str]:
    return ["python3", "-c", code]


ANSWERS_SIGTERM = (
    "import signal, sys, time\n"
    "def end(*_):\n"
    "    print('asked to stop', flush=True)\n"
    "    {then}\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "print('up', flush=True)\n"
    "while True: time.sleep(0.1)"
)
OBEYS_SIGTERM = python3(ANSWERS_SIGTERM.format(then="sys.exit(9)"))
IGNORES_SIGTERM = python3(ANSWERS_SIGTERM.format(then="pass"))


def submit(local: Driver, command: list[str], container: dict[str, Any] | None = None, **request: Any) -> str:
    definition = local.define(command, container=container or {})
    return local.submit(jobDefinition=definition, **request)


def run(local: Driver, command: list[str], container: dict[str, Any] | None = None, **request: Any) -> Any:
    return local.wait(submit(local, command, container, **request), wait_s=WAIT_S)


def printed(local: Driver, command: list[str], **container: Any) -> list[str]:
    job = run(local, command, container)
    assert job["status"] == "SUCCEEDED", job
    return local.output(job)


def wait_for_line(local: Driver, job_id: str, line: str) -> None:
    job = local.wait(job_id, "RUNNING", *FINAL, wait_s=WAIT_S)

    def written() -> bool:
        try:
            return line in local.output(job)
        except local.logs.exceptions.ResourceNotFoundException:
            return False

    until(written, WAIT_S)


def containers_of(engine: Any, job_id: str) -> list[Any]:
    """Return the containers, running or not, of a job or of an array's children."""
    return list(engine.containers.list(all=True, ignore_removed=True, filters={"name": job_id}))


def start_failure(job: dict[str, Any]) -> str:
    """Return the reason of a job that never ran."""
    assert (job["status"], job["statusReason"]) == ("FAILED", "Task failed to start")
    assert "startedAt" not in job
    (attempt,) = job["attempts"]
    assert "exitCode" not in attempt["container"]
    assert len(attempt["container"]["reason"]) <= 255
    return str(attempt["container"]["reason"])


def needs(vcpus: int, memory_mib: int) -> dict[str, Any]:
    requirements = [
        {"type": "VCPU", "value": str(vcpus)},
        {"type": "MEMORY", "value": str(memory_mib)},
    ]
    return {"resourceRequirements": requirements}


def mounted(directory: Path, path: str, **point: Any) -> dict[str, Any]:
    return {
        "volumes": [{"name": "host", "host": {"sourcePath": str(directory)}}],
        "mountPoints": [{"sourceVolume": "host", "containerPath": path, **point}],
    }


class Repository:
    """A repository of the local ECR, with what the engine and an HTTP client need to use it."""

    def __init__(self, local: Driver, engine: Any) -> None:
        ecr = client(local.aws, "ecr")
        name = f"test-{uuid4().hex[:8]}"
        self.uri = ecr.create_repository(repositoryName=name)["repository"]["repositoryUri"]
        (data,) = ecr.get_authorization_token()["authorizationData"]
        self.basic = data["authorizationToken"]
        self.manifests = f"{local.aws.endpoint_url}/v2/{name}/manifests"
        self._engine = engine

    def push(self, image: str, tag: str) -> str:
        """Push an image and return its digest; the engine forgets the name under which it was pushed."""
        user, _, password = base64.b64decode(self.basic).decode().partition(":")
        self._engine.images.get(image).tag(self.uri, tag)
        steps = self._engine.images.push(
            self.uri, tag, auth_config={"username": user, "password": password}, stream=True, decode=True
        )
        (digest,) = [step["aux"]["Digest"] for step in steps if "aux" in step]
        self._engine.images.remove(f"{self.uri}:{tag}")
        return str(digest)

    def put_list(self, tag: str, digest: str, architecture: str) -> None:
        """Push a list that has one image, for one architecture."""
        entry = {
            "mediaType": MANIFEST,
            "digest": digest,
            "size": len(self._request("GET", digest)),
            "platform": {"architecture": architecture, "os": "linux"},
        }
        body = {"schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": [entry]}
        self._request("PUT", tag, json.dumps(body).encode())

    def _request(self, method: str, reference: str, body: bytes | None = None) -> bytes:
        headers = {"Authorization": f"Basic {self.basic}", "Accept": MANIFEST, "Content-Type": MANIFEST_LIST}
        request = urllib.request.Request(f"{self.manifests}/{reference}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())
