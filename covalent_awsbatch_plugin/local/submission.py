"""Turn a SubmitJob request into what the engine runs, refusing what AWS refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy

from . import rules
from .dependencies import N_TO_N, SEQUENTIAL
from .errors import NotLocal, refused
from .jobs import Job, JobDefinition, JobQueue, JobSpec, Json, RetryStrategy

MAX_OVERRIDE_CHARACTERS = 8192
OVERRIDES_TOO_LONG = f"Container Overrides length must be at most {MAX_OVERRIDE_CHARACTERS}"

ELSEWHERE = (
    "nodeOverrides",
    "eksPropertiesOverride",
    "ecsPropertiesOverride",
    "consumableResourcePropertiesOverride",
)
"""Members for kinds of jobs that the local Batch does not run."""


def build_spec(request: Json, definition: JobDefinition, queue: JobQueue, jobs: Mapping[str, Job]) -> JobSpec:
    """Return the job that a request describes; raises ApiError where AWS refuses it."""
    _check(request, jobs)
    _check_queue(request, definition, queue)
    parameters = definition.parameters | request.get("parameters", {})
    overrides = request.get("containerOverrides", {})
    container = merge_overrides(definition, overrides)
    container["command"] = rules.fill_placeholders(container.get("command", []), parameters)
    strategy = request.get("retryStrategy", definition.retry_strategy) or {}
    timeout = request.get("timeout", definition.timeout) or {}
    return JobSpec(
        name=request["jobName"],
        queue=queue,
        definition=definition,
        container=container,
        demand=rules.demand_of(container, is_fargate(definition)),
        retry=RetryStrategy(strategy.get("attempts", 1), tuple(strategy.get("evaluateOnExit", ()))),
        timeout_s=timeout.get("attemptDurationSeconds"),
        parameters=parameters,
        depends_on=tuple(request.get("dependsOn", ())),
        tags=request.get("tags", {}),
        propagate_tags=request.get("propagateTags", definition.propagate_tags),
        share_identifier=request.get("shareIdentifier"),
        scheduling_priority=request.get("schedulingPriorityOverride", definition.scheduling_priority),
        start_error=_start_error(request, definition),
    )


def is_fargate(definition: JobDefinition) -> bool:
    """Tell whether a definition is for Fargate rather than EC2."""
    return "FARGATE" in definition.platform_capabilities


def _check(request: Json, jobs: Mapping[str, Job]) -> None:
    for member in ELSEWHERE:
        if member in request:
            raise NotLocal(member)
    rules.check_name(request["jobName"], "Job")
    rules.check_retry_strategy(request.get("retryStrategy"))
    rules.check_timeout(request.get("timeout"))
    rules.check_tags(request.get("tags", {}))
    array_size = request.get("arrayProperties", {}).get("size")
    if array_size is not None:
        rules.check_array_size(array_size)
    _check_dependencies(request.get("dependsOn", []), array_size, jobs)


def _check_dependencies(depends_on: list[Json], array_size: int | None, jobs: Mapping[str, Job]) -> None:
    if len(depends_on) > rules.MAX_DEPENDENCIES:
        raise refused(f"Job cannot have more than {rules.MAX_DEPENDENCIES} dependencies")
    for dependency in depends_on:
        _check_dependency(dependency, array_size, jobs)


def _check_dependency(dependency: Json, array_size: int | None, jobs: Mapping[str, Job]) -> None:
    """Refuse a dependency that cannot be met (own wording)."""
    kind, job_id = dependency.get("type"), dependency.get("jobId")
    if kind is not None and array_size is None:
        raise refused(f"Dependency type {kind} is only valid for array jobs")
    if job_id is None:
        if kind != SEQUENTIAL:
            raise refused("Dependency must have a jobId")
        return
    if job_id not in jobs:
        raise refused(f"Dependent job {job_id} does not exist")
    if kind == N_TO_N and len(jobs[job_id].children) != array_size:
        raise refused("N_TO_N dependency requires array jobs of the same size")


def _check_queue(request: Json, definition: JobDefinition, queue: JobQueue) -> None:
    if queue.state != "ENABLED" or queue.status not in ("VALID", "UPDATING"):
        raise refused(f"JobQueue {queue.arn} is not in ENABLED state and VALID status")  # own wording
    _check_share(request, queue)
    fargate = is_fargate(definition)
    if any(environment.fargate is not fargate for environment in queue.environments):
        platform = "FARGATE" if fargate else "EC2"
        raise refused(
            f"Job Queue is attached to Compute Environment that can not run Jobs with capability {platform}."
        )


def _check_share(request: Json, queue: JobQueue) -> None:
    is_shared = "shareIdentifier" in request
    if queue.scheduling_policy_arn is None:
        if is_shared or "schedulingPriorityOverride" in request:
            raise refused(
                # The missing blank is AWS's.
                "Job with shareIdentifier or schedulingPriority can onlybe submitted to job queue with "
                "fair share scheduling policy."
            )
        return
    if not is_shared:  # own wording, as all that follows
        raise refused("Job without shareIdentifier cannot be submitted to job queue with fair share policy.")
    rules.check_share_identifier(request["shareIdentifier"])
    rules.check_scheduling_priority(request.get("schedulingPriorityOverride", 0))


def merge_overrides(definition: JobDefinition, overrides: Json) -> Json:
    """Return the definition's container as overridden by a submission.

    The old members `vcpus` and `memory` count only where the definition itself uses them.
    """
    _check_overrides(definition, overrides)
    container = deepcopy(definition.container)
    if "command" in overrides:
        container["command"] = list(overrides["command"])
    container["environment"] = _merged(container, overrides, "environment", "name")
    container["resourceRequirements"] = _merged(container, overrides, "resourceRequirements", "type")
    for member in ("vcpus", "memory"):
        if member in overrides and member in container:
            container[member] = overrides[member]
    return container


def _check_overrides(definition: JobDefinition, overrides: Json) -> None:
    rules.check_command(overrides.get("command", []))
    rules.check_environment(overrides.get("environment", []))
    for member in ("vcpus", "memory"):
        if member in overrides and is_fargate(definition):
            raise refused(f"{member} is not applicable for Fargate. Use resource requirements instead.")


def _merged(container: Json, overrides: Json, member: str, key: str) -> list[Json]:
    merged = {each.get(key): each for each in container.get(member, [])}
    merged |= {each.get(key): each for each in overrides.get(member, [])}
    return list(merged.values())


def _start_error(request: Json, definition: JobDefinition) -> str | None:
    """Return why AWS accepts the job but fails it before its first attempt."""
    overrides = request.get("containerOverrides", {})
    if len(json.dumps({"containerOverrides": [overrides]}, separators=(",", ":"))) > MAX_OVERRIDE_CHARACTERS:
        return OVERRIDES_TOO_LONG
    tags = definition.tags | request.get("tags", {})
    if request.get("propagateTags", definition.propagate_tags) and len(tags) > rules.MAX_TAGS:
        return f"Job and job definition tags must not be more than {rules.MAX_TAGS}"  # own wording
    return None
