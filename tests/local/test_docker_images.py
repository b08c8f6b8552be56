"""Where the image of a job comes from, and starts that fail."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest

from tests import docker_engine

from .containers import MANIFEST, WAIT_S, Repository, containers_of, printed, run, start_failure, submit
from .driving import Driver, sh

FOREIGN = "arm64" if platform.machine() in ("x86_64", "AMD64") else "amd64"
"""An architecture that this machine has not."""


def test_a_registry_that_does_not_answer_fails_the_start(in_docker: Driver) -> None:
    job = run(in_docker, ["true"], {"image": "127.0.0.1:1/nobody/listens:here"})
    reason = start_failure(job)
    assert reason.startswith("CannotPullContainerError: Error response from daemon: ")
    assert "connection refused" in reason


def test_a_name_that_no_image_has_fails_the_start(in_docker: Driver) -> None:
    reason = start_failure(run(in_docker, ["true"], {"image": "Not A Name"}))
    assert reason.startswith("CannotPullContainerError: ")
    assert "invalid reference format" in reason


@pytest.mark.parametrize(
    ("command", "words"),
    [(["no-such-program"], "executable file not found in $PATH"), (["/dev/null"], "permission denied")],
)
def test_a_command_that_cannot_start_fails_the_start(
    in_docker: Driver, engine: Any, command: list[str], words: str
) -> None:
    job = run(in_docker, command)
    reason = start_failure(job)
    assert reason.startswith("CannotStartContainerError: Error response from daemon: ")
    assert words in reason
    assert containers_of(engine, job["jobId"]) == []


def test_a_container_that_cannot_be_made_fails_the_start(in_docker: Driver) -> None:
    linux = {"tmpfs": [{"containerPath": "not/absolute", "size": 1}]}
    reason = start_failure(run(in_docker, ["true"], {"linuxParameters": linux}))
    assert reason.startswith("CannotCreateContainerError: Error response from daemon: ")


def test_a_failed_start_is_retried(in_docker: Driver) -> None:
    job = run(in_docker, ["no-such-program"], retryStrategy={"attempts": 2})
    assert len(job["attempts"]) == 2


class DrippingRegistry(BaseHTTPRequestHandler):
    """A registry of one image, of which the only layer never comes to its end."""

    dripping = threading.Event()
    hung_up = threading.Event()
    layer = hashlib.sha256(b"never seen").hexdigest()
    config = json.dumps(
        {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]}}
    ).encode()

    def do_HEAD(self) -> None:
        self._answer(self._body())

    def do_GET(self) -> None:
        if self.path.endswith(self.layer):
            self._drip()
        else:
            self._answer(self._body())

    def _body(self) -> bytes:
        if "manifests" not in self.path:
            return self.config
        blob = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(self.config)}
        layer = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 2**30}
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {**blob, "digest": f"sha256:{hashlib.sha256(self.config).hexdigest()}"},
            "layers": [{**layer, "digest": f"sha256:{self.layer}"}],
        }
        return json.dumps(manifest).encode()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(2**30))
        self.end_headers()
        self.dripping.set()
        try:
            while True:
                self.wfile.write(b"." * 65_536)
                time.sleep(0.05)
        except OSError:
            self.hung_up.set()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def dripping_image() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), DrippingRegistry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}/dripping:latest"
    server.shutdown()
    thread.join()
    server.server_close()


def test_terminate_ends_a_pull(in_docker: Driver, dripping_image: str) -> None:
    job_id = submit(in_docker, [], {"image": dripping_image}, retryStrategy={"attempts": 3})
    assert DrippingRegistry.dripping.wait(WAIT_S)
    in_docker.batch.terminate_job(jobId=job_id, reason="no longer wanted")
    job = in_docker.wait(job_id, wait_s=WAIT_S)
    assert (job["status"], job["statusReason"]) == ("FAILED", "no longer wanted")
    (attempt,) = job["attempts"]
    assert attempt["statusReason"] == "no longer wanted"
    assert "startedAt" not in job
    assert DrippingRegistry.hung_up.wait(WAIT_S)


@pytest.fixture(scope="module")
def repository(in_docker: Driver, engine: Any) -> Repository:
    return Repository(in_docker, engine)


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def foreign_image(engine: Any) -> Iterator[str]:
    """An image for an architecture that this machine has not."""
    name = f"covalent-awsbatch-test-foreign:{uuid4().hex}"
    layer = archive({"program": b"no machine code of this machine"})
    config = {
        "architecture": FOREIGN,
        "os": "linux",
        "config": {"Cmd": ["/program"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    engine.images.load(archive(files))
    yield name
    engine.images.remove(name)


def test_an_image_for_another_architecture_fails_the_start(in_docker: Driver, foreign_image: str) -> None:
    reason = start_failure(run(in_docker, [], {"image": foreign_image}))
    assert reason.startswith("CannotStartContainerError: Error response from daemon: ")
    assert "exec format error" in reason
    assert f"linux/{FOREIGN}" in reason


def test_a_list_without_this_architecture_fails_the_pull(
    in_docker: Driver, repository: Repository, foreign_image: str
) -> None:
    repository.put_list("list", repository.push(foreign_image, "foreign"), FOREIGN)
    reason = start_failure(run(in_docker, [], {"image": f"{repository.uri}:list"}))
    assert reason.startswith(
        "CannotPullContainerError: Error response from daemon: no matching manifest for "
    )


def test_an_image_of_the_local_ecr_is_pulled_by_tag_and_digest(
    in_docker: Driver, repository: Repository
) -> None:
    digest = repository.push(docker_engine.BASE_IMAGE, "runs")
    for reference in (f"{repository.uri}:runs", f"{repository.uri}@{digest}"):
        assert printed(in_docker, sh("echo pulled"), image=reference) == ["pulled"]


def test_an_image_that_the_local_ecr_lacks_fails_the_start(in_docker: Driver, repository: Repository) -> None:
    reason = start_failure(run(in_docker, ["true"], {"image": f"{repository.uri}:missing"}))
    assert reason.startswith("CannotPullContainerError: Error response from daemon: ")
    assert "manifest" in reason


def test_what_the_local_ecr_refuses_is_not_run_from_the_engines_copy(
    in_docker: Driver, engine: Any, repository: Repository
) -> None:
    repository.push(docker_engine.BASE_IMAGE, "refused")
    engine.images.get(docker_engine.BASE_IMAGE).tag(repository.uri, "refused")
    in_docker.local("POST", "ecr/deny", {"operations": ["BatchGetImage"]})
    try:
        reason = start_failure(run(in_docker, ["true"], {"image": f"{repository.uri}:refused"}))
    finally:
        in_docker.local("POST", "ecr/allow")
    assert reason.startswith("CannotPullContainerError: ")
    assert "not authorized" in reason


def test_a_registry_that_is_away_leaves_the_engines_copy(in_docker: Driver, engine: Any) -> None:
    name = f"127.0.0.1:1/away-{uuid4().hex[:8]}"
    engine.images.get(docker_engine.BASE_IMAGE).tag(name, "kept")
    try:
        assert printed(in_docker, sh("echo from the copy"), image=f"{name}:kept") == ["from the copy"]
    finally:
        engine.images.remove(f"{name}:kept")
