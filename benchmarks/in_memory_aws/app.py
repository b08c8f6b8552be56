"""One address for all services: each request goes where its path or its headers say, and is counted."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from covalent_awsbatch_plugin.local.jobs import Account
from covalent_awsbatch_plugin.local.throttle import BatchThrottle

from .batch import Batch
from .container import Container
from .http import Request, Response
from .objects import Bucket
from .records import Records
from .runner import MemoryRunner
from .s3 import S3

NAME = "benchmark"
"""Of the bucket, the queue and the compute environment."""

REPORT_PATH = "/_bench/report"

_SCOPE = re.compile(rb"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")


@dataclass
class App:
    """An AWS: answers requests and knows what was asked."""

    account: Account
    container: Container
    job_s: float
    is_throttled: bool

    def __post_init__(self) -> None:
        """Make the services, a bucket and a queue."""
        self.records = Records()
        self.s3 = S3({NAME: Bucket()})
        runner = MemoryRunner(self.container, self.s3.buckets, self.records, self.job_s)
        throttle = BatchThrottle() if self.is_throttled else None
        self.batch = Batch(self.account, NAME, runner, self.records, throttle)

    def answer(self, request: Request) -> Response:
        """Answer a request."""
        if request.path == REPORT_PATH:
            return self._report()
        service, operation, response = self._answer(request)
        self.records.count(service, operation)
        return response

    def _answer(self, request: Request) -> tuple[str, str, Response]:
        if request.method == "POST" and request.path.startswith("/v1/"):
            return "batch", *self.batch.answer(request)
        if request.method == "POST" and request.path == "/":
            return self._answer_others(request)
        return "s3", *self.s3.answer(request)

    def _report(self) -> Response:
        report = {
            **self.records.to_json(),
            "definitions": self.batch.registered,
            "cpu_s": time.process_time(),
        }
        return Response(200, [json.dumps(report).encode()], is_immediate=True)

    def _answer_others(self, request: Request) -> tuple[str, str, Response]:
        """Answer the services that a driver only asks in passing."""
        match = _SCOPE.search(request.headers.get(b"authorization", b""))
        service = "unknown" if match is None else match[1].decode()
        target = request.headers.get(b"x-amz-target")
        if target is not None:
            operation = target.decode().rpartition(".")[2]
            return service, operation, Response(200, [json.dumps(_TARGETS.get(operation, {})).encode()])
        form = parse_qs(request.body.decode())
        operation = form["Action"][0]
        text = self._query_answer(operation, form)
        return service, operation, Response(200, [text.encode()], [("content-type", "text/xml")])

    def _query_answer(self, operation: str, form: dict[str, list[str]]) -> str:
        account_id = self.account.account_id
        results = {
            "GetCallerIdentity": f"<Arn>arn:aws:iam::{account_id}:user/benchmark</Arn>"
            f"<UserId>AIDABENCHMARK</UserId><Account>{account_id}</Account>",
            "GetRole": _role(account_id, form.get("RoleName", [""])[0]),
        }
        result = results.get(operation, "")
        return f"<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"


def _role(account_id: str, name: str) -> str:
    return (
        f"<Role><Path>/</Path><RoleName>{name}</RoleName><RoleId>AROABENCHMARK</RoleId>"
        f"<Arn>arn:aws:iam::{account_id}:role/{name}</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>"
    )


_TARGETS: dict[str, dict[str, Any]] = {
    "GetLogEvents": {"events": [], "nextForwardToken": "f", "nextBackwardToken": "b"},
    "DescribeLogStreams": {"logStreams": []},
    # "AWS:x", of which a client makes a login to a registry.
    "GetAuthorizationToken": {
        "authorizationData": [
            {"authorizationToken": "QVdTOng=", "expiresAt": 4e9, "proxyEndpoint": "http://127.0.0.1"}
        ]
    },
}
