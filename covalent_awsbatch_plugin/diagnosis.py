"""Why a job ended without a value, and what to do: a table over AWS's own texts, without any I/O."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from . import errors
from .contract import (
    EXIT_CONFLICT,
    EXIT_DUPLICATE,
    EXIT_RUNTIME_FAULT,
    EXIT_TERMINATED,
    EXIT_USER_EXCEPTION,
    EXIT_VALUE,
    EnvelopeError,
    ForeignEnvelopeError,
    Outcome,
    OutcomeStatus,
)
from .errors import AWSBatchError, JobFailedError
from .job import Job, JobStatus
from .settings import MIB_PER_GB

CANCELLED_IN_COVALENT = "cancelled in Covalent"
CANCELLED_BY_THE_USER = "cancelled by the user"
ENDED_AS_ORPHANED = "orphaned: ended by covalent-awsbatch recover"
"""How the reasons begin with which this package itself ends jobs because their user wants it."""

NEVER_PLACED = "ended by covalent-awsbatch, for it could never be placed: "
QUEUE_INVALID = "ended by covalent-awsbatch, for its queue could run nothing: "
"""How the reasons begin with which it ends jobs that wait for ever; what was found follows."""


@dataclass(frozen=True)
class Diagnosis:
    """A cause, in words that follow "the job", and the next step."""

    error: type[JobFailedError]
    cause: str
    advice: str
    is_passing: bool = False
    """Whether nothing of the job has run, and another start of the same job may well succeed."""


def diagnose(job: Job, log_lines: Sequence[str] = ()) -> Diagnosis:
    """Return why a job ended, or waits, without a value.

    AWS's texts tell it, the exit code and the last log lines.
    """
    return next(_fitting(job, log_lines), _UNKNOWN)


def diagnose_outcome(outcome: Outcome, job: Job | None) -> Diagnosis:
    """Return why a task has no value whose container could say so; what AWS says of its job may be wiser."""
    if outcome.status is OutcomeStatus.TERMINATED:
        # It was SIGTERM, whatever the exit code: SIGKILL may have followed.
        return _STOPPED if job is None else diagnose(replace(job, exit_code=EXIT_TERMINATED))
    if job is not None and ran_out_of_memory(job):
        return diagnose(job)  # the runtime only sees a process die, or what the user's code makes of that
    # What is raised has a traceback; the death of a process has none.
    has_died = outcome.failure is not None and outcome.failure.traceback == ""
    if outcome.status is OutcomeStatus.EXCEPTION and has_died:
        return _DIED
    return _BY_OUTCOME[outcome.status]


def diagnose_unreadable(found: AWSBatchError | EnvelopeError) -> Diagnosis:
    """Return why the outcome that a job left does not count, or cannot be had."""
    if isinstance(found, ForeignEnvelopeError):
        return _FOREIGN
    is_damaged = isinstance(found, (EnvelopeError, errors.OutcomeDamagedError))
    return _DAMAGED if is_damaged else _OUT_OF_REACH


def ran_out_of_memory(job: Job) -> bool:
    """Tell whether a job needed more memory than it had, as ECS reports it."""
    return issubclass(diagnose(job).error, errors.OutOfMemoryError)


def lost_host(job: Job) -> bool:
    """Tell whether a job's instance, or Spot task, was taken away from it."""
    return issubclass(diagnose(job).error, errors.HostLostError)


def could_not_pull(job: Job) -> bool:
    """Tell whether a job could not get its image, which may have been deleted."""
    return issubclass(diagnose(job).error, errors.ImagePullError)


@dataclass(frozen=True)
class _AgentError:
    """What ECS's agent reports of a container: the name of the error, and its text."""

    name: str = ""
    text: str = ""


_NAMED = re.compile(r"\b(?P<name>[A-Z]\w*Error|AGENT)\b(?:: *(?P<text>.*))?", re.DOTALL)


def _agent_error(job: Job) -> _AgentError:
    """Return the error of ECS's agent that a job's reasons name, as `<Name>: <text>`; empty where none."""
    for reason in (job.container_reason, job.status_reason):
        found = _NAMED.search(reason)
        if found:
            return _AgentError(found["name"], found["text"] or "")
    return _AgentError()


# --- the order in which AWS is believed -------------------------------------------------------------------


def _fitting(job: Job, log_lines: Sequence[str]) -> Iterator[Diagnosis]:
    """Yield what fits a job, the surest first: AWS's own words say more than a log, and that than a code."""
    yield from (each for pattern, each in _BY_STATUS_REASON if pattern.search(job.status_reason))
    if job.is_ended_on_request and not _IS_OF_THE_CONTAINER.match(job.status_reason):
        yield _TERMINATED
    yield from _by_agent_error(job)
    for codes, pattern, diagnosis in _BY_LOG:
        if job.exit_code in codes and any(pattern.search(line) for line in log_lines):
            yield diagnosis
    yield from _by_exit_code(job)


def _by_agent_error(job: Job) -> Iterator[Diagnosis]:
    reported = _agent_error(job)
    for name, text, diagnosis in _BY_AGENT_ERROR:
        if name.fullmatch(reported.name) and text.search(reported.text):
            yield _with_limit(diagnosis, job) if diagnosis is _OUT_OF_MEMORY else diagnosis
    if _START_FAILED.match(job.status_reason):
        yield _NOT_STARTED


def _with_limit(diagnosis: Diagnosis, job: Job) -> Diagnosis:
    if job.memory_mib is None:
        return diagnosis
    limit = f"its limit was {job.memory_mib} MiB (memory={job.memory_mib / MIB_PER_GB:g})"
    return replace(diagnosis, advice=f"{diagnosis.advice}: {limit}")


def _by_exit_code(job: Job) -> Iterator[Diagnosis]:
    code = job.exit_code
    if code is not None:
        yield from (each for codes, each in _BY_EXIT_CODE if code in codes)
        yield _by_signal(code - _SIGNAL_BASE) if code > _SIGNAL_BASE else _LEFT_NOTHING
    elif job.status is JobStatus.SUCCEEDED:
        yield _ENDED_WELL


def _by_signal(number: int) -> Diagnosis:
    known = {each.value: each.name for each in signal.Signals}
    name = known.get(number, f"signal {number}")
    return Diagnosis(errors.JobKilledError, f"was killed ({name})", "see the last log lines")


_SIGNAL_BASE = 128
"""A shell reports the end by a signal as this and the signal's number."""

_IS_OF_THE_CONTAINER = re.compile("Essential container in task exited|Task failed to start")
"""A termination that took effect overwrites these."""

_START_FAILED = re.compile("Task failed to start")


# --- the table --------------------------------------------------------------------------------------------

_README = "leave container_image_uri empty, or give that image the four lines of the README"

CANCELLED = Diagnosis(
    errors.JobCancelledError, "was cancelled by its user", "submit it again if that was not meant"
)
FORGOTTEN = Diagnosis(
    errors.OutcomeMissingError, "left nothing that is still known", "dispatch the task again"
)
"""Of a job that AWS Batch does not know any more."""

