"""Why a job is not placed, from what AWS Batch tells of it and its queue: a pure table, without any I/O.

In this order: the reason that AWS Batch gives itself, the state of the queue, its compute environments one
by one against what the job asks for, and the job's place in the queue. Of instance types only that is taken
which their names say for sure; nobody here knows how large they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .diagnosis import NEVER_PLACED, QUEUE_INVALID, diagnose
from .errors import JobFailedError, NeverPlacedError, QueueInvalidError
from .job import Job, split_id
from .settings import MIB_PER_GB

SNAPSHOT_JOBS = 100
"""GetJobQueueSnapshot shows so many from the front of a queue."""

USABLE_SHARE = 0.95
LEAST_KEPT_MIB = 256
"""Of an instance's memory the kernel and ECS's agent keep some: AWS advises to leave 5 %, and an m4.large of
8,192 MiB is registered with 7,985."""

MAX_REASON_CHARS = 300
"""Of a text of AWS's within one of ours."""


# --- what AWS tells ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Environment:
    """A compute environment, as DescribeComputeEnvironments tells of it."""

    name: str
    state: str = ""
    status: str = ""
    """Empty, as `state`, where AWS does not say; DELETED where there is none of this name."""
    status_reason: str = ""
    type: str = ""
    """EC2, SPOT, FARGATE or FARGATE_SPOT; empty where its instances are not AWS Batch's to manage."""
    max_vcpus: int | None = None
    desired_vcpus: int | None = None
    instance_types: Sequence[str] = ()
    subnets: Sequence[str] = ()
    security_groups: Sequence[str] = ()
    instance_profile: str = ""
    """Name or ARN of what its instances have their role by; empty where AWS Batch manages none."""

    @classmethod
    def from_aws(cls, detail: dict[str, Any]) -> Environment:
        """Read a ComputeEnvironmentDetail."""
        resources = detail.get("computeResources", {})
        return cls(
            detail["computeEnvironmentName"],
            detail.get("state", ""),
            detail.get("status", ""),
            detail.get("statusReason", ""),
            resources.get("type", ""),
            resources.get("maxvCpus", detail.get("unmanagedvCpus")),
            resources.get("desiredvCpus"),
            tuple(resources.get("instanceTypes", ())),
            tuple(resources.get("subnets", ())),
            tuple(resources.get("securityGroupIds", ())),
            resources.get("instanceRole", ""),
        )

    @property
    def is_fargate(self) -> bool:
        """Whether its jobs run on Fargate."""
        return self.type.startswith("FARGATE")

    @property
    def is_full(self) -> bool:
        """Whether AWS Batch wants no more vCPUs in it, for there may be no more."""
        if self.max_vcpus is None or self.desired_vcpus is None:
            return False
        return self.desired_vcpus >= self.max_vcpus


@dataclass(frozen=True)
class Queue:
    """A job queue and what surrounds it; what AWS did not tell is None, or empty."""

    name: str
    state: str = ""
    status: str = ""
    """DELETED where there is none of this name."""
    status_reason: str = ""
    environments: Sequence[Environment] = ()
    """In the order in which AWS Batch tries them."""
    front: Sequence[str] | None = None
    """The ids of the first RUNNABLE jobs, in order; of arrays their children."""
    head: Job | None = None
    """The job at its front."""

    def place_of(self, job: Job) -> Place | None:
        """Return where a job, or the first child of an array, stands; None where AWS does not tell."""
        if not self.front:  # what AWS shows may be older than the job
            return None
        numbers = (number for number, each in enumerate(self.front, 1) if _is_of(each, job))
        return Place(next(numbers, None), len(self.front))


@dataclass(frozen=True)
class Place:
    """Where a job stands among the first RUNNABLE jobs of its queue."""

    number: int | None
    """1 at the front; None where it is not among them."""
    count: int
    """How many AWS Batch shows: all, or the first hundred."""

    def __str__(self) -> str:
        all_of_them = f"the first {self.count}" if self.count >= SNAPSHOT_JOBS else str(self.count)
        if self.number is None:
            return f"not among {all_of_them} jobs in it"
        return f"place {self.number} of {all_of_them} in it"


# --- what that means --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """What keeps a job from its place; two are equal that say the same, wherever in the queue the job is."""

    what: str
    """A clause; empty where only its place in the queue is known."""
    advice: str
    """The next step."""
    error: type[JobFailedError] | None = None
    """What a job fails with that is not to wait for ever; None where it may yet be placed."""
    may_pass: bool = False
    """Whether AWS Batch says so, too, while an environment grows from nothing."""
    queue: str = ""
    place: Place | None = field(default=None, compare=False)

    @property
    def can_never_run(self) -> bool:
        """Whether waiting does not help, as things are."""
        return self.error is not None

    def __str__(self) -> str:
        place = "" if self.place is None or self.can_never_run else str(self.place)
        told = "; ".join(each for each in (place, self.what) if each)
        return f"{told}. Next step: {self.advice}."

    def after(self, waited_s: float) -> str:
        """Return what follows "the job" when it has waited for so long."""
        return f"has waited {about(waited_s)} in the queue {self.queue!r}: {self}"


