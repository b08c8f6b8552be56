"""The local CloudFormation: the project's template deployed whole, and what becomes of stacks that fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from covalent_awsbatch_plugin.infra import template
from covalent_awsbatch_plugin.infra.parameters import InfraParameters, template_values
from covalent_awsbatch_plugin.local.aws import LocalAWS
from covalent_awsbatch_plugin.local.faults.plan import Plan, read_plan
from tests.infra.account import Account

from .conftest import FAST
from .driving import Driver, client, sh, until
from .stacks import NAMED, Stacks


@pytest.fixture(scope="module")
def empty_aws() -> Iterator[LocalAWS]:
    with LocalAWS(empty=True, vcpus=4, memory_mib=4096, timing=FAST) as aws:
        yield aws


@pytest.fixture(scope="module")
def account(empty_aws: LocalAWS) -> Account:
    return Account(empty_aws)


@pytest.fixture
def stacks(empty_aws: LocalAWS, account: Account) -> Iterator[Stacks]:
    """The stacks of an account in which nothing was made yet; what a test leaves there is a failure."""
    made, before = Stacks(empty_aws), everything(account)
    yield made
    empty_aws.replace_faults(Plan())
    left = everything(account) - before
    for stack in made.cloud.describe_stacks()["Stacks"]:
        made.delete(stack["StackId"])
    assert left == set()


def everything(account: Account) -> set[tuple[str, str]]:
    """Return all that every service has, but for what jobs leave."""
    found = account.everything() - {("describe_log_groups", "/aws/batch/job")}
    return {(kind, name) for kind, name in found if kind != "describe_job_definitions"}


def values(**parameters: Any) -> dict[str, str]:
    return template_values(InfraParameters(**parameters))


def service(stacks: Stacks, name: str) -> Any:
    return client(stacks.aws, name)


def strike(stacks: Stacks, operation: str, **told: str) -> None:
    """Have an operation refused."""
    effect = {"status": 403, **told}
    plan = {"faults": [{"operation": operation, "effect": effect}]}
    stacks.aws.replace_faults(read_plan(json.dumps(plan).encode()))


# --- the project's template ---------------------------------------------------------------------------------


def test_the_template_comes_up_as_it_is_written_and_goes_without_a_trace(stacks: Stacks) -> None:
    name = "whole"
    assert stacks.create(name, template.text(), **values(stack_name=name))["StackStatus"] == "CREATE_COMPLETE"
    told, made = stacks.outputs(name), stacks.resources(name)
    check_bucket(service(stacks, "s3"), told["S3BucketName"])
    check_network(service(stacks, "ec2"), made)
    check_roles(service(stacks, "iam"), told)
    groups = service(stacks, "logs").describe_log_groups(logGroupNamePrefix=told["BatchJobLogGroupName"])
    assert [group["retentionInDays"] for group in groups["logGroups"]] == [30]
    (repository,) = service(stacks, "ecr").describe_repositories(repositoryNames=[name])["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    policy = service(stacks, "ecr").get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]
    assert json.loads(policy)["rules"][-1]["selection"]["countNumber"] == 100
    assert stacks.delete(name)["StackStatus"] == "DELETE_COMPLETE"


def check_bucket(s3: Any, bucket: str) -> None:
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert (rule["Status"], rule["Expiration"]) == ("Enabled", {"Days": 30})
    assert rule["Filter"] == {"Prefix": "covalent-awsbatch/"}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert controls == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def check_network(ec2: Any, made: dict[str, str]) -> None:
    (subnet,) = ec2.describe_subnets(SubnetIds=[made["SubnetOne"]])["Subnets"]
    assert (subnet["VpcId"], subnet["MapPublicIpOnLaunch"]) == (made["Vpc"], True)
    (table,) = ec2.describe_route_tables(RouteTableIds=[made["RouteTable"]])["RouteTables"]
    ways = {route["DestinationCidrBlock"]: route.get("GatewayId") for route in table["Routes"]
            if "DestinationCidrBlock" in route}  # fmt: skip
    assert ways["0.0.0.0/0"] == made["InternetGateway"]
    assert {each["SubnetId"] for each in table["Associations"] if "SubnetId" in each} == {
        made["SubnetOne"],
        made["SubnetTwo"],
    }
    (group,) = ec2.describe_security_groups(GroupIds=[made["JobSecurityGroup"]])["SecurityGroups"]
    assert group["IpPermissions"] == []
    assert [each["IpProtocol"] for each in group["IpPermissionsEgress"]] == ["-1"]
    (endpoint,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[made["S3GatewayEndpoint"]])["VpcEndpoints"]
    assert endpoint["RouteTableIds"] == [made["RouteTable"]]
    hostnames = ec2.describe_vpc_attribute(VpcId=made["Vpc"], Attribute="enableDnsHostnames")
    assert hostnames["EnableDnsHostnames"] == {"Value": True}
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=made["LaunchTemplate"])
    (version,) = versions["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 100


def check_roles(iam: Any, told: dict[str, str]) -> None:
    policy = iam.get_role_policy(RoleName=told["BatchJobRoleName"], PolicyName="artifacts")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Resource"] == f"arn:aws:s3:::{told['S3BucketName']}/covalent-awsbatch/*"
    submitter = iam.get_policy(PolicyArn=told["SubmitterPolicyArn"])["Policy"]
    assert submitter["DefaultVersionId"] == "v1"


EVERYTHING = {
    "stack_name": "all",
    **dict.fromkeys(("on_demand", "spot", "fargate", "fargate_spot", "gpu", "arm64"), True),
    "fair_share": True,
    "interface_endpoints": True,
    "state_change_events": True,
    "desired_vcpus": 2,
    "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/one",
}


def test_with_everything_on_a_job_runs_in_each_queue(stacks: Stacks) -> None:
    assert stacks.create("all", template.text(), **values(**EVERYTHING))["StackStatus"] == "CREATE_COMPLETE"
    local, made = Driver(stacks.aws), stacks.resources("all")
    environments = local.batch.describe_compute_environments()["computeEnvironments"]
    assert {each["computeResources"]["maxvCpus"] for each in environments} == {64, 256}
    (rule,) = service(stacks, "s3").get_bucket_encryption(Bucket=made["Bucket"])[
        "ServerSideEncryptionConfiguration"
    ]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].endswith("key/one")
    attributes = service(stacks, "sqs").get_queue_attributes(
        QueueUrl=made["EventQueue"], AttributeNames=["Policy"]
    )
    assert "events.amazonaws.com" in attributes["Attributes"]["Policy"]
    (target,) = service(stacks, "events").list_targets_by_rule(Rule=made["StateChangeRule"])["Targets"]
    assert target["Arn"].endswith("all-job-states")
    jobs = {name: submit(local, name, arn) for name, arn in made.items() if ":job-queue/" in arn}
    assert len(jobs) == 6
    assert {local.wait(job)["status"] for job in jobs.values()} == {"SUCCEEDED"}
    assert stacks.delete("all")["StackStatus"] == "DELETE_COMPLETE"


def submit(local: Driver, queue: str, arn: str) -> str:
    resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
    more: dict[str, Any] = {"container": {"resourceRequirements": resources}}
    if "Fargate" in queue:
        role = "arn:aws:iam::123456789012:role/all-us-east-1-execution"
        more["container"] |= {
            "executionRoleArn": role,
            "networkConfiguration": {"assignPublicIp": "ENABLED"},
        }
        more["platformCapabilities"] = ["FARGATE"]
    definition = local.define(sh("exit 0"), **more)
    return local.submit(jobDefinition=definition, jobQueue=arn, shareIdentifier="one")


def test_environments_of_a_stack_have_no_more_than_the_machine(stacks: Stacks) -> None:
    """One with `maxvCpus` 256 tells that number, and runs what fits into the four that there are."""
    stacks.create("narrow", template.text(), **values(stack_name="narrow", spot=False, fargate=False))
    local, queue = Driver(stacks.aws), stacks.outputs("narrow")["BatchQueue"]
    job = local.submit(jobDefinition=local.define(sh("exit 0"), vcpus="5"), jobQueue=queue)
    waiting = local.wait(job, "RUNNABLE")
    assert waiting["status"] == "RUNNABLE"
    local.batch.terminate_job(jobId=job, reason="enough")
    assert stacks.delete("narrow")["StackStatus"] == "DELETE_COMPLETE"


def test_a_network_of_ones_own_is_taken_and_left(stacks: Stacks) -> None:
    ec2 = service(stacks, "ec2")
    (vpc,) = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"]
    of_vpc = {"Name": "vpc-id", "Values": [vpc["VpcId"]]}
    subnets = ec2.describe_subnets(Filters=[of_vpc])["Subnets"]
    ids = [each["SubnetId"] for each in subnets[:2]]
    own = values(stack_name="own", vpc_id=vpc["VpcId"], subnet_ids=",".join(ids), spot=False, fargate=False)
    assert stacks.create("own", template.text(), **own)["StackStatus"] == "CREATE_COMPLETE"
    assert "Vpc" not in stacks.resources("own")
    (environment,) = service(stacks, "batch").describe_compute_environments()["computeEnvironments"]
    assert environment["computeResources"]["subnets"] == ids
    assert stacks.delete("own")["StackStatus"] == "DELETE_COMPLETE"


def test_an_update_changes_what_its_change_set_says(stacks: Stacks) -> None:
    before = values(stack_name="up", on_demand=False, spot=False)
    stacks.create("up", template.text(), **before)
    after = values(
        stack_name="up", on_demand=False, spot=False, fargate_spot=True, max_vcpus=8, artifact_days=7
    )
    change_set = stacks.review("up", template.text(), "UPDATE", **after)
    assert changes(change_set) == {
        "Bucket": ("Modify", "False"),
        "FargateEnvironment": ("Modify", "False"),
        "FargateSpotEnvironment": ("Add", None),
        "FargateSpotQueue": ("Add", None),
        "SubmitterPolicy": ("Modify", "False"),
    }
    assert stacks.execute(change_set)["StackStatus"] == "UPDATE_COMPLETE"
    environments = service(stacks, "batch").describe_compute_environments()["computeEnvironments"]
    assert [each["computeResources"]["maxvCpus"] for each in environments] == [8, 8]
    bucket = stacks.outputs("up")["S3BucketName"]
    (rule,) = service(stacks, "s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule["Expiration"] == {"Days": 7}
    assert stacks.outputs("up")["FargateSpotQueue"] == "up-fargate-spot"
    back = stacks.review("up", template.text(), "UPDATE", **before)
    assert changes(back)["FargateSpotQueue"] == ("Remove", None)
    assert stacks.execute(back)["StackStatus"] == "UPDATE_COMPLETE"
    assert "FargateSpotQueue" not in stacks.resources("up")
    stacks.delete("up")


def changes(change_set: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    told = [each["ResourceChange"] for each in change_set["Changes"]]
    return {each["LogicalResourceId"]: (each["Action"], each.get("Replacement")) for each in told}


# --- small stacks -------------------------------------------------------------------------------------------

BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": {"Ref": "Name"}}}
GROUP = {"Type": "AWS::Logs::LogGroup", "DependsOn": "Bucket"}
PAIR = {
    "Parameters": {"Name": {"Type": "String", "Default": "paired"}},
    "Resources": {"Group": GROUP, "Bucket": BUCKET},
    "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Bucket", "Arn"]}}},
}


def paired(**resources: Any) -> dict[str, Any]:
    return PAIR | {"Resources": PAIR["Resources"] | resources}


def test_resources_come_after_those_they_need_and_go_before_them(stacks: Stacks) -> None:
    stack = stacks.create("pair", PAIR)["StackId"]
    stacks.delete("pair")
    assert stacks.events(stack) == [
        ("pair", "CREATE_IN_PROGRESS"),
        ("Bucket", "CREATE_IN_PROGRESS"),
        ("Bucket", "CREATE_COMPLETE"),
        ("Group", "CREATE_IN_PROGRESS"),
        ("Group", "CREATE_COMPLETE"),
        ("pair", "CREATE_COMPLETE"),
        ("pair", "DELETE_IN_PROGRESS"),
        ("Group", "DELETE_IN_PROGRESS"),
        ("Group", "DELETE_COMPLETE"),
        ("Bucket", "DELETE_IN_PROGRESS"),
        ("Bucket", "DELETE_COMPLETE"),
        ("pair", "DELETE_COMPLETE"),
    ]


def test_a_bucket_that_is_not_empty_keeps_its_stack_until_it_is(stacks: Stacks) -> None:
    stacks.create("full", PAIR)
    s3 = service(stacks, "s3")
    s3.put_object(Bucket="paired", Key="mine", Body=b"1")
    failed = stacks.delete("full")
    assert failed["StackStatus"] == "DELETE_FAILED"
    assert failed["StackStatusReason"] == "The following resource(s) failed to delete: [Bucket]. "
    assert "The bucket you tried to delete is not empty" in stacks.reason("full", "Bucket", "DELETE_FAILED")
    assert list(stacks.resources("full")) == ["Bucket"]
    s3.delete_object(Bucket="paired", Key="mine")
    assert stacks.delete("full")["StackStatus"] == "DELETE_COMPLETE"


def test_what_is_retained_stays(stacks: Stacks) -> None:
    retained = paired(Bucket=BUCKET | {"DeletionPolicy": "Retain"})
    stack = stacks.create("kept", retained)["StackId"]
    assert stacks.delete("kept")["StackStatus"] == "DELETE_COMPLETE"
    assert ("Bucket", "DELETE_SKIPPED") in stacks.events(stack)
    service(stacks, "s3").delete_bucket(Bucket="paired")


def test_a_failure_takes_back_what_was_made(stacks: Stacks) -> None:
    strike(stacks, "CreateLogGroup", code="AccessDeniedException", message="not for you")
    stack = stacks.create("back", PAIR)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert stacks.resources("back") == {}
    assert "not for you" in stacks.reason("back", "Group", "CREATE_FAILED")
    reason = stacks.reason("back", "back", "ROLLBACK_IN_PROGRESS")
    assert reason == "The following resource(s) failed to create: [Group]. Rollback requested by user."
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        stacks.cloud.update_stack(**stacks.request("back", PAIR))
    stacks.delete("back")


def test_half_of_a_resource_is_taken_back_too(stacks: Stacks) -> None:
    """A bucket that is made and cannot be configured is deleted."""
    strike(stacks, "PutRetentionPolicy", code="AccessDeniedException", message="not for you")
    group = {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}}
    assert stacks.create("half", paired(Group=group))["StackStatus"] == "ROLLBACK_COMPLETE"
    stacks.delete("half")


def test_a_failed_update_brings_everything_back(stacks: Stacks) -> None:
    stacks.create("again", PAIR)
    blocked = BUCKET["Properties"] | {"VersioningConfiguration": {"Status": "Enabled"}}
    changed = paired(
        Bucket=BUCKET | {"Properties": blocked},
        More={"Type": "AWS::SQS::Queue", "DependsOn": "Bucket"},
        Group={"Type": "AWS::Logs::LogGroup", "DependsOn": "More", "Properties": {"RetentionInDays": 4}},
    )
    strike(
        stacks, "PutRetentionPolicy", code="InvalidParameterException", message="four is no number of days"
    )
    stack = stacks.update("again", changed)
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "four is no number" in stacks.reason("again", "Group", "UPDATE_FAILED")
    assert set(stacks.resources("again")) == {"Bucket", "Group"}
    assert stacks.cloud.get_template(StackName="again")["TemplateBody"] == PAIR
    stacks.delete("again")


def test_a_new_name_makes_a_new_resource_and_deletes_the_old_one_afterwards(stacks: Stacks) -> None:
    stacks.create("moved", PAIR)
    change_set = stacks.review("moved", PAIR, "UPDATE", Name="elsewhere")
    assert changes(change_set) == {"Bucket": ("Modify", "True")}
    (detail,) = change_set["Changes"][0]["ResourceChange"]["Details"]
    assert (detail["Target"]["Name"], detail["Target"]["RequiresRecreation"]) == ("BucketName", "Always")
    assert stacks.execute(change_set)["StackStatus"] == "UPDATE_COMPLETE"
    assert stacks.resources("moved")["Bucket"] == "elsewhere"
    assert stacks.outputs("moved") == {"Arn": "arn:aws:s3:::elsewhere"}
    events = stacks.events("moved")
    assert events.index(("moved", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")) < events.index(
        ("Bucket", "DELETE_COMPLETE")
    )
    stacks.delete("moved")


def test_what_has_a_name_is_not_replaced_under_it(stacks: Stacks) -> None:
    def table(block: str) -> dict[str, Any]:
        names = {"LaunchTemplateName": "one", "LaunchTemplateData": {}}
        tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "a", "Value": block}]}]
        properties = names | {"TagSpecifications": tags}
        return {"Resources": {"Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": properties}}}

    stacks.create("named", table("1"))
    assert stacks.update("named", table("2"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    reason = stacks.reason("named", "Template", "UPDATE_FAILED")
    assert "CloudFormation cannot update a stack when a custom-named resource requires replacing" in reason
    stacks.delete("named")


def test_nothing_to_change_is_a_failed_change_set(stacks: Stacks) -> None:
    stacks.create("same", PAIR)
    change_set = stacks.review("same", PAIR, "UPDATE")
    assert (change_set["Status"], change_set["ExecutionStatus"]) == ("FAILED", "UNAVAILABLE")
    assert change_set["StatusReason"].startswith("The submitted information didn't contain changes.")
    with pytest.raises(ClientError, match="cannot be executed in its current status of \\[FAILED\\]"):
        stacks.cloud.execute_change_set(ChangeSetName=change_set["ChangeSetId"])
    with pytest.raises(ClientError, match=r"No updates are to be performed\."):
        stacks.cloud.update_stack(**stacks.request("same", PAIR))
    stacks.delete("same")


def test_a_stack_in_review_is_one_without_resources(stacks: Stacks) -> None:
    change_set = stacks.review("seen", PAIR, "CREATE")
    assert changes(change_set) == {"Bucket": ("Add", None), "Group": ("Add", None)}
    assert stacks.stack("seen")["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert stacks.resources("seen") == {}
    with pytest.raises(ClientError, match="is in REVIEW_IN_PROGRESS state and can not be updated"):
        stacks.cloud.update_stack(**stacks.request("seen", PAIR))
    assert stacks.execute(change_set)["StackStatus"] == "CREATE_COMPLETE"
    assert stacks.cloud.describe_change_set(ChangeSetName=change_set["ChangeSetId"])["ExecutionStatus"] == (
        "EXECUTE_COMPLETE"
    )
    with pytest.raises(ClientError, match="already exists and cannot be created again with the changeSet"):
        stacks.review("seen", PAIR, "CREATE")
    stacks.delete("seen")


def test_a_stack_in_review_is_deleted_at_once(stacks: Stacks) -> None:
    stacks.review("unwanted", PAIR, "CREATE")
    assert stacks.delete("unwanted")["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="Stack with id unwanted does not exist"):
        stacks.stack("unwanted")


def test_previous_values_and_the_previous_template_are_kept(stacks: Stacks) -> None:
    stacks.create("kept", PAIR, Name="first")
    parameters = [{"ParameterKey": "Name", "UsePreviousValue": True}]
    with pytest.raises(ClientError, match="No updates"):
        stacks.cloud.update_stack(StackName="kept", UsePreviousTemplate=True, Parameters=parameters)
    assert stacks.stack("kept")["Parameters"] == [{"ParameterKey": "Name", "ParameterValue": "first"}]
    stacks.delete("kept")


def test_a_local_aws_stops_in_the_middle_of_a_stack(caplog: pytest.LogCaptureFixture) -> None:
    with LocalAWS(empty=True) as aws:
        made = Stacks(aws)
        made.cloud.create_stack(**made.request("cut", template.text(), **values(stack_name="cut")))
        until(lambda: ("Vpc", "CREATE_IN_PROGRESS") in made.events("cut"))
    assert caplog.records == []


def test_two_local_aws_have_their_own_stacks(stacks: Stacks) -> None:
    with LocalAWS(empty=True) as other:
        Stacks(other).create("elsewhere", {"Resources": {"Policy": {"Type": "AWS::Batch::SchedulingPolicy"}}})
        assert client(stacks.aws, "batch").list_scheduling_policies()["schedulingPolicies"] == []
        assert len(client(other, "batch").list_scheduling_policies()["schedulingPolicies"]) == 1


# --- refusals -----------------------------------------------------------------------------------------------

ROLE = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r", "AssumeRolePolicyDocument": {}}}
CHOICE = {"Type": "String", "AllowedValues": ["a", "b"]}


def alone(resource: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {"Resources": {"One": resource}, **sections}


@pytest.mark.parametrize(
    ("made", "text"),
    [
        ("Resources: [", "Template format error: YAML not well-formed"),
        ({"Resources": {}}, "At least one Resources member must be defined"),
        (alone({"Type": "AWS::Moon::Base"}), r"Unrecognized resource types: \[AWS::Moon::Base\]"),
        (alone(GROUP), r"Unresolved resource dependencies \[Bucket\] in the Resources block"),
        (
            alone({"Type": "AWS::Logs::LogGroup", "Condition": "No"}),
            "Unresolved condition dependency No in the Resources block",
        ),
        (
            {
                "Resources": {
                    "One": {"Type": "AWS::Logs::LogGroup", "DependsOn": "Two"},
                    "Two": {"Type": "AWS::Logs::LogGroup", "DependsOn": "One"},
                }
            },
            r"Circular dependency between resources: \[One, Two\]",
        ),
        (alone(BUCKET, Parameters={"Name": {"Type": "String"}}), r"Parameters: \[Name\] must have values"),
        (
            alone(BUCKET, Parameters={"Name": CHOICE | {"Default": "c"}}),
            r"Parameter 'Name' must be one of \[a, b\]",
        ),
        (
            alone(
                BUCKET,
                Parameters={"Name": CHOICE | {"Default": "b"}},
                Rules={
                    "OnlyA": {
                        "Assertions": [
                            {"Assert": {"Fn::Equals": [{"Ref": "Name"}, "a"]}, "AssertDescription": "a it is"}
                        ]
                    }
                },
            ),
            "a it is",
        ),
        ({"Resources": {"One": GROUP}, "Transform": "AWS::Serverless"}, r"\[Transform\]"),
    ],
)
def test_a_wrong_template_is_refused_before_anything_is_made(stacks: Stacks, made: Any, text: str) -> None:
    with pytest.raises(ClientError, match=text) as caught:
        stacks.cloud.create_stack(**stacks.request("wrong", made))
    assert caught.value.response["Error"]["Code"] == "ValidationError"


def test_unknown_parameters_and_large_templates_are_refused(stacks: Stacks) -> None:
    with pytest.raises(ClientError, match=r"Parameters: \[Nobody\] do not exist in the template"):
        stacks.create("wrong", PAIR, Nobody="x")
    with pytest.raises(ClientError, match="length less than or equal to 51200"):
        stacks.cloud.validate_template(TemplateBody=json.dumps(PAIR) + " " * 51_200)


def test_roles_need_a_capability(stacks: Stacks) -> None:
    request = stacks.request("role", alone(ROLE)) | {"Capabilities": ["CAPABILITY_IAM"]}
    with pytest.raises(ClientError, match=r"Requires capabilities : \[CAPABILITY_NAMED_IAM\]") as caught:
        stacks.cloud.create_stack(**request)
    assert caught.value.response["Error"]["Code"] == "InsufficientCapabilitiesException"
    assert stacks.cloud.validate_template(TemplateBody=json.dumps(alone(ROLE)))["Capabilities"] == NAMED


def test_a_property_that_would_be_lost_is_refused(stacks: Stacks) -> None:
    website = BUCKET["Properties"] | {"WebsiteConfiguration": {}}
    stack = stacks.create("lost", paired(Bucket=BUCKET | {"Properties": website}))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    reason = stacks.reason("lost", "Bucket", "CREATE_FAILED")
    assert reason.endswith("#: extraneous key [WebsiteConfiguration] is not permitted")
    stacks.delete("lost")


def test_a_bucket_that_exists_is_not_taken_over(stacks: Stacks) -> None:
    s3 = service(stacks, "s3")
    s3.create_bucket(Bucket="paired")
    assert stacks.create("second", PAIR)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "paired already exists" in stacks.reason("second", "Bucket", "CREATE_FAILED")
    stacks.delete("second")
    s3.delete_bucket(Bucket="paired")


def test_what_is_not_here_says_so(stacks: Stacks) -> None:
    with pytest.raises(ClientError, match="the local cloudformation does not have ListTypes"):
        stacks.cloud.list_types()


@pytest.mark.parametrize(
    ("operation", "of", "method", "code"),
    [
        ("DescribeStacks", "cloudformation", "describe_stacks", "AccessDenied"),
        ("ListRoles", "iam", "list_roles", "AccessDenied"),
        ("DescribeSubnets", "ec2", "describe_subnets", "UnauthorizedOperation"),
        ("ListRules", "events", "list_rules", "AccessDeniedException"),
        ("ListQueues", "sqs", "list_queues", "AccessDeniedException"),
    ],
)
def test_a_plan_strikes_calls_of_these_services_by_name(
    stacks: Stacks, operation: str, of: str, method: str, code: str
) -> None:
    strike(stacks, operation)
    with pytest.raises(ClientError) as caught:
        getattr(service(stacks, of), method)()
    assert caught.value.response["Error"]["Code"] == code