_TERMINATED = Diagnosis(
    errors.JobTerminatedError,
    "was ended by somebody else",
    "ask whoever it was (CloudTrail has the call, TerminateJob or CancelJob), and submit it again",
)
_STOPPED = Diagnosis(
    errors.JobTerminatedError,
    "was told to stop (SIGTERM)",
    "see who ended it in the status reason; where that names nobody, CloudTrail has the calls of "
    "TerminateJob and StopTask",
)
_OUT_OF_MEMORY = Diagnosis(
    errors.OutOfMemoryError, "ran out of memory", "raise memory, or let it climb with memory_on_oom"
)
_NOT_STARTED = Diagnosis(
    errors.ContainerStartError,
    "could not start its container",
    "check the image's Python and architecture, and what the reasons name",
)
_ENDED_WELL = Diagnosis(
    errors.OutcomeMissingError,
    "ended well but left no outcome",
    "check that its image has no ENTRYPOINT, which would run something else than the task, and that nobody "
    "deletes from the bucket; unless keep_artifacts is 'all' an outcome is deleted once it was taken",
)
_LEFT_NOTHING = Diagnosis(
    errors.OutcomeMissingError,
    "ended without leaving an outcome",
    "see the last log lines; the exit code is not the runtime's, so something else ended the process",
)
_DIED = Diagnosis(
    errors.JobKilledError,
    "lost the process that ran the function",
    "see what it printed last; a crash is often a package for another Python or processor, a kill the memory",
)
_BY_OUTCOME = {
    OutcomeStatus.EXCEPTION: Diagnosis(
        errors.FunctionRaisedError, "ended with an exception of the function", "see its traceback"
    ),
    OutcomeStatus.FAULT: Diagnosis(
        errors.RuntimeFaultError,
        "could not do its work around the function",
        "mend what its first line names, and submit the task again",
    ),
    OutcomeStatus.SKIPPED: Diagnosis(
        errors.DependencyFailedError, "ended before this task's turn", "see the task before it"
    ),
}
_DAMAGED = Diagnosis(
    errors.OutcomeDamagedError,
    "ended, but its outcome is damaged",
    "submit the task again, and see what else writes to the bucket",
)
_FOREIGN = Diagnosis(
    errors.ForeignOutcomeError,
    "ended, but its outcome was written by somebody else",
    "see who else may write to the bucket, and submit the task again",
)
_OUT_OF_REACH = Diagnosis(
    JobFailedError, "ended, but its outcome is out of reach", "mend that, and the job's id finds it"
)
_UNKNOWN = Diagnosis(
    JobFailedError, "ended without leaving an outcome", "see the reasons and the last log lines"
)


def _rule(
    pattern: str, error: type[JobFailedError], cause: str, advice: str, *, is_passing: bool = False
) -> tuple[re.Pattern[str], Diagnosis]:
    return re.compile(pattern), Diagnosis(error, cause, advice, is_passing)


_BY_STATUS_REASON = [
    (re.compile(f"^(?:{CANCELLED_IN_COVALENT}|{CANCELLED_BY_THE_USER}|{ENDED_AS_ORPHANED})"), CANCELLED),
    _rule(
        f"^{NEVER_PLACED}",
        errors.NeverPlacedError,
        "asked for what its queue cannot give, and has waited as long as runnable_timeout lets it",
        "ask for less (vcpu, memory, num_gpus), or let the queue's compute environments have more",
    ),
    _rule(
        f"^{QUEUE_INVALID}",
        errors.QueueInvalidError,
        "was in a queue that can run nothing, and has waited as long as runnable_timeout lets it",
        "mend the queue's compute environments, or set another batch_queue",
    ),
    _rule(
        "^Job attempt duration exceeded timeout",
        errors.TimeLimitError,
        "ran into its time limit",
        "raise time_limit, or give the job more vCPUs",
    ),
    _rule(
        "^Host EC2",
        errors.HostLostError,
        "lost its host, and all its attempts with it",
        "raise retry_attempts, or name an on_demand_queue to go on in",
    ),
    _rule(
        "^Your Spot Task was interrupted",
        errors.SpotReclaimedError,
        "lost its Spot capacity, which AWS took back, and all its attempts with it",
        "raise retry_attempts, or name an on_demand_queue to go on in",
    ),
    _rule(
        "^Timeout waiting for network interface provisioning",
        errors.ContainerStartError,
        "did not get a network interface in time",
        "submit it again: Fargate fails so now and then",
        is_passing=True,
    ),
    _rule(
        "^Dependent Job failed", errors.DependencyFailedError, "waited for a job that failed", "see that job"
    ),
    _rule(
        "^Array Child Job failed",
        JobFailedError,
        "is an array, and children of it have failed",
        "see them: `covalent-awsbatch job` lists a run's failed jobs",
    ),
    _rule("^JobQueue deleted", errors.QueueInvalidError, "lost its queue", "set another batch_queue"),
    _rule(
        "^Container Overrides length must be at most",
        errors.NeverPlacedError,
        "was given more overrides than ECS takes",
        "shorten the names of bucket and dispatch, which are all of them that varies",
    ),
    _rule(
        "unable to assume the role",
        errors.RoleOrSecretError,
        "could not get its role",
        "let ecs-tasks.amazonaws.com assume the role (trust policy)",
    ),
    # Why a job waits. A limit of the queue's own, or whoever gave up waiting, repeats the reason in its text.
    _rule(
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        errors.NeverPlacedError,
        "asks for more vCPUs than its queue's compute environments may have in all",
        "lower vcpu, or raise the compute environment's maxvCpus",
    ),
    _rule(
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        errors.NeverPlacedError,
        "asks for more than any instance of its queue's compute environments has",
        "lower vcpu, memory or num_gpus (an instance keeps some 5 % of its memory to itself), or allow "
        "larger instance types",
    ),
    _rule(
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        errors.NeverPlacedError,
        "waited for instances that AWS has too few of",
        "allow more instance types and zones in the compute environment, or take an on-demand queue",
    ),
    _rule(
        "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED",
        errors.QueueInvalidError,
        "waited for a compute environment whose instance types cannot be had as it wants them",
        "correct the compute environment's instance types, image and zones",
    ),
    _rule(
        "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS",
        errors.QueueInvalidError,
        "waited for a compute environment whose service role lacks rights",
        "give the role AWSBatchServiceRole, or use the service-linked one",
    ),
    _rule(
        r"\bACTION_REQUIRED\b",
        errors.QueueInvalidError,
        "waited for compute environments that are invalid",
        "mend what the compute environment's status reason names in the console",
    ),
    _rule(
        r"\bUNDETERMINED\b",
        errors.NeverPlacedError,
        "could not be placed, and AWS Batch does not know why",
        "see the compute environment's instances: whether they start, reach ECS and run its agent",
    ),
    _rule(
        "^Canceled by JobStateTimeLimit action",
        errors.NeverPlacedError,
        "waited longer than its queue allows",
        "see what blocks the queue, or raise the queue's job state time limit",
    ),
]
"""AWS's texts for the whole job, its own endings before what a job may wait for."""

