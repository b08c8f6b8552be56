"""Rights: no action less than what the code calls, and none more; documents that IAM takes; their table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import boto3
import pytest
from cfnlint.helpers import load_resource

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.infra.rights import Right, rights
from covalent_awsbatch_plugin.local.aws import LocalAWS

from . import documents
from .operations import Operation, operations, sources, store_functions
from .template import TEMPLATE

RIGHTS = rights(TEMPLATE)

ACTIONS_BY_OTHER_NAMES = {
    ("s3", "HeadBucket"): {"s3:ListBucket"},
    ("s3", "GetBucketEncryption"): {"s3:GetEncryptionConfiguration"},
    ("s3", "GetBucketLifecycleConfiguration"): {"s3:GetLifecycleConfiguration"},
    ("s3", "GetPublicAccessBlock"): {"s3:GetBucketPublicAccessBlock"},
    ("sts", "GetCallerIdentity"): set[str](),  # nobody needs a right to ask who they are
}
"""Of IAM's service authorization reference; where nothing stands here, action and operation have one name."""

ACTIONS_OF_OBSTORE = {
    "get": "s3:GetObject",
    "get_range": "s3:GetObject",
    "head": "s3:GetObject",
    "put": "s3:PutObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}

OF_DOCKER = {
    "ecr:BatchCheckLayerAvailability": "docker push asks for each layer",
    "ecr:InitiateLayerUpload": "docker push begins a layer",
    "ecr:UploadLayerPart": "docker push sends it",
    "ecr:CompleteLayerUpload": "docker push ends it",
    "ecr:PutImage": "docker push sends the manifest",
    "ecr:BatchGetImage": "docker push looks whether the manifest is there; docker pull of a base image",
    "ecr:GetDownloadUrlForLayer": "docker pull of a base image",
}
OF_A_KMS_KEY = {
    "kms:GenerateDataKey": "S3 asks with our rights when an object is written",
    "kms:Decrypt": "S3 asks with our rights when one is read, or written in parts",
}
WITHOUT_A_CALL = {
    "SubmitterPolicy": OF_DOCKER
    | OF_A_KMS_KEY
    | {
        "batch:TagResource": "SubmitJob with tags",
        "iam:PassRole": "RegisterJobDefinition with roles",
        "s3:AbortMultipartUpload": "obstore gives up an upload in parts that fails",
    },
    "JobRole": OF_A_KMS_KEY,
    "DoctorPolicy": {"iam:GetRole": "of the instances, which the submitter may not look at"},
}
"""Actions that no operation in the source explains, with what does."""


def granted(holder: str) -> set[str]:
    return {action for each in RIGHTS if each.holder == holder for action in each.actions}


def needed(room: str) -> set[str]:
    """Return the actions that a room of the source calls for."""
    of_clients = set().union(*map(actions_of, operations(sources(room))))
    return of_clients | {ACTIONS_OF_OBSTORE[each] for each in store_functions(sources(room))}


def actions_of(operation: Operation) -> set[str]:
    return ACTIONS_BY_OTHER_NAMES.get(operation, {":".join(operation)})


# --- no action missing, none unused -------------------------------------------------------------------------


def test_the_submitter_may_do_what_is_called_and_nothing_else():
    assert granted("SubmitterPolicy") == needed("core") | set(WITHOUT_A_CALL["SubmitterPolicy"])


def test_a_job_may_do_what_its_runtime_calls_and_nothing_else():
    assert granted("JobRole") == needed("runtime") | set(WITHOUT_A_CALL["JobRole"])


def test_the_doctor_may_do_what_it_calls_beyond_the_submitter_and_nothing_else():
    beyond = needed("doctor") - granted("SubmitterPolicy")
    assert granted("DoctorPolicy") == beyond | set(WITHOUT_A_CALL["DoctorPolicy"])


@pytest.mark.parametrize("holder", ["SubmitterPolicy", "JobRole"])
def test_what_is_granted_without_a_call_is_explained_once(holder: str):
    room = {"SubmitterPolicy": "core", "JobRole": "runtime"}[holder]
    assert needed(room) & set(WITHOUT_A_CALL[holder]) == set()


def test_operations_are_found_however_they_are_asked_for():
    """By `Session.batch`, of a client, as pages, and by the doctor's own way."""
    assert {
        ("batch", "SubmitJob"),
        ("ecr", "CreateRepository"),
        ("ecr", "DescribeImages"),
        ("logs", "GetLogEvents"),
        ("s3", "HeadBucket"),
    } <= operations(sources("core"))
    assert ("iam", "SimulatePrincipalPolicy") in operations(sources("doctor"))
    assert ("cloudformation", "CreateChangeSet") in operations(sources("infra"))


def test_who_submits_cannot_make_or_change_the_set_up():
    ours = granted("SubmitterPolicy") | granted("DoctorPolicy")
    of_administrators = set().union(*map(actions_of, operations(sources("infra"))))
    assert of_administrators & ours <= {"s3:AbortMultipartUpload"}


# --- on what ------------------------------------------------------------------------------------------------

MAY_BE_ANY = {
    *("batch:Describe*", "batch:ListJobs", "ec2:Describe*", "logs:DescribeLogGroups"),
    *("ecr:GetAuthorizationToken", "ecs:DiscoverPollEndpoint"),
}
"""Actions for which AWS knows no resource."""


@pytest.mark.parametrize("right", RIGHTS, ids=lambda each: f"{each.holder}-{each.statement}")
def test_any_resource_is_allowed_only_where_aws_lets_none_be_named(right: Right):
    if "*" in right.resources:
        assert right.resources == ("*",)
        for action in right.actions:
            assert any(fnmatchcase(action, each) for each in MAY_BE_ANY), action
            assert resource_types(action) == [], f"{action} could be narrowed to {resource_types(action)}"
    else:
        assert all(resource_types(action) for action in right.actions)


def resource_types(action: str) -> list[str]:
    """Return the kinds of resources that an action can be narrowed to, of AWS's list as cfn-lint has it."""
    service, name = action.lower().split(":")
    known = load_resource("cfnlint.data.AdditionalSpecs", "Policies.json")[service]["Actions"][name]
    return list(known.get("Resources", []))


@pytest.mark.parametrize("right", RIGHTS, ids=lambda each: f"{each.holder}-{each.statement}")
def test_no_action_is_a_pattern(right: Right):
    assert not any("*" in action for action in right.actions)


def test_objects_are_touched_under_our_prefix_only():
    of_objects = [each for each in RIGHTS if {"s3:GetObject", "s3:PutObject"} & set(each.actions)]
    assert {each.holder for each in of_objects} == {"JobRole", "SubmitterPolicy"}
    assert {each.resources for each in of_objects} == {(f"Bucket/{contract.KEY_PREFIX}/*",)}


def test_roles_are_passed_to_nothing_but_jobs():
    (passing,) = [each for each in RIGHTS if "iam:PassRole" in each.actions]
    assert passing.resources == ("JobRole", "ExecutionRole")
    assert passing.restriction == "iam:PassedToService: ecs-tasks.amazonaws.com"


# --- what IAM itself says -----------------------------------------------------------------------------------

MAX_POLICY_CHARS = 6_144
"""IAM's limit of a managed policy, without white space."""


def in_words(value: Any) -> Any:
    """Return a value of the template as CloudFormation makes it, with all that can be there being there."""
    if isinstance(value, list):
        return [in_words(each) for each in value if each != {"Ref": "AWS::NoValue"}]
    if not isinstance(value, Mapping):
        return value
    if "Fn::If" in value:
        return in_words(next(each for each in value["Fn::If"][1:] if each != {"Ref": "AWS::NoValue"}))
    if {"Fn::Sub", "Fn::GetAtt", "Ref"} & set(value):
        return "arn:aws:batch:ap-southeast-2:123456789012:job-queue/covalent-awsbatch-of-somebody-else"
    return {key: in_words(each) for key, each in value.items()}


@pytest.fixture(scope="module")
def iam() -> Iterator[Any]:
    # Not moto's own decorator: it would forget what other local AWS of this process hold.
    with LocalAWS(empty=True) as aws:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
        yield boto3.client("iam", aws.region, endpoint_url=aws.endpoint_url, **keys)


def holders(kind: str) -> list[str]:
    return [name for name, each in TEMPLATE["Resources"].items() if each["Type"] == f"AWS::IAM::{kind}"]


@pytest.mark.parametrize("name", holders("ManagedPolicy"))
def test_iam_takes_the_policy(name: str, iam: Any):
    document = json.dumps(in_words(TEMPLATE["Resources"][name]["Properties"]["PolicyDocument"]))
    assert len("".join(document.split())) < MAX_POLICY_CHARS
    iam.create_policy(PolicyName=name, PolicyDocument=document)


@pytest.mark.parametrize("name", holders("Role"))
def test_iam_takes_the_role(name: str, iam: Any):
    properties = in_words(TEMPLATE["Resources"][name]["Properties"])
    trust = json.dumps(properties["AssumeRolePolicyDocument"])
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    for policy in properties["Policies"]:
        iam.put_role_policy(
            RoleName=name,
            PolicyName=policy["PolicyName"],
            PolicyDocument=json.dumps(policy["PolicyDocument"]),
        )


# --- what people read ---------------------------------------------------------------------------------------


def test_every_purpose_has_its_statement():
    told = {
        (name, statement)
        for name, resource in TEMPLATE["Resources"].items()
        for statement in resource.get("Metadata", {}).get("Rights", ())
    }
    assert told == {(each.holder, each.statement) for each in RIGHTS}


def test_the_documentation_has_the_rights_and_parameters_of_today():
    assert documents.renewed(documents.CLOUD.read_text()) == documents.CLOUD.read_text(), (
        "docs/cloud.md is renewed by: python -m tests.infra.documents"
    )
