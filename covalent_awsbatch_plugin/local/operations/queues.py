"""Job queues: create, describe, update, delete, and the snapshot of a queue's front."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice

from covalent_awsbatch_plugin.job import JobStatus

from .. import rules
from ..describe import queue_detail
from ..engine import Engine
from ..errors import ApiError, NotLocal, refused
from ..jobs import CPU_UNITS_PER_VCPU, Account, ComputeEnvironment, JobQueue, Json, now_ms
from ..placement import LIMITABLE
from ..store import Store
from . import BATCH_PAGES

MAX_ENVIRONMENTS = 3
SNAPSHOT_JOBS = 100
MIN_STATE_LIMIT_S, MAX_STATE_LIMIT_S = 600, 86_400


class QueueOperations:
    """What AWS does with job queues."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

    def create_job_queue(self, request: Json) -> Json:
        """Create a queue, which becomes VALID a moment later."""
        self._check(request)
        name = request["jobQueueName"]
        if name in self._store.queues:
            raise ApiError("Object already exists")
        queue = new_queue(self._engine.account, request, *self._environments(request))
        self._store.queues[name] = queue
        self._settle(queue)
        return {"jobQueueName": name, "jobQueueArn": queue.arn}

    def describe_job_queues(self, request: Json) -> Json:
        """Describe all queues, or those named."""
        named = request.get("jobQueues")
        if named is None:
            found = list(self._store.queues.values())
        else:
            found = [each for each in map(self._store.queue, named) if each is not None]
        return BATCH_PAGES.page(request, found, "jobQueues", queue_detail)

    def update_job_queue(self, request: Json) -> Json:
        """Change a queue's state, priority, environments or time limits."""
        queue = self._existing(request)
        self._check(request)
        queue.scheduling_policy_arn = _policy_after(queue, request)
        if "computeEnvironmentOrder" in request:
            queue.environments, queue.orders = self._environments(request)
        queue.state = request.get("state", queue.state)
        queue.priority = request.get("priority", queue.priority)
        queue.time_limit_actions = request.get("jobStateTimeLimitActions", queue.time_limit_actions)
        queue.status = "UPDATING"
        self._settle(queue)
        return {"jobQueueName": queue.name, "jobQueueArn": queue.arn}

    def delete_job_queue(self, request: Json) -> Json:
        """Delete a queue that is DISABLED; its jobs end FAILED."""
        queue = self._existing(request)
        if queue.state != "DISABLED":
            raise ApiError("Cannot delete, job queue state must be DISABLED")  # own wording
        queue.status = "DELETING"
        self._engine.delete_queue(queue)
        self._later(lambda: self._store.queues.pop(queue.name, None))
        return {}

    def get_job_queue_snapshot(self, request: Json) -> Json:
        """Show the first RUNNABLE jobs of a queue and the capacity in use."""
        queue = self._store.queue(request["jobQueue"])
        if queue is None:
            raise refused(f"{request['jobQueue']} does not exist")
        front = [
            {"jobArn": job.arn, "earliestTimeAtPosition": job.runnable_since_ms}
            for job in islice(queue.runnable.values(), SNAPSHOT_JOBS)
        ]
        used = sum(each.used_cpu_units for each in queue.environments) / CPU_UNITS_PER_VCPU
        return {
            "frontOfQueue": {"jobs": front, "lastUpdatedAt": now_ms()},
            "queueUtilization": {
                "totalCapacityUsage": [{"capacityUnit": "VCPU", "quantity": used}],
                "lastUpdatedAt": now_ms(),
            },
        }

    def _check(self, request: Json) -> None:
        policy = request.get("schedulingPolicyArn")
        if policy is not None and self._store.policy(policy) is None:
            raise refused(f"SchedulingPolicy {policy} does not exist")  # own wording
        if "serviceEnvironmentOrder" in request:
            raise NotLocal("service environments")
        rules.check_name(request.get("jobQueueName", "any"), "JobQueue")
        rules.check_tags(request.get("tags", {}))
        if request.get("priority", 0) < 0:
            raise refused("Priority must not be negative")  # own wording
        for action in request.get("jobStateTimeLimitActions", []):
            _check_action(action)

    def _environments(self, request: Json) -> tuple[list[ComputeEnvironment], list[int]]:
        """Return the environments of a request in their order, and AWS's numbers for that order."""
        order = sorted(request.get("computeEnvironmentOrder", []), key=lambda each: int(each["order"]))
        if not 1 <= len(order) <= MAX_ENVIRONMENTS:
            text = f"computeEnvironmentOrder must hold 1 to {MAX_ENVIRONMENTS} environments"
            raise refused(text)  # own wording
        environments = [self._valid_environment(each["computeEnvironment"]) for each in order]
        if len({environment.fargate for environment in environments}) > 1:
            raise refused("EC2 and Fargate compute environments cannot be mixed")  # own wording
        return environments, [each["order"] for each in order]

    def _valid_environment(self, reference: str) -> ComputeEnvironment:
        environment = self._store.environment(reference)
        if environment is None:
            raise refused(f"{reference} does not exist")
        if environment.status != "VALID":
            raise refused(f"{environment.arn} must be valid before attaching to a job queue")
        return environment

    def _existing(self, request: Json) -> JobQueue:
        queue = self._store.queue(request["jobQueue"])
        if queue is None:
            raise refused(f"{request['jobQueue']} does not exist")
        if queue.status != "VALID":
            raise ApiError("Cannot update, resource is being modified")
        return queue

    def _settle(self, queue: JobQueue) -> None:
        def become_valid() -> None:
            queue.status = "VALID"
            self._engine.placement.wake()

        self._later(become_valid)

    def _later(self, change: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(self._engine.timing.settle_delay_s, change)


def new_queue(
    account: Account, request: Json, environments: list[ComputeEnvironment], orders: list[int]
) -> JobQueue:
    """Return the record of a queue in CREATING."""
    name = request["jobQueueName"]
    return JobQueue(
        name=name,
        arn=account.arn("batch", f"job-queue/{name}"),
        priority=request["priority"],
        environments=environments,
        orders=orders,
        state=request.get("state", "ENABLED"),
        tags=request.get("tags", {}),
        time_limit_actions=request.get("jobStateTimeLimitActions", []),
        scheduling_policy_arn=request.get("schedulingPolicyArn"),
    )


def _policy_after(queue: JobQueue, request: Json) -> str | None:
    """Return a queue's policy after an update, which may give another one, but none to a queue without."""
    wanted: str | None = request.get("schedulingPolicyArn", queue.scheduling_policy_arn)
    if wanted is not None and queue.scheduling_policy_arn is None:
        raise refused("A fair-share policy cannot be added to a job queue that has none")  # own wording
    return wanted


def _check_action(action: Json) -> None:
    """Refuse a time limit that AWS does not take, and one that the local Batch could not act on."""
    if not MIN_STATE_LIMIT_S <= action["maxTimeSeconds"] <= MAX_STATE_LIMIT_S:
        # Own wording.
        raise refused(f"maxTimeSeconds must be between {MIN_STATE_LIMIT_S} and {MAX_STATE_LIMIT_S}")
    if action["reason"] not in LIMITABLE or action["state"] != JobStatus.RUNNABLE.value:
        raise NotLocal(f"time limits for {action['reason']} in {action['state']}")
