"""Job definitions: register, describe, deregister."""

from __future__ import annotations

import json

from .. import rules
from ..describe import definition_detail
from ..errors import NotLocal, refused
from ..jobs import Account, JobDefinition, Json
from ..store import Store
from . import BATCH_PAGES

ELSEWHERE = ("ecsProperties", "eksProperties", "nodeProperties", "consumableResourceProperties")
"""Members for kinds of jobs that the local Batch does not run."""

NOT_ON_FARGATE = ("privileged", "ulimits", "instanceType")
NOT_ON_EC2 = (
    "networkConfiguration",
    "fargatePlatformConfiguration",
    "ephemeralStorage",
    "runtimePlatform",
)
LINUX_NOT_ON_FARGATE = ("devices", "maxSwap", "swappiness", "sharedMemorySize", "tmpfs")

FARGATE_LOG_DRIVERS = ("awslogs", "splunk")
MIN_EPHEMERAL_GIB, MAX_EPHEMERAL_GIB = 21, 200


class DefinitionOperations:
    """What AWS does with job definitions."""

    def __init__(self, account: Account, store: Store) -> None:
        self._account = account
        self._store = store

    def register_job_definition(self, request: Json) -> Json:
        """Register a revision; an identical request makes a new one, as on AWS."""
        _check(request)
        revisions = self._store.definitions.setdefault(request["jobDefinitionName"], [])
        definition = self._new(request, len(revisions) + 1)
        revisions.append(definition)
        return {
            "jobDefinitionName": definition.name,
            "jobDefinitionArn": definition.arn,
            "revision": definition.revision,
        }

    def _new(self, request: Json, revision: int) -> JobDefinition:
        name = request["jobDefinitionName"]
        return JobDefinition(
            name=name,
            revision=revision,
            arn=self._account.arn("batch", f"job-definition/{name}:{revision}"),
            container=request["containerProperties"],
            parameters=request.get("parameters", {}),
            retry_strategy=request.get("retryStrategy"),
            timeout=request.get("timeout"),
            platform_capabilities=request.get("platformCapabilities", ["EC2"]),
            propagate_tags=request.get("propagateTags"),
            scheduling_priority=request.get("schedulingPriority"),
            tags=request.get("tags", {}),
        )

    def describe_job_definitions(self, request: Json) -> Json:
        """Describe revisions by name, by status or one by one."""
        return BATCH_PAGES.page(request, self._selected(request), "jobDefinitions", definition_detail)

    def _selected(self, request: Json) -> list[JobDefinition]:
        if "jobDefinitions" in request:
            if len(request["jobDefinitions"]) > 100:
                raise refused("Maximum number of job definitions supported is  100 .")  # own wording
            named = [self._store.revision(reference) for reference in request["jobDefinitions"]]
            return [definition for definition in named if definition is not None]
        if "jobDefinitionName" in request:
            candidates = self._store.definitions.get(request["jobDefinitionName"], [])
        else:
            candidates = [each for revisions in self._store.definitions.values() for each in revisions]
        status = request.get("status")
        return [each for each in reversed(candidates) if status in (None, each.status)]

    def deregister_job_definition(self, request: Json) -> Json:
        """Make a revision INACTIVE; its jobs go on."""
        definition = self._store.revision(request["jobDefinition"])
        if definition is None:
            raise refused(f"JobDefinition {request['jobDefinition']} not found.")
        definition.active = False
        return {}


def _check(request: Json) -> None:
    for member in ELSEWHERE:
        if member in request:
            raise NotLocal(member)
    if request["type"] != "container":
        raise NotLocal(f"job definitions of type {request['type']}")
    rules.check_name(request["jobDefinitionName"], "JobDefinition")
    rules.check_size(len(json.dumps(request)), rules.DEFINITION_KIB, "JobDefinition")
    rules.check_retry_strategy(request.get("retryStrategy"))
    rules.check_timeout(request.get("timeout"))
    rules.check_tags(request.get("tags", {}))
    if "containerProperties" not in request:
        raise refused("Container properties are required.")  # own wording
    _check_container(request["containerProperties"], request)


def _check_container(container: Json, request: Json) -> None:
    if not container.get("image"):
        raise refused("Image is required.")  # own wording
    fargate = "FARGATE" in request.get("platformCapabilities", [])
    rules.check_environment(container.get("environment", []))
    for member in NOT_ON_FARGATE if fargate else NOT_ON_EC2:
        if container.get(member):
            raise refused(f"{member} not applicable for {'Fargate' if fargate else 'EC2'}.")
    if fargate:
        _check_fargate(container)
    _check_volumes(container)
    if container.get("secrets") and "executionRoleArn" not in container:
        # ECS's text.
        raise refused(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
        )
    rules.demand_of(container, fargate)


def _check_fargate(container: Json) -> None:
    for member in ("vcpus", "memory"):
        if member in container:
            raise refused(f"{member} is not applicable for Fargate. Use resource requirements instead.")
    if "executionRoleArn" not in container:
        raise refused("Execution role is required for Fargate.")  # own wording
    if any(each["type"] == "GPU" for each in container.get("resourceRequirements", [])):
        raise refused("GPU is not applicable for Fargate.")  # own wording
    _check_fargate_host(container)
    size_gib = container.get("ephemeralStorage", {}).get("sizeInGiB", MIN_EPHEMERAL_GIB)
    if not MIN_EPHEMERAL_GIB <= size_gib <= MAX_EPHEMERAL_GIB:
        # Own wording.
        raise refused(f"ephemeralStorage must be between {MIN_EPHEMERAL_GIB} and {MAX_EPHEMERAL_GIB} GiB.")


def _check_fargate_host(container: Json) -> None:
    """Refuse what a container can only have of a host (own wording)."""
    for member in LINUX_NOT_ON_FARGATE:
        if container.get("linuxParameters", {}).get(member):
            raise refused(f"{member} not applicable for Fargate.")
    if any("host" in volume for volume in container.get("volumes", [])):
        raise refused("host not applicable for Fargate.")
    driver = container.get("logConfiguration", {}).get("logDriver", "awslogs")
    if driver not in FARGATE_LOG_DRIVERS:
        raise refused(f"{driver} not applicable for Fargate.")


def _check_volumes(container: Json) -> None:
    """Refuse what does not go together in volumes, as AWS documents it (own wording)."""
    for volume in container.get("volumes", []):
        if efs := volume.get("efsVolumeConfiguration"):
            _check_efs(efs, container)


def _check_efs(efs: Json, container: Json) -> None:
    authorization = efs.get("authorizationConfig", {})
    needs_tls = "accessPointId" in authorization or authorization.get("iam") == "ENABLED"
    if needs_tls and efs.get("transitEncryption") != "ENABLED":
        raise refused("transitEncryption must be ENABLED for an access point or IAM authorization.")
    if "accessPointId" in authorization and efs.get("rootDirectory", "/") != "/":
        raise refused("rootDirectory must be omitted or / with an access point.")
    if authorization.get("iam") == "ENABLED" and "jobRoleArn" not in container:
        raise refused("IAM authorization of EFS requires a job role.")
