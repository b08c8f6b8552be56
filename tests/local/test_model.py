"""The local Batch against botocore's own model of it.

`driving.client` holds the response of every call of every test against botocore's validator; here
each operation is called once, so that none escapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.session
import botocore.validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covalent_awsbatch_plugin.local import model
from covalent_awsbatch_plugin.local.api import BatchApi

from .driving import Driver, call, sh, until

MODEL = botocore.session.get_session().get_service_model("batch")

OFFERED = {
    "CancelJob",
    "CancelJobs",
    "CreateComputeEnvironment",
    "CreateJobQueue",
    "CreateSchedulingPolicy",
    "DeleteComputeEnvironment",
    "DeleteJobQueue",
    "DeleteSchedulingPolicy",
    "DeregisterJobDefinition",
    "DescribeComputeEnvironments",
    "DescribeJobDefinitions",
    "DescribeJobQueues",
    "DescribeJobs",
    "DescribeSchedulingPolicies",
    "GetJobQueueSnapshot",
    "ListJobs",
    "ListSchedulingPolicies",
    "ListTagsForResource",
    "RegisterJobDefinition",
    "SubmitJob",
    "TagResource",
    "TerminateJob",
    "TerminateJobs",
    "UntagResource",
    "UpdateComputeEnvironment",
    "UpdateJobQueue",
    "UpdateSchedulingPolicy",
} & set(MODEL.operation_names)


def test_every_offered_operation_answers_as_the_model_says(local: Driver) -> None:
    called: list[str] = []
    events = local.batch.meta.events
    events.register("after-call.batch", lambda model, **_: called.append(model.name), unique_id="called")
    try:
        call_everything(local)
    finally:
        events.unregister("after-call.batch", unique_id="called")
    assert set(called) == OFFERED


def call_everything(local: Driver) -> None:
    batch, name = local.batch, local.new_queue(tags={"a": "b"})
    failing = local.define(sh("exit 1"), parameters={"p": "v"}, timeout={"attemptDurationSeconds": 60})
    array = local.submit(jobDefinition=failing, jobQueue=name, arrayProperties={"size": 2})
    local.wait(array)
    dependent = local.submit(jobDefinition=failing, dependsOn=[{"jobId": array}], tags={"a": "b"})
    job = local.wait(dependent)
    batch.describe_jobs(jobs=[array, f"{array}:1", dependent])
    batch.list_jobs(arrayJobId=array, jobStatus="FAILED")
    batch.list_jobs(jobQueue=name, jobStatus="FAILED")
    batch.get_job_queue_snapshot(jobQueue=name)
    for verb in (batch.cancel_job, batch.terminate_job):
        verb(jobId=dependent, reason="over")
    for verb in (batch.cancel_jobs, batch.terminate_jobs):
        verb(jobs=[dependent], reason="over")
    batch.tag_resource(resourceArn=job["jobArn"], tags={"c": "d"})
    batch.list_tags_for_resource(resourceArn=job["jobArn"])
    batch.untag_resource(resourceArn=job["jobArn"], tagKeys=["c"])
    batch.describe_job_definitions(jobDefinitions=[failing])
    batch.deregister_job_definition(jobDefinition=failing)
    batch.update_job_queue(jobQueue=name, state="DISABLED")
    batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    until(lambda: local.queue_detail(name)["status"] == "VALID")
    batch.delete_job_queue(jobQueue=name)
    until(lambda: batch.describe_job_queues(jobQueues=[name])["jobQueues"] == [])
    batch.delete_compute_environment(computeEnvironment=name)
    policy = batch.create_scheduling_policy(name=name, fairsharePolicy={"shareDecaySeconds": 60})["arn"]
    batch.update_scheduling_policy(arn=policy, fairsharePolicy={})
    batch.describe_scheduling_policies(arns=[policy])
    batch.list_scheduling_policies()
    batch.delete_scheduling_policy(arn=policy)


@pytest.mark.parametrize("operation", sorted(set(MODEL.operation_names) - OFFERED))
def test_an_operation_that_is_not_here_answers_501_with_its_name(local: Driver, operation: str) -> None:
    path = MODEL.operation_model(operation).http["requestUri"]
    status, answer = call(f"{local.aws.endpoint_url}{path}", "POST", {})
    assert status == 501
    assert operation in answer["message"]


@pytest.mark.parametrize(
    "request_",
    [
        {"nodeOverrides": {}},
        {"ecsPropertiesOverride": {}},
        {"eksPropertiesOverride": {}},
        {"consumableResourcePropertiesOverride": {}},
    ],
)
def test_kinds_of_jobs_that_are_not_here_answer_501(local: Driver, request_: dict[str, Any]) -> None:
    body = {"jobName": "x", "jobQueue": local.queue, "jobDefinition": local.define(["true"]), **request_}
    status, answer = call(f"{local.aws.endpoint_url}/v1/submitjob", "POST", body)
    assert (status, next(iter(request_)) in answer["message"]) == (501, True)


def test_a_response_that_does_not_fit_the_model_answers_500() -> None:
    class Wrong:
        def describe_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
            return {"jobs": [], "surplus": 1}

        def submit_job(self, request: dict[str, Any]) -> dict[str, Any]:
            return {"jobName": request["jobName"], "jobId": 7}

    api = BatchApi([Wrong()])
    answer = api.answer("DescribeJobs", {}, [], b'{"jobs": []}')
    assert (answer.status, "response.surplus is unknown" in answer.body["message"]) == (500, True)
    answer = api.answer("SubmitJob", {}, [], b'{"jobName": "n", "jobQueue": "q", "jobDefinition": "d"}')
    assert (answer.status, "response.jobId must be of type string" in answer.body["message"]) == (500, True)


def test_a_defect_answers_500_and_not_silence() -> None:
    class Broken:
        def describe_jobs(self, request: dict[str, Any]) -> dict[str, Any]:
            raise ZeroDivisionError("by accident")

    answer = BatchApi([Broken()]).answer("DescribeJobs", {}, [], b'{"jobs": []}')
    assert (answer.status, answer.error_code) == (500, "ServerException")
    assert "by accident" in answer.body["message"]


def plausible(shape: Any, depth: int = 4) -> st.SearchStrategy[Any]:
    """Return values that fit a shape, or nearly: a wrong scalar now and then."""
    kinds: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
        "structure": lambda: st.fixed_dictionaries(
            {},
            optional={name: plausible(each, depth - 1) for name, each in shape.members.items()}
            if depth
            else {},
        ),
        "list": lambda: st.lists(plausible(shape.member, depth - 1), max_size=2),
        "map": lambda: st.dictionaries(
            st.text(min_size=1, max_size=3), plausible(shape.value, depth - 1), max_size=2
        ),
        "boolean": st.booleans,
        "string": lambda: st.sampled_from(shape.enum) if shape.enum else st.text(max_size=3),
    }
    value = kinds.get(shape.type_name, lambda: st.integers(0, 9))()
    return st.one_of(value, value, value, st.sampled_from(["text", 1.5, None, [], {}]))


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(["SubmitJob", "RegisterJobDefinition", "CreateJobQueue", "ListJobs"]))
def test_our_check_of_requests_refuses_all_that_botocores_does(data: st.DataObject, operation: str) -> None:
    shape = MODEL.operation_model(operation).input_shape
    request = data.draw(plausible(shape).filter(lambda value: isinstance(value, dict)))
    report = botocore.validate.ParamValidator().validate(request, shape)
    if report.has_errors():
        assert model.request_problems(operation, request) != []


@pytest.mark.parametrize("operation", sorted(MODEL.operation_names))
def test_every_operation_is_found_by_its_method_and_path(operation: str) -> None:
    http = MODEL.operation_model(operation).http
    path = http["requestUri"].replace("{resourceArn}", "arn%3Aaws%3Abatch%3Ar%3Aa%3Ajob%2Fid")
    found = model.find_operation(http["method"], path)
    assert found is not None
    assert found[0] == operation
    if "{" in http["requestUri"]:
        assert found[1] == {"resourceArn": "arn:aws:batch:r:a:job/id"}


def test_errors_have_awss_shape(local: Driver) -> None:
    url = f"{local.aws.endpoint_url}/v1/describejobs"
    status, answer = call(url, "POST", {"jobs": ["x"] * 101})
    assert (status, set(answer)) == (400, {"message"})
