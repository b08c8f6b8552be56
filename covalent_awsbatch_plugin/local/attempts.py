"""One attempt of a job: from the placed task to how it ended."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from .jobs import Account, Attempt, ComputeEnvironment, Job
from .logstream import OpensLogs
from .runner import Launch, Runner, Running, StartFailure
from .secrets import ReadSecret, secret_variables

CONTAINER_EXITED = "Essential container in task exited"
"""AWS's statusReason for every container that ran to an end, successful ones included."""

START_FAILED = "Task failed to start"
TIMED_OUT = "Job attempt duration exceeded timeout"

MAX_REASON_CHARACTERS = 255
MAX_STREAM_PREFIX_CHARACTERS = 200


class CauseKind(Enum):
    """Who ended an attempt that did not end by itself."""

    TERMINATED = "terminated"
    TIMED_OUT = "timed out"
    HOST_LOST = "host lost"
    KILLED = "killed"
    NEVER_RAN = "never ran"


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, in AWS's terms."""

    status_reason: str | None
    exit_code: int | None
    reason: str | None
    retryable: bool = True

    @property
    def succeeded(self) -> bool:
        """Tell whether the job is done."""
        return self.exit_code == 0 and self.retryable


@dataclass(frozen=True)
class Cause:
    """Why an attempt was ended.

    `text` is the statusReason, for KILLED the `container.reason`; an attempt that NEVER_RAN has an `ending`.
    """

    kind: CauseKind
    text: str | None
    ending: Ending | None = None


@dataclass
class Live:
    """An attempt that holds capacity; `running` is there from the start of its process on.

    `misreported` is what AWS will say of a program that ends by itself, whatever it did.
    """

    attempt: Attempt
    running: Running | None = None
    cause: Cause | None = None
    misreported: Ending | None = None
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    grace_s: float = 0.0

    def stop(self, cause: Cause, grace_s: float) -> None:
        """End the attempt with SIGTERM and a grace, unless something ends it already."""
        if self.cause is None:
            self.cause, self.grace_s = cause, grace_s
            if self.running is not None:
                self.running.stop(grace_s)

    def abort(self, cause: Cause) -> None:
        """End the attempt at once; where something ends it already, that stays the cause."""
        self.cause = self.cause or cause
        if self.running is not None:
            self.running.kill()

    def limit(self, limit_s: float, grace_s: float) -> None:
        """Stop the attempt when its time is over."""
        cause = Cause(CauseKind.TIMED_OUT, TIMED_OUT)
        self.timer = asyncio.get_running_loop().call_later(limit_s, self.stop, cause, grace_s)


def new_attempt(job: Job, environment: ComputeEnvironment, account: Account) -> Attempt:
    """Return the record of a job's next attempt, with the names that AWS would give it."""
    task_id = uuid.uuid4().hex
    cluster = environment.ecs_cluster_arn.partition("/")[2]
    return Attempt(
        number=len(job.attempts) + 1,
        task_arn=account.arn("ecs", f"task/{cluster}/{task_id}"),
        container_instance_arn=account.arn("ecs", f"container-instance/{cluster}/{uuid.uuid4().hex}"),
        log_stream_name=f"{_stream_prefix(job)}/default/{task_id}",
        environment=environment,
    )


def _stream_prefix(job: Job) -> str:
    configuration = job.spec.container.get("logConfiguration") or {}
    options = configuration.get("options") or {}
    prefix = options.get("awslogs-stream-prefix", job.spec.definition.name)
    return str(prefix)[:MAX_STREAM_PREFIX_CHARACTERS]


async def run_attempt(
    job: Job,
    live: Live,
    runner: Runner,
    logs: OpensLogs,
    read_secret: ReadSecret,
    start_delay_s: float,
    on_running: Callable[[], None],
) -> Ending:
    """Start an attempt, wait for its end and return how it ended."""
    await asyncio.sleep(start_delay_s)
    if live.cause is not None:
        return _ending(live.cause, None, None)
    try:
        secrets = secret_variables(job.spec.container, read_secret)
        sink = logs.open(job.spec.container, live.attempt.log_stream_name)
        live.running = await runner.start(launch(job, live, secrets, sink.write))
    except StartFailure as failure:
        if live.cause is not None:
            return _ending(live.cause, None, None)
        return Ending(START_FAILED, None, str(failure)[:MAX_REASON_CHARACTERS])
    on_running()
    if live.cause is not None:
        live.running.stop(live.grace_s)
    result = await live.running.wait()
    if live.timer is not None:
        live.timer.cancel()
    sink.close()
    if live.cause is None and live.misreported is not None:
        return live.misreported
    return _ending(live.cause, result.code, result.reason)


def _ending(cause: Cause | None, exit_code: int | None, reason: str | None) -> Ending:
    if cause is None:
        return Ending(CONTAINER_EXITED, exit_code, reason)
    if cause.ending is not None:
        return cause.ending
    if cause.kind is CauseKind.KILLED:
        return Ending(CONTAINER_EXITED, exit_code, cause.text)
    if cause.kind is CauseKind.HOST_LOST:
        return Ending(cause.text, None, None)
    return Ending(cause.text, exit_code, reason, retryable=False)


def launch(job: Job, live: Live, secrets: dict[str, str], output: Callable[[bytes], None]) -> Launch:
    """Return what the runner is to start: the job's container, its secrets and AWS's own variables."""
    container, attempt = job.spec.container, live.attempt
    user = {each["name"]: each.get("value", "") for each in container.get("environment", [])}
    return Launch(
        job_id=job.id,
        attempt=attempt.number,
        image=container.get("image", ""),
        command=list(container.get("command", [])),
        environment=user | secrets | _batch_environment(job, attempt),
        cpu_units=job.spec.demand.cpu_units,
        memory_mib=job.spec.demand.memory_mib,
        container=container,
        output=output,
        wanted=lambda: live.cause is None,
    )


def _batch_environment(job: Job, attempt: Attempt) -> dict[str, str]:
    variables = {
        "AWS_BATCH_JOB_ID": job.id,
        "AWS_BATCH_JOB_ATTEMPT": str(attempt.number),
        "AWS_BATCH_CE_NAME": attempt.environment.name,
        "AWS_BATCH_JQ_NAME": job.spec.queue.name,
    }
    if job.parent is not None:
        variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        variables["AWS_BATCH_JOB_ARRAY_SIZE"] = str(len(job.parent.children))
    return variables
