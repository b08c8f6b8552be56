"""AWS's texts, as people have met them, and what each of them means; and texts that nobody has met yet."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin import contract, errors, explanation
from covalent_awsbatch_plugin.diagnosis import (
    CANCELLED_BY_THE_USER,
    CANCELLED_IN_COVALENT,
    ENDED_AS_ORPHANED,
    NEVER_PLACED,
    QUEUE_INVALID,
    could_not_pull,
    diagnose,
    diagnose_outcome,
    diagnose_unreadable,
    lost_host,
    ran_out_of_memory,
)
from covalent_awsbatch_plugin.errors import JobFailedError
from covalent_awsbatch_plugin.explanation import Ending
from covalent_awsbatch_plugin.job import Attempt, Job, JobStatus
from covalent_awsbatch_plugin.plain_text import harmless

EXITED = "Essential container in task exited"
NOT_STARTED = "Task failed to start"
PULL = "CannotPullContainerError: "
HOST_LOST = "Host EC2 (instance i-0123456789abcdef0) terminated."
BLOCKED = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher "
)


def job(status_reason: str = EXITED, container_reason: str = "", exit_code: int | None = None, **more) -> Job:
    known = {
        "id": "0a1b2c3d-0000-4000-8000-000000000000",
        "name": "covalent-d-0",
        "status": JobStatus.FAILED,
        "status_reason": status_reason,
        "container_reason": container_reason,
        "exit_code": exit_code,
    }
    return Job(**{**known, **more})


# --- the table: each text, what it means, and whether another start may succeed ---------------------------

BY_STATUS_REASON = [
    ("Job attempt duration exceeded timeout", errors.TimeLimitError, "raise time_limit", False),
    (HOST_LOST, errors.HostLostError, "raise retry_attempts", False),
    ("Host EC2 Terminated", errors.HostLostError, "on_demand_queue", False),
    ("Your Spot Task was interrupted.", errors.SpotReclaimedError, "on_demand_queue", False),
    (
        "Timeout waiting for network interface provisioning to complete.",
        errors.ContainerStartError,
        "submit it again",
        True,
    ),
    ("Dependent Job failed", errors.DependencyFailedError, "see that job", False),
    ("Array Child Job failed", JobFailedError, "`covalent-awsbatch job`", False),
    ("JobQueue deleted", errors.QueueInvalidError, "set another batch_queue", False),
    ("Container Overrides length must be at most 8192", errors.NeverPlacedError, "shorten", False),
    (
        "ECS was unable to assume the role 'arn:aws:iam::1:role/r' that was provided for this task.",
        errors.RoleOrSecretError,
        "trust policy",
        False,
    ),
    (
        "ResourceInitializationError: unable to pull secrets or registry auth: AccessDeniedException",
        errors.RoleOrSecretError,
        "execution role",
        False,
    ),
    (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
        "failed: RequestError: send request failed caused by: dial tcp: i/o timeout",
        errors.RoleOrSecretError,
        "NAT gateway",
        True,
    ),
    (
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for "
        "instance type [p4d.24xlarge]",
        errors.NeverPlacedError,
        "more instance types",
        False,
    ),
    (
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet "
        "the CPU requirement of the job.",
        errors.NeverPlacedError,
        "maxvCpus",
        False,
    ),
    (f"{BLOCKED}than that can be met by the CE(s)", errors.NeverPlacedError, "lower vcpu, memory", False),
    (
        "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - Your compute environment associated with "
        "this job queue has an unsupported instance type configuration.",
        errors.QueueInvalidError,
        "instance types",
        False,
    ),
    (
        "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue.",
        errors.QueueInvalidError,
        "AWSBatchServiceRole",
        False,
    ),
    (
        "ACTION_REQUIRED - CE(s) associated with the job queue are invalid.",
        errors.QueueInvalidError,
        "status reason",
        False,
    ),
    (
        "UNDETERMINED - Batch job is blocked, root cause is undetermined.",
        errors.NeverPlacedError,
        "instances",
        False,
    ),
    (
        "Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        errors.NeverPlacedError,
        "more instance types",
        False,
    ),
    (
        "Canceled by JobStateTimeLimit action due to reason: ACTION_REQUIRED - CE(s) are invalid",
        errors.QueueInvalidError,
        "compute environment",
        False,
    ),
    (
        "Canceled by JobStateTimeLimit action due to reason: whatever",
        errors.NeverPlacedError,
        "job state time limit",
        False,
    ),
    (CANCELLED_IN_COVALENT, errors.JobCancelledError, "submit it again", False),
    (CANCELLED_BY_THE_USER, errors.JobCancelledError, "submit it again", False),
    (ENDED_AS_ORPHANED, errors.JobCancelledError, "submit it again", False),
    (f"{CANCELLED_IN_COVALENT}: its server was stopped", errors.JobCancelledError, "submit it again", False),
    (f"{NEVER_PLACED}{BLOCKED}", errors.NeverPlacedError, "ask for less", False),
    (f"{QUEUE_INVALID}the queue is INVALID", errors.QueueInvalidError, "set another batch_queue", False),
]


@pytest.mark.parametrize(("text", "error", "advice", "is_passing"), BY_STATUS_REASON)
def test_a_status_reason_tells_what_happened(text, error, advice, is_passing):
    found = diagnose(job(text))
    assert (found.error, found.is_passing) == (error, is_passing)
    assert advice in found.advice


BY_CONTAINER_REASON = [
    (
        f"{PULL}Error response from daemon: pull access denied for x/y, repository does not exist or may "
        "require 'docker login': denied: requested access to the resource is denied",
        errors.ImageForbiddenError,
        "container_image_uri",
        False,
    ),
    (
        f"{PULL}The task can't pull the image. Check that the role has the permissions to pull images",
        errors.ImageForbiddenError,
        "ecr:BatchGetImage",
        False,
    ),
    (
        f"{PULL}The task can't pull the image. Check whether the image exists. Error response from daemon: "
        "pull access denied for x/y, repository does not exist or may require 'docker login'",
        errors.ImageMissingError,
        "built again",
        False,
    ),
    (
        f"{PULL}AccessDeniedException: User: arn:aws:sts::1:assumed-role/r/i is not authorized to perform: "
        "ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:1:repository/r",
        errors.ImageForbiddenError,
        "ecr:BatchGetImage",
        False,
    ),
    (
        "CannotPullECRContainerError: AccessDeniedException: User is not authorized to perform: "
        "ecr:GetAuthorizationToken on resource: *",
        errors.ImageForbiddenError,
        "ecr:GetAuthorizationToken",
        False,
    ),
    ("CannotPullContainerAuthError: no luck", errors.ImageForbiddenError, "GetAuthorizationToken", False),
    (
        f"{PULL}Error response from daemon: manifest for x/y:z not found: manifest unknown: Requested image "
        "not found",
        errors.ImageMissingError,
        "container_image_uri",
        False,
    ),
    (f"{PULL}API error (404): repository x/y not found", errors.ImageMissingError, "built again", False),
    (
        f"{PULL}no matching manifest for linux/arm64/v8 in the manifest list entries",
        errors.ImageArchitectureError,
        "cpu_architecture",
        False,
    ),
    (
        "CannotStartContainerError: Error response from daemon: OCI runtime create failed: exec format error",
        errors.ImageArchitectureError,
        "cpu_architecture",
        False,
    ),
    (
        f"{PULL}failed to register layer: write /usr/lib/x.so: no space left on device",
        errors.ImageDiskFullError,
        "larger disk",
        True,
    ),
    (
        f"{PULL}toomanyrequests: You have reached your pull rate limit.",
        errors.ImageRateLimitError,
        "copy the image into ECR",
        True,
    ),
    (
        f"{PULL}pull image manifest has been retried 5 time(s): httpReadSeeker: failed open: unexpected "
        "status code 429 Too Many Requests",
        errors.ImageRateLimitError,
        "try again later",
        True,
    ),
    (
        f"{PULL}Get https://1.dkr.ecr.us-east-1.amazonaws.com/v2/: net/http: request canceled while waiting "
        "for connection (Client.Timeout exceeded while awaiting headers)",
        errors.ImageUnreachableError,
        "NAT gateway",
        True,
    ),
    (f"{PULL}dial tcp 52.0.0.1:443: i/o timeout", errors.ImageUnreachableError, "ecr.dkr", True),
    (f"{PULL}context canceled", errors.ImageUnreachableError, "NAT gateway", True),
    (f"{PULL}ref pull has been retried 1 time(s): failed", errors.ImageUnreachableError, "NAT gateway", True),
    (
        "CannotPullImageManifestError: pull image manifest has been retried 2 time(s)",
        errors.ImageUnreachableError,
        "NAT gateway",
        True,
    ),
    (f"{PULL}something that nobody has seen yet", errors.ImagePullError, "route to ECR", False),
    (
        "CannotStartContainerError: Error response from daemon: failed to create task for container: exec: "
        '"python": executable file not found in $PATH: unknown',
        errors.ContainerStartError,
        "container_image_uri",
        False,
    ),
    (
        "CannotStartContainerError: OCI runtime create failed: container init was OOM-killed (memory limit "
        "too low?): unknown",
        errors.OutOfMemoryError,
        "raise memory",
        False,
    ),
    (
        "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed "
        "to create Cloudwatch log stream",
        errors.ContainerStartError,
        "logs:CreateLogStream",
        False,
    ),
    ("CannotStartContainerError: anything", errors.ContainerStartError, "Python and architecture", False),
    (
        "CannotCreateContainerError: API error (500): devmapper: Thin Pool has 4350 free data blocks",
        errors.ContainerStartError,
        "larger disk",
        True,
    ),
    ("CannotCreateContainerError: invalid mount", errors.ContainerStartError, "what the reasons name", False),
    (
        "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s",
        errors.ContainerStartError,
        "submit it again",
        True,
    ),
    (
        "DockerTimeoutError: Could not transition to stopped; timed out after waiting 30s",
        errors.JobKilledError,
        "last log lines",
        False,
    ),
    ("AGENT", errors.ContainerStartError, "submit it again", True),
    (
        "TaskStoppedBeforePullBeginError: Task stopped before image pull could begin for task",
        errors.ContainerStartError,
        "submit it again",
        True,
    ),
    ("DockerStateError: no", errors.ContainerStartError, "what the reasons name", False),
    ("CannotCreateVolumeError: no", errors.ContainerStartError, "what the reasons name", False),
    ("TaskDependencyError: no", errors.ContainerStartError, "what the reasons name", False),
    ("ContainerNetworkingError: no", errors.ContainerStartError, "what the reasons name", False),
    ("InvalidVolumeError: no", errors.ContainerStartError, "what the reasons name", False),
    ("HostConfigError: no", errors.ContainerStartError, "what the reasons name", False),
    ("ImpossibleStateTransitionError: no", errors.JobKilledError, "submit it again", False),
    ("ContainerVanishedError: no", errors.JobKilledError, "submit it again", False),
    ("CannotStopContainerError: no", errors.JobKilledError, "submit it again", False),
    (
        "ResourceInitializationError: failed to validate logger args: the specified log group does not exist",
        errors.ContainerStartError,
        "batch_job_log_group_name",
        False,
    ),
    ("", errors.ContainerStartError, "what the reasons name", False),
]


@pytest.mark.parametrize(("text", "error", "advice", "is_passing"), BY_CONTAINER_REASON)
def test_a_start_that_failed_tells_why(text, error, advice, is_passing):
    found = diagnose(job(NOT_STARTED, text))
    assert (found.error, found.is_passing) == (error, is_passing)
    assert advice in found.advice
    assert could_not_pull(job(NOT_STARTED, text)) == issubclass(error, errors.ImagePullError)


BY_EXIT_CODE = [
    (0, errors.OutcomeMissingError, "ended well but left no outcome"),
    (1, errors.RuntimeFaultError, "ended before it could read its task"),
    (3, errors.OutcomeMissingError, "ended without leaving an outcome"),
    (101, errors.FunctionRaisedError, "raised an exception"),
    (102, errors.RuntimeFaultError, "could not do its work"),
    (contract.EXIT_DUPLICATE, errors.OutcomeMissingError, "another job has its task"),
    (contract.EXIT_CONFLICT, errors.OutcomeMissingError, "found an outcome of its attempt"),
    (126, errors.ContainerStartError, "did not find its program"),
    (127, errors.ContainerStartError, "did not find its program"),
    (130, errors.JobKilledError, "was killed (SIGINT)"),
    (132, errors.JobKilledError, "crashed in native code"),
    (134, errors.JobKilledError, "crashed in native code"),
    (137, errors.JobKilledError, "was killed (SIGKILL)"),
    (139, errors.JobKilledError, "crashed in native code"),
    (143, errors.JobTerminatedError, "was told to stop (SIGTERM)"),
    (255, errors.JobKilledError, "was killed (signal 127)"),
]


@pytest.mark.parametrize(("exit_code", "error", "cause"), BY_EXIT_CODE)
def test_an_exit_code_tells_where_no_text_does(exit_code, error, cause):
    found = diagnose(job(exit_code=exit_code))
    assert (found.error, found.is_passing) == (error, False)
    assert cause in found.cause


def test_a_job_that_succeeded_without_an_outcome_is_told_by_its_state():
    assert diagnose(job(status=JobStatus.SUCCEEDED)).error is errors.OutcomeMissingError


@pytest.mark.parametrize("exit_code", [0, 1, 101, 137, 139, None])
def test_out_of_memory_is_told_by_ecs_whatever_the_exit_code(exit_code):
    killed = job(EXITED, "OutOfMemoryError: Container killed due to memory usage", exit_code, memory_mib=512)
    assert diagnose(killed).error is errors.OutOfMemoryError
    assert "its limit was 512 MiB (memory=0.5)" in diagnose(killed).advice
    assert ran_out_of_memory(killed)
    assert not ran_out_of_memory(job(exit_code=137))


def test_a_host_that_docker_does_not_answer_on_leaves_the_question_to_the_outcome():
    unseen = job(EXITED, "CannotInspectContainerError: Could not transition to inspecting; timed out")
    assert diagnose(unseen).error is errors.JobKilledError
    assert not diagnose(unseen).is_passing  # the function may have run


@pytest.mark.parametrize("text", [HOST_LOST, "Host EC2 Terminated", "Your Spot Task was interrupted."])
@pytest.mark.parametrize("exit_code", [None, 137, 143])
def test_a_lost_host_is_known_by_its_text(text, exit_code):
    assert lost_host(job(text, exit_code=exit_code))
    assert not lost_host(job(exit_code=exit_code))


LOGS = [
    (1, "/usr/bin/python: No module named covalent_awsbatch_plugin", errors.RuntimeFaultError, "four lines"),
    (102, "covalent-awsbatch: The image has no obstore that", errors.RuntimeFaultError, "four lines"),
    (2, "python: can't open file '/python': [Errno 2]", errors.RuntimeFaultError, "`ENTRYPOINT []`"),
    (1, "exec /usr/local/bin/python: exec format error", errors.ImageArchitectureError, "cpu_architecture"),
]


@pytest.mark.parametrize(("exit_code", "line", "error", "advice"), LOGS)
def test_a_log_tells_of_the_image_where_the_exit_code_bears_it_out(exit_code, line, error, advice):
    found = diagnose(job(exit_code=exit_code), ["something", line])
    assert found.error is error
    assert advice in found.advice
    printed_by_the_user = diagnose(job(exit_code=101), [line])
    assert printed_by_the_user == diagnose(job(exit_code=101))


# --- who ended it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("exit_code", [None, 137, 143])
def test_a_job_that_somebody_ended_is_told_by_aws_and_his_own_text_stays(exit_code):
    ended = job("no more of these", exit_code=exit_code, is_ended_on_request=True)
    assert diagnose(ended).error is errors.JobTerminatedError
    assert "no more of these" in explanation.headline(ended, diagnose(ended))


def test_a_request_that_came_too_late_ended_nothing():
    late = job(EXITED, exit_code=139, is_ended_on_request=True)
    assert diagnose(late) == diagnose(replace(late, is_ended_on_request=False))
    unstarted = job(NOT_STARTED, f"{PULL}manifest unknown", is_ended_on_request=True)
    assert diagnose(unstarted).error is errors.ImageMissingError


def test_what_was_left_of_an_earlier_attempt_does_not_hide_who_ended_the_job():
    ended = job("enough", "OutOfMemoryError: Container killed", 137, is_ended_on_request=True)
    assert diagnose(ended).error is errors.JobTerminatedError
    assert not ran_out_of_memory(ended)


# --- what the container itself could say --------------------------------------------------------------------


def outcome(status: contract.OutcomeStatus, traceback: str = "") -> contract.Outcome:
    failure = contract.Failure("ValueError", "boom", traceback)
    known = contract.Outcome("d", 0, status, "job", 1, 0.0, 1.0, "3.11.7", "3.1.2")
    return replace(known, failure=failure)


BY_OUTCOME = [
    (outcome(contract.OutcomeStatus.EXCEPTION, "Traceback …"), errors.FunctionRaisedError),
    (outcome(contract.OutcomeStatus.EXCEPTION), errors.JobKilledError),
    (outcome(contract.OutcomeStatus.FAULT), errors.RuntimeFaultError),
    (outcome(contract.OutcomeStatus.SKIPPED), errors.DependencyFailedError),
    (outcome(contract.OutcomeStatus.TERMINATED), errors.JobTerminatedError),
]


@pytest.mark.parametrize(("told", "error"), BY_OUTCOME)
@pytest.mark.parametrize("known", [None, job(exit_code=101)])
def test_an_outcome_tells_what_happened(told, error, known):
    assert diagnose_outcome(told, known).error is error


def test_aws_knows_of_memory_and_of_who_ended_it_what_the_container_does_not():
    raised = outcome(contract.OutcomeStatus.EXCEPTION, "Traceback …")
    memory = job(EXITED, "OutOfMemoryError: Container killed due to memory usage", 101)
    assert diagnose_outcome(raised, memory).error is errors.OutOfMemoryError
    stopped = outcome(contract.OutcomeStatus.TERMINATED)
    for reason, error in (
        ("Job attempt duration exceeded timeout", errors.TimeLimitError),
        (HOST_LOST, errors.HostLostError),
        ("enough", errors.JobTerminatedError),
        (EXITED, errors.JobTerminatedError),  # SIGKILL came, too, before the process had ended
    ):
        assert diagnose_outcome(stopped, job(reason, exit_code=137)).error is error


def test_an_outcome_that_does_not_count_is_damaged_foreign_or_out_of_reach():
    assert diagnose_unreadable(contract.EnvelopeError("cut")).error is errors.OutcomeDamagedError
    assert diagnose_unreadable(errors.OutcomeDamagedError("cut")).error is errors.OutcomeDamagedError
    assert diagnose_unreadable(contract.ForeignEnvelopeError("seal")).error is errors.ForeignOutcomeError
    assert diagnose_unreadable(errors.BucketError("closed")).error is JobFailedError


# --- texts that nobody has met ------------------------------------------------------------------------------

TEXTS = st.text(st.characters(), max_size=300) | st.sampled_from(
    [text for text, *_ in (*BY_STATUS_REASON, *BY_CONTAINER_REASON)]
)
TIMES = st.none() | st.datetimes()
JOBS = st.builds(
    Job,
    id=st.just("0a1b2c3d-0000-4000-8000-000000000000"),
    name=st.just("covalent-d-0"),
    status=st.sampled_from(JobStatus),
    status_reason=TEXTS,
    container_reason=TEXTS,
    exit_code=st.none() | st.integers(0, 255),
    log_stream=TEXTS,
    attempts=st.lists(
        st.builds(Attempt, TEXTS, TEXTS, st.none() | st.integers(0, 255), TEXTS, TIMES, TIMES), max_size=3
    ),
    memory_mib=st.none() | st.integers(4, 10**6),
    is_ended_on_request=st.booleans(),
)


@given(JOBS, st.lists(TEXTS, max_size=3))
def test_whatever_aws_says_is_diagnosed_and_stands_in_the_error(given_job, lines):
    diagnosis = diagnose(given_job, lines)
    known = Ending(given_job, given_job.id, "us-east-1", "group", log_lines=lines)
    error = explanation.failure(known, diagnosis, explanation.headline(given_job, diagnosis))
    assert type(error) is diagnosis.error
    assert isinstance(error, JobFailedError)
    ended = [given_job, *(given_job.attempts if len(given_job.attempts) > 1 else [])]
    for text in (text for each in ended for text in (each.status_reason, each.container_reason)):
        assert harmless(text) in str(error)
    assert f"Next step: {diagnosis.advice}." in str(error)
    assert not any(chr(code) in str(error) for code in (*range(9), *range(11, 32), *range(127, 160)))
    str(error).encode()  # a lone surrogate would leave Covalent's node RUNNING


@given(st.text(string.ascii_lowercase + string.punctuation + " ", max_size=300))
def test_a_text_that_nobody_has_met_is_of_the_base_class(text):
    assert diagnose(job(f"Never seen: {text}")).error is JobFailedError
