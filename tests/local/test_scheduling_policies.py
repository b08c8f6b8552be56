"""Scheduling policies: kept for queues, and shown; jobs are placed first in, first out all the same."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from .driving import Driver, sh, until

FAIR = {"shareDecaySeconds": 600, "computeReservation": 10}


def new_policy(local: Driver) -> str:
    made = local.batch.create_scheduling_policy(
        name=f"policy-{uuid4().hex[:8]}", fairsharePolicy=FAIR, tags={"a": "b"}
    )
    return str(made["arn"])


def described(local: Driver, arn: str) -> list[dict[str, Any]]:
    return list(local.batch.describe_scheduling_policies(arns=[arn])["schedulingPolicies"])


def test_a_policy_is_kept_as_it_was_given(local: Driver) -> None:
    arn = new_policy(local)
    (policy,) = described(local, arn)
    assert (policy["arn"], policy["fairsharePolicy"], policy["tags"]) == (arn, FAIR, {"a": "b"})
    assert local.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b"}
    local.batch.update_scheduling_policy(arn=arn, fairsharePolicy={"shareDecaySeconds": 1})
    assert described(local, arn)[0]["fairsharePolicy"] == {"shareDecaySeconds": 1}
    assert {"arn": arn} in local.batch.list_scheduling_policies()["schedulingPolicies"]
    local.batch.delete_scheduling_policy(arn=arn)
    assert described(local, arn) == []
    with pytest.raises(ClientError, match="does not exist"):
        local.batch.delete_scheduling_policy(arn=arn)


def test_a_queue_tells_its_policy_and_holds_it(local: Driver) -> None:
    arn = new_policy(local)
    queue = local.new_queue(schedulingPolicyArn=arn)
    assert local.queue_detail(queue)["schedulingPolicyArn"] == arn
    with pytest.raises(ClientError, match="found existing JobQueue relationship"):
        local.batch.delete_scheduling_policy(arn=arn)
    job = local.run(sh("exit 0"), jobQueue=queue, shareIdentifier="mine")
    assert (job["status"], job["shareIdentifier"]) == ("SUCCEEDED", "mine")
    local.batch.update_job_queue(jobQueue=queue, state="DISABLED")
    until(lambda: local.queue_detail(queue)["status"] == "VALID")
    local.batch.delete_job_queue(jobQueue=queue)
    until(lambda: not local.batch.describe_job_queues(jobQueues=[queue])["jobQueues"])
    local.batch.delete_scheduling_policy(arn=arn)


def test_a_policy_can_be_exchanged_and_not_added(local: Driver) -> None:
    first, second = new_policy(local), new_policy(local)
    fair, plain = local.new_queue(schedulingPolicyArn=first), local.new_queue()
    local.batch.update_job_queue(jobQueue=fair, schedulingPolicyArn=second)
    assert local.queue_detail(fair)["schedulingPolicyArn"] == second
    with pytest.raises(ClientError, match="cannot be added to a job queue that has none"):
        local.batch.update_job_queue(jobQueue=plain, schedulingPolicyArn=second, priority=7)
    assert local.queue_detail(plain)["priority"] == 1


def test_what_is_wrong_is_refused(local: Driver) -> None:
    arn = new_policy(local)
    with pytest.raises(ClientError, match="Object already exists"):
        local.batch.create_scheduling_policy(name=arn.rpartition("/")[2])
    with pytest.raises(ClientError, match="name should match valid pattern"):
        local.batch.create_scheduling_policy(name="no such name")
    with pytest.raises(ClientError, match="does not exist"):
        local.new_queue(schedulingPolicyArn=arn + "x")
