"""Turn the records into AWS's JSON."""

from __future__ import annotations

from typing import Any

from covalent_awsbatch_plugin.job import JobStatus

from .jobs import Attempt, ComputeEnvironment, Job, JobDefinition, JobQueue, Json

CONTAINER_LISTS = (
    "command",
    "volumes",
    "environment",
    "mountPoints",
    "ulimits",
    "networkInterfaces",
    "resourceRequirements",
    "secrets",
)
"""Members of ContainerDetail that AWS shows even when they are empty."""


def _present(**members: Any) -> Json:
    """Return the members that are there: AWS leaves out what is not, rather than sending null."""
    return {name: value for name, value in members.items() if value is not None}


def job_detail(job: Job) -> Json:
    """Return AWS's JobDetail."""
    spec = job.spec
    return _present(
        jobArn=job.arn,
        jobName=spec.name,
        jobId=job.id,
        jobQueue=spec.queue.arn,
        jobDefinition=spec.definition.arn,
        status=job.status.value,
        statusReason=job.status_reason,
        createdAt=job.created_at_ms,
        startedAt=job.started_at_ms,
        stoppedAt=job.stopped_at_ms,
        attempts=[attempt_detail(attempt) for attempt in job.attempts],
        retryStrategy=_retry_strategy(job),
        timeout=None if spec.timeout_s is None else {"attemptDurationSeconds": spec.timeout_s},
        dependsOn=list(spec.depends_on),
        parameters=spec.parameters,
        tags=job.tags,
        propagateTags=spec.propagate_tags or False,
        shareIdentifier=spec.share_identifier,
        schedulingPriority=spec.scheduling_priority,
        platformCapabilities=spec.definition.platform_capabilities,
        eksAttempts=[],
        container=container_detail(job),
        arrayProperties=array_properties(job),
        **_requests(job),
    )


def job_summary(job: Job) -> Json:
    """Return AWS's JobSummary."""
    return _present(
        jobArn=job.arn,
        jobId=job.id,
        jobName=job.spec.name,
        createdAt=job.created_at_ms,
        status=job.status.value,
        statusReason=job.status_reason,
        startedAt=job.started_at_ms,
        stoppedAt=job.stopped_at_ms,
        container=_summary_container(job),
        arrayProperties=array_properties(job),
        jobDefinition=job.spec.definition.arn,
        shareIdentifier=job.spec.share_identifier,
        **_requests(job),
    )


def _summary_container(job: Job) -> Json | None:
    if not job.attempts or not job.status.is_final:
        return None
    return _present(exitCode=job.attempts[-1].exit_code, reason=job.attempts[-1].reason)


def _requests(job: Job) -> Json:
    """Return what was accepted to end the job; AWS's listings hold these only where true."""
    return _present(isCancelled=job.is_cancelled or None, isTerminated=job.is_terminated or None)


def _retry_strategy(job: Job) -> Json:
    retry = job.spec.retry
    return {"attempts": retry.attempts, "evaluateOnExit": list(retry.evaluate_on_exit)}


def array_properties(job: Job) -> Json | None:
    """Return AWS's array properties of a parent or a child, None for other jobs."""
    if job.index is not None:
        return {"index": job.index}
    if job.summary is None:
        return None
    return _present(
        size=len(job.children),
        statusSummary={status.value: job.summary[status] for status in JobStatus},
        statusSummaryLastUpdatedAt=job.summary_updated_at_ms,
    )


def container_detail(job: Job) -> Json:
    """Return AWS's ContainerDetail: what was asked for, and what became of the latest attempt."""
    detail: Json = {name: [] for name in CONTAINER_LISTS} | job.spec.container
    attempt = job.current
    if attempt is None or job.status in (JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNABLE):
        return detail
    logs = job.status is not JobStatus.STARTING and attempt.started_at_ms is not None
    return detail | _present(
        taskArn=attempt.task_arn,
        containerInstanceArn=_container_instance(attempt),
        logStreamName=attempt.log_stream_name if logs else None,
        exitCode=attempt.exit_code,
        reason=attempt.reason,
    )


def attempt_detail(attempt: Attempt) -> Json:
    """Return AWS's AttemptDetail of an attempt that ended."""
    ran = attempt.started_at_ms is not None
    return _present(
        container=_present(
            taskArn=attempt.task_arn,
            containerInstanceArn=_container_instance(attempt),
            logStreamName=attempt.log_stream_name if ran else None,
            exitCode=attempt.exit_code,
            reason=attempt.reason,
            networkInterfaces=[],
        ),
        startedAt=attempt.started_at_ms,
        stoppedAt=attempt.stopped_at_ms,
        statusReason=attempt.status_reason,
    )


def _container_instance(attempt: Attempt) -> str | None:
    return None if attempt.environment.fargate else attempt.container_instance_arn


def definition_detail(definition: JobDefinition) -> Json:
    """Return AWS's JobDefinition."""
    return _present(
        jobDefinitionName=definition.name,
        jobDefinitionArn=definition.arn,
        revision=definition.revision,
        status=definition.status,
        type="container",
        schedulingPriority=definition.scheduling_priority,
        parameters=definition.parameters,
        retryStrategy=definition.retry_strategy,
        containerProperties=definition.container,
        timeout=definition.timeout,
        tags=definition.tags,
        propagateTags=definition.propagate_tags,
        platformCapabilities=definition.platform_capabilities,
        containerOrchestrationType="ECS",
    )


def queue_detail(queue: JobQueue) -> Json:
    """Return AWS's JobQueueDetail."""
    return _present(
        jobQueueName=queue.name,
        jobQueueArn=queue.arn,
        state=queue.state,
        status=queue.status,
        statusReason="JobQueue Healthy" if queue.status == "VALID" else None,
        priority=queue.priority,
        computeEnvironmentOrder=[
            {"order": order, "computeEnvironment": environment.arn}
            for order, environment in zip(queue.orders, queue.environments, strict=True)
        ],
        serviceEnvironmentOrder=[],
        schedulingPolicyArn=queue.scheduling_policy_arn,
        jobQueueType="ECS_FARGATE" if any(each.fargate for each in queue.environments) else "ECS",
        tags=queue.tags,
        jobStateTimeLimitActions=queue.time_limit_actions,
    )


def environment_detail(environment: ComputeEnvironment) -> Json:
    """Return AWS's ComputeEnvironmentDetail."""
    return _present(
        computeEnvironmentName=environment.name,
        computeEnvironmentArn=environment.arn,
        ecsClusterArn=environment.ecs_cluster_arn,
        unmanagedvCpus=environment.unmanaged_vcpus,
        tags=environment.tags,
        type=environment.type,
        state=environment.state,
        status=environment.status,
        statusReason="ComputeEnvironment Healthy" if environment.status == "VALID" else None,
        computeResources=environment.resources or None,
        serviceRole=environment.service_role,
        containerOrchestrationType="ECS",
        uuid=environment.uuid,
    )
