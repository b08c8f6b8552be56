"""An AWS Batch job as AWS describes it; AWS's camelCase ends here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
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
    started_at: datetime | None = None
    stopped_at: datetime | None = None


@dataclass(frozen=True)
class Job:
    """What DescribeJobs says of a job; times are in UTC."""

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
    vcpus: float | None = None
    """What its container asks for; on Fargate it may be a part of one."""
    gpus: int = 0
    platforms: Sequence[str] = ()
    """What its definition is for: "EC2" or "FARGATE"."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    is_ended_on_request: bool = False
    """Whether AWS Batch took a call to cancel or terminate it, whoever sent that."""
    queue_arn: str = ""
    definition_arn: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    """The container's variables, without those of AWS Batch."""
    array_size: int | None = None
    """Number of its children, where it is an array."""
    children: dict[JobStatus, int] = field(default_factory=dict)
    """How many of an array's children are in which state; AWS counts them some time after they change."""

    @property
    def waits_for_place(self) -> bool:
        """Whether it is RUNNABLE; or, of an array, some of its children are and none of them runs."""
        if self.array_size is None:
            return self.status is JobStatus.RUNNABLE
        runs = self.children.get(JobStatus.STARTING, 0) + self.children.get(JobStatus.RUNNING, 0)
        return not self.status.is_final and runs == 0 and self.children.get(JobStatus.RUNNABLE, 0) > 0

    @classmethod
    def from_aws(cls, detail: dict[str, Any]) -> Job:
        """Read a JobDetail, or ListJobs' JobSummary of it; AWS leaves out what it has not got."""
        container = detail.get("container", {})
        array = detail.get("arrayProperties", {})
        asked = {each["type"]: each["value"] for each in container.get("resourceRequirements", [])}
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
            memory_mib=int(asked["MEMORY"]) if "MEMORY" in asked else None,
            vcpus=float(asked["VCPU"]) if "VCPU" in asked else None,
            gpus=int(asked.get("GPU", 0)),
            platforms=detail.get("platformCapabilities", ()),
            created_at=_time(detail.get("createdAt")),
            started_at=_time(detail.get("startedAt")),
            stopped_at=_time(detail.get("stoppedAt")),
            is_ended_on_request=bool(detail.get("isCancelled") or detail.get("isTerminated")),
            queue_arn=detail.get("jobQueue", ""),
            definition_arn=detail.get("jobDefinition", ""),
            environment={each["name"]: each["value"] for each in container.get("environment", [])},
            array_size=array.get("size"),
            children={JobStatus(name): count for name, count in array.get("statusSummary", {}).items()},
        )


def _attempt(detail: dict[str, Any]) -> Attempt:
    container = detail.get("container", {})
    return Attempt(
        status_reason=detail.get("statusReason", ""),
        container_reason=container.get("reason", ""),
        exit_code=container.get("exitCode"),
        log_stream=container.get("logStreamName", ""),
        started_at=_time(detail.get("startedAt")),
        stopped_at=_time(detail.get("stoppedAt")),
    )


def _time(epoch_ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(epoch_ms / 1000, timezone.utc) if epoch_ms else None


def reasons_of(ended: Job | Attempt) -> str:
    """Return AWS's words on the end, or the state, of a job or an attempt; empty where there are none."""
    return ": ".join(each for each in (ended.status_reason, ended.container_reason) if each)


def console_url(region: str, job_id: str) -> str:
    """Return where AWS's console shows a job, an array or a child."""
    domain = next((each for start, each in _CONSOLES.items() if region.startswith(start)), _CONSOLE)
    return f"https://{region}.{domain}/batch/home?region={region}#jobs/detail/{job_id}"


_CONSOLE = "console.aws.amazon.com"
_CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}
"""Of AWS's partitions, by how their regions begin."""


def child_id(job_id: str, index: int | None) -> str:
    """Return the id of an array's child; with no index, of the job itself."""
    return job_id if index is None else f"{job_id}:{index}"


def split_id(job_id: str) -> tuple[str, int | None]:
    """Return the id of a child's array and its index; of any other job, its id and None."""
    array_id, separator, index = job_id.partition(":")
    return array_id, int(index) if separator else None
