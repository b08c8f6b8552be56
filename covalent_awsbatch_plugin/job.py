"""An AWS Batch job as AWS describes it; AWS's camelCase ends here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class JobStatus(str, Enum):
    """The states of an AWS Batch job, in the order in which it passes them."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Tell whether a job stays in this state."""
        return self in {JobStatus.SUCCEEDED, JobStatus.FAILED}


@dataclass(frozen=True)
class Attempt:
    """One start of a job: what its container ended with, as far as AWS knows."""

    status_reason: str = ""
    container_reason: str = ""
    exit_code: int | None = None
    log_stream: str = ""


@dataclass(frozen=True)
class Job:
    """What DescribeJobs says of a job."""

    id: str
    name: str
    status: JobStatus
    status_reason: str = ""
    container_reason: str = ""
    exit_code: int | None = None
    log_stream: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    allowed_attempts: int = 1
    memory_mib: int | None = None
    """The memory limit of its container."""

    @classmethod
    def from_aws(cls, detail: dict[str, Any]) -> Job:
        """Read a JobDetail of DescribeJobs; AWS leaves out what it has not got."""
        container = detail.get("container", {})
        return cls(
            id=detail["jobId"],
            name=detail["jobName"],
            status=JobStatus(detail["status"]),
            status_reason=detail.get("statusReason", ""),
            container_reason=container.get("reason", ""),
            exit_code=container.get("exitCode"),
            log_stream=container.get("logStreamName", ""),
            attempts=[_attempt(each) for each in detail.get("attempts", [])],
            allowed_attempts=detail.get("retryStrategy", {}).get("attempts", 1),
            memory_mib=_memory_mib(container),
        )


def _memory_mib(container: dict[str, Any]) -> int | None:
    wanted = {each["type"]: each["value"] for each in container.get("resourceRequirements", [])}
    return int(wanted["MEMORY"]) if "MEMORY" in wanted else None


def _attempt(detail: dict[str, Any]) -> Attempt:
    container = detail.get("container", {})
    return Attempt(
        status_reason=detail.get("statusReason", ""),
        container_reason=container.get("reason", ""),
        exit_code=container.get("exitCode"),
        log_stream=container.get("logStreamName", ""),
    )
