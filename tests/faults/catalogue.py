"""The named faults: what happens, what the user gets, and how often anything runs for it.

A fault is data: `test_catalogue.py` plays each of them, and `table` makes the list in docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import Any

from covalent_awsbatch_plugin import contract, origin
from covalent_awsbatch_plugin.errors import (
    BucketError,
    ContainerStartError,
    DependencyFailedError,
    ForeignOutcomeError,
    HostLostError,
    ImageArchitectureError,
    ImageDiskFullError,
    ImageForbiddenError,
    ImageMissingError,
    ImagePullError,
    ImageRateLimitError,
    ImageUnreachableError,
    JobFailedError,
    JobKilledError,
    JobTerminatedError,
    NeverPlacedError,
    OutcomeDamagedError,
    OutcomeMissingError,
    OutOfMemoryError,
    QueueInvalidError,
    RoleOrSecretError,
    RuntimeFaultError,
    SpotReclaimedError,
    TimeLimitError,
)
from covalent_awsbatch_plugin.explanation import SEE_DOCTOR
from covalent_awsbatch_plugin.local.faults.effects import Refusal
from covalent_awsbatch_plugin.local.faults.plan import Fault, JobFault, RequestFault
from tests.local.driving import until

from . import scene
from .scene import ANOTHERS_KEY, ENOUGH_S, ON_DEMAND, Scene, Submit

Action = Callable[[Scene], None]


@dataclass(frozen=True)
class Named:
    """A fault with its name, and what must come of it.

    `error` is the class of what the user gets instead of a value, and `reads` the first lines of its text;
    with a value they are the first lines of its stderr, and without any that is empty. In a text `…` stands
    for ids, times and the like, and a line `⋮` for any lines.

    Of several tasks the user looks at number `of`, and the others have their values, or `others`. `runs` is
    how often functions may begin, at least and at most, and `jobs` how many jobs, or arrays, AWS Batch
    makes of them. `before` is done before the submission, `meanwhile` after it. `patience` sets constants of
    the driver, by module and name, that are minutes otherwise.
    """

    name: str
    happens: str
    faults: Sequence[Fault] = ()
    error: type[Exception] | None = None
    reads: str = ""
    submit: Submit = scene.a_task
    of: int = 0
    others: type[Exception] | None = None
    runs: tuple[int, int] = (1, 1)
    jobs: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    before: Action | None = None
    meanwhile: Action | None = None
    patience: Mapping[str, float] = field(default_factory=dict)

    @property
    def needs_a_fresh_client(self) -> bool:
        """Whether it strikes what a client asks for only once, or slows a client down for later."""
        requests = [each for each in self.faults if isinstance(each, RequestFault)]
        return any(each.operation in ASKED_ONCE or each.effect == SLOWS_DOWN for each in requests)


ASKED_ONCE = {
    "DescribeJobDefinitions",
    "DescribeJobQueues",
    "GetCallerIdentity",
    "GetRole",
    "HeadBucket",
    "RegisterJobDefinition",
}
SLOWS_DOWN = Refusal(status=429)


def on(operation: str, effect: Mapping[str, Any], **which: Any) -> RequestFault:
    """Return a fault that strikes requests."""
    return RequestFault.model_validate({"operation": operation, "effect": effect, **which})


def strike(effect: Mapping[str, Any], times: int | None = None, **target: Any) -> JobFault:
    """Return a fault that strikes jobs."""
    return JobFault.model_validate({"job": target, "effect": effect, "times": times})


# --- effects --------------------------------------------------------------------------------------------

THROTTLED = {"status": 429}
BROKEN = {"status": 500}
AWAY = {"status": 503}
FORBIDDEN = {"status": 403}
LOST_BEFORE = {"cut": "before"}
LOST_AFTER = {"cut": "after"}
EXPIRED = {"expired_token": True}
SLOW = {"latency_s": 0.7}
HALF_BODY = {"half_body": True}
HALF_WRITTEN = {"half_written": True}
DEFINITION_GONE = {
    "status": 400,
    "code": "ClientException",
    "message": "JobDefinition named-0:1 is not in ACTIVE status",
}

COMES_LATER = {"stuck": "", "for_s": 1}

FIRST: dict[str, Any] = {"calls": [1]}
TWICE: dict[str, Any] = {"calls": [1, 2]}
BY_DRIVER: dict[str, Any] = {"caller": "driver"}
BY_JOB: dict[str, Any] = {"caller": "job"}
PACK: dict[str, Any] = {"key_contains": "/packs/"}
FUNCTION: dict[str, Any] = {"key_contains": "/functions/"}
CLAIM: dict[str, Any] = {"key_contains": "/claims/"}
OUTCOME: dict[str, Any] = {"key_contains": "/outcomes/"}
LARGE_VALUE: dict[str, Any] = {"key_contains": "/values/"}

SOON: dict[str, Any] = {
    "patience": {"vigil.DWELL_S": 0.2, "vigil.KEPT_S": 0.1, "vigil.FRESH_S": 0.0, "vigil.PERSISTENCE_S": 0.5}
}
"""For jobs that wait: AWS Batch gives its reasons after minutes."""

NOT_SUBMITTED: dict[str, Any] = {"runs": (0, 0), "jobs": 0}
NOT_LISTED: dict[str, Any] = {"runs": (0, 0), "jobs": 0}
"""A queue that is deleted lists no jobs."""
NEVER_RAN: dict[str, Any] = {"runs": (0, 0)}
ONE_START: dict[str, Any] = {**NEVER_RAN, "settings": {"retry_attempts": 1}}
TWO_STARTS: dict[str, Any] = {**NEVER_RAN, "settings": {"retry_attempts": 2}}

TAKEN_TWICE = [
    on("SubmitJob", LOST_AFTER, **FIRST),
    strike({"unlisted_looks": 3}, nth=1),
    strike(COMES_LATER, nth=2),
]
"""Else it would be chance which of the two jobs is the first to claim the task."""

# --- texts that several faults end with -------------------------------------------------------------------

MAY_RUN_ON = (
    "\n\nThe job … was submitted, and may run on: when that is mended, its id finds it and its outcome."
)
DOCTOR = f" {SEE_DOCTOR}"
DOCTOR_AT_THE_END = f"\n⋮\n  {SEE_DOCTOR}"
NOT_ALLOWED = "User: … is not authorized to perform:"
ACCOUNT = "(profile 'default', credentials file '…', region 'us-east-1', endpoint …)"
RENEW = (
    "The security token included in the request is expired. Renew them, or correct `profile` or "
    f"`credentials`.{DOCTOR}"
)
KILLED = (
    "The job was killed (SIGKILL): Essential container in task exited (exit code 137). Next step: if nobody "
    "killed it, it most likely needed more memory than it had: raise memory."
)
OUT_OF_MEMORY = (
    "The job ran out of memory: Essential container in task exited: OutOfMemoryError: Container killed due "
    "to memory usage (exit code 137). Next step: raise memory, or let it climb with memory_on_oom: its limit "
    "was {mib} MiB (memory={gb})."
)
CLIMBED = (
    "covalent-awsbatch: the job … ran out of memory with 256 MiB: submitted again with 512 MiB, as job …"
)
HOST_LOST = (
    "The job lost its host, and all its attempts with it: Host EC2 (instance i-…) terminated. (no exit "
    "code). Next step: raise retry_attempts, or name an on_demand_queue to go on in."
)
NO_WORK = (
    "The job could not do its work around your function: Essential container in task exited (exit code 102). "
    "Next step: see the last log lines.\n⋮\nThe last log lines:\ncovalent-awsbatch: "
)
CANCELLED = (
    "The job was cancelled by its user.\n\nAWS Batch job … (…): FAILED\n  error: JobCancelledError\n"
    "  status reason: cancelled by the user"
)
ENDED_BY_SOMEBODY = (
    "The job was ended by somebody else: {reason}. Next step: ask whoever it was (CloudTrail has the call, "
    "TerminateJob or CancelJob), and submit it again."
)
ANOTHER_START = (
    "covalent-awsbatch: the job … could not be started ({reason}): submitted again, starts left: {left}, as "
    "job …"
)
WAITED = "covalent-awsbatch: the job … has waited … s in the queue '…': place 1 of 1 in it; "

PULL_FAILED = "Task failed to start: CannotPullContainerError: "
DISK_FULL = "failed to register layer: write /usr/lib/libpython.so: no space left on device"
RATE_LIMIT = (
    "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating "
    "and upgrading: https://www.docker.com/increase-rate-limit"
)
NO_ROUTE = (
    "Error response from daemon: Get https://…/v2/: net/http: request canceled while waiting for connection "
    "(Client.Timeout exceeded while awaiting headers)"
)
THIN_POOL = (
    "CannotCreateContainerError: API error (500): devmapper: Thin Pool has 4350 free data blocks which is "
    "less than minimum required 4454 free data blocks. Create more free space in thin pool or use "
    "dm.min_free_space option to change behavior"
)
NO_LOGIN = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
    "failed: unable to retrieve ecr registry auth: service call has been retried 3 time(s): RequestError: "
    "send request failed caused by: dial tcp: i/o timeout"
)
NO_INTERFACE = "Timeout waiting for network interface provisioning to complete."
TOO_LARGE = (
    "AWS Batch says 'MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement "
    "(vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue'"
)
INVALID = "AWS Batch says 'ACTION_REQUIRED - CE(s) associated with the job queue are invalid'"

# --- what is done before, or meanwhile --------------------------------------------------------------------


def cancel_when_it_runs(at: Scene) -> None:
    at.wait_for_runs(1)
    at.jobs[0].cancel()


def cancel_while_it_waits(at: Scene) -> None:
    at.wait_until_struck()
    at.jobs[0].cancel()


def end_it_in_the_console(at: Scene) -> None:
    at.wait_for_runs(len(at.jobs))
    at.terminate("maintenance tonight")


def end_one_child_in_the_console(at: Scene) -> None:
    at.wait_for_runs(len(at.jobs))
    at.driver.batch.terminate_job(jobId=at.batch_id(2), reason="this one only")
    at.jobs[2].wait(ENOUGH_S)
    at.open_gate()


def cancel_it_in_the_console(at: Scene) -> None:
    at.wait_until_struck()
    at.driver.batch.cancel_job(jobId=at.batch_id(), reason="not today")


def lose_its_host_when_it_runs(at: Scene) -> None:
    at.wait_for_runs(1)
    at.driver.local("POST", f"jobs/{at.batch_id()}/lose-host")
    at.wait_for_runs(2)
    at.open_gate()


def let_it_go_on_when_it_is_followed(at: Scene) -> None:
    known = at.batch_id()
    until(lambda: at.jobs[0].batch_id not in ("", known), ENOUGH_S)
    at.open_gate()


def let_it_go_on_when_it_was_looked_at(at: Scene) -> None:
    at.wait_until_struck()
    at.open_gate()


def let_them_go_when_one_has_failed(at: Scene) -> None:
    at.jobs[2].wait(ENOUGH_S)
    at.open_gate()


def write_an_outcome_as_a_stranger(at: Scene) -> None:
    at.wait_for_runs(1)
    at.leave_outcome(contract.pack_outcome(at.outcome(), {}, ANOTHERS_KEY))
    at.open_gate()


def write_rubbish(at: Scene) -> None:
    at.wait_for_runs(1)
    at.leave_outcome(b"no outcome at all")
    at.open_gate()


def copy_the_outcome_of_another_task(at: Scene) -> None:
    at.wait_for_runs(1)
    key = asyncio.run(origin.dispatch_key(at.batch.settings, at.run_id))
    at.leave_outcome(contract.pack_outcome(replace(at.outcome(), node_id=7), {}, key))
    at.open_gate()


def in_a_queue_of_its_own(at: Scene) -> None:
    at.begin_anew(batch_queue=at.driver.new_queue())


def disable_its_queue(at: Scene) -> None:
    at.wait_until_struck()
    queue = at.settings["batch_queue"]
    at.driver.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    until(lambda: at.driver.queue_detail(queue)["status"] == "VALID", ENOUGH_S)


def delete_its_queue(at: Scene) -> None:
    disable_its_queue(at)
    at.driver.batch.delete_job_queue(jobQueue=at.settings["batch_queue"])


def with_a_definition_that_runs_something_else(at: Scene) -> None:
    """Let somebody register a newer revision of the very definition that the task will find."""
    at.begin_anew()
    earlier = at.batch.submit(at.function())
    earlier.result(ENOUGH_S)
    (known,) = at.driver.batch.describe_jobs(jobs=[earlier.batch_id])["jobs"]
    name = known["jobDefinition"].rpartition("/")[2].partition(":")[0]
    at.driver.define(["true"], name=name)
    at.begin_anew(batch_job_definition_name=at.settings["batch_job_definition_name"])


# --- the catalogue ----------------------------------------------------------------------------------------

SUBMISSION = [
    Named(
        "submit-throttled-passes",
        "AWS Batch refuses SubmitJob twice, for there are too many calls.",
        [on("SubmitJob", THROTTLED, **TWICE)],
    ),
    Named(
        "submit-fails-once",
        "SubmitJob fails with HTTP 500, and AWS Batch has not taken the job.",
        [on("SubmitJob", BROKEN, **FIRST)],
    ),
    Named(
        "submit-unavailable-once",
        "AWS's front door answers SubmitJob with HTTP 503.",
        [on("SubmitJob", AWAY, **FIRST)],
    ),
    Named(
        "submit-fails-after-effect",
        "SubmitJob fails with HTTP 500, though AWS Batch has taken the job.",
        [on("SubmitJob", {**BROKEN, "after": True}, **FIRST)],
    ),
    Named(
        "submit-cut-before-effect",
        "The connection breaks before AWS Batch has taken the job.",
        [on("SubmitJob", LOST_BEFORE, **FIRST)],
    ),
    Named(
        "submit-cut-after-effect",
        "The connection breaks after AWS Batch has taken the job.",
        [on("SubmitJob", LOST_AFTER, **FIRST)],
    ),
    Named(
        "submit-cut-after-effect-array",
        "The connection breaks after AWS Batch has taken an array of four.",
        [on("SubmitJob", LOST_AFTER, **FIRST)],
        submit=scene.an_array,
        runs=(4, 4),
    ),
    Named(
        "submit-cut-listed-late",
        "The connection breaks after the effect, and ListJobs shows the job only at the third look.",
        [on("SubmitJob", LOST_AFTER, **FIRST), strike({"unlisted_looks": 2})],
    ),
    Named(
        "submit-cut-look-fails-once",
        "The connection breaks after the effect, and the look for the job fails with HTTP 500 once.",
        [on("SubmitJob", LOST_AFTER, **FIRST), on("ListJobs", BROKEN, **FIRST)],
    ),
    Named(
        "submit-cut-look-throttled",
        "The connection breaks after the effect, and the look for the job meets too many calls.",
        [on("SubmitJob", LOST_AFTER, **FIRST), on("ListJobs", THROTTLED, **FIRST)],
    ),
    Named(
        "submit-cut-look-forbidden",
        "The connection breaks after the effect, and these credentials may not list jobs.",
        [on("SubmitJob", LOST_AFTER, **FIRST), on("ListJobs", FORBIDDEN)],
        JobFailedError,
        "AWS Batch has not said whether it took the job '…', and it cannot be looked for: "
        f"{NOT_ALLOWED} batch:ListJobs. Look for it in the console before you run it again.",
    ),
    Named(
        "submit-taken-twice",
        "The connection breaks after the effect, the job is not listed in time and submitted again: AWS "
        "Batch has two, of which one runs the function.",
        TAKEN_TWICE,
        jobs=2,
    ),
    Named(
        "submit-taken-twice-twin-runs",
        "The same, and the job that the driver knows of ends at once, for the other one has the task.",
        TAKEN_TWICE,
        reads="covalent-awsbatch: AWS Batch has taken the task twice: the job … did not run, as … does",
        submit=scene.a_task_that_waits,
        jobs=2,
        meanwhile=let_it_go_on_when_it_is_followed,
    ),
    Named(
        "submit-taken-three-times",
        "SubmitJob is cut after its effect twice, and no job is listed for long: AWS Batch has three.",
        [
            on("SubmitJob", LOST_AFTER, **TWICE),
            strike({"unlisted_looks": 6}),
            strike(COMES_LATER, nth=2),
            strike(COMES_LATER, nth=3),
        ],
        jobs=3,
    ),
    Named(
        "submit-taken-twice-array",
        "AWS Batch has two arrays of one submission.",
        TAKEN_TWICE,
        submit=scene.an_array,
        runs=(4, 4),
        jobs=2,
    ),
    Named(
        "submit-never-answered",
        "Every connection breaks before AWS Batch has taken the job.",
        [on("SubmitJob", LOST_BEFORE)],
        JobFailedError,
        "AWS Batch has not said 3 times whether it took the job '…', and does not list it. Look for it in "
        "the console before you run it again.",
        **NOT_SUBMITTED,
    ),
    Named(
        "submit-forbidden",
        "These credentials may not submit jobs.",
        [on("SubmitJob", FORBIDDEN)],
        JobFailedError,
        f"AWS Batch refused the job '…': {NOT_ALLOWED} batch:SubmitJob.",
        **NOT_SUBMITTED,
    ),
    Named(
        "submit-expired-token",
        "The session token has expired when the job is to be submitted.",
        [on("SubmitJob", EXPIRED)],
        JobFailedError,
        f"AWS does not accept the credentials {ACCOUNT}: could not submit the job '…': {RENEW}",
        **NOT_SUBMITTED,
    ),
    Named(
        "submit-definition-gone-once",
        "The job definition was deregistered since it was found; it is looked for again.",
        [on("SubmitJob", DEFINITION_GONE, **FIRST)],
    ),
    Named("submit-slow", "AWS Batch takes its time for SubmitJob.", [on("SubmitJob", SLOW)]),
]

REQUESTS = [
    Named(
        "describe-throttled-passes",
        "AWS Batch refuses DescribeJobs twice, for there are too many calls.",
        [on("DescribeJobs", THROTTLED, **TWICE)],
    ),
    Named(
        "describe-fails-once",
        "DescribeJobs fails with HTTP 500.",
        [on("DescribeJobs", BROKEN, **FIRST)],
    ),
    Named(
        "describe-unavailable-once",
        "AWS's front door answers DescribeJobs with HTTP 503.",
        [on("DescribeJobs", AWAY, **FIRST)],
    ),
    Named(
        "describe-cut", "The connection breaks at DescribeJobs.", [on("DescribeJobs", LOST_AFTER, **FIRST)]
    ),
    Named("describe-slow", "AWS Batch takes its time for DescribeJobs.", [on("DescribeJobs", SLOW)]),
    Named(
        "describe-expired-token-renewed",
        "The token expires while the job runs, and is renewed.",
        [on("DescribeJobs", EXPIRED, **TWICE)],
    ),
    Named(
        "describe-expired-token",
        "The token expires while the job runs, and nobody renews it for minutes.",
        [on("DescribeJobs", EXPIRED)],
        JobFailedError,
        f"AWS does not accept the credentials {ACCOUNT}: could not describe the jobs: {RENEW}{MAY_RUN_ON}",
        submit=scene.a_task_that_waits,
        patience={"watch.ERROR_PATIENCE_S": 0.5},
    ),
    Named(
        "describe-forbidden",
        "These credentials may not describe jobs.",
        [on("DescribeJobs", FORBIDDEN)],
        JobFailedError,
        f"AWS refused DescribeJobs: {NOT_ALLOWED} batch:DescribeJobs. Give these credentials that right."
        f"{MAY_RUN_ON}",
        submit=scene.a_task_that_waits,
        patience={"watch.ERROR_PATIENCE_S": 0.5},
    ),
    Named(
        "children-listing-fails-once",
        "A child of an array is killed, and the listing of failed children fails with HTTP 503.",
        [strike({"killed": True}, index=2), on("ListJobs", AWAY, **FIRST)],
        JobKilledError,
        KILLED,
        submit=scene.an_array_that_waits,
        of=2,
        runs=(3, 4),
        meanwhile=let_them_go_when_one_has_failed,
    ),
    Named(
        "terminate-throttled-passes",
        "The user cancels, and AWS Batch refuses TerminateJob at first, for there are too many calls.",
        [on("TerminateJob", THROTTLED, **FIRST)],
        CancelledError,
        CANCELLED,
        submit=scene.a_task_that_waits,
        meanwhile=cancel_when_it_runs,
    ),
    Named(
        "terminate-fails-once",
        "The user cancels, and TerminateJob fails with HTTP 500.",
        [on("TerminateJob", BROKEN, **FIRST)],
        CancelledError,
        CANCELLED,
        submit=scene.a_task_that_waits,
        meanwhile=cancel_when_it_runs,
    ),
    Named(
        "terminate-cut-after-effect",
        "The user cancels, and the connection breaks after AWS Batch has ended the job.",
        [on("TerminateJob", LOST_AFTER, **FIRST)],
        CancelledError,
        CANCELLED,
        submit=scene.a_task_that_waits,
        meanwhile=cancel_when_it_runs,
    ),
    Named(
        "terminate-forbidden",
        "The user cancels, but these credentials may not end jobs: the job runs on.",
        [on("TerminateJob", FORBIDDEN)],
        JobFailedError,
        f"AWS refused TerminateJob: {NOT_ALLOWED} batch:TerminateJob. Give these credentials that right."
        f"{MAY_RUN_ON}",
        submit=scene.a_task_that_waits,
        meanwhile=cancel_when_it_runs,
    ),
    Named(
        "definition-lookup-fails-once",
        "DescribeJobDefinitions fails with HTTP 500.",
        [on("DescribeJobDefinitions", BROKEN, **FIRST)],
    ),
    Named(
        "register-throttled-passes",
        "AWS Batch refuses RegisterJobDefinition at first, for there are too many calls.",
        [on("RegisterJobDefinition", THROTTLED, **FIRST)],
    ),
    Named(
        "register-cut-after-effect",
        "The connection breaks after AWS Batch has registered the job definition.",
        [on("RegisterJobDefinition", LOST_AFTER, **FIRST)],
    ),
    Named(
        "register-forbidden",
        "These credentials may not register job definitions.",
        [on("RegisterJobDefinition", FORBIDDEN)],
        JobFailedError,
        f"AWS Batch refused the job definition '…': {NOT_ALLOWED} batch:RegisterJobDefinition.",
        **NOT_SUBMITTED,
    ),
    Named(
        "queue-lookup-fails-once",
        "DescribeJobQueues fails with HTTP 503.",
        [on("DescribeJobQueues", AWAY, **FIRST)],
    ),
    Named(
        "queue-lookup-forbidden",
        "These credentials may not describe job queues.",
        [on("DescribeJobQueues", FORBIDDEN)],
        JobFailedError,
        f"AWS refused DescribeJobQueues: {NOT_ALLOWED} batch:DescribeJobQueues. Give these credentials that "
        "right.",
        **NOT_SUBMITTED,
    ),
    Named(
        "identity-fails-once",
        "GetCallerIdentity fails with HTTP 500.",
        [on("GetCallerIdentity", BROKEN, **FIRST)],
    ),
    Named(
        "identity-expired-token",
        "The session token has expired before anything was done.",
        [on("GetCallerIdentity", EXPIRED)],
        JobFailedError,
        f"AWS does not accept the credentials {ACCOUNT}: could not ask AWS for the identity: {RENEW}",
        **NOT_SUBMITTED,
    ),
    Named(
        "identity-cut",
        "Every connection to AWS breaks from the beginning.",
        [on("GetCallerIdentity", LOST_BEFORE)],
        JobFailedError,
        f"AWS did not answer {ACCOUNT}: could not ask AWS for the identity: Connection was closed before we "
        'received a valid response from endpoint URL: "…". Check the network, `region` and `endpoint_url`.'
        f"{DOCTOR}",
        **NOT_SUBMITTED,
    ),
    Named("role-lookup-fails-once", "GetRole fails with HTTP 503.", [on("GetRole", AWAY, **FIRST)]),
    Named(
        "role-lookup-forbidden",
        "These credentials may not look at IAM roles, which submitting does not need.",
        [on("GetRole", FORBIDDEN)],
    ),
    Named(
        "logs-fail-once",
        "The job is killed, and GetLogEvents fails with HTTP 500.",
        [strike({"killed": True}), on("GetLogEvents", BROKEN, **FIRST)],
        JobKilledError,
        KILLED,
        runs=(0, 1),
    ),
    Named(
        "logs-cut",
        "The job is killed, and the connection breaks at GetLogEvents.",
        [strike({"killed": True}), on("GetLogEvents", LOST_BEFORE, **FIRST)],
        JobKilledError,
        KILLED,
        runs=(0, 1),
    ),
    Named(
        "logs-forbidden",
        "The job is killed, and these credentials may not read its log.",
        [strike({"killed": True}), on("GetLogEvents", FORBIDDEN)],
        JobKilledError,
        f"{KILLED}\n⋮\nThere are no log lines.",
        runs=(0, 1),
    ),
]

BUCKET = [
    Named("bucket-lookup-fails-once", "HeadBucket fails with HTTP 503.", [on("HeadBucket", AWAY, **FIRST)]),
    Named(
        "bucket-forbidden",
        "These credentials may not use the bucket.",
        [on("HeadBucket", FORBIDDEN)],
        JobFailedError,
        f"The S3 bucket '…' is not open to these credentials {ACCOUNT}: it may belong to another account, or "
        f"s3:ListBucket is missing.{DOCTOR}",
        **NOT_SUBMITTED,
    ),
    Named("bucket-slow", "S3 takes its time for uploads.", [on("PutObject", SLOW, **BY_DRIVER)]),
    Named(
        "pack-write-slow-down",
        "S3 answers the driver's upload with SlowDown (HTTP 503).",
        [on("PutObject", AWAY, **BY_DRIVER, **PACK, **FIRST)],
    ),
    Named(
        "pack-write-cut-before-effect",
        "The connection breaks before S3 has taken the task.",
        [on("PutObject", LOST_BEFORE, **BY_DRIVER, **PACK, **FIRST)],
    ),
    Named(
        "pack-write-cut-after-effect",
        "The connection breaks after S3 has taken the task.",
        [on("PutObject", LOST_AFTER, **BY_DRIVER, **PACK, **FIRST)],
    ),
    Named(
        "pack-write-forbidden",
        "These credentials may not write to the bucket.",
        [on("PutObject", FORBIDDEN, **BY_DRIVER)],
        JobFailedError,
        "The S3 bucket '…' did not take the object '…': AccessDenied: Access Denied. Check s3:PutObject."
        f"{DOCTOR}",
        **NOT_SUBMITTED,
    ),
    Named(
        "pack-write-expired-token",
        "The session token has expired when the task is uploaded.",
        [on("PutObject", EXPIRED, **BY_DRIVER, **PACK)],
        JobFailedError,
        "The S3 bucket '…' did not take the object '…': ExpiredToken: The provided token has expired. Check "
        f"s3:PutObject.{DOCTOR}",
        **NOT_SUBMITTED,
    ),
    Named(
        "pack-half-written",
        "S3 keeps only half of the task.",
        [on("PutObject", HALF_WRITTEN, **BY_DRIVER, **PACK)],
        RuntimeFaultError,
        f"{NO_WORK}Payload 0 of …/packs/00000000 cannot be read: it is cut short.",
        **NEVER_RAN,
    ),
    Named(
        "function-half-written",
        "S3 keeps only half of the function.",
        [on("PutObject", HALF_WRITTEN, **BY_DRIVER, **FUNCTION)],
        RuntimeFaultError,
        "The function s3://… is not the one that was submitted: it was cut short or altered in the bucket.",
        **NEVER_RAN,
    ),
    Named(
        "argument-upload-begins-late",
        "CreateMultipartUpload of a large argument fails with HTTP 503.",
        [on("CreateMultipartUpload", AWAY, **BY_DRIVER, **FIRST)],
        submit=scene.a_large_argument,
    ),
    Named(
        "argument-part-fails-once",
        "A part of a large argument's upload fails with HTTP 500.",
        [on("UploadPart", BROKEN, **BY_DRIVER, **FIRST)],
        submit=scene.a_large_argument,
    ),
    Named(
        "argument-upload-ends-late",
        "CompleteMultipartUpload of a large argument fails with HTTP 503.",
        [on("CompleteMultipartUpload", AWAY, **BY_DRIVER, **FIRST)],
        submit=scene.a_large_argument,
    ),
    Named(
        "argument-half-written",
        "S3 keeps only half of a large argument.",
        [on("CompleteMultipartUpload", HALF_WRITTEN, **BY_DRIVER)],
        RuntimeFaultError,
        "The argument s3://… has … bytes, not the … that were submitted: it was cut short or altered in the "
        "bucket.",
        submit=scene.a_large_argument,
        **NEVER_RAN,
    ),
    Named(
        "listing-fails-once",
        "The listing of outcomes fails with HTTP 500.",
        [on("ListObjectsV2", BROKEN, **BY_DRIVER, **FIRST)],
    ),
    Named(
        "listing-expired-token-renewed",
        "The token expires while outcomes are listed, and is renewed.",
        [on("ListObjectsV2", EXPIRED, **BY_DRIVER, **TWICE)],
    ),
    Named(
        "bucket-closed-for-a-while",
        "The bucket is closed to the driver while the job runs, and opened again.",
        [on("ListObjectsV2", FORBIDDEN, **BY_DRIVER, calls={"first": 1, "count": 4})],
    ),
    Named(
        "bucket-closed",
        "The bucket is closed to the driver while the job runs, for minutes.",
        [on("ListObjectsV2", FORBIDDEN, **BY_DRIVER)],
        JobFailedError,
        f"The outcomes in the bucket '…' cannot be listed: AccessDenied: Access Denied.{DOCTOR}{MAY_RUN_ON}",
        submit=scene.a_task_that_waits,
        patience={"watch.ERROR_PATIENCE_S": 0.5},
    ),
    Named(
        "outcome-read-fails-once",
        "S3 answers with HTTP 500 when the outcome is read.",
        [on("GetObject", BROKEN, **BY_DRIVER, **OUTCOME, **FIRST)],
    ),
    Named(
        "outcome-read-half-body",
        "Half of the outcome comes, then the connection breaks.",
        [on("GetObject", HALF_BODY, **BY_DRIVER, **OUTCOME, **FIRST)],
    ),
    Named(
        "outcome-read-forbidden",
        "The bucket is closed to the driver when the outcome is read.",
        [on("GetObject", FORBIDDEN, **BY_DRIVER, **OUTCOME)],
        JobFailedError,
        "The job ended, but its outcome is out of reach: The task's outcome '…' cannot be read from S3: "
        "AccessDenied: Access Denied. Next step: mend that, and the job's id finds it.",
    ),
    Named(
        "value-read-half-body",
        "Half of a large value comes, then the connection breaks.",
        [on("GetObject", HALF_BODY, **BY_DRIVER, **LARGE_VALUE, **FIRST)],
        submit=scene.a_large_value,
    ),
    Named(
        "value-read-forbidden",
        "The bucket is closed to the driver when a large value is read.",
        [on("GetObject", FORBIDDEN, **BY_DRIVER, **LARGE_VALUE)],
        BucketError,
        "The object '…' of the job … cannot be read from S3: AccessDenied: Access Denied. Check "
        "s3:GetObject; the job's id finds it again.",
        submit=scene.a_large_value,
    ),
]

CONTAINER = [
    Named(
        "task-read-fails-twice",
        "S3 answers the container with HTTP 503 when it reads its task.",
        [on("GetObject", AWAY, **BY_JOB, **PACK, **TWICE)],
    ),
    Named(
        "task-read-half-body",
        "Half of the task comes to the container, then the connection breaks.",
        [on("GetObject", HALF_BODY, **BY_JOB, **PACK, **FIRST)],
    ),
    Named(
        "task-read-forbidden",
        "The job's role may not read from the bucket.",
        [on("GetObject", FORBIDDEN, **BY_JOB)],
        RuntimeFaultError,
        f"{NO_WORK}S3 does not let the container read s3://…: check the job role's permissions.",
        **NEVER_RAN,
    ),
    Named(
        "function-read-cut",
        "The connection breaks when the container reads the function.",
        [on("GetObject", LOST_BEFORE, **BY_JOB, **FUNCTION, **FIRST)],
    ),
    Named(
        "claim-write-fails-once",
        "S3 answers the container with HTTP 503 when it claims its task.",
        [on("PutObject", AWAY, **BY_JOB, **CLAIM, **FIRST)],
    ),
    Named(
        "claim-write-cut-after-effect",
        "The connection breaks after S3 has taken the claim.",
        [on("PutObject", LOST_AFTER, **BY_JOB, **CLAIM, **FIRST)],
    ),
    Named(
        "claim-write-forbidden",
        "The job's role may not write to the bucket.",
        [on("PutObject", FORBIDDEN, **BY_JOB)],
        RuntimeFaultError,
        f"{NO_WORK}S3 does not let the container write s3://…: check the job role's permissions.",
        **NEVER_RAN,
    ),
    Named(
        "outcome-write-slow-down",
        "S3 answers the container with SlowDown (HTTP 503) when it writes its outcome.",
        [on("PutObject", AWAY, **BY_JOB, **OUTCOME, **TWICE)],
    ),
    Named(
        "outcome-write-cut-before-effect",
        "The connection breaks before S3 has taken the outcome.",
        [on("PutObject", LOST_BEFORE, **BY_JOB, **OUTCOME, **FIRST)],
    ),
    Named(
        "outcome-write-cut-after-effect",
        "The connection breaks after S3 has taken the outcome.",
        [on("PutObject", LOST_AFTER, **BY_JOB, **OUTCOME, **FIRST)],
    ),
    Named(
        "outcome-write-slow",
        "S3 takes its time for whatever the job writes.",
        [on("PutObject", SLOW, **BY_JOB)],
    ),
    Named(
        "outcome-write-expired-token-renewed",
        "The token of the job's role expires while its function runs, and is renewed.",
        [on("PutObject", EXPIRED, **BY_JOB, **OUTCOME, **FIRST)],
    ),
    Named(
        "outcome-write-forbidden-for-a-while",
        "The bucket is closed to the job while its function runs, and opened again.",
        [on("PutObject", FORBIDDEN, **BY_JOB, **OUTCOME, **FIRST)],
    ),
    Named(
        "outcome-write-forbidden",
        "The bucket is closed to the job while its function runs.",
        [on("PutObject", FORBIDDEN, **BY_JOB, **OUTCOME)],
        RuntimeFaultError,
        f"{NO_WORK}S3 does not let the container write s3://…: check the job role's permissions. The next "
        "try comes in 1 s.\n⋮\n"
        "covalent-awsbatch: S3 does not let the container write s3://…: check the job role's permissions.",
    ),
    Named(
        "outcome-half-written",
        "S3 keeps only half of the outcome.",
        [on("PutObject", HALF_WRITTEN, **BY_JOB, **OUTCOME)],
        OutcomeDamagedError,
        "The job ended, but its outcome is damaged: it is cut short or altered: its checksum does not fit. "
        "Next step: submit the task again, and see what else writes to the bucket.",
    ),
    Named(
        "value-part-fails-once",
        "A part of a large value's upload fails with HTTP 500.",
        [on("UploadPart", BROKEN, **BY_JOB, **FIRST)],
        submit=scene.a_large_value,
    ),
    Named(
        "value-half-written",
        "S3 keeps only half of a large value.",
        [on("CompleteMultipartUpload", HALF_WRITTEN, **BY_JOB)],
        OutcomeDamagedError,
        "The object '…' was cut short or altered in S3: it is not what the job … wrote. Run the task again.",
        submit=scene.a_large_value,
    ),
    Named(
        "outcome-foreign",
        "Somebody else writes an outcome, in the right form and place, before the job does.",
        [],
        ForeignOutcomeError,
        "The job ended, but its outcome was written by somebody else: it is not sealed with this machine's "
        "key: either somebody else has written it, or the task was submitted from another machine; then copy "
        "that machine's file origin.key to …, or set verify_origin=False, which takes it by its checksum "
        "alone. Next step: see who else may write to the bucket, and submit the task again.",
        submit=scene.a_task_that_waits,
        meanwhile=write_an_outcome_as_a_stranger,
    ),
    Named(
        "outcome-of-another-task",
        "Somebody copies the outcome of another task to the place of this one's.",
        [],
        OutcomeDamagedError,
        "The job ended, but its outcome is damaged: it belongs to another task or attempt. Next step: submit "
        "the task again, and see what else writes to the bucket.",
        submit=scene.a_task_that_waits,
        meanwhile=copy_the_outcome_of_another_task,
    ),
    Named(
        "outcome-rubbish",
        "Somebody else writes to the outcome's place what is none.",
        [],
        OutcomeDamagedError,
        "The job ended, but its outcome is damaged: this is no envelope of covalent-awsbatch-plugin. Next "
        "step: submit the task again, and see what else writes to the bucket.",
        submit=scene.a_task_that_waits,
        meanwhile=write_rubbish,
    ),
    Named(
        "outcome-missing",
        "The container runs something else than the task, and ends well.",
        [],
        OutcomeMissingError,
        "The job ended well but left no outcome: Essential container in task exited (exit code 0). Next "
        "step: check that its image has no ENTRYPOINT, which would run something else than the task, and "
        "that nobody deletes from the bucket; unless keep_artifacts is 'all' an outcome is deleted once it "
        "was taken.",
        before=with_a_definition_that_runs_something_else,
    ),
]

ANSWERS = [
    Named(
        "fresh-job-unknown",
        "DescribeJobs does not know the fresh job the first three times.",
        [strike({"unknown_looks": 3})],
    ),
    Named(
        "skipped-states",
        "Neither STARTING nor RUNNING is ever seen of the job.",
        [strike({"skip_states": ["STARTING", "RUNNING"]})],
        submit=scene.a_task_that_waits,
        meanwhile=let_it_go_on_when_it_was_looked_at,
    ),
    Named(
        "stale-summary",
        "AWS Batch counts an array's children two seconds late, and one of them is killed.",
        [strike({"stale_summary_s": 2}), strike({"killed": True}, index=2)],
        JobKilledError,
        KILLED,
        submit=scene.an_array,
        of=2,
        runs=(3, 4),
    ),
    Named(
        "vanished-with-outcome",
        "AWS Batch forgets the job while it runs; the job leaves its outcome.",
        [strike({"vanish": "RUNNING"})],
    ),
    Named(
        "vanished-without-outcome",
        "AWS Batch forgets the job while it runs, and something kills it.",
        [strike({"vanish": "RUNNING"}), strike({"killed": True})],
        OutcomeMissingError,
        "AWS Batch does not know the job … any more, and it left no outcome in '…', or that was deleted once "
        "it was taken, as keep_artifacts says. Next step: dispatch the task again.",
        runs=(0, 1),
        patience={"watch.UNKNOWN_PATIENCE_S": 0.5},
    ),
    Named(
        "vanished-child-without-outcome",
        "AWS Batch forgets one child of an array while it runs, and something kills it; it knows the array.",
        [strike({"vanish": "RUNNING"}, index=2), strike({"killed": True}, index=2)],
        OutcomeMissingError,
        "AWS Batch does not know the job … any more, and it left no outcome in '…', or that was deleted once "
        "it was taken, as keep_artifacts says. Next step: dispatch the task again.",
        submit=scene.an_array,
        of=2,
        runs=(3, 4),
        patience={"watch.UNKNOWN_PATIENCE_S": 0.5},
    ),
    Named(
        "inspect-error-with-value",
        "The function returns, and Docker cannot tell how its container ended: the job is FAILED.",
        [strike({"inspect_error": True})],
    ),
    Named(
        "inspect-error-with-exception",
        "The function raises, and Docker cannot tell how its container ended.",
        [strike({"inspect_error": True})],
        ValueError,
        "ValueError: boom\n\nTraceback (most recent call last):",
        submit=scene.a_task_that_raises,
    ),
]

HOSTS = [
    Named(
        "host-lost-starting-once",
        "The instance is reclaimed while the job starts.",
        [strike({"lose_host": "STARTING"}, attempt=1)],
    ),
    Named(
        "host-lost-running-once",
        "The instance is reclaimed while the job runs.",
        [strike({"lose_host": "RUNNING"}, attempt=1)],
        runs=(1, 2),
    ),
    Named(
        "host-lost-after-the-function-began",
        "The instance is terminated when the function has begun.",
        [],
        submit=scene.a_task_that_waits,
        meanwhile=lose_its_host_when_it_runs,
        runs=(2, 2),
    ),
    Named(
        "host-lost-always",
        "Each instance on which the job runs is reclaimed.",
        [strike({"lose_host": "RUNNING"})],
        HostLostError,
        HOST_LOST,
        settings={"retry_attempts": 2},
        runs=(0, 2),
    ),
    Named(
        "spot-task-interrupted-once",
        "Fargate takes its Spot capacity back once.",
        [strike({"lose_host": "RUNNING", "fargate": True}, attempt=1)],
        runs=(1, 2),
    ),
    Named(
        "spot-task-interrupted-always",
        "Fargate takes its Spot capacity back each time.",
        [strike({"lose_host": "RUNNING", "fargate": True})],
        SpotReclaimedError,
        "The job lost its Spot capacity, which AWS took back, and all its attempts with it: Your Spot Task "
        "was interrupted. (no exit code). Next step: raise retry_attempts, or name an on_demand_queue to go "
        "on in.",
        settings={"retry_attempts": 2},
        runs=(0, 2),
    ),
    Named(
        "host-lost-on-demand-queue",
        "Each Spot instance is reclaimed, and on_demand_queue is set.",
        [strike({"lose_host": "RUNNING"}, nth=1)],
        reads="covalent-awsbatch: the job … lost the hosts of all its 2 attempts (Host EC2 (instance i-…) "
        "terminated.): submitted again to the queue 'on-demand', as job …",
        settings={"retry_attempts": 2, "on_demand_queue": ON_DEMAND},
        runs=(1, 3),
        jobs=2,
    ),
    Named(
        "host-lost-in-both-queues",
        "Hosts are lost in the on_demand_queue, too.",
        [strike({"lose_host": "STARTING"})],
        HostLostError,
        HOST_LOST,
        settings={"retry_attempts": 1, "on_demand_queue": ON_DEMAND},
        runs=(0, 0),
        jobs=2,
    ),
    Named(
        "out-of-memory",
        "The function needs more memory than the job has.",
        [strike({"out_of_memory": True})],
        OutOfMemoryError,
        OUT_OF_MEMORY.format(mib=256, gb=0.25),
        runs=(0, 1),
    ),
    Named(
        "out-of-memory-climbs",
        "The function needs more memory than it had, and memory_on_oom is set.",
        [strike({"out_of_memory": True}, nth=1)],
        reads=CLIMBED,
        settings={"memory_on_oom": [0.5, 1]},
        runs=(1, 2),
        jobs=2,
    ),
    Named(
        "out-of-memory-for-ever",
        "All that memory_on_oom allows is not enough.",
        [strike({"out_of_memory": True})],
        OutOfMemoryError,
        OUT_OF_MEMORY.format(mib=512, gb=0.5),
        settings={"memory_on_oom": [0.5]},
        runs=(0, 2),
        jobs=2,
    ),
    Named(
        "killed",
        "Something kills the container, and nobody says why.",
        [strike({"killed": True})],
        JobKilledError,
        KILLED,
        runs=(0, 1),
    ),
    Named(
        "killed-once-retried",
        "Something kills the container once, and retry_on is `any`.",
        [strike({"killed": True}, attempt=1)],
        settings={"retry_on": "any"},
        runs=(1, 2),
    ),
    Named(
        "function-crashes",
        "The function crashes in native code.",
        [],
        JobKilledError,
        "ProcessKilled: Signal 11 (SIGSEGV) ended the process before the function returned: compiled code "
        "touched memory that is not its own.",
        submit=scene.a_task_that_crashes,
    ),
    Named(
        "time-limit",
        "The function runs longer than time_limit.",
        [],
        TimeLimitError,
        "The job ran into its time limit: Job attempt duration exceeded timeout (exit code 143). Next step: "
        "raise time_limit, or give the job more vCPUs.",
        submit=scene.a_task_that_waits,
        settings={"time_limit": 60},
        runs=(0, 1),
    ),
    Named(
        "array-child-loses-its-host",
        "One child of an array loses its host once.",
        [strike({"lose_host": "STARTING"}, index=2, attempt=1)],
        submit=scene.an_array,
        of=2,
        runs=(4, 4),
    ),
    Named(
        "array-child-killed",
        "One child of an array is killed; the others have their values.",
        [strike({"killed": True}, index=2)],
        JobKilledError,
        KILLED,
        submit=scene.an_array,
        of=2,
        runs=(3, 4),
    ),
    Named(
        "array-child-out-of-memory-climbs",
        "One child of an array needs more memory, and memory_on_oom is set.",
        [strike({"out_of_memory": True}, nth=1, index=1)],
        reads=CLIMBED,
        submit=scene.an_array,
        of=1,
        settings={"memory_on_oom": [0.5]},
        runs=(4, 5),
        jobs=2,
    ),
]

STARTS = [
    Named(
        "pull-missing",
        "The image is not in the registry, so the job never starts.",
        [strike({"cannot_pull": "missing"})],
        ImageMissingError,
        f"The job could not get its image: there is no such repository or tag: {PULL_FAILED}Error response "
        "from daemon: manifest for … not found: manifest unknown: Requested image not found (no exit code). "
        "Next step: check container_image_uri if it is set; an image that was built for the task and deleted "
        f"since is built again by the next dispatch.{DOCTOR_AT_THE_END}",
        **NEVER_RAN,
    ),
    Named(
        "pull-forbidden",
        "The role may not pull the image.",
        [strike({"cannot_pull": "forbidden"})],
        ImageForbiddenError,
        f"The job may not pull its image, or there is none of this name: {PULL_FAILED}Error response from "
        "daemon: pull access denied for …, repository does not exist or may require 'docker login' (no exit "
        "code). Next step: check container_image_uri if it is set, and that the execution role (on EC2 "
        "without one, the instance's) may call ecr:GetAuthorizationToken and ecr:BatchGetImage.",
        **NEVER_RAN,
    ),
    Named(
        "pull-architecture",
        "The image is for another processor.",
        [strike({"cannot_pull": "architecture"})],
        ImageArchitectureError,
        f"The job has an image for another processor than its instance's: {PULL_FAILED}no matching manifest "
        "for linux/arm64/v8 in the manifest list entries (no exit code). Next step: set cpu_architecture (or "
        "build container_image_uri) for the queue's instances.",
        **NEVER_RAN,
    ),
    Named(
        "pull-disk-full",
        "Each host's disk is full.",
        [strike({"cannot_pull": "disk_full"})],
        ImageDiskFullError,
        f"The job could not get its image: its host's disk is full: {PULL_FAILED}{DISK_FULL} (no exit code). "
        "Next step: give the compute environment a launch template with a larger disk, or take a smaller "
        "image.",
        jobs=2,
        **TWO_STARTS,
    ),
    Named(
        "pull-disk-full-passes",
        "One host's disk is full, and the next one's is not.",
        [strike({"cannot_pull": "disk_full"}, nth=1)],
        reads=ANOTHER_START.format(reason=f"CannotPullContainerError: {DISK_FULL}", left=2),
        jobs=2,
    ),
    Named(
        "pull-rate-limit",
        "The registry gives no more images, at no start.",
        [strike({"cannot_pull": "rate_limit"})],
        ImageRateLimitError,
        f"The job could not get its image: the registry gives no more for now: {PULL_FAILED}{RATE_LIMIT} (no "
        "exit code). Next step: copy the image into ECR and set container_image_uri, or try again later.",
        jobs=2,
        **TWO_STARTS,
    ),
    Named(
        "pull-rate-limit-passes",
        "The registry gives no more images for two starts.",
        [strike({"cannot_pull": "rate_limit"}, times=2)],
        reads="\n".join(
            ANOTHER_START.format(reason=f"CannotPullContainerError: {RATE_LIMIT}", left=left)
            for left in (2, 1)
        ),
        jobs=3,
    ),
    Named(
        "pull-no-route",
        "There is no route to the registry.",
        [strike({"cannot_pull": "no_route"})],
        ImageUnreachableError,
        f"The job could not get its image: there is no route to the registry: {PULL_FAILED}{NO_ROUTE} (no "
        "exit code). Next step: give the subnets a NAT gateway or endpoints of ecr.api, ecr.dkr and S3 (on "
        "Fargate assign_public_ip would do, too), and check container_image_uri if it is set.",
        **ONE_START,
    ),
    Named(
        "pull-no-route-passes",
        "There is no route to the registry for a while.",
        [strike({"cannot_pull": "no_route"}, nth=1)],
        reads=ANOTHER_START.format(reason=f"CannotPullContainerError: {NO_ROUTE}", left=2),
        jobs=2,
    ),
    Named(
        "pull-rate-limit-passes-array-child",
        "The registry gives no image to one child of an array.",
        [strike({"cannot_pull": "rate_limit"}, nth=1, index=1)],
        reads=ANOTHER_START.format(reason=f"CannotPullContainerError: {RATE_LIMIT}", left=2),
        submit=scene.an_array,
        of=1,
        runs=(4, 4),
        jobs=2,
    ),
    Named(
        "create-fails",
        "The container cannot be created, for the host's disk is full.",
        [strike({"cannot_start": "create"})],
        ContainerStartError,
        f"The job could not make its container: its host's disk is full: Task failed to start: {THIN_POOL} "
        "(no exit code). Next step: give the compute environment a launch template with a larger disk.",
        **ONE_START,
    ),
    Named(
        "create-fails-passes",
        "The container cannot be created on one host, and can on the next.",
        [strike({"cannot_start": "create"}, nth=1)],
        reads=ANOTHER_START.format(reason=THIN_POOL, left=2),
        jobs=2,
    ),
    Named(
        "start-fails",
        "The container cannot be started.",
        [strike({"cannot_start": "start"})],
        ContainerStartError,
        "The job could not start its container: Task failed to start: CannotStartContainerError: Error "
        "response from daemon: failed to create task for container: failed to create shim task: OCI runtime "
        "create failed: runc create failed: unable to start container process: error during container init: "
        "unknown (no exit code). Next step: check the image's Python and architecture, and what the reasons "
        "name.",
        **NEVER_RAN,
    ),
    Named(
        "docker-timeout",
        "Docker takes too long for the container, on each host.",
        [strike({"cannot_start": "timeout"})],
        ContainerStartError,
        "The job was not started in time by its host, which is overloaded or does not reach the log: Task "
        "failed to start: DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s "
        "(no exit code). Next step: submit it again; if it comes back, take larger instances, faster disks, "
        "or an endpoint of logs.",
        **TWO_STARTS,
    ),
    Named(
        "docker-timeout-passes",
        "Docker takes too long for the container once.",
        [strike({"cannot_start": "timeout"}, times=1)],
    ),
    Named(
        "agent-gone-once",
        "The host's ECS agent is disconnected.",
        [strike({"agent_gone": True}, times=1)],
    ),
    Named(
        "agent-gone-always",
        "Each host's ECS agent is disconnected.",
        [strike({"agent_gone": True})],
        ContainerStartError,
        "The job was placed on a host whose ECS agent had gone: Task failed to start: AGENT (no exit code). "
        "Next step: submit it again; if it comes back, look at the instances of the compute environment.",
        **TWO_STARTS,
    ),
    Named(
        "resource-initialization",
        "Fargate reaches neither secrets nor the registry's login.",
        [strike({"resource_initialization": True})],
        RoleOrSecretError,
        f"The job could not reach what its secrets, or the registry's login, come from: {NO_LOGIN} (no exit "
        "code). Next step: give the subnets a NAT gateway or endpoints of ecr.api, secretsmanager and ssm; "
        "on Fargate assign_public_ip would do, too.",
        **ONE_START,
    ),
    Named(
        "resource-initialization-passes",
        "Fargate does not reach the registry's login once.",
        [strike({"resource_initialization": True}, nth=1)],
        reads=ANOTHER_START.format(reason=NO_LOGIN, left=2),
        jobs=2,
    ),
    Named(
        "role-refused",
        "ECS cannot assume the job's role.",
        [strike({"role": True})],
        RoleOrSecretError,
        "The job could not get its role: ECS was unable to assume the role '…' that was provided for this "
        "task. Please verify that the role being passed has the proper trust relationship and permissions "
        "and that your IAM user has permissions to pass this role. (no exit code). Next step: let "
        "ecs-tasks.amazonaws.com assume the role (trust policy).",
        **NEVER_RAN,
    ),
    Named(
        "network-interface",
        "Fargate's network interface does not come in time.",
        [strike({"network_interface": True})],
        ContainerStartError,
        f"The job did not get a network interface in time: {NO_INTERFACE} (no exit code). Next step: submit "
        "it again: Fargate fails so now and then.",
        **ONE_START,
    ),
    Named(
        "network-interface-passes",
        "Fargate's network interface does not come in time once.",
        [strike({"network_interface": True}, nth=1)],
        reads=ANOTHER_START.format(reason=NO_INTERFACE, left=2),
        jobs=2,
    ),
    Named(
        "pull-text-never-seen",
        "The image cannot be pulled, for a reason that nobody has met.",
        [
            strike(
                {
                    "end_with": {
                        "status_reason": "Task failed to start",
                        "container_reason": "CannotPullContainerError: the registry sings",
                    }
                }
            )
        ],
        ImagePullError,
        f"The job could not get its image: {PULL_FAILED}the registry sings (no exit code). Next step: check "
        "the execution role's rights, the route to ECR and, if it is set, container_image_uri; an image that "
        "was built for the task and deleted since is built again by the next dispatch.",
        **NEVER_RAN,
    ),
    Named(
        "text-never-seen",
        "AWS Batch ends the job with words that nobody has met.",
        [
            strike(
                {
                    "end_with": {
                        "status_reason": "The moon was in the way",
                        "container_reason": "LunarError: full",
                    }
                }
            )
        ],
        JobFailedError,
        "The job ended without leaving an outcome: The moon was in the way: LunarError: full (no exit code). "
        "Next step: see the reasons and the last log lines.",
        **NEVER_RAN,
    ),
    Named(
        "no-text-at-all",
        "AWS Batch ends the job and says nothing.",
        [strike({"end_with": {}})],
        JobFailedError,
        "The job ended without leaving an outcome: AWS gave no reason (no exit code). Next step: see the "
        "reasons and the last log lines.",
        **NEVER_RAN,
    ),
    Named(
        "exit-code-never-seen",
        "Something else than the runtime ends the container with an exit code of its own.",
        [
            strike(
                {"end_with": {"status_reason": "Essential container in task exited", "exit_code": 77}},
            )
        ],
        OutcomeMissingError,
        "The job ended without leaving an outcome: Essential container in task exited (exit code 77). Next "
        "step: see the last log lines; the exit code is not the runtime's, so something else ended the "
        "process.",
        **NEVER_RAN,
    ),
]

QUEUES = [
    Named(
        "stuck-for-a-while",
        "AWS has no instances for a while.",
        [strike({"stuck": "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", "for_s": 1.2})],
        reads=f"{WAITED}AWS Batch says 'CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the "
        "capacity requested for instance type […]'. Next step: allow more instance types and zones in the "
        "compute environment, or take an on-demand queue.",
        settings={"runnable_timeout": 1},
        **SOON,
    ),
    Named(
        "stuck-too-large",
        "The job asks for more than any instance has, and runnable_timeout is set.",
        [strike({"stuck": "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT"})],
        NeverPlacedError,
        "The job asked for what its queue cannot give, and has waited as long as runnable_timeout lets it: "
        f"ended by covalent-awsbatch, for it could never be placed: {TOO_LARGE}; it has waited … s in the "
        "queue '…' (no exit code). Next step: ask for less (vcpu, memory, num_gpus), or let the queue's "
        "compute environments have more.",
        settings={"runnable_timeout": 1},
        **NEVER_RAN,
        **SOON,
    ),
    Named(
        "stuck-environment-invalid",
        "The queue's compute environment is invalid, and runnable_timeout is set.",
        [strike({"stuck": "ACTION_REQUIRED"})],
        QueueInvalidError,
        "The job was in a queue that can run nothing, and has waited as long as runnable_timeout lets it: "
        f"ended by covalent-awsbatch, for its queue could run nothing: {INVALID}; it has waited … s in the "
        "queue '…' (no exit code). Next step: mend the queue's compute environments, or set another "
        "batch_queue.",
        settings={"runnable_timeout": 1},
        **NEVER_RAN,
        **SOON,
    ),
    Named(
        "queue-disabled-while-it-waits",
        "The queue is disabled while the job waits in it.",
        [strike({"stuck": "", "for_s": 1.2})],
        reads="⋮\n"
        f"{WAITED}the queue is DISABLED, and takes no new jobs. Next step: enable it if the job stays where "
        "it is.",
        before=in_a_queue_of_its_own,
        meanwhile=disable_its_queue,
        **SOON,
    ),
    Named(
        "queue-deleted-while-it-waits",
        "The queue is deleted while the job waits in it.",
        [strike({"stuck": ""})],
        QueueInvalidError,
        "The job lost its queue: JobQueue deleted (no exit code). Next step: set another batch_queue.",
        before=in_a_queue_of_its_own,
        meanwhile=delete_its_queue,
        **NOT_LISTED,
    ),
    Named(
        "dependency-failed",
        "The job that this one waits for is killed.",
        [strike({"killed": True}, nth=1)],
        DependencyFailedError,
        "The job waited for a job that failed: Dependent Job failed (no exit code). Next step: see that job.",
        submit=scene.two_in_a_row,
        others=JobKilledError,
        runs=(0, 1),
        jobs=2,
    ),
]

PEOPLE = [
    Named(
        "cancelled-by-the-user",
        "The user cancels the job while its function runs.",
        [],
        CancelledError,
        CANCELLED,
        submit=scene.a_task_that_waits,
        meanwhile=cancel_when_it_runs,
    ),
    Named(
        "cancelled-by-the-user-while-it-waits",
        "The user cancels the job while it waits for its place.",
        [strike({"stuck": ""})],
        CancelledError,
        CANCELLED,
        meanwhile=cancel_while_it_waits,
        **NEVER_RAN,
    ),
    Named(
        "ended-in-the-console",
        "Somebody ends the job in AWS's console.",
        [],
        JobTerminatedError,
        ENDED_BY_SOMEBODY.format(reason="maintenance tonight (exit code 143)"),
        submit=scene.a_task_that_waits,
        meanwhile=end_it_in_the_console,
    ),
    Named(
        "cancelled-in-the-console",
        "Somebody cancels the job in AWS's console before it has begun.",
        [strike({"stuck": ""})],
        JobTerminatedError,
        ENDED_BY_SOMEBODY.format(reason="not today (no exit code)"),
        meanwhile=cancel_it_in_the_console,
        **NEVER_RAN,
    ),
    Named(
        "array-ended-in-the-console",
        "Somebody ends an array of four in AWS's console.",
        [],
        JobTerminatedError,
        ENDED_BY_SOMEBODY.format(reason="maintenance tonight (exit code 143)"),
        submit=scene.an_array_that_waits,
        others=JobTerminatedError,
        runs=(4, 4),
        meanwhile=end_it_in_the_console,
    ),
    Named(
        "array-child-ended-in-the-console",
        "Somebody ends one child of an array in AWS's console; the others go on.",
        [],
        JobTerminatedError,
        ENDED_BY_SOMEBODY.format(reason="this one only (exit code 143)"),
        submit=scene.an_array_that_waits,
        of=2,
        runs=(4, 4),
        meanwhile=end_one_child_in_the_console,
    ),
]

CATALOGUE = {
    "Submission": SUBMISSION,
    "Other requests": REQUESTS,
    "The bucket, as the driver meets it": BUCKET,
    "The bucket, as the job meets it": CONTAINER,
    "What AWS Batch says of jobs": ANSWERS,
    "Hosts, memory and time": HOSTS,
    "Containers that do not start": STARTS,
    "Queues": QUEUES,
    "People": PEOPLE,
}
"""The faults by what they strike."""

ALL = [each for group in CATALOGUE.values() for each in group]

# --- texts ------------------------------------------------------------------------------------------------


def fits(text: str, told: str) -> bool:
    """Tell whether what a user reads begins with the lines of a text; an empty one wants nothing at all."""
    if text == "":
        return told == ""
    pattern = ""
    for line in text.split("\n"):
        pattern += (
            r"(?:.*\n)*?" if line == "⋮" else ".+?".join(map(re.escape, line.split("…"))) + r"(?:\n|\Z)"
        )
    return re.match(pattern, told) is not None


def table() -> str:
    """Return the faults, with what happens and what the user reads, as Markdown."""
    return "\n\n".join(f"### {heading}\n\n{_rows(group)}" for heading, group in CATALOGUE.items())


def _rows(group: Sequence[Named]) -> str:
    rows = ["| name | what happens | what the user reads |", "| --- | --- | --- |"]
    rows += [f"| `{each.name}` | {each.happens} | {_told(each)} |" for each in group]
    return "\n".join(rows)


def _told(named: Named) -> str:
    text = named.reads.replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")
    if named.error is None:
        return f"the value; in its stderr: {text}" if text else "the value"
    return f"`{named.error.__name__}`: {text}"
