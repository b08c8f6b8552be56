"""The records of the local AWS Batch: definitions, queues, compute environments, jobs and attempts.

They hold state and no behaviour beyond their own arithmetic: `engine` changes them, `describe` turns
them into AWS's JSON. Times are milliseconds since the epoch, as Batch gives them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from covalent_awsbatch_plugin.job import JobStatus

Json = dict[str, Any]

CPU_UNITS_PER_VCPU = 1024
"""ECS counts CPU in these units; Fargate's smallest job asks for 256 of them."""


TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.SUBMITTED: frozenset({JobStatus.PENDING, JobStatus.RUNNABLE, JobStatus.FAILED}),
    JobStatus.PENDING: frozenset({JobStatus.RUNNABLE, JobStatus.FAILED}),
    JobStatus.RUNNABLE: frozenset({JobStatus.STARTING, JobStatus.FAILED}),
    JobStatus.STARTING: frozenset({JobStatus.RUNNING, JobStatus.RUNNABLE, JobStatus.FAILED}),
    JobStatus.RUNNING: frozenset({JobStatus.RUNNABLE, JobStatus.SUCCEEDED, JobStatus.FAILED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
}
"""The moves that AWS documents for a job that runs."""

ARRAY_TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.SUBMITTED: frozenset({JobStatus.PENDING, JobStatus.FAILED}),
    JobStatus.PENDING: frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
}
"""The moves that AWS documents for the parent of an array."""


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Account:
    """Whose resources these are, and where they seem to be."""

    region: str = "us-east-1"
    account_id: str = "123456789012"

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource such as `job/ID`."""
        return f"arn:aws:{service}:{self.region}:{self.account_id}:{resource}"


@dataclass(frozen=True)
class Demand:
    """What a job needs to be placed."""

    cpu_units: int
    memory_mib: int
    gpus: int = 0


@dataclass(eq=False)
class JobDefinition:
    """One revision of a job definition; `container` is the request's `containerProperties`."""

    name: str
    revision: int
    arn: str
    container: Json
    parameters: dict[str, str] = field(default_factory=dict)
    retry_strategy: Json | None = None
    timeout: Json | None = None
    platform_capabilities: list[str] = field(default_factory=lambda: ["EC2"])
    propagate_tags: bool | None = None
    scheduling_priority: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    active: bool = True

    @property
    def status(self) -> str:
        """AWS's word for whether new jobs may use this revision."""
        return "ACTIVE" if self.active else "INACTIVE"


@dataclass(eq=False)
class ComputeEnvironment:
    """A pool of vCPUs and memory; `resources` is the request's `computeResources`."""

    name: str
    arn: str
    ecs_cluster_arn: str
    uuid: str
    type: str
    resources: Json
    capacity: Demand
    service_role: str | None = None
    unmanaged_vcpus: int | None = None
    state: str = "ENABLED"
    status: str = "CREATING"
    tags: dict[str, str] = field(default_factory=dict)
    used_cpu_units: int = 0
    used_memory_mib: int = 0

    @property
    def usable(self) -> bool:
        """Tell whether jobs may be placed here at all."""
        return self.state == "ENABLED" and self.status == "VALID"

    @property
    def fargate(self) -> bool:
        """Tell whether this environment runs Fargate tasks rather than EC2 hosts."""
        return str(self.resources.get("type", "EC2")).startswith("FARGATE")

    def could_ever_fit(self, demand: Demand) -> bool:
        """Tell whether the demand fits when nothing else runs."""
        return (
            demand.cpu_units <= self.capacity.cpu_units
            and demand.memory_mib <= self.capacity.memory_mib
            and demand.gpus <= self.capacity.gpus
        )

    def fits_now(self, demand: Demand) -> bool:
        """Tell whether the demand fits beside what runs."""
        return (
            self.could_ever_fit(demand)
            and self.used_cpu_units + demand.cpu_units <= self.capacity.cpu_units
            and self.used_memory_mib + demand.memory_mib <= self.capacity.memory_mib
        )

    def take(self, demand: Demand) -> None:
        """Reserve what a job needs."""
        self.used_cpu_units += demand.cpu_units
        self.used_memory_mib += demand.memory_mib

    def give_back(self, demand: Demand) -> None:
        """Release what a job reserved."""
        self.used_cpu_units -= demand.cpu_units
        self.used_memory_mib -= demand.memory_mib


