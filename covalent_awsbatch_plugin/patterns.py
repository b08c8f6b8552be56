"""The shapes of the names that AWS takes: of buckets, queues, roles, images and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

MAX_NAME_CHARS = 128
DEFINITION_HASH_CHARS = 16
"""Job definitions are named `<batch_job_definition_name>-<hash>`."""

MAX_SHARE_CHARS = 255


@dataclass(frozen=True)
class Pattern:
    """A shape that a text must have; `rule` says it in words and `example` would do."""

    regex: str
    rule: str
    example: str
    optional: bool = True

    def __call__(self, value: str) -> str:
        """Return the value, or raise what pydantic collects."""
        if (value == "" and self.optional) or re.fullmatch(self.regex, value):
            return value
        raise PydanticCustomError(
            "pattern", "{rule}; {example} would do", {"rule": self.rule, "example": repr(self.example)}
        )


_ARN = r"arn:[a-z-]+:{service}:[a-z0-9-]*:\d{{12}}:{resource}/.+"
_BATCH_NAME_RULE = "AWS Batch takes letters, digits, '-' and '_', {limit} characters at most"

BUCKET = Pattern(
    r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    "an S3 bucket's name has 3 to 63 lower-case letters, digits, '-' and '.', and begins and ends with a "
    "letter or digit",
    "my-covalent-bucket",
    optional=False,
)
REPOSITORY = Pattern(
    r"[a-z0-9]+(?:[._/-][a-z0-9]+)*",
    "an ECR repository's name has lower-case letters, digits, '.', '_', '-' and '/'",
    "covalent/jobs",
)
DEFINITION = Pattern(
    rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_CHARS - DEFINITION_HASH_CHARS - 2}}}",
    _BATCH_NAME_RULE.format(limit=MAX_NAME_CHARS - DEFINITION_HASH_CHARS - 1),
    "covalent-jobs",
    optional=False,
)
_QUEUE = (
    rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_CHARS - 1}}}"
    rf"|{_ARN.format(service='batch', resource='job-queue')}",
    _BATCH_NAME_RULE.format(limit=MAX_NAME_CHARS),
    "my-queue",
)
QUEUE = Pattern(*_QUEUE, optional=False)
OTHER_QUEUE = Pattern(*_QUEUE)
KMS_KEY = Pattern(
    rf"[A-Za-z0-9-]{{1,128}}|alias/[A-Za-z0-9/_-]+|{_ARN.format(service='kms', resource='(?:key|alias)')}",
    "a KMS key is named by its id, its ARN or an alias",
    "alias/my-key",
)
ROLE = Pattern(
    rf"[\w+=,.@-]{{1,64}}|{_ARN.format(service='iam', resource='role')}",
    "an IAM role's name has letters, digits and '+=,.@_-', 64 characters at most",
    "CovalentBatchJobRole",
)
LOG_GROUP = Pattern(
    r"[A-Za-z0-9_/.#-]{1,512}",
    "a log group's name has letters, digits and '_-/.#', 512 characters at most",
    "/aws/batch/job",
)
REGION = Pattern(r"[a-z]{2}(?:-[a-z]+)+-\d", "an AWS region looks different", "us-east-1")
ENDPOINT = Pattern(r"https?://[^\s/]+(?:/\S*)?", "an endpoint is a URL", "http://127.0.0.1:4599")
_IMAGE = r"[^\s@]+(?:@sha256:[0-9a-f]{64})?"
_IMAGE_RULE = "an image's name has no spaces"
IMAGE = Pattern(_IMAGE, _IMAGE_RULE, "python:3.11-slim")
BASE_IMAGE = Pattern(_IMAGE, _IMAGE_RULE, "python:{python}-slim", optional=False)
_DEFINITION_REFERENCE = rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_CHARS - 1}}}(?::[1-9]\d*)?"
DEFINITION_REFERENCE = Pattern(
    rf"(?:arn:[a-z-]+:batch:[a-z0-9-]*:\d{{12}}:job-definition/)?{_DEFINITION_REFERENCE}",
    "a job definition is named by its name, name:revision or ARN",
    "my-definition:3",
)
SHARE_IDENTIFIER = Pattern(
    rf"[A-Za-z0-9]{{1,{MAX_SHARE_CHARS}}}\*?",
    f"AWS Batch takes letters and digits, {MAX_SHARE_CHARS} at most, and one '*' at the end",
    "research",
)
