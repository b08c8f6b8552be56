"""The job role may read and write objects, and nothing else: so S3 answers 403 for what is not there."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.infra.rights import rights

from ..infra.template import TEMPLATE
from .conftest import Jobs

DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
OF_MULTIPART_UPLOADS = {"uploads", "uploadId", "partNumber"}


class LimitedS3(http.server.ThreadingHTTPServer):
    """The S3 of the tests with the rights of the job role; notes which of them were used, and refusals."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarding)
        self.upstream = urlsplit(endpoint).netloc
        of_job = [each for each in rights(TEMPLATE) if each.holder == "JobRole"]
        self.rights = {action for each in of_job for action in each.actions}
        self.used: set[str] = set()
        self.refused: list[str] = []


class _Forwarding(http.server.BaseHTTPRequestHandler):
    server: LimitedS3

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        right = self._right()
        self.server.used.add(right)
        connection = http.client.HTTPConnection(self.server.upstream)
        connection.request(self.command, self.path, body, dict(self.headers))
        reply = connection.getresponse()
        content = reply.read()
        # Who may not list is not told what is missing.
        if right not in self.server.rights or reply.status == 404:
            self.server.refused.append(right)
            self._answer(403, {}, DENIED)
        else:
            self._answer(reply.status, dict(reply.getheaders()), content)
        connection.close()

    def _right(self) -> str:
        url = urlsplit(self.path)
        has_key = url.path.strip("/").count("/") > 0
        parameters = set(parse_qs(url.query, keep_blank_values=True))
        if self.command in ("GET", "HEAD"):
            return "s3:GetObject" if has_key and not parameters else "s3:ListBucket"
        if self.command == "DELETE":
            return "s3:AbortMultipartUpload" if parameters else "s3:DeleteObject"
        return "s3:PutObject" if has_key and parameters <= OF_MULTIPART_UPLOADS | {"x-id"} else "s3:Other"

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward


@pytest.fixture
def limited(jobs: Jobs, s3_endpoint: str) -> Iterator[LimitedS3]:
    with LimitedS3(s3_endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        jobs.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


def test_a_task_with_large_arguments_and_value_needs_no_more(jobs: Jobs, limited: LimitedS3):
    job = jobs.call(lambda large: large * 2, b"x" * (contract.INLINE_BYTES + 1))
    assert len(job.only.value) == 2 * (contract.INLINE_BYTES + 1)
    assert (limited.used, limited.refused) == ({"s3:GetObject", "s3:PutObject"}, [])


def test_an_attempt_after_another_one_runs(jobs: Jobs, limited: LimitedS3, tmp_path: Path):
    """It looks whether it has left an outcome already, and is not told that there is none."""
    draft = jobs.draft()
    draft.task(lambda: __import__("os").environ["AWS_BATCH_JOB_ATTEMPT"])
    assert jobs.run(draft).only.value == "1"
    second: Any = jobs.run(draft, AWS_BATCH_JOB_ATTEMPT="2")
    assert second.only.value == "2"
    assert limited.used == {"s3:GetObject", "s3:PutObject"}