@dataclass(eq=False)
class JobQueue:
    """A queue: its environments in the order of trial (`orders` has AWS's numbers for them) and its jobs.

    `runnable` holds the RUNNABLE jobs by id, head first; `jobs` holds all jobs but array children.
    """

    name: str
    arn: str
    priority: int
    environments: list[ComputeEnvironment]
    orders: list[int]
    state: str = "ENABLED"
    status: str = "CREATING"
    tags: dict[str, str] = field(default_factory=dict)
    time_limit_actions: list[Json] = field(default_factory=list)
    scheduling_policy_arn: str | None = None
    runnable: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    jobs: list[Job] = field(default_factory=list)


@dataclass(eq=False)
class SchedulingPolicy:
    """How a queue is meant to share its capacity: `fairshare` is the request's `fairsharePolicy`."""

    name: str
    arn: str
    fairshare: Json = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RetryStrategy:
    """How often a job is tried, and the `evaluateOnExit` rules as AWS's JSON."""

    attempts: int = 1
    evaluate_on_exit: tuple[Json, ...] = ()


@dataclass(frozen=True, eq=False)
class JobSpec:
    """What was asked for, shared by all children of an array.

    `container` is AWS's `ContainerDetail` with overrides merged and parameters filled in.
    `start_error` is the statusReason of a job that AWS accepts but never starts.
    """

    name: str
    queue: JobQueue
    definition: JobDefinition
    container: Json
    demand: Demand
    retry: RetryStrategy = RetryStrategy()
    timeout_s: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    depends_on: tuple[Json, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    propagate_tags: bool | None = None
    share_identifier: str | None = None
    scheduling_priority: int | None = None
    start_error: str | None = None


@dataclass(slots=True, eq=False)
class Attempt:
    """One try at running a job."""

    number: int
    task_arn: str
    container_instance_arn: str
    log_stream_name: str
    environment: ComputeEnvironment
    started_at_ms: int | None = None
    stopped_at_ms: int | None = None
    status_reason: str | None = None
    exit_code: int | None = None
    reason: str | None = None


@dataclass(slots=True, eq=False)
class Job:
    """A job, a child of an array, or (where `children` is filled) the parent of an array.

    `attempts` holds the ended attempts; `current` the one whose task is up or was the last.
    `unmet` counts dependencies that are still open. `sequence` grows with submission; `submission` counts
    accepted SubmitJob calls from 1 on, and is the parent's for the children of an array.
    """

    id: str
    arn: str
    sequence: int
    submission: int
    spec: JobSpec
    created_at_ms: int
    tags: dict[str, str]
    status: JobStatus = JobStatus.SUBMITTED
    status_reason: str | None = None
    started_at_ms: int | None = None
    stopped_at_ms: int | None = None
    runnable_since_ms: int | None = None
    attempts: list[Attempt] = field(default_factory=list)
    current: Attempt | None = None
    unmet: int = 0
    dependency_failed: bool = False
    dependents: list[Job] = field(default_factory=list)
    end_reason: str | None = None
    is_cancelled: bool = False
    is_terminated: bool = False
    parent: Job | None = None
    index: int | None = None
    children: list[Job] = field(default_factory=list)
    summary: dict[JobStatus, int] | None = None
    summary_updated_at_ms: int | None = None

    @property
    def leaves(self) -> list[Job]:
        """Return the jobs that run: the children of an array, or the job itself."""
        return self.children or [self]
