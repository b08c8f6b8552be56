"""Scheduling policies: create, describe, list, update, delete. They are kept, not followed."""

from __future__ import annotations

from .. import rules
from ..errors import ApiError, refused
from ..jobs import Account, Json, SchedulingPolicy
from ..store import Store
from . import BATCH_PAGES


class PolicyOperations:
    """What AWS does with scheduling policies."""

    def __init__(self, account: Account, store: Store) -> None:
        self._account = account
        self._store = store

    def create_scheduling_policy(self, request: Json) -> Json:
        """Create a policy."""
        name = request["name"]
        rules.check_name(name, "SchedulingPolicy")
        rules.check_tags(request.get("tags", {}))
        if name in self._store.policies:
            raise ApiError("Object already exists")
        arn = self._account.arn("batch", f"scheduling-policy/{name}")
        fairshare, tags = request.get("fairsharePolicy", {}), request.get("tags", {})
        self._store.policies[name] = SchedulingPolicy(name, arn, fairshare, tags)
        return {"name": name, "arn": arn}

    def describe_scheduling_policies(self, request: Json) -> Json:
        """Describe policies by ARN; unknown ones are silently absent."""
        found = [self._store.policy(arn) for arn in request["arns"]]
        return {"schedulingPolicies": [_detail(each) for each in found if each is not None]}

    def list_scheduling_policies(self, request: Json) -> Json:
        """List the ARNs of all policies."""
        policies = list(self._store.policies.values())
        return BATCH_PAGES.page(request, policies, "schedulingPolicies", lambda each: {"arn": each.arn})

    def update_scheduling_policy(self, request: Json) -> Json:
        """Replace what a policy says."""
        self._existing(request["arn"]).fairshare = request.get("fairsharePolicy", {})
        return {}

    def delete_scheduling_policy(self, request: Json) -> Json:
        """Delete a policy that no queue has."""
        policy = self._existing(request["arn"])
        if any(queue.scheduling_policy_arn == policy.arn for queue in self._store.queues.values()):
            raise ApiError("Cannot delete, found existing JobQueue relationship")  # own wording
        del self._store.policies[policy.name]
        return {}

    def _existing(self, arn: str) -> SchedulingPolicy:
        policy = self._store.policy(arn)
        if policy is None:
            raise refused(f"SchedulingPolicy {arn} does not exist")  # own wording
        return policy


def _detail(policy: SchedulingPolicy) -> Json:
    return {
        "name": policy.name,
        "arn": policy.arn,
        "fairsharePolicy": policy.fairshare,
        "tags": policy.tags,
    }
