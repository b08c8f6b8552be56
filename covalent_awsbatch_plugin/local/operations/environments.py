"""Compute environments: create, describe, update, delete."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable

from .. import rules
from ..describe import environment_detail
from ..engine import Engine
from ..errors import ApiError, NotLocal, refused
from ..jobs import CPU_UNITS_PER_VCPU, Account, ComputeEnvironment, Demand, Json
from ..store import Store
from . import BATCH_PAGES

MEMORY_TAG = "local:memory-mib"
"""Tag with a compute environment's memory, which AWS derives from instance types."""


class EnvironmentOperations:
    """What AWS does with compute environments."""

    def __init__(self, engine: Engine, store: Store, machine: Demand) -> None:
        """Give environments no more than a machine has, which is shared by nobody in this reckoning."""
        self._engine = engine
        self._store = store
        self._machine = machine

    def create_compute_environment(self, request: Json) -> Json:
        """Create an environment, which becomes VALID a moment later."""
        _check(request)
        name = request["computeEnvironmentName"]
        if name in self._store.environments:
            raise ApiError("Object already exists")
        environment = new_environment(self._engine.account, request, self._machine)
        self._store.environments[name] = environment
        self._settle(environment)
        return _reference(environment)

    def describe_compute_environments(self, request: Json) -> Json:
        """Describe all environments, or those named."""
        named = request.get("computeEnvironments")
        if named is None:
            found = list(self._store.environments.values())
        else:
            found = [each for each in map(self._store.environment, named) if each is not None]
        return BATCH_PAGES.page(request, found, "computeEnvironments", environment_detail)

    def update_compute_environment(self, request: Json) -> Json:
        """Change an environment's state, size or service role."""
        environment = self._existing(request)
        environment.state = request.get("state", environment.state)
        environment.service_role = request.get("serviceRole", environment.service_role)
        environment.unmanaged_vcpus = request.get("unmanagedvCpus", environment.unmanaged_vcpus)
        environment.resources = environment.resources | request.get("computeResources", {})
        environment.capacity = _capacity(environment, self._machine)
        environment.status = "UPDATING"
        self._settle(environment)
        return _reference(environment)

    def delete_compute_environment(self, request: Json) -> Json:
        """Delete an environment that is DISABLED and belongs to no queue."""
        environment = self._existing(request)
        if environment.state != "DISABLED":
            raise ApiError("Cannot delete, compute environment state must be DISABLED")  # own wording
        if any(environment in queue.environments for queue in self._store.queues.values()):
            raise ApiError("Cannot delete, found existing JobQueue relationship")
        environment.status = "DELETING"
        self._later(lambda: self._store.environments.pop(environment.name, None))
        return {}

    def _existing(self, request: Json) -> ComputeEnvironment:
        environment = self._store.environment(request["computeEnvironment"])
        if environment is None:
            raise refused(f"{request['computeEnvironment']} does not exist")
        if environment.status in ("DELETING", "UPDATING", "CREATING"):
            raise ApiError("Cannot update, resource is being modified")
        return environment

    def _settle(self, environment: ComputeEnvironment) -> None:
        def become_valid() -> None:
            environment.status = "VALID"
            self._engine.placement.wake()

        self._later(become_valid)

    def _later(self, change: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(self._engine.timing.settle_delay_s, change)


def new_environment(account: Account, request: Json, machine: Demand) -> ComputeEnvironment:
    """Return the record of a compute environment in CREATING."""
    name, identifier = request["computeEnvironmentName"], str(uuid.uuid4())
    environment = ComputeEnvironment(
        name=name,
        arn=account.arn("batch", f"compute-environment/{name}"),
        ecs_cluster_arn=account.arn("ecs", f"cluster/{name}_Batch_{identifier}"),
        uuid=identifier,
        type=request["type"],
        resources=request.get("computeResources", {}),
        capacity=Demand(0, 0),
        service_role=request.get("serviceRole"),
        unmanaged_vcpus=request.get("unmanagedvCpus"),
        state=request.get("state", "ENABLED"),
        tags=request.get("tags", {}),
    )
    environment.capacity = _capacity(environment, machine)
    return environment


def _capacity(environment: ComputeEnvironment, machine: Demand) -> Demand:
    """Return what jobs get: an environment with the tag was made for this machine, and gets what it asks."""
    cpu_units = environment.resources.get("maxvCpus", environment.unmanaged_vcpus or 0) * CPU_UNITS_PER_VCPU
    if MEMORY_TAG in environment.tags:
        return Demand(cpu_units, int(environment.tags[MEMORY_TAG]))
    return Demand(min(cpu_units, machine.cpu_units), machine.memory_mib)


def machine_has(vcpus: int | None = None, memory_mib: int | None = None) -> Demand:
    """Return the vCPUs and the memory that jobs may use, by default all that this machine has."""
    if vcpus is None:
        vcpus = os.cpu_count() or 1
    if memory_mib is None:
        memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return Demand(vcpus * CPU_UNITS_PER_VCPU, memory_mib)


def _reference(environment: ComputeEnvironment) -> Json:
    return {"computeEnvironmentName": environment.name, "computeEnvironmentArn": environment.arn}


def _check(request: Json) -> None:
    rules.check_name(request["computeEnvironmentName"], "ComputeEnvironment")
    rules.check_tags(request.get("tags", {}))
    if "eksConfiguration" in request:
        raise NotLocal("compute environments on EKS")
    if not request.get("tags", {}).get(MEMORY_TAG, "1").isdecimal():
        raise ApiError(f"the tag {MEMORY_TAG} must be a whole number of MiB")
    resources = request.get("computeResources")
    if request["type"] == "UNMANAGED":
        return
    if resources is None:
        raise refused("computeResources must be provided for a MANAGED compute environment")  # own wording
    _check_resources(resources)


def _check_resources(resources: Json) -> None:
    if resources["type"] == "ECS_MANAGED_INSTANCES":
        raise NotLocal("compute environments of managed instances")
    if resources["type"].startswith("FARGATE"):
        for member in ("desiredvCpus", "minvCpus", "instanceTypes", "instanceRole", "tags"):
            if member in resources:
                raise refused(f"{member} is not applicable for Fargate.")
    elif "instanceRole" not in resources:
        raise refused("Instance role is required.")