_PULL = r"CannotPull\w*Error"
_NO_ROUTE = (
    "request canceled|i/o timeout|context canceled|deadline exceeded|Client.Timeout|dial tcp|no such host|"
    "connection refused|connection reset|TLS handshake timeout|network is unreachable|connection issue"
)


def _agent_rule(
    name: str,
    text: str,
    error: type[JobFailedError],
    cause: str,
    advice: str,
    *,
    is_passing: bool = False,
) -> tuple[re.Pattern[str], re.Pattern[str], Diagnosis]:
    return re.compile(name), re.compile(text), Diagnosis(error, cause, advice, is_passing)


_BY_AGENT_ERROR = [
    (re.compile("OutOfMemoryError"), re.compile(""), _OUT_OF_MEMORY),
    # The image; what a registry says stands inside what the agent and Docker say of it.
    _agent_rule(
        _PULL,
        r"toomanyrequests|pull rate limit|Too Many Requests|Rate exceeded",
        errors.ImageRateLimitError,
        "could not get its image: the registry gives no more for now",
        "copy the image into ECR and set container_image_uri, or try again later",
        is_passing=True,
    ),
    _agent_rule(
        _PULL,
        "no space left on device|not enough space",
        errors.ImageDiskFullError,
        "could not get its image: its host's disk is full",
        "give the compute environment a launch template with a larger disk, or take a smaller image",
        is_passing=True,
    ),
    _agent_rule(
        rf"{_PULL}|CannotStartContainerError|CannotCreateContainerError|DockerStateError",
        "no matching manifest|exec format error|descriptor matching platform|does not match the .*platform",
        errors.ImageArchitectureError,
        "has an image for another processor than its instance's",
        "set cpu_architecture (or build container_image_uri) for the queue's instances",
    ),
    _agent_rule(
        _PULL,
        r"manifest unknown|manifest for .* not found|Check whether the image exists|name unknown|"
        r"repository .* not found|repository with name .* does not exist|requested image not found|"
        r"RepositoryNotFound|ImageNotFound",
        errors.ImageMissingError,
        "could not get its image: there is no such repository or tag",
        "check container_image_uri if it is set; an image that was built for the task and deleted since is "
        "built again by the next dispatch",
    ),
    _agent_rule(
        _PULL,
        "pull access denied|not authorized|[Aa]ccess ?[Dd]enied|no basic auth credentials|"
        "authorization failed|401 Unauthorized|403 Forbidden|Check that the role has the permissions",
        errors.ImageForbiddenError,
        "may not pull its image, or there is none of this name",
        "check container_image_uri if it is set, and that the execution role (on EC2 without one, the "
        "instance's) may call ecr:GetAuthorizationToken and ecr:BatchGetImage",
    ),
    _agent_rule(
        "CannotPullContainerAuthError",
        "",
        errors.ImageForbiddenError,
        "could not log in to its image's registry",
        "check that the execution role may call ecr:GetAuthorizationToken",
    ),
    _agent_rule(
        _PULL,
        rf"{_NO_ROUTE}|has been retried|Check your network configuration",
        errors.ImageUnreachableError,
        "could not get its image: there is no route to the registry",
        "give the subnets a NAT gateway or endpoints of ecr.api, ecr.dkr and S3 (on Fargate assign_public_ip "
        "would do, too), and check container_image_uri if it is set",
        is_passing=True,
    ),
    _agent_rule(
        _PULL,
        "",
        errors.ImagePullError,
        "could not get its image",
        "check the execution role's rights, the route to ECR and, if it is set, container_image_uri; an "
        "image that was built for the task and deleted since is built again by the next dispatch",
    ),
    # What the container needs before it starts.
    _agent_rule(
        "ResourceInitializationError",
        rf"secrets or registry auth.*(?:{_NO_ROUTE})",
        errors.RoleOrSecretError,
        "could not reach what its secrets, or the registry's login, come from",
        "give the subnets a NAT gateway or endpoints of ecr.api, secretsmanager and ssm; on Fargate "
        "assign_public_ip would do, too",
        is_passing=True,
    ),
    _agent_rule(
        "ResourceInitializationError",
        "secrets or registry auth|assume",
        errors.RoleOrSecretError,
        "could not get its secrets, or the registry's login",
        "check the execution role's rights to ECR, Secrets Manager and SSM, and the route to them: a NAT "
        "gateway, endpoints, or assign_public_ip",
    ),
    _agent_rule(
        r"\w+",
        "(?i)logging driver|log group|log stream|logger args",
        errors.ContainerStartError,
        "could not open its log",
        "create batch_job_log_group_name, and let the execution role call logs:CreateLogStream and "
        "logs:PutLogEvents",
    ),
    _agent_rule(
        "CannotStartContainerError|CannotCreateContainerError|DockerStateError",
        "memory limit too low|OOM-killed|[Mm]inimum memory limit",
        errors.OutOfMemoryError,
        "has too little memory for its container even to start",
        "raise memory",
    ),
    _agent_rule(
        "CannotStartContainerError|DockerStateError",
        '"python": executable file not found',
        errors.ContainerStartError,
        "found no `python` in its image",
        _README,
    ),
    _agent_rule(
        r"CannotCreate\w+Error|CannotStartContainerError|DockerStateError",
        "no space left on device|[Dd]evmapper|[Tt]hin [Pp]ool",
        errors.ContainerStartError,
        "could not make its container: its host's disk is full",
        "give the compute environment a launch template with a larger disk",
        is_passing=True,
    ),
    _agent_rule(
        "DockerTimeoutError",
        "transition to stopp",
        errors.JobKilledError,
        "was stopped, and its host's Docker engine did not answer in time",
        "take larger instances or faster disks; see the last log lines for how far it came",
    ),
    _agent_rule(
        "DockerTimeoutError",
        "",
        errors.ContainerStartError,
        "was not started in time by its host, which is overloaded or does not reach the log",
        "submit it again; if it comes back, take larger instances, faster disks, or an endpoint of logs",
        is_passing=True,
    ),
    _agent_rule(
        "AGENT|TaskStoppedBeforePullBeginError",
        "",
        errors.ContainerStartError,
        "was placed on a host whose ECS agent had gone",
        "submit it again; if it comes back, look at the instances of the compute environment",
        is_passing=True,
    ),
    _agent_rule(
        "CannotInspectContainerError|CannotStopContainerError|ContainerVanishedError|"
        "ImpossibleStateTransitionError",
        "",
        errors.JobKilledError,
        "was lost sight of by its host, and left no outcome",
        "see the last log lines for how far it came, and submit it again; take larger instances or faster "
        "disks if it comes back",
    ),
    _agent_rule(
        r"CannotCreate\w+Error|CannotStartContainerError|DockerStateError|ContainerNetworkingError|"
        r"TaskDependencyError|InvalidVolumeError|HostConfigError|ResourceInitializationError",
        "",
        errors.ContainerStartError,
        "could not start its container",
        "check the image's Python and architecture, and what the reasons name",
    ),
]
"""What ECS's agent reports: the error's name, what its text has, and what that means."""