def explain(job: Job, queue: Queue) -> Finding:
    """Return what keeps a job, or an array of which nothing runs, from being placed."""
    said, seen = _said(job, queue), _seen(job, queue)
    found = seen or _in_line(job, queue) if said is None else _together(said, seen, job, queue)
    return replace(found, queue=queue.name, place=queue.place_of(job))


def about(seconds: float) -> str:
    """Return a time as one says it, such as `6 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{max(0, seconds):.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _is_of(job_id: str, job: Job) -> bool:
    return job.id in (job_id, split_id(job_id)[0])


# --- what AWS Batch says itself ---------------------------------------------------------------------------

_BLOCK_REASON = re.compile(r"(CAPACITY|MISCONFIGURATION|ACTION_REQUIRED|UNDETERMINED)\b")
"""How the reasons begin that AWS Batch gives: some minutes after the job began to wait, and only to the job
at the front of a queue."""

_MAY_BE_PLACED = {"CAPACITY", "UNDETERMINED"}
_NO_ROOM = "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE"
_TOO_LARGE = "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"
_MEND_ENVIRONMENTS = "mend the queue's compute environments, or set another batch_queue"


@dataclass(frozen=True)
class _Said:
    """The reason that AWS Batch itself gives for a job that waits."""

    text: str
    kind: str
    """The word that it begins with."""

    def finding(self, job: Job, queue: Queue) -> Finding:
        """Return what the reason says by itself."""
        known = diagnose(Job(job.id, job.name, job.status, self.text))
        error, advice, may_pass = known.error, known.advice, self.text.startswith(_TOO_LARGE)
        if self.kind in _MAY_BE_PLACED:
            return Finding(str(self), advice)
        if error not in {NeverPlacedError, QueueInvalidError}:
            # What AWS adds some day is told, but for its first minutes not trusted.
            error, advice, may_pass = QueueInvalidError, _MEND_ENVIRONMENTS, True
        return Finding(str(self), _with_headroom(advice, job, queue), error, may_pass)

    def __str__(self) -> str:
        return f"AWS Batch says {self.text!r}"


def _said(job: Job, queue: Queue) -> _Said | None:
    """Return AWS Batch's reason for a job; of an array, that for its first child."""
    told = [job.status_reason]
    if queue.head is not None and _is_of(queue.head.id, job):
        told.append(queue.head.status_reason)
    return next((said for each in told if (said := _said_in(each)) is not None), None)


def _said_in(status_reason: str) -> _Said | None:
    found = _BLOCK_REASON.match(status_reason)
    return None if found is None else _Said(_short(status_reason), found[1])


def _short(text: str) -> str:
    """Return a text of AWS's in one line, without its full stop."""
    return " ".join(text.split())[:MAX_REASON_CHARS].rstrip(".")


def _together(said: _Said, seen: Finding | None, job: Job, queue: Queue) -> Finding:
    """Return AWS's reason with what bears it out: by itself it says only that something is wrong."""
    found = said.finding(job, queue)
    if seen is not None and (found.can_never_run or said.kind == "UNDETERMINED"):
        return replace(seen, what=f"{seen.what} ({said})")
    if said.text.startswith(_NO_ROOM) and queue.environments:
        return replace(found, may_pass=True)  # one of them may have grown since AWS said so
    return found


def _with_headroom(advice: str, job: Job, queue: Queue) -> str:
    """Add what AWS's own agent keeps of an instance's memory, where a job asks for all of it."""
    asked_mib = job.memory_mib
    if asked_mib is None or any(each.is_fargate for each in queue.environments):
        return advice
    nominal_mib = _size_above(asked_mib)
    usable_mib = usable(nominal_mib)
    if asked_mib <= usable_mib:
        return advice
    gb = int(usable_mib / MIB_PER_GB * 10) / 10
    size = f"{nominal_mib // MIB_PER_GB} GiB"
    return f"{advice}; of an instance with {size} a job can have some {usable_mib} MiB (memory={gb:g})"


def usable(nominal_mib: int) -> int:
    """Return what jobs can have, in MiB, of an instance with so much memory."""
    return int(min(nominal_mib * USABLE_SHARE, nominal_mib - LEAST_KEPT_MIB))


def _size_above(asked_mib: int) -> int:
    """Return the memory in MiB of the smallest common instance that has, by its name, so much."""
    nominal_mib = MIB_PER_GB
    while nominal_mib < asked_mib:
        nominal_mib *= 2
    return nominal_mib


# --- what its queue and their environments show -----------------------------------------------------------


