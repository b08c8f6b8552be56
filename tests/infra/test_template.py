"""The template itself: its parameters are ours, names and tags tell whose it is, nothing is open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from covalent_awsbatch_plugin import contract
from covalent_awsbatch_plugin.infra import template
from covalent_awsbatch_plugin.infra.parameters import (
    LOG_RETENTION_DAYS,
    PLACE,
    InfraParameters,
    template_parameter,
    template_values,
)

from .template import TEMPLATE

RESOURCES: Mapping[str, Any] = TEMPLATE["Resources"]
PARAMETERS: Mapping[str, Any] = TEMPLATE["Parameters"]
FIELDS = {
    template_parameter(name): field
    for name, field in InfraParameters.model_fields.items()
    if name not in PLACE
}

MAX_INLINE_BYTES = 51_200
"""CloudFormation's limit of a TemplateBody; a longer one would have to lie in a bucket."""

TAG = "covalent-awsbatch-stack"
STACK = "${AWS::StackName}"


def of_type(type_: str) -> list[Any]:
    return [each["Properties"] for each in RESOURCES.values() if each["Type"] == type_]


def test_cloudformation_takes_it_without_a_bucket():
    assert len(template.text().encode()) <= MAX_INLINE_BYTES


# --- parameters ---------------------------------------------------------------------------------------------


def test_the_parameters_are_those_of_the_model_with_its_defaults():
    defaults = {name: str(each["Default"]) for name, each in PARAMETERS.items()}
    assert defaults == template_values(InfraParameters())


@pytest.mark.parametrize("name", FIELDS)
def test_a_parameter_is_told_in_the_same_words(name: str):
    assert PARAMETERS[name]["Description"] == FIELDS[name].description


@pytest.mark.parametrize("name", FIELDS)
def test_a_parameter_has_the_same_limits(name: str):
    field, ours = FIELDS[name], PARAMETERS[name]
    limits = {
        key: getattr(limit, attribute)
        for limit in field.metadata
        for key, attribute in {"MinValue": "ge", "MaxValue": "le", "AllowedPattern": "pattern"}.items()
        if getattr(limit, attribute, None) is not None
    }
    assert {key: ours[key] for key in ("MinValue", "MaxValue", "AllowedPattern") if key in ours} == limits


@pytest.mark.parametrize("name", FIELDS)
def test_a_parameter_takes_the_same_values(name: str):
    field, ours = FIELDS[name], PARAMETERS[name]
    values = {"LogRetentionDays": LOG_RETENTION_DAYS}.get(name, get_args(field.annotation))
    wanted = ["true", "false"] if field.annotation is bool else list(values)
    assert ours.get("AllowedValues", []) == wanted
    assert (ours["Type"] == "Number") == (field.annotation is int)


def test_each_parameter_stands_in_one_group_of_the_console():
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    listed = [name for group in groups for name in group["Parameters"]]
    assert sorted(listed) == sorted(PARAMETERS)


# --- names and tags -----------------------------------------------------------------------------------------


def leaves(value: Any) -> Iterator[Any]:
    """Yield what a value may be, by whatever condition."""
    branches = value["Fn::If"][1:] if isinstance(value, Mapping) and "Fn::If" in value else ()
    yield from (found for branch in branches for found in leaves(branch))
    if not branches:
        yield value


def own_names() -> Iterator[tuple[str, Any]]:
    """Yield the names that the template gives its resources; a service's name is AWS's own."""
    for name, resource in RESOURCES.items():
        for key, value in resource["Properties"].items():
            if key.endswith("Name") and key != "ServiceName":
                yield f"{name}.{key}", value


def test_all_names_begin_with_the_stack_or_are_the_users_choice():
    assert len(list(own_names())) > 10
    for where, named in own_names():
        for each in leaves(named):
            is_choice = each in ({"Ref": "BucketName"}, {"Ref": "RepositoryName"})
            is_ours = each == {"Ref": "AWS::StackName"} or each.get("Fn::Sub", "").startswith(STACK)
            assert is_choice or is_ours, where


def test_environments_have_no_name_for_they_could_not_be_replaced():
    environments = of_type("AWS::Batch::ComputeEnvironment")
    assert len(environments) == 6
    assert not any("ComputeEnvironmentName" in each for each in environments)
    assert not any(each["ReplaceComputeEnvironment"] for each in environments)


@pytest.mark.parametrize("name", RESOURCES)
def test_all_that_takes_tags_says_whose_it_is(name: str):
    resource = RESOURCES[name]
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", resource["Type"]).schema
    if "Tags" in schema["properties"]:
        tags = resource["Properties"]["Tags"]
        held = tags if isinstance(tags, Mapping) else {each["Key"]: each["Value"] for each in tags}
        assert held[TAG] == {"Ref": "AWS::StackName"}


# --- instances ----------------------------------------------------------------------------------------------


def test_instances_answer_about_themselves_to_nobody_without_a_token():
    (properties,) = of_type("AWS::EC2::LaunchTemplate")
    metadata = properties["LaunchTemplateData"]["MetadataOptions"]
    assert metadata == {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_all_instances_come_from_the_launch_template():
    for properties in of_type("AWS::Batch::ComputeEnvironment"):
        resources = properties["ComputeResources"]
        is_fargate = resources["Type"].startswith("FARGATE")
        assert ("LaunchTemplate" in resources) != is_fargate
        assert {"MinvCpus", "InstanceTypes", "InstanceRole"}.isdisjoint(resources) == is_fargate


def test_nothing_reaches_a_job_from_outside():
    assert "SecurityGroupIngress" not in RESOURCES["JobSecurityGroup"]["Properties"]


# --- the repository -----------------------------------------------------------------------------------------


def test_the_repository_keeps_as_many_images_as_it_is_told_and_looks_into_each():
    (properties,) = of_type("AWS::ECR::Repository")
    text = properties["LifecyclePolicy"]["LifecyclePolicyText"]["Fn::Sub"].replace("${KeptImages}", "7")
    (rule,) = json.loads(text)["rules"]
    assert rule["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 7}
    assert properties["ImageScanningConfiguration"] == {"ScanOnPush": True}


# --- the bucket ---------------------------------------------------------------------------------------------


def test_the_bucket_forgets_all_that_is_ours_and_nothing_else():
    (properties,) = of_type("AWS::S3::Bucket")
    (rule,) = properties["LifecycleConfiguration"]["Rules"]
    assert (rule["Status"], rule["Prefix"]) == ("Enabled", f"{contract.KEY_PREFIX}/")
    assert rule["ExpirationInDays"] == {"Ref": "ArtifactDays"}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_the_bucket_is_private_and_refuses_what_is_not_encrypted_on_its_way():
    (properties,) = of_type("AWS::S3::Bucket")
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert all(properties["PublicAccessBlockConfiguration"].values())
    (statement,) = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )
