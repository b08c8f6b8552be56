"""Name the service and the operation of a call, to count what a client does and to strike it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote

JOBS_KEY_ID = "local-job"
"""The access key with which jobs sign; everybody else may take any other."""

SCOPE = re.compile(r"Credential=([^/]+)/\d{8}/[^/]+/([^/]+)/aws4_request")
"""Access key and credential scope of signature version 4, in a header or (unquoted) in a query string."""

OBJECT_OPERATIONS = {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
BUCKET_OPERATIONS = {
    "GET": "ListObjects",
    "PUT": "CreateBucket",
    "HEAD": "HeadBucket",
    "DELETE": "DeleteBucket",
}

S3_QUERY_OPERATIONS = {
    ("GET", "list-type"): "ListObjectsV2",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "uploadId"): "ListParts",
    ("GET", "location"): "GetBucketLocation",
    ("GET", "encryption"): "GetBucketEncryption",
    ("GET", "lifecycle"): "GetBucketLifecycleConfiguration",
    ("GET", "publicAccessBlock"): "GetPublicAccessBlock",
    ("POST", "delete"): "DeleteObjects",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("PUT", "uploadId"): "UploadPart",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Call:
    """What a request asks for.

    `operation` is a best effort for other services than Batch; `key` is S3's key, or the prefix of a listing.
    """

    service: str
    operation: str
    by_job: bool = False
    bucket: str = ""
    key: str = ""


@dataclass
class CallCounts:
    """How often each operation of each service was called."""

    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, service: str, operation: str) -> None:
        """Count one call."""
        self.counts[service][operation] += 1

    def to_json(self) -> dict[str, dict[str, int]]:
        """Return the counts by service and operation."""
        return {service: dict(operations) for service, operations in self.counts.items()}


def signed_service(authorization: str, query: str) -> str | None:
    """Return the service that a request was signed for, None where it is unsigned."""
    match = _scope(authorization, query)
    return match[2] if match is not None else None


def is_by_job(authorization: str, query: str) -> bool:
    """Tell whether a request was signed by a job of the local AWS."""
    match = _scope(authorization, query)
    return match is not None and match[1] == JOBS_KEY_ID


def _scope(authorization: str, query: str) -> re.Match[str] | None:
    return SCOPE.search(authorization) or SCOPE.search(unquote(query))


def s3_object(path: str, query: str) -> tuple[str, str]:
    """Return the bucket and the key of a request to S3, or the prefix of a listing in the key's place."""
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key or parse_qs(query).get("prefix", [""])[0]


def s3_operation(method: str, path: str, query: str) -> str:
    """Return S3's operation, by the shape of the request."""
    parameters = parse_qs(query, keep_blank_values=True)
    for (verb, parameter), operation in S3_QUERY_OPERATIONS.items():
        if verb == method and parameter in parameters:
            return operation
    bucket, _, key = path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets"
    return (OBJECT_OPERATIONS if key else BUCKET_OPERATIONS).get(method, method)


def target_operation(target: str) -> str:
    """Return the operation in an `X-Amz-Target` header, as JSON services send it."""
    return target.rpartition(".")[2]


def form_operation(body: bytes) -> str | None:
    """Return the operation in the beginning of a form, as query services (IAM, STS) send it."""
    actions = parse_qs(body.decode("latin-1")).get("Action")
    return actions[0] if actions else None