def _seen(job: Job, queue: Queue) -> Finding | None:
    """Return why nothing of a queue can ever take a job; None where something may."""
    if queue.status in {"INVALID", "DELETING", "DELETED"}:
        what = f"the queue is {queue.status}{_in_brackets(queue.status_reason)}"
        return Finding(what, "set another batch_queue, or mend this one", QueueInvalidError)
    reasons = [reason for each in queue.environments if (reason := why_not(each, job)) is not None]
    if not reasons or len(reasons) < len(queue.environments):
        return None
    # To ask for less helps where one of them is only too small.
    chosen = next((each for each in reasons if each.error is NeverPlacedError), reasons[0])
    return replace(chosen, what=", and ".join(each.what for each in reasons))


def why_not(environment: Environment, job: Job) -> Finding | None:
    """Return why a compute environment can never take a job; None where it may."""
    name = f"the compute environment {environment.name!r}"
    if environment.status in {"INVALID", "DELETING", "DELETED"}:
        what = f"{name} is {environment.status}{_in_brackets(environment.status_reason)}"
        return Finding(what, _MEND_ENVIRONMENTS, QueueInvalidError)
    if environment.state == "DISABLED":
        return Finding(f"{name} is DISABLED", f"enable it: {_MEND_ENVIRONMENTS}", QueueInvalidError)
    if environment.max_vcpus is not None and job.vcpus is not None and job.vcpus > environment.max_vcpus:
        what = f"{name} allows {environment.max_vcpus} vCPUs, the job asks for {job.vcpus:g}"
        return Finding(what, "ask for fewer vCPUs (vcpu), or raise its maxvCpus", NeverPlacedError)
    if job.gpus and _has_no_gpus(environment):
        what = f"{name} ({_kind_of(environment)}) has no GPUs, the job asks for {job.gpus}"
        return Finding(what, "set a batch_queue with GPU instances, or num_gpus=0", NeverPlacedError)
    if _is_other_platform(environment, job):
        what = f"{name} is for {environment.type}, the job for {' or '.join(job.platforms)}"
        return Finding(what, "set a batch_queue whose compute environments are for it", NeverPlacedError)
    return None


def _in_brackets(reason: str) -> str:
    return f" ({_short(reason)})" if reason else ""


def _kind_of(environment: Environment) -> str:
    return environment.type if environment.is_fargate else ", ".join(environment.instance_types)


_GPU_INSTANCE = re.compile(r"[pg]")
"""AWS's names of families with GPUs that AWS Batch gives to jobs begin so: p5, g4dn, gr6."""
_INSTANCE = re.compile(r"[a-z]+\d[a-z0-9-]*(\.[a-z0-9-]+)?")


def _has_no_gpus(environment: Environment) -> bool:
    """Tell whether none of its hosts can have GPUs, as far as names say it: `optimal` says nothing."""
    names = environment.instance_types
    without = [each for each in names if _INSTANCE.fullmatch(each) and not _GPU_INSTANCE.match(each)]
    return environment.is_fargate or (bool(names) and len(without) == len(names))


def _is_other_platform(environment: Environment, job: Job) -> bool:
    if not environment.type or not job.platforms:
        return False
    return environment.is_fargate != ("FARGATE" in job.platforms)


# --- who is before it -------------------------------------------------------------------------------------

_NO_REASON = "AWS Batch gives no reason, or none yet"
_SEE_INSTANCES = (
    "if it stays so, see whether the compute environment's instances come up and reach Amazon ECS: subnets, "
    "security groups, instance role, EC2 quotas"
)


def _in_line(job: Job, queue: Queue) -> Finding:
    """Return what a job waits for that could be placed."""
    if queue.state == "DISABLED":
        return Finding(
            "the queue is DISABLED, and takes no new jobs", "enable it if the job stays where it is"
        )
    head = queue.head
    if head is not None and not _is_of(head.id, job) and (said := _said_in(head.status_reason)) is not None:
        what = f"the job {head.id} ({head.name}) before it holds it up: AWS Batch says {said.text!r}"
        return Finding(what, "wait for that job, or end it")
    full = [each for each in queue.environments if each.is_full]
    if full and len(full) == len(queue.environments):
        names = " and ".join(f"{each.name!r} ({each.max_vcpus} vCPUs)" for each in full)
        what = f"no compute environment may have more instances than now: {names}"
        return Finding(what, "wait for other jobs to end, or raise maxvCpus")
    place = queue.place_of(job)
    if place is not None and (place.number is None or place.number > 1):
        return Finding("", "wait, for others are before it")
    return Finding(_NO_REASON, _with_headroom(_SEE_INSTANCES, job, queue))


# --- what a job that was ended for it is known by ---------------------------------------------------------


def reason_to_end(finding: Finding, waited_s: float) -> str:
    """Return the reason with which a job is ended that can never run; `diagnosis` knows it again."""
    start = QUEUE_INVALID if finding.error is QueueInvalidError else NEVER_PLACED
    return f"{start}{finding.what}; it has waited {about(waited_s)} in the queue {finding.queue!r}"
