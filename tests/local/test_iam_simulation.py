"""What SimulatePrincipalPolicy says follows from the policies that IAM holds."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.simulation import is_like

from .driving import client

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
OBJECTS = "arn:aws:s3:::mine/covalent-awsbatch/*"


@pytest.fixture(scope="module")
def iam(aws: LocalAWS) -> Any:
    return client(aws, "iam")


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def role(iam: Any, *statements: dict[str, Any]) -> str:
    """Create a role with an inline policy and return its ARN."""
    name = f"role-{uuid4().hex[:8]}"
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    if statements:
        iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=policy(*statements))
    return str(arn)


def decide(iam: Any, arn: str, action: str, resource: str = "*", **context: str) -> str:
    entries = [
        {"ContextKeyName": key.replace("_", ":"), "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in context.items()
    ]
    request = {"PolicySourceArn": arn, "ActionNames": [action], "ResourceArns": [resource]}
    (result,) = iam.simulate_principal_policy(**request, ContextEntries=entries)["EvaluationResults"]
    assert (result["EvalActionName"], result["EvalResourceName"]) == (action, resource)
    return str(result["EvalDecision"])


@pytest.mark.parametrize(
    ("statements", "action", "resource", "decision"),
    [
        ([], "s3:GetObject", "*", "implicitDeny"),
        ([allow("s3:GetObject", OBJECTS)], "s3:GetObject", OBJECTS.replace("*", "a/b"), "allowed"),
        ([allow("s3:GetObject", OBJECTS)], "s3:GetObject", "arn:aws:s3:::mine/else", "implicitDeny"),
        ([allow("s3:GetObject", OBJECTS)], "s3:GetObject", "*", "implicitDeny"),
        ([allow(["s3:Get*", "s3:Put?bject"])], "s3:PutObject", "*", "allowed"),
        ([allow("S3:getobject")], "s3:GetObject", "*", "allowed"),
        ([allow("*"), allow("s3:*") | {"Effect": "Deny"}], "s3:GetObject", "*", "explicitDeny"),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], "s3:GetObject", "*", "allowed"),
        ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], "iam:GetRole", "*", "implicitDeny"),
        (
            [{"Effect": "Deny", "Action": "*", "NotResource": OBJECTS}],
            "s3:GetObject",
            "arn:aws:s3:::mine/else",
            "explicitDeny",
        ),
    ],
)
def test_statements_decide(
    iam: Any, statements: list[dict[str, Any]], action: str, resource: str, decision: str
) -> None:
    assert decide(iam, role(iam, *statements), action, resource) == decision


@pytest.mark.parametrize(
    ("operator", "wanted", "given_", "decision"),
    [
        ("StringEquals", "ecs-tasks.amazonaws.com", "ecs-tasks.amazonaws.com", "allowed"),
        ("StringEquals", ["x", "ecs-tasks.amazonaws.com"], "ecs-tasks.amazonaws.com", "allowed"),
        ("StringEquals", "ecs-tasks.amazonaws.com", "ec2.amazonaws.com", "implicitDeny"),
        ("StringNotEquals", "ec2.amazonaws.com", "ec2.amazonaws.com", "implicitDeny"),
        ("StringNotEquals", "ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "allowed"),
        ("StringLike", "ecs-*", "ecs-tasks.amazonaws.com", "allowed"),
        ("StringEqualsIgnoreCase", "ECS", "ecs", "allowed"),
        ("Bool", True, "true", "allowed"),
    ],
)
def test_conditions_are_held_against_the_context(
    iam: Any, operator: str, wanted: Any, given_: str, decision: str
) -> None:
    condition = {operator: {"iam:PassedToService": wanted}}
    arn = role(iam, allow("iam:PassRole", Condition=condition))
    assert decide(iam, arn, "iam:PassRole", iam_passedtoservice=given_) == decision


def test_what_a_condition_needs_and_nobody_gave_is_named(iam: Any) -> None:
    arn = role(iam, allow("iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "x"}}))
    answer = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["iam:PassRole"])
    (result,) = answer["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["MissingContextValues"] == ["iam:PassedToService"]


def test_a_condition_that_is_not_here_is_no_decision(iam: Any) -> None:
    arn = role(iam, allow("s3:GetObject", Condition={"DateLessThan": {"aws:CurrentTime": "2030-01-01"}}))
    with pytest.raises(ClientError, match="does not have the condition operator DateLessThan"):
        decide(iam, arn, "s3:GetObject")


def test_managed_policies_count_in_their_default_version(iam: Any) -> None:
    arn = role(iam)
    name = arn.rpartition("/")[2]
    managed = iam.create_policy(PolicyName=name, PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=managed)
    assert decide(iam, arn, "s3:GetObject") == "allowed"
    document = policy(allow("logs:*"))
    iam.create_policy_version(PolicyArn=managed, PolicyDocument=document, SetAsDefault=True)
    assert decide(iam, arn, "s3:GetObject") == "implicitDeny"
    assert decide(iam, arn, "logs:GetLogEvents") == "allowed"


def test_a_user_has_the_policies_of_its_groups(iam: Any) -> None:
    name = f"user-{uuid4().hex[:8]}"
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    iam.create_group(GroupName=name)
    iam.add_user_to_group(GroupName=name, UserName=name)
    iam.put_group_policy(GroupName=name, PolicyName="p", PolicyDocument=policy(allow("batch:SubmitJob")))
    iam.put_user_policy(UserName=name, PolicyName="q", PolicyDocument=policy(allow("logs:*")))
    assert decide(iam, arn, "batch:SubmitJob") == "allowed"
    assert decide(iam, arn, "logs:GetLogEvents") == "allowed"
    assert decide(iam, arn, "batch:ListJobs") == "implicitDeny"


def test_each_action_is_decided_for_each_resource(iam: Any) -> None:
    arn = role(iam, allow("s3:GetObject", OBJECTS))
    resources = [OBJECTS.replace("*", "x"), "arn:aws:s3:::other/x"]
    answer = iam.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=["s3:GetObject", "s3:PutObject"], ResourceArns=resources
    )
    told = [(each["EvalActionName"], each["EvalDecision"]) for each in answer["EvaluationResults"]]
    assert told == [
        ("s3:GetObject", "allowed"),
        ("s3:GetObject", "implicitDeny"),
        ("s3:PutObject", "implicitDeny"),
        ("s3:PutObject", "implicitDeny"),
    ]


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("arn:aws:iam::123456789012:role/nobody", "NoSuchEntity"),
        ("arn:aws:iam::123456789012:user/nobody", "NoSuchEntity"),
        ("arn:aws:sts::123456789012:assumed-role/job/session", "InvalidInput"),
        ("arn:aws:iam::123456789012:root", "InvalidInput"),
    ],
)
def test_only_who_is_there_can_be_asked_for(iam: Any, arn: str, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        decide(iam, arn, "s3:GetObject")
    assert caught.value.response["Error"]["Code"] == code


@given(st.text("a*?[]!/:", max_size=8), st.text("ab/:[]!", max_size=8))
def test_patterns_know_stars_and_question_marks_only(pattern: str, value: str) -> None:
    assert is_like(value, pattern) == fnmatchcase(value, pattern.replace("[", "[[]"))