_BY_LOG = [
    (
        {1},
        re.compile(r"No module named '?covalent_awsbatch_plugin"),
        Diagnosis(errors.RuntimeFaultError, "ran in an image without this package's runtime", _README),
    ),
    (
        {EXIT_RUNTIME_FAULT},
        re.compile(r"^covalent-awsbatch: The image has no obstore"),
        Diagnosis(errors.RuntimeFaultError, "ran in an image without an obstore that can be used", _README),
    ),
    (
        {2},
        re.compile(r"can't open file '.*\bpython'"),
        Diagnosis(
            errors.RuntimeFaultError,
            "ran in an image with an ENTRYPOINT that takes the job's command for its own arguments",
            "leave container_image_uri empty, or end that image's Dockerfile with `ENTRYPOINT []`",
        ),
    ),
    (
        {1, 255},
        re.compile(r"^(?:exec |standard_init_linux).*exec format error"),
        Diagnosis(
            errors.ImageArchitectureError,
            "has an image for another processor than its instance's",
            "set cpu_architecture (or build container_image_uri) for the queue's instances",
        ),
    ),
]
"""What keeps a user's own image from leaving an outcome, by its exit code and its log.

The exit code tells that the log is Python's, Docker's or the runtime's: what user code prints proves nothing.
"""

_BY_EXIT_CODE = [
    ({EXIT_VALUE}, _ENDED_WELL),
    (
        {137},
        Diagnosis(
            errors.JobKilledError,
            "was killed (SIGKILL)",
            "if nobody killed it, it most likely needed more memory than it had: raise memory",
        ),
    ),
    ({EXIT_TERMINATED}, _STOPPED),
    (
        {EXIT_USER_EXCEPTION},
        Diagnosis(
            errors.FunctionRaisedError,
            "raised an exception, and its outcome is not in S3",
            "see the traceback in the log, and that nobody deletes from the bucket",
        ),
    ),
    (
        {EXIT_RUNTIME_FAULT},
        Diagnosis(
            errors.RuntimeFaultError,
            "could not do its work around your function",
            "see the last log lines",
        ),
    ),
    (
        {EXIT_DUPLICATE},
        Diagnosis(
            errors.OutcomeMissingError,
            "did not run, for another job has its task",
            "look at the other job of this name",
        ),
    ),
    (
        {EXIT_CONFLICT},
        Diagnosis(
            errors.OutcomeMissingError,
            "found an outcome of its attempt, and left it as it was; but it is not there any more",
            "see that nobody else writes to the bucket, or deletes from it",
        ),
    ),
    (
        {132, 134, 136, 139},
        Diagnosis(
            errors.JobKilledError,
            "crashed in native code",
            "check that the image has the client's Python and the processor that its packages are built for",
        ),
    ),
    (
        {126, 127},
        Diagnosis(
            errors.ContainerStartError,
            "did not find its program",
            "check that the image has Python and this package",
        ),
    ),
    (
        {1},
        Diagnosis(
            errors.RuntimeFaultError,
            "ended before it could read its task",
            "check that the image has this package, cloudpickle and obstore; see the last log lines",
        ),
    ),
]
